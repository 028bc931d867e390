"""The benchmarks' reports, on tiny models: every row, every ratio; no time is tested."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace

import pytest
import torch
from tiny import tiny_config
from torch import nn

from salmonn_mini.cli import main
from salmonn_mini.models.config import PRESETS, preset
from salmonn_mini.tools.bench import ablations, random_model, timing, workloads
from salmonn_mini.tools.estimates import arithmetic, needs
from salmonn_mini.train.optim import transformer_blocks

CPU = torch.device("cpu")


@pytest.fixture
def tiny(monkeypatch) -> None:
    """Tiny sizes, short clips, few tokens."""
    config = tiny_config(pad_to_window=True)
    config = config.replace(llm=config.llm.replace(max_position_embeddings=512))
    monkeypatch.setattr(workloads, "SMALL", config)
    monkeypatch.setitem(PRESETS, "small", config.replace(name="small"))
    monkeypatch.setattr(workloads, "SECONDS", 1)
    monkeypatch.setattr(workloads, "NEW_TOKENS", 8)
    monkeypatch.setattr(workloads, "MINUTES", (0.01, 0.02, 0.04))
    monkeypatch.setattr(ablations, "CLIP_SECONDS", 1.0)
    monkeypatch.setattr(timing, "PRODUCT", {"cpu": 64})
    monkeypatch.setattr(workloads, "product_rate", lambda: 4 * 2 * 2048**3)  # a product in .25 s


# --- against the published code --------------------------------------------------------------------------------------


def test_published_small_reports_every_row_against_the_published_code(tiny) -> None:
    threads = torch.get_num_threads()
    report = workloads.bench("published-small", runs=1)
    assert torch.get_num_threads() == threads
    rows = report["rows"]
    assert set(rows) == {f"{row}{kind}" for row in workloads.PUBLISHED_MM for kind in ("", ", trimmed")}
    for row in rows.values():
        assert row["mm"] == pytest.approx(row["seconds"] / 0.25)
        assert row["times_as_fast"] == pytest.approx(row["published_mm"] / row["mm"])
    assert rows["greedy, 8 clips, trimmed"]["published_mm"] == 8 * rows["greedy, 1 clip"]["published_mm"]
    assert report["matrix_product_flops"] == {"float32": 8 * 2048**3} and report["peak_bytes"] > 1e8
    title, heads, *lines = timing.table(report).split("\n")
    assert title.startswith("config published-small, torch ") and "device CPU, one thread" in title
    assert heads.split() == ["seconds", "times", "as", "fast"] and len(lines) == len(rows)


def test_the_sizes_are_those_at_which_the_published_code_was_timed() -> None:
    parameters = needs(workloads.SMALL).parameters
    assert sum(parameters.values()) == pytest.approx(190.4e6, rel=0.003)  # without BEATs' classifier
    assert parameters["trained"] == pytest.approx(21.0e6, rel=0.005)


# --- long audio ------------------------------------------------------------------------------------------------------


def test_long_audio_reports_the_growth_of_each_doubling(tiny) -> None:
    report = workloads.bench("long-audio", runs=1)
    assert list(report["rows"]) == ["0.01 min", "0.02 min", "0.04 min"]
    for shorter, longer in pairwise(report["rows"].values()):
        assert longer["growth"] == pytest.approx(longer["seconds"] / shorter["seconds"])


def test_long_audio_has_the_published_arithmetic() -> None:
    config = workloads.SMALL
    assert config.whisper.window_seconds == 30 and config.pad_to_window and config.connector.tail == "drop"
    tokens = 8 * 60 / 30 * 88
    assert tokens + workloads.NEW_TOKENS < config.llm.max_position_embeddings


# --- ablations ------------------------------------------------------------------------------------------------------


def test_each_ablation_has_a_row_and_the_table_and_json_hold_them_all(tiny, capsys) -> None:
    assert main(["bench", "--config", "ablations", "--runs", "1"]) == 0
    printed = capsys.readouterr()
    report = json.loads(printed.out)
    assert report["preset"] == "small" and report["layers"] == 2 and report["clips"] == 2
    rows = report["rows"]
    assert list(rows) == list(ablations.ablations(CPU))
    for bits in (8, 4):
        assert rows.pop(f"LLM in {bits} bits")["error"].startswith("needs a CUDA GPU")
    for name, row in rows.items():
        assert min(row.values()) > 0, name
        assert row["samples_per_second"] == pytest.approx(2 / row["seconds"])
        assert name in printed.err
    flops = {name: row["flops"] for name, row in rows.items()}
    usual = flops["as usual"]
    assert flops["cached features"] < usual < flops["logits of the prompt too"]
    assert usual < flops["padded to 30 s"] and usual < flops["answers of 400 tokens"]
    assert flops["bfloat16"] == flops["gradient checkpointing"] == usual
    assert "needs a CUDA GPU" in printed.err and "preset small, layers 2, clips 2" in printed.err


def test_a_preset_means_ablations_and_other_benchmarks_have_none(tiny, capsys) -> None:
    assert main(["bench", "--preset", "small", "--layers", "1", "--batch", "1", "--runs", "1"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["config"], report["layers"], report["clips"]) == ("ablations", 1, 1)
    assert main(["bench", "--config", "long-audio", "--batch", "2"]) == 2
    assert "--batch needs --config ablations, but --config is long-audio" in capsys.readouterr().err
    assert main(["bench", "--preset", "14b"]) == 2


def test_on_a_cpu_small_layers_stand_for_large_ones(monkeypatch) -> None:
    measured = []
    monkeypatch.setattr(timing, "PRODUCT", {"cpu": 64})
    monkeypatch.setattr(
        ablations, "random_model", lambda config, **_: measured.append(config) or nn.Identity()
    )
    monkeypatch.setattr(ablations, "Step", lambda *_: SimpleNamespace(row=lambda *_: {}))
    ablations.compare(preset("13b"))
    ablations.compare(preset("toy"))
    ablations.compare(preset("13b"), layers=1)
    small, toy, large = dict.fromkeys(measured)  # in two types each
    assert small == ablations.cut(preset("small"), 2) and small.llm.num_hidden_layers == 2
    assert toy == preset("toy")
    assert large.llm.hidden_size == 5120 and large.whisper.encoder_layers == 1


def test_every_ablation_gives_the_same_loss(tiny) -> None:
    """They change how a step is computed, not what; only padding and longer answers do."""
    model = random_model.random_model(tiny_config(dropout=0.0))
    step = ablations.Step(model, clips=2, clip_seconds=1.0)
    losses = {}
    for name, setting in ablations.ablations(CPU).items():
        with step.applied(setting) as features, torch.no_grad():
            losses[name] = step.loss(replace(setting, dtype="float32"), features).item()
    base = losses.pop("as usual")
    short = {name: loss for name, loss in losses.items() if "tokens" not in name and "padded" not in name}
    assert all(loss == pytest.approx(base, abs=1e-5) for loss in short.values()), short
    long = [loss for name, loss in losses.items() if "tokens" in name]
    assert long[0] == pytest.approx(long[1], abs=1e-5)


def test_settings_go_back_to_where_they_were(tiny) -> None:
    model = random_model.random_model(tiny_config())
    step = ablations.Step(model, clips=1, clip_seconds=0.5)
    every = ablations.Ablation(eager=True, checkpointing=True, pad_to_window=True, compiled=True)
    blocks = transformer_blocks(model)
    assert len(blocks) == 2 + 1 + 1  # the LLM's, Whisper's, BEATs'
    with step.applied(every):
        model.train()  # as a step does
        assert model.config.pad_to_window and blocks[0]._compiled_call_impl is not None
        assert model.llm.get_base_model().config._attn_implementation == "eager"
    assert not model.config.pad_to_window and not model.training
    assert not any(block.training or block._compiled_call_impl for block in blocks)


def test_a_row_that_does_not_fit_costs_itself_alone(tiny, monkeypatch) -> None:
    row = ablations.Step.row

    def full(step, setting, *rest):
        if setting.pad_to_window:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return row(step, setting, *rest)

    monkeypatch.setattr(ablations.Step, "row", full)
    report = ablations.compare(preset("small"), layers=1, batch=1, runs=1)
    failed = [name for name, row in report["rows"].items() if "memory" in row.get("error", "")]
    assert failed == ["padded to 30 s"]
    assert "out of memory" in timing.table(report)


# --- arithmetic ------------------------------------------------------------------------------------------------------


def test_bytes_stand_beside_accelerates() -> None:
    for name, billions in (("7b", 7.5), ("13b", 13.8)):
        sums = arithmetic(preset(name))
        parameters = sum(needs(preset(name)).parameters.values())
        assert parameters == pytest.approx(billions * 1e9, rel=0.01)
        assert sums["accelerate"]["weights in 16 bits"] == pytest.approx(2 * parameters, rel=0.005)
        assert sums["accelerate"]["Adam on all weights"] == pytest.approx(16 * parameters, rel=0.005)
        assert sums["bytes"]["weights"] == pytest.approx(2 * parameters, rel=0.02)  # BEATs has 32 bits
        assert sums["bytes"]["training"] < sums["accelerate"]["Adam on all weights"] / 6
        padded, trimmed = (steps["total"] for steps in sums["flops_per_sample"].values())
        assert trimmed < 0.6 * padded


# --- parts -----------------------------------------------------------------------------------------------------------


def test_answers_have_their_number_of_tokens() -> None:
    model = random_model.random_model(tiny_config())
    for tokens in (20, 400):
        ids = model.prompt.answer(random_model.answer_of(tokens))
        assert (
            len(ids) == tokens
            and ids[-1] == model.prompt.eos_token_id
            and model.tokenizer.unk_token_id not in ids
        )


def test_frozen_parts_are_made_in_their_precision_and_trained_ones_in_float32() -> None:
    model = random_model.random_model(tiny_config(), dtype=torch.bfloat16)
    for name, parameter in model.named_parameters():
        full = parameter.requires_grad or name.startswith("beats.")
        expected = torch.float32 if full else torch.bfloat16
        assert parameter.dtype == expected, name
    assert torch.get_default_dtype() == torch.float32
    moments = ablations.Step(model, 1, 0.5).optimizer.param_groups[0]["params"]
    assert sum(p.numel() for p in moments) == sum(p.numel() for p in model.parameters() if p.requires_grad)


@pytest.mark.parametrize("bits", [4, 8])
def test_bits_are_those_of_training_and_change_no_weight_before_they_are_quantized(bits, monkeypatch) -> None:
    """Without a quantization, which works on GPUs alone."""
    asked = []
    monkeypatch.setattr(
        random_model,
        "quantization_kwargs",
        lambda bits, dtype: asked.append((bits, dtype)) or {"device_map": {"": "cpu"}},
    )
    plain = random_model.random_model(tiny_config(), dtype=torch.bfloat16)
    model = random_model.random_model(tiny_config(), dtype=torch.bfloat16, bits=bits)
    assert asked == [(bits, torch.bfloat16)]
    weights = dict(plain.base_llm.named_parameters())
    for name, weight in model.base_llm.named_parameters():
        assert "lora_" in name or torch.equal(weight, weights[name]), name
        assert weight.dtype == weights[name].dtype and weight.requires_grad == weights[name].requires_grad


def test_the_peak_is_of_what_came_last() -> None:
    timing.reset_peak()
    before = timing.peak_bytes()
    assert before > 1e8
    held = torch.ones(50_000_000)
    assert timing.peak_bytes() >= before + 0.9 * held.nbytes

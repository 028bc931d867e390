"""DeepSpeed ZeRO-2 over two processes: the same run, whole checkpoints, an exact resume. On CPUs, over gloo."""

from __future__ import annotations

import hashlib
import json
import math
import os
from itertools import pairwise
from pathlib import Path

import pytest
import together
import torch
from runs import Tones, losses, recipe_for, rows
from tiny import tiny_config, tiny_salmonn

from salmonn_mini.errors import SalmonnError
from salmonn_mini.train import Recipe, deepspeed, fit
from salmonn_mini.train.checkpointing import read_checkpoint

STEPS = 8
ZERO = {"ACCELERATE_USE_DEEPSPEED": "true", "DS_ACCELERATOR": "cpu"}


def still():
    return tiny_salmonn(config=tiny_config(dropout=0))


def recipe_of(folder: Path, **changes) -> Recipe:
    """Of two parts a process and step, some of whose gradients are clipped."""
    return recipe_for(
        folder, steps=STEPS, eval_every=4, gradient_accumulation_steps=2, max_grad_norm=15.0, **changes
    )


def digest(run) -> str:
    """Of trained weights and whole moments."""
    state = run._state()
    moments = [tensor for of_one in state["optimizer"]["state"].values() for tensor in of_one.values()]
    parts = [tensor.numpy().tobytes() for tensor in [*state["trained"].values(), *moments]]
    return hashlib.sha256(b"".join(parts)).hexdigest()


def session(folder: Path, stop: int, spoiled: dict[int, str], changes: dict) -> None:
    """One process's part of a run that ends by itself, or is broken off after `stop` steps.

    In a spoiled step the loss of one process's clips, or its gradient, is not finite.
    """
    os.environ |= ZERO
    from deepspeed.runtime.zero.stage_1_and_2 import DeepSpeedZeroOptimizer

    from salmonn_mini.train import loop

    keep, loss_of, digests = loop._Run._keep, loop._Run._loss, []

    def watch(run, row):
        inner = run.optimizer.optimizer
        assert isinstance(inner, DeepSpeedZeroOptimizer) and inner.partition_gradients  # ZeRO-2
        learned = sum(p.numel() for p in run.trained.values())
        held = sum(flat.numel() for flat in inner.single_partition_of_fp32_groups)
        assert learned / 2 <= held < 0.51 * learned  # the other process has the other half
        digests.append(digest(run))
        keep(run, row)
        if run.done == stop:
            try:
                run.accelerator.wait_for_everyone()
            finally:
                os._exit(0)

    def loss(run, part, sums):
        total = loss_of(run, part, sums)
        what = spoiled.get(run.done + 1) if run.accelerator.process_index == 1 else None
        if what == "loss":
            sums[0] = math.nan
        if what == "gradient":
            total.register_hook(lambda gradient: gradient * math.inf)
        return total

    loop._Run._keep, loop._Run._loss = watch, loss
    model = still()
    took = fit(model, Tones(), recipe_of(folder, **changes), eval_dataset=Tones(2))
    assert torch.distributed.get_world_size() == 2
    assert (took["processes"], took["wrapper"]) == (2, "DeepSpeedEngine")
    weights = {name: tensor.tolist() for name, tensor in model.trainable_state().items()}
    told = {"weights": weights, "digests": digests, "skipped": took["skipped"]}
    (folder / f"told-{os.environ['RANK']}.json").write_text(json.dumps(told))


def two(folder: Path, stop: int = 0, spoiled: dict[int, str] | None = None, **changes) -> None:
    """A run of two processes."""
    folder.mkdir(exist_ok=True)
    together.finish(together.start(session, 2, folder, stop, spoiled or {}, changes), patience=240)


def told(folder: Path) -> dict:
    """What both processes said at the end."""
    first, second = (json.loads((folder / f"told-{rank}.json").read_text()) for rank in range(2))
    assert first == second
    return first


@pytest.fixture(scope="module")
def spread(tmp_path_factory) -> Path:
    """A whole run."""
    pytest.importorskip("deepspeed")
    folder = tmp_path_factory.mktemp("zero") / "spread"
    two(folder)
    return folder


@pytest.fixture
def plain(tmp_path):
    """The same run, of one process and without DeepSpeed."""
    model, recipe = still(), recipe_of(tmp_path / "plain")
    fit(model, Tones(), recipe, eval_dataset=Tones(2))
    return model, recipe


def test_spread_moments_learn_as_whole_ones(spread, plain):
    model, recipe = plain
    assert losses(recipe_of(spread)) == pytest.approx(losses(recipe), abs=1e-4)
    norms, expected = ([row["gradient_norm"] for row in rows(r)] for r in (recipe_of(spread), recipe))
    assert norms == pytest.approx(expected, rel=1e-3) and max(norms) > recipe.max_grad_norm > min(norms)
    assert [row.get("wer") for row in rows(recipe_of(spread))] == [row.get("wer") for row in rows(recipe)]
    for name, tensor in model.trainable_state().items():
        assert torch.allclose(torch.tensor(told(spread)["weights"][name]), tensor, atol=1e-3), name


def test_a_run_that_was_stopped_gives_the_same_bits(spread, tmp_path):
    two(tmp_path, stop=5)  # its newest checkpoint is of step 3
    two(tmp_path)
    assert losses(recipe_of(tmp_path)) == losses(recipe_of(spread))
    assert told(tmp_path)["weights"] == told(spread)["weights"]
    assert told(tmp_path)["digests"] == told(spread)["digests"][3:]


def test_a_checkpoint_is_adamws_own_and_a_run_can_change_over(spread, plain, tmp_path):
    _, recipe = plain
    kept, own = (
        read_checkpoint(max((Path(r.output_dir) / "checkpoints").glob("*.pt")))
        for r in (recipe_of(spread), recipe)
    )
    weights = {name: tensor.tolist() for name, tensor in kept["trained"].items()}
    assert weights == told(spread)["weights"]
    assert kept["optimizer"]["param_groups"] == own["optimizer"]["param_groups"]
    assert kept["optimizer"]["state"].keys() == own["optimizer"]["state"].keys()
    for number, moments in own["optimizer"]["state"].items():
        for name, tensor in moments.items():
            other = kept["optimizer"]["state"][number][name]
            assert other.shape == tensor.shape and torch.allclose(other, tensor, atol=1e-4), name
    # Three steps with DeepSpeed and five without; then the other way round.
    two(tmp_path / "with", stop=3)
    fit(still(), Tones(), recipe_of(tmp_path / "with"), eval_dataset=Tones(2))
    assert losses(recipe_of(tmp_path / "with")) == pytest.approx(losses(recipe), abs=1e-4)
    fit(still(), Tones(), recipe, eval_dataset=Tones(2), fresh=True)
    before = losses(recipe)
    for later in sorted((Path(recipe.output_dir) / "checkpoints").glob("*.pt"))[1:]:
        later.unlink()
    two(tmp_path / "plain")
    assert losses(recipe) == pytest.approx(before, abs=1e-4)
    assert len(told(tmp_path / "plain")["digests"]) == 2


def test_a_loss_or_gradient_that_is_not_finite_changes_nothing(spread, tmp_path):
    two(tmp_path, spoiled={4: "loss", 6: "gradient"})
    first = rows(recipe_of(tmp_path))
    assert [row["loss"] is None for row in first] == [row["step"] == 4 for row in first]
    assert [row["gradient_norm"] is None for row in first] == [row["step"] in (4, 6) for row in first]
    assert [len(row.get("skipped", ())) for row in first] == [0, 0, 0, 4, 0, 4, 0, 0]
    digests = told(tmp_path)["digests"]
    still_there = [after == before for before, after in pairwise(digests)]
    assert still_there == [step in (4, 6) for step in range(2, STEPS + 1)]
    assert told(tmp_path)["skipped"] == 2 and digests[:3] == told(spread)["digests"][:3]


def test_in_bfloat16_what_is_trained_stays_in_float32(spread, tmp_path):
    recipe = recipe_of(tmp_path / "one", dtype="bfloat16")
    fit(still(), Tones(), recipe, eval_dataset=Tones(2))
    two(tmp_path, dtype="bfloat16")
    assert losses(recipe_of(tmp_path)) == pytest.approx(losses(recipe), abs=0.02)
    assert losses(recipe_of(tmp_path)) != pytest.approx(losses(recipe_of(spread)), abs=1e-5)
    kept = read_checkpoint(max((tmp_path / "run" / "checkpoints").glob("*.pt")))
    assert {tensor.dtype for tensor in kept["trained"].values()} == {torch.float32}


def miscounted(folder: Path) -> None:
    """One process's part of a run whose processes Accelerate has counted as one before."""
    os.environ |= ZERO
    from accelerate import PartialState

    assert PartialState().num_processes == 1
    with pytest.raises(SalmonnError, match="counts 1 processes, but 2 were started"):
        fit(still(), Tones(), recipe_of(folder))


def test_processes_that_accelerate_does_not_count_are_refused(tmp_path):
    pytest.importorskip("deepspeed")
    together.finish(together.start(miscounted, 2, tmp_path))


def test_what_is_not_to_be_had_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    monkeypatch.setattr(deepspeed, "is_deepspeed_available", lambda: False)
    with pytest.raises(SalmonnError, match=r"deepspeed is not installed: pip install.*or take ddp\.yaml"):
        fit(tiny_salmonn(), Tones(), recipe_for(tmp_path))
    monkeypatch.setattr(deepspeed, "is_deepspeed_available", lambda: True)
    with pytest.raises(SalmonnError, match="LOCAL_RANK is not set: it needs a launcher"):
        fit(tiny_salmonn(), Tones(), recipe_for(tmp_path))
    monkeypatch.setenv("LOCAL_RANK", "0")
    for variable, value, words in (
        ("ZERO_STAGE", "3", r"zero_stage is 3, but.*with 2 alone: take zero2\.yaml, or fsdp2\.yaml"),
        ("OFFLOAD_OPTIMIZER_DEVICE", "cpu", "offload_optimizer_device is 'cpu'"),
    ):
        with monkeypatch.context() as patch, pytest.raises(SalmonnError, match=words):
            patch.setenv(f"ACCELERATE_DEEPSPEED_{variable}", value)
            fit(tiny_salmonn(), Tones(), recipe_for(tmp_path))

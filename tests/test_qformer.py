"""qformer.py and blip2.py: the published numbers, transformers' second opinion, the three masks."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional as F
from torch.testing import assert_close

from salmonn_mini.errors import SalmonnError
from salmonn_mini.models.blip2 import Blip2
from salmonn_mini.models.config import ConnectorConfig
from salmonn_mini.models.connectors import SegmentQFormer, WindowQFormer
from salmonn_mini.models.qformer import MASKS, QFormer, blip2_mask

GOLDEN = Path(__file__).parent / "golden" / "qformer"
CASES = json.loads((GOLDEN / "qformer_cases.json").read_text())
IO = load_file(GOLDEN / "qformer_io.safetensors")
TINY = ConnectorConfig(
    hidden_size=24, num_attention_heads=4, intermediate_size=40, num_query_tokens=3, dropout=0.0
)


def golden_connector(case: dict) -> tuple[torch.nn.Module, dict[str, torch.Tensor]]:
    """The case's connector with the published weights, and the whole state for the LayerNorms."""
    name = "q1" if case["model"] == "q2" else case["model"]
    state = load_file(GOLDEN / f"{name}_state.safetensors")
    if case["model"] == "q2":
        state["speech_query_tokens"] = IO["q2.speech_query_tokens"]
    sizes = CASES["models"][name]
    n_queries = CASES["models"][case["model"]]["num_query"]
    config = ConnectorConfig(
        hidden_size=sizes["hidden_size"],
        num_attention_heads=sizes["num_attention_heads"],
        intermediate_size=sizes["intermediate_size"],
        num_query_tokens=n_queries,
        segment_query_tokens=n_queries,
        window_seconds=case["second_per_window"],
        stride_seconds=case["second_stride"],
        tail="drop",
    )
    kind = WindowQFormer if case["window_level"] else SegmentQFormer
    connector = kind(config, sizes["speech_width"] + sizes["audio_width"], sizes["llm"]).eval()
    renamed = {
        key.replace("speech_Qformer.", "qformer.")
        .replace("speech_query_tokens", "queries")
        .replace("speech_llama_proj.", "projection."): value
        for key, value in state.items()
        if not key.startswith("ln_") and not key.endswith("position_ids")
    }
    connector.load_state_dict(renamed)  # strict: the keys are the published ones
    return connector, state


def golden_features(case: dict, state: dict[str, torch.Tensor]) -> torch.Tensor:
    """Z as published: both LayerNorms, zeros after the shorter stream, side by side."""
    streams = []
    for encoder in ("speech", "audio"):
        if case[encoder] is not None:
            x, weight = IO[case[encoder]], state[f"ln_{encoder}.weight"]
            streams.append(F.layer_norm(x, weight.shape, weight, state[f"ln_{encoder}.bias"]))
    T = max(x.shape[1] for x in streams)
    return torch.cat([F.pad(x, (0, 0, 0, T - x.shape[1])) for x in streams], dim=-1)


@pytest.mark.parametrize("name", CASES["cases"])
def test_published_tokens(name):
    case = CASES["cases"][name]
    connector, state = golden_connector(case)
    Z = golden_features(case, state)
    assert Z.shape[1] == case["T"]
    with torch.no_grad():
        H, H_lengths = connector(Z, torch.full((Z.shape[0],), case["T"]))
    assert list(H.shape) == case["out_shape"] and H_lengths.tolist() == [H.shape[1]] * H.shape[0]
    assert_close(H, IO[f"{name}.out_tokens"], atol=1e-5, rtol=0)


def test_published_hidden_states_of_each_window():
    connector, _ = golden_connector(CASES["cases"]["c1_default"])
    with torch.no_grad():
        hidden = connector.qformer(connector.queries, IO["c1_default.qformer_kv"]).hidden
    assert_close(hidden, IO["c1_default.qformer_last_hidden"], atol=1e-5, rtol=0)


def randomized(module: torch.nn.Module) -> torch.nn.Module:
    """Weights large enough to show every mistake, biases and LayerNorms included."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return module.eval()


@pytest.mark.parametrize(("N", "T"), [(1, 7), (3, 7), (6, 2)])
def test_equal_to_transformers_blip2(N, T):
    from transformers import Blip2QFormerConfig, Blip2QFormerModel

    ours = randomized(QFormer(TINY, 10))
    theirs = Blip2QFormerModel(
        Blip2QFormerConfig(
            hidden_size=24,
            num_attention_heads=4,
            intermediate_size=40,
            num_hidden_layers=2,
            cross_attention_frequency=1,
            encoder_hidden_size=10,
        )
    ).eval()
    renamed = {
        key.removeprefix("bert.")
        .replace("embeddings.LayerNorm", "layernorm")
        .replace(".self.", ".attention."): value
        for key, value in ours.state_dict().items()
    }
    theirs.load_state_dict(renamed)
    queries, Z = torch.randn(4, N, 24), torch.randn(4, T, 10)
    Z_mask = torch.arange(T) < torch.tensor([1, T, T, T - 1])[:, None]
    for seen in (None, Z_mask):
        expected = theirs(
            query_embeds=queries, encoder_hidden_states=Z, encoder_attention_mask=seen
        ).last_hidden_state
        assert_close(ours(queries, Z, Z_mask=seen).hidden, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("N", "T"), [(1, 9), (5, 2)])
def test_attention_weights_on_request_change_nothing(N, T):
    qformer = randomized(QFormer(TINY, 10))
    queries, Z = torch.randn(1, N, 24), torch.randn(3, T, 10)
    Z_mask = torch.arange(T) < torch.tensor([1, T, T])[:, None]
    quiet = qformer(queries, Z, Z_mask=Z_mask)
    shown = qformer(queries, Z, Z_mask=Z_mask, return_attention=True)
    assert quiet.self_attention == quiet.cross_attention == ()
    assert_close(quiet.hidden, shown.hidden)
    assert [w.shape for w in shown.self_attention] == [(3, 4, N, N)] * 2
    assert [w.shape for w in shown.cross_attention] == [(3, 4, N, T)] * 2
    for weights in shown.self_attention + shown.cross_attention:
        assert_close(weights.sum(-1), torch.ones(3, 4, N))
    assert shown.cross_attention[0][0, :, :, 1:].abs().max() == 0  # hidden frames get nothing


def test_the_three_masks():
    text_mask = torch.tensor([[True, True, True], [True, True, False]])
    expected = {
        "bidirectional": ["11111", "11111", "11111", "11111", "11111"],
        "unimodal": ["11000", "11000", "00111", "00111", "00111"],
        "multimodal_causal": ["11000", "11000", "11100", "11110", "11111"],
    }
    for kind, rows in expected.items():
        mask = blip2_mask(kind, 2, text_mask)
        assert ["".join(str(int(seen)) for seen in row) for row in mask[0]] == rows
        assert torch.equal(mask[1, :, :4], mask[0, :, :4]) and not mask[1, :, 4].any()
    with pytest.raises(SalmonnError, match=r"'causal'.*bidirectional, unimodal, multimodal_causal"):
        blip2_mask("causal", 2, text_mask)


@pytest.mark.parametrize("kind", MASKS)
def test_what_a_mask_hides_has_no_influence(kind):
    qformer = randomized(QFormer(TINY, 10, vocab_size=20))
    queries, Z, ids = torch.randn(1, 2, 24), torch.randn(1, 5, 10), torch.tensor([[1, 2, 3]])

    def changed(**other):
        run = {"queries": queries, "Z": Z, "text_ids": ids, "mask": kind} | other
        same = qformer(queries, Z, text_ids=ids, mask=kind).hidden
        return (qformer(**run).hidden != same).any(-1)[0].tolist()

    moved = {  # which of the tokens q q t t t feel another last word, and other sounds
        "bidirectional": ([True] * 5, [True] * 5),
        "unimodal": ([False, False, True, True, True], [True, True, False, False, False]),
        "multimodal_causal": ([False] * 4 + [True], [True] * 5),
    }[kind]
    assert changed(text_ids=torch.tensor([[1, 2, 9]])) == moved[0]
    assert changed(Z=Z + 1) == moved[1]
    padded = torch.tensor([[1, 2, 3, 7]])
    short = qformer(queries, Z, text_ids=ids, mask=kind).hidden
    mask = torch.tensor([[True, True, True, False]])
    long = qformer(queries, Z, text_ids=padded, text_mask=mask, mask=kind).hidden
    assert_close(long[:, :5], short)


def test_text_needs_a_text_side():
    with pytest.raises(SalmonnError, match="no text side"):
        QFormer(TINY, 10)(torch.randn(1, 2, 24), torch.randn(1, 5, 10), text_ids=torch.tensor([[1]]))


def test_the_three_objectives_are_learned_on_toy_pairs():
    torch.manual_seed(0)
    model = Blip2(dataclasses.replace(TINY, num_query_tokens=2), 10, vocab_size=12)
    Z = torch.randn(6, 5, 10)
    Z_mask = torch.arange(5) < torch.tensor([5, 4, 5, 3, 5, 5])[:, None]
    ids = torch.tensor([[1, 2, 3, 4], [1, 3, 2, 0], [1, 4, 4, 5], [1, 5, 0, 0], [1, 6, 7, 3], [1, 7, 6, 0]])
    pairs = {"Z": Z, "text_ids": ids, "Z_mask": Z_mask, "text_mask": ids != 0}
    # At 1e-2 some processors see the loss jump up again.
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(500):
        loss = model.contrastive_loss(**pairs) + model.matching_loss(**pairs) + model.generation_loss(**pairs)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert all(parameter.grad is not None for parameter in model.parameters())
    model.eval()
    with torch.no_grad():
        assert model.similarity(**pairs).argmax(1).tolist() == list(range(6))
        assert model.match_logits(**pairs).argmax(1).tolist() == [1] * 6
        wrong = pairs | {"text_ids": ids.roll(1, 0), "text_mask": (ids != 0).roll(1, 0)}
        assert model.match_logits(**wrong).argmax(1).tolist() == [0] * 6
        told = model.next_token_logits(**pairs)[:, :-1].argmax(-1)
        assert torch.equal(told[ids[:, 1:] != 0], ids[:, 1:][ids[:, 1:] != 0])
    with pytest.raises(SalmonnError, match="1 pair"):
        model.matching_loss(Z[:1], ids[:1])

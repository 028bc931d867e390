"""connectors.py: one interface, batch invariance, gradients, and the paper's parameter counts."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from salmonn_mini.errors import SalmonnError
from salmonn_mini.models.config import CONNECTORS, ConnectorConfig, preset
from salmonn_mini.models.connectors import KINDS, CtcCompression, build_connector
from salmonn_mini.models.lora import attach_lora

LENGTHS = torch.tensor([1, 23, 10, 7])
D_IN, D_OUT = 12, 20


def tiny(kind: str, **changes) -> nn.Module:
    sizes = {
        "kind": kind,
        "hidden_size": 16,
        "num_attention_heads": 4,
        "intermediate_size": 24,
        "num_query_tokens": 2,
        "window_seconds": 0.06,
        "segment_query_tokens": 5,
        "stack_frames": 3,
        "ctc_labels": 4,
    }
    torch.manual_seed(0)
    connector = build_connector(ConnectorConfig(**sizes | changes), D_IN, D_OUT).eval()
    with torch.no_grad():
        for parameter in connector.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return connector


@pytest.mark.parametrize("kind", CONNECTORS)
def test_a_clip_gives_the_same_tokens_alone_and_in_a_batch(kind):
    connector = tiny(kind)
    Z = torch.randn(4, 30, D_IN)  # beyond a clip's end stands noise, which nobody may hear
    with torch.no_grad():
        H, H_lengths = connector(Z, LENGTHS)
        assert H.shape == (4, H_lengths.max(), D_OUT) and H_lengths.min() >= 1
        for i, T in enumerate(LENGTHS):
            alone, alone_length = connector(Z[i : i + 1, :T], LENGTHS[i : i + 1])
            assert alone_length == H_lengths[i]
            assert_close(H[i, : H_lengths[i]], alone[0], atol=1e-5, rtol=1e-5)
            assert H[i, H_lengths[i] :].abs().sum() == 0


@pytest.mark.parametrize("kind", CONNECTORS)
def test_gradient_reaches_all_parameters_and_the_features(kind):
    connector = tiny(kind).train()
    Z = torch.randn(4, 30, D_IN, requires_grad=True)
    H, _ = connector(Z, LENGTHS)
    H.square().sum().backward()
    for name, parameter in connector.named_parameters():
        if not name.endswith(".key.bias"):  # softmax does not see what all keys share
            assert parameter.grad.abs().max() > 0, name
    encoded = torch.arange(30) < LENGTHS[:, None]
    assert Z.grad[~encoded].abs().max() == 0
    if kind != "ctc":  # there a blank frame is not heard
        assert (Z.grad[encoded].abs().amax(-1) > 0).all()


def test_the_table_of_kinds_is_complete():
    assert tuple(KINDS) == CONNECTORS


def test_token_counts():
    Z = torch.randn(4, 30, D_IN)
    assert tiny("window_qformer")(Z, LENGTHS)[1].tolist() == [2, 16, 8, 6]  # ⌈T / 3⌉ · 2
    assert tiny("window_qformer", stride_seconds=0.02)(Z, LENGTHS)[1].tolist() == [2, 42, 16, 10]
    assert tiny("segment_qformer")(Z, LENGTHS)[1].tolist() == [5, 5, 5, 5]
    assert tiny("stacking")(Z, LENGTHS)[1].tolist() == [1, 8, 4, 3]
    full = torch.tensor([1500])
    for tail, tokens in (("pad", 89), ("drop", 88)):
        connector = tiny("window_qformer", window_seconds=0.333333, num_query_tokens=1, tail=tail)
        assert connector(torch.randn(1, 1500, D_IN), full)[1].tolist() == [tokens]


def test_tokens_are_ordered_window_by_window_then_query_by_query():
    connector = tiny("window_qformer")
    Z = torch.randn(1, 6, D_IN)
    H, _ = connector(Z, torch.tensor([6]))
    second, _ = connector(Z[:, 3:], torch.tensor([3]))
    assert_close(H[:, 2:], second, atol=1e-5, rtol=1e-5)


def test_zeros_that_fill_the_last_window_are_not_looked_at():
    connector = tiny("window_qformer")
    Z = torch.randn(1, 4, D_IN)
    with torch.no_grad():
        H, _ = connector(Z, torch.tensor([4]))
        last_frame_alone = connector.projection(connector.qformer(connector.queries, Z[:, 3:]).hidden)
    assert_close(H[:, 2:], last_frame_alone, atol=1e-5, rtol=1e-5)


def test_a_clip_without_a_full_window_is_refused_where_the_tail_is_dropped():
    connector = tiny("window_qformer", tail="drop")
    with pytest.raises(SalmonnError, match=r"1 frames is shorter than a window of 3.*tail='pad'"):
        connector(torch.randn(4, 30, D_IN), LENGTHS)


class TestCtc:
    def labeled(self, labels: list[int]) -> tuple[CtcCompression, torch.Tensor]:
        """A connector whose head reads the label off the first entries of a frame."""
        connector = tiny("ctc")
        connector.projection = nn.Identity()
        with torch.no_grad():
            connector.ctc_head.weight.zero_()
            connector.ctc_head.bias.zero_()
            connector.ctc_head.weight[:, :4] = torch.eye(4) * 5
        Z = torch.randn(1, len(labels), D_IN)
        Z[0, :, :4] = torch.eye(4)[torch.tensor(labels)]
        return connector, Z

    def test_runs_become_means_and_blanks_vanish(self):
        connector, Z = self.labeled([0, 1, 1, 2, 0, 2, 2, 2, 0])
        H, H_lengths = connector(Z, torch.tensor([9]))
        assert H_lengths.tolist() == [3]
        for token, (first, end) in zip(H[0], [(1, 3), (3, 4), (5, 8)], strict=True):
            assert_close(token, Z[0, first:end].mean(0), atol=1e-5, rtol=1e-5)

    def test_a_clip_of_blanks_gives_the_mean_of_all_frames(self):
        connector, Z = self.labeled([0, 0, 0, 0])
        H, H_lengths = connector(Z, torch.tensor([3]))
        assert H_lengths.tolist() == [1]
        assert_close(H[0, 0], Z[0, :3].mean(0), atol=1e-5, rtol=1e-5)

    def test_the_loss_is_ctc(self):
        connector, Z = self.labeled([0, 1, 1, 2, 0, 2, 3, 3, 0])
        lengths = torch.tensor([9])
        right = connector.ctc_loss(Z, lengths, torch.tensor([[1, 2, 2, 3]]), torch.tensor([4]))
        wrong = connector.ctc_loss(Z, lengths, torch.tensor([[3, 2, 1, 3]]), torch.tensor([4]))
        assert right < 0.1 < wrong


def trainable_on_meta(name: str) -> int:
    """Q-Former, projection, both LayerNorms and LoRA of a preset, without memory."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = preset(name)
    with torch.device("meta"):
        llm = attach_lora(LlamaForCausalLM(LlamaConfig(**config.llm.sizes())), config.lora)
        parts = nn.ModuleList(
            [
                build_connector(config.connector, config.feature_width, config.llm.hidden_size),
                nn.LayerNorm(config.whisper.d_model),
                nn.LayerNorm(config.beats.encoder_embed_dim),
                llm,
            ]
        )
    assert all(parameter.is_meta for parameter in parts.parameters())
    return sum(parameter.numel() for parameter in parts.parameters() if parameter.requires_grad)


@pytest.mark.parametrize(("name", "trainable"), [("13b", 33_332_992), ("7b", 30_186_240)])
def test_the_papers_parameter_counts(name, trainable):
    assert trainable_on_meta(name) == trainable

"""From the encoders' features to the LLM's tokens: four connectors behind one interface.

    window_qformer    N tokens for each window of L frames           the paper's
    segment_qformer   a fixed number of tokens for the entire clip   BLIP-2's way
    stacking          one token for k frames side by side            a plain network, no attention
    ctc               one token for each run of equal CTC labels     as many tokens as there is speech

All take Z (B, T, D), lengths (B,) and give H (B, M, d_llm), zero beyond its lengths (B,). `n_tokens` tells these from
the frames' lengths alone; of "ctc" the most that there can be. A clip's tokens depend on its own frames alone.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from salmonn_mini.errors import SalmonnError
from salmonn_mini.models.config import ConnectorConfig
from salmonn_mini.models.features import length_mask
from salmonn_mini.models.qformer import QFormer, new_queries
from salmonn_mini.models.windows import n_windows, split, window_frames

BLANK = 0  # CTC's label for "nothing new"


class WindowQFormer(nn.Module):
    """Window-level Q-Former (paper, section 3.1): tokens window by window, query by query; zeros are not looked at."""

    def __init__(self, config: ConnectorConfig, d_in: int, d_out: int) -> None:
        super().__init__()
        self.qformer = QFormer(config, d_in)
        self.queries = new_queries(config.num_query_tokens, config.hidden_size)
        self.projection = nn.Linear(config.hidden_size, d_out)
        self.tail = config.tail
        self.L = window_frames(config.window_seconds)
        self.stride = window_frames(config.stride_seconds or config.window_seconds)

    def n_tokens(self, lengths: Tensor) -> Tensor:
        """Raises SalmonnError for a clip without a full window where the tail is dropped."""
        counts = n_windows(lengths, self.L, self.stride, self.tail)
        if int(counts.min()) == 0:
            fault = f"a clip of {int(lengths.min())} frames is shorter than a window of {self.L}"
            raise SalmonnError(f"{fault}, so tail='drop' leaves it no token: use tail='pad' or longer clips")
        return counts * self.queries.shape[1]

    def forward(self, Z: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        tokens = self.n_tokens(lengths)
        windows, mask = split(Z, self.L, lengths, self.stride, self.tail)
        is_own = length_mask(tokens // self.queries.shape[1], windows.shape[1])
        rows = self.projection(self.qformer(self.queries, windows[is_own], Z_mask=mask[is_own]).hidden)
        H = rows.new_zeros(*is_own.shape, *rows.shape[1:])
        H[is_own] = rows
        return H.flatten(1, 2), tokens


class SegmentQFormer(nn.Module):
    """Q-Former over the entire clip: always `segment_query_tokens` tokens, however long the clip is."""

    def __init__(self, config: ConnectorConfig, d_in: int, d_out: int) -> None:
        super().__init__()
        self.qformer = QFormer(config, d_in)
        self.queries = new_queries(config.segment_query_tokens, config.hidden_size)
        self.projection = nn.Linear(config.hidden_size, d_out)

    def forward(self, Z: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        H = self.projection(self.qformer(self.queries, Z, Z_mask=length_mask(lengths, Z.shape[1])).hidden)
        return H, self.n_tokens(lengths)

    def n_tokens(self, lengths: Tensor) -> Tensor:
        return torch.full_like(lengths, self.queries.shape[1])


class Stacking(nn.Module):
    """Fixed rate: `stack_frames` frames side by side, then two linear layers; the tail is zero-padded."""

    def __init__(self, config: ConnectorConfig, d_in: int, d_out: int) -> None:
        super().__init__()
        self.k = config.stack_frames
        self.projection = _mlp(self.k * d_in, config.hidden_size, d_out)

    def forward(self, Z: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        stacks, _ = split(Z, self.k, lengths)
        counts = self.n_tokens(lengths)
        return _zero_beyond(self.projection(stacks.flatten(2)), counts), counts

    def n_tokens(self, lengths: Tensor) -> Tensor:
        return n_windows(lengths, self.k)


class CtcCompression(nn.Module):
    """Variable rate: each run of one CTC label becomes one token, blanks vanish (Gaido et al., EACL 2021).

    A token is the mean of its frames, weighted by their labels' probability, so that the LLM's loss reaches the CTC
    head, which is trained with `ctc_loss` first. A clip of blanks alone gives one token, the mean of its frames.
    """

    def __init__(self, config: ConnectorConfig, d_in: int, d_out: int) -> None:
        super().__init__()
        self.ctc_head = nn.Linear(d_in, config.ctc_labels)
        self.projection = _mlp(d_in, config.hidden_size, d_out)

    def forward(self, Z: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        probability, run, counts = self._runs(Z, lengths)
        B, M = len(counts), int(counts.max())
        slot = run.clamp(max=M)[..., None]  # the last slot takes the frames without a run
        weight = probability.to(Z.dtype)[..., None]
        total = Z.new_zeros(B, M + 1, 1).scatter_add(1, slot, weight)
        summed = Z.new_zeros(B, M + 1, Z.shape[2]).scatter_add(1, slot.expand_as(Z), weight * Z)
        means = summed[:, :M] / total[:, :M].clamp(min=torch.finfo(Z.dtype).eps)
        return _zero_beyond(self.projection(means), counts), counts

    def n_tokens(self, lengths: Tensor) -> Tensor:
        return lengths

    def ctc_loss(self, Z: Tensor, lengths: Tensor, targets: Tensor, target_lengths: Tensor) -> Tensor:
        """CTC loss of the head: targets (B, U) with target_lengths (B,), labels from 1; 0 is the blank."""
        log_probs = self.ctc_head(Z).log_softmax(-1).transpose(0, 1)
        return F.ctc_loss(log_probs, targets, lengths, target_lengths, blank=BLANK, zero_infinity=True)

    def _runs(self, Z: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The labels' probabilities (B, T), each frame's run (B, T), T where it has none, the runs' count (B,)."""
        probability, label = self.ctc_head(Z).softmax(-1).max(-1)
        is_own = length_mask(lengths, Z.shape[1])
        kept = is_own & (label != BLANK)
        only_blanks = ~kept.any(1, keepdim=True)
        label, kept = label.masked_fill(only_blanks, BLANK + 1), torch.where(only_blanks, is_own, kept)
        is_new = kept.clone()
        is_new[:, 1:] &= label[:, 1:] != label[:, :-1]
        run = is_new.cumsum(1) - 1
        return probability, run.masked_fill(~kept, Z.shape[1]), is_new.sum(1)


Connector = WindowQFormer | SegmentQFormer | Stacking | CtcCompression
KINDS: dict[str, type[Connector]] = {
    "window_qformer": WindowQFormer,
    "segment_qformer": SegmentQFormer,
    "stacking": Stacking,
    "ctc": CtcCompression,
}


def build_connector(config: ConnectorConfig, d_in: int, d_out: int) -> Connector:
    """The connector of `config.kind`, from Z of width d_in to an LLM of width d_out."""
    return KINDS[config.kind](config, d_in, d_out)


def _mlp(d_in: int, hidden: int, d_out: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(d_in, hidden), nn.GELU(), nn.Linear(hidden, d_out))


def _zero_beyond(H: Tensor, lengths: Tensor) -> Tensor:
    return H * length_mask(lengths, H.shape[1])[..., None]

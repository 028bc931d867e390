"""Published-small and long-audio: their work, at the sizes at which the published code was timed.

Published-small does what was timed, and what that code cannot do: clips that are trimmed, cached, in one batch. The
unit "mm" is the time of a 2048³ float32 matrix product.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from typing import Any

from torch import Tensor
from tqdm import tqdm

from salmonn_mini.models.config import ConnectorConfig, LlmConfig, SalmonnConfig, WhisperEncoderConfig, preset
from salmonn_mini.models.salmonn import SalmonnModel
from salmonn_mini.tools.bench.ablations import Ablation, Step
from salmonn_mini.tools.bench.random_model import PROMPT, noise, random_model
from salmonn_mini.tools.bench.timing import CPU, fastest, one_thread, peak_bytes, product_rate, report

SMALL = SalmonnConfig(
    name="published-small",
    whisper=WhisperEncoderConfig(
        d_model=512, encoder_layers=6, encoder_attention_heads=8, encoder_ffn_dim=2048
    ),
    llm=LlmConfig(
        hidden_size=512,
        intermediate_size=1376,
        num_hidden_layers=8,
        num_attention_heads=8,
        num_key_value_heads=8,
    ),
    connector=ConnectorConfig(tail="drop"),
)
TOY = preset("toy")
NARROW = TOY.replace(  # in the published windows: 30 s, 88 tokens
    name="long-audio",
    whisper=TOY.whisper.replace(max_source_positions=1500),
    llm=TOY.llm.replace(max_position_embeddings=2048, attn_implementation="sdpa"),
    connector=TOY.connector.replace(window_seconds=ConnectorConfig.window_seconds, tail="drop"),
    pad_to_window=True,
)
# The published code at the sizes of SMALL, in mm: 10-s clips, 88 tokens each, some 20 tokens to predict, 32 to write.
PUBLISHED_MM = {
    "encode 4 clips": 84,
    "encode 1 clip": 20,
    "step": 113,
    "step, cached": 113,  # it cannot cache
    "greedy, 1 clip": 25,
    "beam 4, 1 clip": 32,
    "greedy, 8 clips": 8 * 25,  # one by one
}
SECONDS = 10  # of a clip
NEW_TOKENS = 32
MINUTES = (1, 2, 4, 8)

Work = Callable[[], object]
Rows = dict[str, dict[str, float]]


def bench(name: str, *, runs: int = 3) -> dict[str, Any]:
    """The measurements of published-small or long-audio; each piece of work is timed `runs` times."""
    small = name == "published-small"
    with one_thread():
        rate = product_rate()
        model = random_model(SMALL if small else NARROW)
        works = tqdm(published(model) if small else long_audio(model), leave=False)
        times = {row: fastest(work, runs) for row, work in works}
    rows = against_published(times, 2 * 2048**3 / rate) if small else growth(times)
    return report(name, CPU, {"float32": rate}, rows, peak_bytes=peak_bytes())


def published(model: SalmonnModel) -> Iterator[tuple[str, Work]]:
    """Everything padded to 30 s, as published; then the same clips trimmed."""
    clips = [noise(SECONDS, seed) for seed in range(8)]
    step = Step(model, 4, SECONDS)
    for kind, padded in (("", True), (", trimmed", False)):
        model.config = model.config.replace(pad_to_window=padded)
        yield f"encode 4 clips{kind}", partial(model.encode, clips[:4])
        yield f"encode 1 clip{kind}", partial(model.encode, clips[:1])
        yield f"step{kind}", partial(step.train, Ablation())
        yield f"step, cached{kind}", partial(step.train, Ablation(), model.encode(clips[:4]))
        yield f"greedy, 1 clip{kind}", partial(answer, model, clips[:1])
        yield f"beam 4, 1 clip{kind}", partial(answer, model, clips[:1], num_beams=4)
        yield f"greedy, 8 clips{kind}", partial(answer, model, clips)


def against_published(times: dict[str, float], mm: float) -> Rows:
    """How many times as fast as the published code each row is."""
    rows = {}
    for row, seconds in times.items():
        theirs = PUBLISHED_MM[row.removesuffix(", trimmed")]
        faster = {"published_mm": theirs, "times_as_fast": theirs * mm / seconds}
        rows[row] = {"seconds": seconds, "mm": seconds / mm, **faster}
    return rows


def long_audio(model: SalmonnModel) -> Iterator[tuple[str, Work]]:
    """Encoding and an answer for each length."""
    for minutes in MINUTES:
        yield f"{minutes} min", partial(answer, model, [noise(60 * minutes, seed=0)])


def growth(times: dict[str, float]) -> Rows:
    """How much longer each doubling takes: 2 where time grows with the length, 4 with its square."""
    rows = {row: {"seconds": seconds} for row, seconds in times.items()}
    for shorter, longer in pairwise(rows.values()):
        longer["growth"] = longer["seconds"] / shorter["seconds"]
    return rows


def answer(model: SalmonnModel, clips: list[Tensor], *, num_beams: int = 1) -> None:
    """Encode the clips, and write NEW_TOKENS tokens for each."""
    model.eval()
    exactly = {"max_new_tokens": NEW_TOKENS, "min_new_tokens": NEW_TOKENS}
    model.generate(model.encode(clips), [PROMPT] * len(clips), num_beams=num_beams, **exactly)

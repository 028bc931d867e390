"""How fast this is, at the sizes at which the published code was timed; runs only on demand.

One thread, float32, random weights. Times are the process's CPU seconds, the least of several runs. The unit "mm" is
the time of a 2048³ float32 matrix product on the same thread, so that two machines can be compared.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import psutil
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from tqdm import tqdm
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, WhisperConfig

from salmonn_mini.beats import Beats, BeatsConfig
from salmonn_mini.config import SAMPLE_RATE, ConnectorConfig, LlmShape, SalmonnConfig, WhisperShape
from salmonn_mini.errors import SalmonnError
from salmonn_mini.features import Features
from salmonn_mini.model import Salmonn
from salmonn_mini.whisper import WhisperEars

SMALL = SalmonnConfig(
    name="published-small",
    whisper=WhisperShape(
        d_model=512,
        encoder_layers=6,
        encoder_attention_heads=8,
        encoder_ffn_dim=2048,
        decoder_layers=1,
        decoder_attention_heads=8,
        decoder_ffn_dim=2048,
    ),
    llm=LlmShape(
        hidden_size=512,
        intermediate_size=1376,
        num_hidden_layers=8,
        num_attention_heads=8,
        num_key_value_heads=8,
    ),
    connector=ConnectorConfig(tail="drop"),
)
# The published code at these sizes, in mm: 4 clips of 10 s, 88 tokens each, some 20 tokens to predict, 32 to write.
PUBLISHED_MM = {
    "step": 113,
    "step: forward": 100,
    "step: backward": 13,
    "encode 4 clips": 84,
    "encode 1 clip": 20,
    "greedy, 1 clip": 25,
    "beam 4, 1 clip": 32,
}
PUBLISHED_BYTES = 2.8e9
SECONDS = 10  # of a clip
NEW_TOKENS = 32
PROMPT = "Transcribe the speech ."
ANSWER = " ".join(f"w{i}" for i in range(100, 119))  # 19 tokens and the end symbol
MINUTES = (1, 2, 4, 8)
RUNS = 3

Times = dict[str, float]  # a row's name and its seconds
Work = Callable[[], Times]


def bench(name: str, *, runs: int = RUNS) -> dict[str, Any]:
    """The measurements of `name`, ready for JSON.

    Args:
        runs: how often each piece of work is timed; the least counts.

    Raises:
        SalmonnError: no such benchmark.
    """
    if name not in BENCHES:
        raise SalmonnError(f"there is no benchmark {name!r}: choose one of {', '.join(BENCHES)}")
    with _one_thread():
        before = calibrate()
        model = random_model(SMALL)
        results = BENCHES[name](model, runs)
        mm = min(before, calibrate())
    return {
        "config": name,
        "torch": torch.__version__,
        "threads": 1,
        "dtype": "float32",
        "calibration": {"seconds": round(mm, 4), "gflops": round(2 * 2048**3 / mm / 1e9, 1)},
        "parameters": sum(p.numel() for p in model.parameters()),
        "trainable": sum(p.numel() for p in model.parameters() if p.requires_grad),
        **_report(name, results, mm),
        "peak_bytes": _peak_bytes(),
    }


def calibrate(size: int = 2048, runs: int = 5) -> float:
    """CPU seconds of a float32 matrix product, the least of several."""
    a, b = torch.randn(size, size), torch.randn(size, size)
    return min(_seconds(lambda: a @ b) for _ in range(runs))


def random_model(config: SalmonnConfig) -> Salmonn:
    """A SALMONN of a configuration's sizes with random weights and a vocabulary of numbered words."""
    torch.manual_seed(0)
    words = ["[PAD]", "<s>", "</s>", "<unk>"]
    words += [f"w{i}" for i in range(len(words), config.llm.vocab_size)]
    core = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="[PAD]", bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )
    return Salmonn(
        config,
        WhisperEars(WhisperConfig(**config.whisper.sizes())),
        Beats(BeatsConfig.from_dict(config.beats.sizes())),
        LlamaForCausalLM(LlamaConfig(**config.llm.sizes(), pad_token_id=0, bos_token_id=1, eos_token_id=2)),
        tokenizer,
    )


# --- the benchmarks --------------------------------------------------------------------------------------------------


def published_small(model: Salmonn, runs: int) -> Times:
    """The work that the published code was timed at, and what it cannot do: trimmed, cached, in one batch."""
    clips = [noise(SECONDS, seed) for seed in range(8)]
    four, one = clips[:4], clips[:1]
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=3e-5)
    cached, heard = model.encode(four), model.encode(clips)
    singles = heard.clips()

    def step(name: str, encode: Callable[[], Features]) -> Work:
        return lambda: _step(name, model, encode, optimizer)

    times = _least(
        [
            _timed("encode 4 clips", lambda: model.encode(four)),
            _timed("encode 1 clip", lambda: model.encode(one)),
            step("step", lambda: model.encode(four)),
            step("step, cached", lambda: cached),
            _timed("greedy, 1 clip", lambda: _answer(model, model.encode(one))),
            _timed("beam 4, 1 clip", lambda: _answer(model, model.encode(one), beams=4)),
            _timed("8 clips in a batch", lambda: _answer(model, heard)),
            _timed("8 clips one by one", lambda: [_answer(model, single) for single in singles]),
            _timed("8 clips in a batch, 1 token", lambda: _answer(model, heard, tokens=1)),
            _timed(
                "8 clips one by one, 1 token",
                lambda: [_answer(model, single, tokens=1) for single in singles],
            ),
        ],
        runs,
    )
    model.config = model.config.replace(pad_to_30s=False)
    return times | _least(
        [
            _timed("encode 4 clips, trimmed", lambda: model.encode(four)),
            _timed("encode 1 clip, trimmed", lambda: model.encode(one)),
            step("step, trimmed", lambda: model.encode(four)),
        ],
        runs,
    )


def long_audio(model: Salmonn, runs: int) -> Times:
    """Encoding and 32 tokens for recordings of 1, 2, 4 and 8 minutes."""
    clips = {f"{minutes} min": noise(60 * minutes, seed=0) for minutes in MINUTES}
    return _least(
        [
            _timed(name, lambda clip=clip: _answer(model, model.encode([clip])))
            for name, clip in clips.items()
        ],
        runs,
    )


BENCHES: dict[str, Callable[[Salmonn, int], Times]] = {
    "published-small": published_small,
    "long-audio": long_audio,
}


def _report(name: str, times: Times, mm: float) -> dict[str, Any]:
    def faster(what: str, published: str) -> float:
        return round(PUBLISHED_MM[published] * mm / times[what], 2)

    work = {
        what: {"seconds": round(seconds, 3), "mm": round(seconds / mm, 1)} for what, seconds in times.items()
    }
    if name == "long-audio":
        growth = {f"{a} to {b}": round(times[b] / times[a], 2) for a, b in pairwise(times)}
        return {"work": work, "growth": growth}
    for what in PUBLISHED_MM.keys() & work.keys():
        work[what] |= {"published_mm": PUBLISHED_MM[what], "times_as_fast": faster(what, what)}
    against_step = {
        f"{what}, against the published step": faster(what, "step")
        for what in ("step", "step, trimmed", "step, cached")
    }
    one_by_one, batch = times["8 clips one by one"], times["8 clips in a batch"]
    first = times["8 clips one by one, 1 token"], times["8 clips in a batch, 1 token"]
    batched = {
        "8 clips in a batch, against one by one": round(one_by_one / batch, 2),
        "likewise, after the first token": round((one_by_one - first[0]) / (batch - first[1]), 2),
    }
    return {"work": work, "times_as_fast": against_step | batched, "published_peak_bytes": PUBLISHED_BYTES}


# --- timing ----------------------------------------------------------------------------------------------------------


def noise(seconds: float, seed: int) -> torch.Tensor:
    """White noise (S,) at 16 kHz."""
    return 0.1 * torch.randn(round(seconds * SAMPLE_RATE), generator=torch.Generator().manual_seed(seed))


def _answer(model: Salmonn, features: Features, *, beams: int = 1, tokens: int | None = None) -> None:
    """Write NEW_TOKENS tokens for each clip, or so many."""
    tokens = tokens or NEW_TOKENS
    prompts = [PROMPT] * len(features)
    model.generate(features, prompts, max_new_tokens=tokens, min_new_tokens=tokens, beams=beams)


def _step(
    name: str, model: Salmonn, encode: Callable[[], Features], optimizer: torch.optim.Optimizer
) -> Times:
    """A training step, its forward pass (encoding included) and its backward pass."""
    model.train()
    start = time.process_time()
    features = encode()
    loss = model(features, [PROMPT] * len(features), [ANSWER] * len(features)).mean
    forward = time.process_time()
    loss.backward()
    backward = time.process_time()
    optimizer.step()
    optimizer.zero_grad()
    end = time.process_time()
    model.eval()
    return {name: end - start, f"{name}: forward": forward - start, f"{name}: backward": backward - forward}


def _timed(name: str, do: Callable[[], object]) -> Work:
    return lambda: {name: _seconds(do)}


def _least(works: Sequence[Work], runs: int) -> Times:
    """The least seconds of each row."""
    times: Times = {}
    with tqdm(total=runs * len(works), leave=False) as bar:
        for work in works:
            for _ in range(runs):
                for name, seconds in work().items():
                    times[name] = min(seconds, times.get(name, seconds))
                    bar.set_description(name)
                bar.update()
    return times


def _seconds(do: Callable[[], object]) -> float:
    start = time.process_time()
    do()
    return time.process_time() - start


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _peak_bytes() -> int | None:
    """The most memory that the process has held, where the system keeps count."""
    memory = psutil.Process().memory_info()
    if hasattr(memory, "peak_wset"):  # Windows
        return memory.peak_wset
    import resource  # not on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024

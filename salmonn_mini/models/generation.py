"""Helpers of generation: a seed of its own, and text piece by piece."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase, TextIteratorStreamer


@contextmanager
def seeded(seed: int | None, device: torch.device) -> Iterator[None]:
    """Random draws on the CPU and on `device` follow `seed`, if any; afterwards both generators are as before."""
    if seed is None:
        yield
        return
    generator: Any = {"cuda": torch.cuda, "mps": torch.mps}.get(device.type)
    with torch.cuda.device(device) if device.type == "cuda" else nullcontext():
        states = torch.get_rng_state(), generator and generator.get_rng_state()
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would reach every GPU
        if generator:
            generator.manual_seed(seed)
        try:
            yield
        finally:
            torch.set_rng_state(states[0])
            if generator:
                generator.set_rng_state(states[1])


def stream_text(generate: Callable[..., Any], tokenizer: PreTrainedTokenizerBase) -> Iterator[str]:
    """The text of `generate(streamer=…)` in pieces, as they come; it runs in a thread, which ends with the iterator.

    What `generate` raises is raised here.
    """
    streamer = _Streamer(tokenizer, skip_prompt=True, skip_special_tokens=True)
    with ThreadPoolExecutor(max_workers=1) as pool:
        generation = pool.submit(generate, streamer=streamer)
        generation.add_done_callback(lambda _: streamer.on_finalized_text("", stream_end=True))
        try:
            yield from filter(None, streamer)
        except GeneratorExit:  # nobody reads on
            streamer.abandoned = True
            raise
        generation.result()


class _Streamer(TextIteratorStreamer):
    """Interrupts a generation that nobody reads any more."""

    abandoned = False

    def put(self, value: torch.Tensor) -> None:
        if self.abandoned:
            raise InterruptedError("the reader of the streamed answer has left")
        super().put(value)

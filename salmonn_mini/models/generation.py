"""The LLM's logits, a seed for its draws, and its text piece by piece."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase, TextIteratorStreamer
from transformers.modeling_outputs import BaseModelOutputWithPast

from salmonn_mini.errors import SalmonnError


def compute_logits(llm: PreTrainedModel, states: Tensor) -> Tensor:
    """Hidden states (…, d_llm) → logits (…, V) in float32, with Granite's, Cohere's and Gemma 2's scaling."""
    logits = llm.lm_head(states).float()
    scale = getattr(llm.config, "logit_scale", 1) / getattr(llm.config, "logits_scaling", 1)
    if scale != 1:
        logits = logits * scale
    cap = getattr(llm.config, "final_logit_softcapping", None)
    return logits if cap is None else cap * (logits / cap).tanh()


@torch.no_grad()
def check_logits(llm: PreTrainedModel) -> None:
    """Compare `compute_logits` with the LLM's own, on states that its decoder seems to have given.

    Raises:
        SalmonnError: they differ, so that the loss would be wrong, or the LLM has no `model` and `lm_head`.
    """
    name = type(llm).__name__
    if not (hasattr(llm, "model") and hasattr(llm, "lm_head")):
        raise SalmonnError(f"the LLM is a {name}, but it must have .model and .lm_head: use a Llama")
    weight = llm.lm_head.weight
    if weight.is_meta:
        return
    states = torch.linspace(-100, 100, llm.config.hidden_size).to(weight)[None, None]
    decoded = BaseModelOutputWithPast(last_hidden_state=states)
    with patch.object(llm.model, "forward", lambda *_, **__: decoded):
        own = llm(inputs_embeds=states, use_cache=False).logits.float()
    ours = compute_logits(llm, states)
    if not torch.allclose(ours, own, rtol=0.02, atol=0.02 * own.abs().max().item()):
        raise SalmonnError(
            f"{name} changes its logits in a way that is not known here (by up to "
            f"{(ours - own).abs().max():.3g}), so its loss would be wrong: use a Llama, Granite, Cohere or Gemma 2"
        )


@contextmanager
def seeded(seed: int | None, device: torch.device) -> Iterator[None]:
    """Random draws on the CPU and on `device` follow `seed`, if any; afterwards both generators are as before."""
    if seed is None:
        yield
        return
    with torch.cuda.device(device) if device.type == "cuda" else nullcontext(), ExitStack() as restored:
        accelerator: Any = {"cuda": torch.cuda, "mps": torch.mps}.get(device.type, torch)
        for generator in {torch, accelerator}:
            restored.callback(generator.set_rng_state, generator.get_rng_state())
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would reach every GPU
        if accelerator is not torch:
            accelerator.manual_seed(seed)
        yield


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
            generation.result()
        finally:
            streamer.abandoned = True


class _Streamer(TextIteratorStreamer):
    """Interrupts a generation that nobody reads any more."""

    abandoned = False

    def put(self, value: Tensor) -> None:
        if self.abandoned:
            raise InterruptedError("the reader of the streamed answer has left")
        super().put(value)

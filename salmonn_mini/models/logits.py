"""From the LLM's hidden states to its logits, as the LLM itself computes them.

Only the answer's states pass the output layer, which saves most of the memory. Some LLMs scale what comes out of
it; one whose logits are not reproduced here would silently train on a wrong loss, and is refused.
"""

from __future__ import annotations

from unittest.mock import patch

import torch
from torch import Tensor
from transformers import PreTrainedModel
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
    """Compare `compute_logits` with the LLM's own output layer, on states that its decoder seems to have given.

    Raises:
        SalmonnError: they differ, or the LLM has no `model` and `lm_head`.
    """
    decoder, head = getattr(llm, "model", None), getattr(llm, "lm_head", None)
    if decoder is None or head is None:
        raise SalmonnError(
            f"the LLM is a {type(llm).__name__}, but it must have .model and .lm_head: use a Llama"
        )
    if head.weight.is_meta:
        return
    width = llm.config.hidden_size
    states = torch.linspace(-100, 100, width, device=head.weight.device).to(head.weight.dtype)[None, None]
    decoded = BaseModelOutputWithPast(last_hidden_state=states)
    with patch.object(decoder, "forward", lambda *_, **__: decoded):
        own = llm(inputs_embeds=states, use_cache=False).logits.float()
    ours = compute_logits(llm, states)
    if not torch.allclose(ours, own, rtol=0.02, atol=0.02 * own.abs().max().item()):
        raise SalmonnError(
            f"{type(llm).__name__} changes its logits in a way that is not known here (by up to "
            f"{(ours - own).abs().max():.3g}), so its loss would be wrong: use a Llama, Granite, Cohere or Gemma 2"
        )

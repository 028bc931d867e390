"""The one error that a user can cause, and the names that have changed."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

# What was renamed, by kind: old name → new name. An old name is refused with the new one, never followed.
RENAMED = {
    "recipe key": {
        "reworded": "paraphrase_prob",
        "framed": "affix_prob",
        "precision": "dtype",
        "quantize": "bits",
        "trains": "trainable",
        "accumulation": "gradient_accumulation_steps",
        "clip_norm": "max_grad_norm",
        "final_lr": "min_lr_ratio",
    },
    "salmonn key": {"prompt": "prompt_template", "end": "eos_token", "pad_to_30s": "pad_to_window"},
    "whisperencoder key": {"hub": "name_or_path"},
    "beatsencoder key": {"hub": "name_or_path"},
    "llm key": {"hub": "name_or_path", "attention": "attn_implementation"},
    "adapter key": {"alpha": "lora_alpha", "dropout": "lora_dropout"},
    "command": {"ledger": "claims"},
    "option": {
        "--beams": "--num-beams",
        "--sample": "--do-sample",
        "--precision": "--dtype",
        "--at-once": "--per-device-batch-size",
    },
    "--config": {"levers": "ablations"},
}
# What others call it, by kind: where such a name is not known, ours is proposed.
SYNONYMS = {
    "recipe key": {
        "max_steps": "steps",
        "warmup_steps": "warmup",
        "save_steps": "save_every",
        "eval_steps": "eval_every",
        "report_to": "trackers",
        "dataloader_num_workers": "workers",
        "torch_compile": "compile",
        "streaming": "stream",
    },
    "alignment key": {"max_steps": "steps", "learning_rate": "lr"},
}


class SalmonnError(ValueError):
    """A value that a user gave breaks a rule. The message states the value, the rule and the remedy."""


def counted(number: int, noun: str) -> str:
    """`1 clip`, `2,000 clips`."""
    return f"{number:,} {noun}{'s' * (number != 1)}"


def unknown(kind: str, name: object, known: Iterable[str]) -> SalmonnError:
    """The error to raise for a name that is not among the known ones; it says what was meant."""
    known = [str(one) for one in known]
    if (new := RENAMED.get(kind, {}).get(name)) in known:
        return SalmonnError(f"{kind} {name!r} was renamed to {new!r}")
    synonym = SYNONYMS.get(kind, {}).get(str(name))
    close = [synonym] if synonym in known else difflib.get_close_matches(str(name), known, n=1)
    remedy = f"did you mean {close[0]!r}?" if close else f"choose one of {', '.join(known)}"
    return SalmonnError(f"unknown {kind} {name!r}: {remedy}")

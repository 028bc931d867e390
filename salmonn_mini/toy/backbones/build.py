"""All three backbones by one resumable command, and the model card of how they were made.

`salmonn-mini backbones` may be interrupted; called again it resumes.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import torch

from salmonn_mini.errors import unknown
from salmonn_mini.files import replacing
from salmonn_mini.pretrained import save_backbones, toy_folder
from salmonn_mini.toy.backbones import sounds, speech, text
from salmonn_mini.toy.backbones.card import model_card
from salmonn_mini.toy.backbones.loop import DTYPES, Place
from salmonn_mini.toy.backbones.scores import backbone_scores

SEED = 0
CARD, SCORES = "MODEL_CARD.md", "scores.json"


def build_all(
    target: Path | None = None,
    runs: Path = Path("runs/backbones"),
    *,
    dtype: str = "float32",
    samples: int = 200,
) -> dict[str, Any]:
    """Train the LLM, Whisper and BEATs, score them on unseen data, and write weights, scores and model card.

    Args:
        target: the folder of the toy's weights; the package's own by default.
        runs: keeps the training's state and log.
        dtype: float32, or bfloat16 for a CPU that has it.
        samples: of each task, for the scores.

    Raises:
        SalmonnError: an unknown dtype.
    """
    if dtype not in DTYPES:
        raise unknown("dtype", dtype, DTYPES)
    target = target or toy_folder()
    place = partial(Place, runs, dtype=dtype)
    llm, tokenizer, llm_stats = text.train_llm(place("llm"), seed=SEED)
    whisper, whisper_stats = speech.train_whisper(tokenizer, place("whisper"), seed=SEED)
    beats, beats_stats = sounds.train_beats(place("beats"), seed=SEED)
    models = {"llm": llm, "whisper": whisper.whisper, "beats": beats}
    for model in models.values():
        as_shipped(model)
    save_backbones(target, whisper.whisper, beats, sounds.TAGS, llm, tokenizer)
    scores = backbone_scores(whisper, beats, llm, tokenizer, n=samples, seed=SEED)
    stats = {"llm": llm_stats, "whisper": whisper_stats, "beats": beats_stats}
    training = {
        name: stats[name] | {"dtype": dtype, "parameters": _size(model)} for name, model in models.items()
    }
    report = {"seed": SEED, "training": training, "scores": scores}
    with replacing(target) as temporary:
        (temporary / SCORES).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        (temporary / CARD).write_text(model_card(report), encoding="utf-8")
    return report


@torch.no_grad()
def as_shipped(model: torch.nn.Module) -> None:
    """Round the weights to float16 and back, in place: what is scored is what is shipped."""
    model.eval()
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.is_floating_point():
            tensor.copy_(tensor.half().float())


def _size(model: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())

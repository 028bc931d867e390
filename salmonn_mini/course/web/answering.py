"""What the page does, without the page: which models there are, a clip out of an upload, its answer piece by piece."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

from salmonn_mini import pretrained
from salmonn_mini.course.figures.tour import Clip
from salmonn_mini.data.tasks import TASKS
from salmonn_mini.models.config import PRESETS
from salmonn_mini.pretrained.source import resolve, toy_stages
from salmonn_mini.tools.doctor.environment import OK
from salmonn_mini.tools.doctor.weights import check_weights

ENDINGS = (".wav", ".flac", ".ogg", ".mp3")
TRANSCRIBE = TASKS["asr"].prompts[0]


def find_models(names: Sequence[str] = (), **runtime: Any) -> dict[str, Callable[[], pretrained.Salmonn]]:
    """How to load each model that the page offers, by name; once loaded, a model stays.

    They are those of `names`, the toy's stages, newest first, and every other preset whose weights are all here.
    `runtime` is `pretrained.load`'s device, dtype and bits. Raises SalmonnError for what does not exist.
    """
    found = [resolve(name) for name in names]
    found += [resolve("toy", stage) for stage in reversed(toy_stages())]
    found += [resolve(name) for name in PRESETS if name != "toy" and is_complete(name)]
    models = {}
    for one in found or [resolve("toy")]:
        load = partial(pretrained.load, one.name, one.stage, revision=one.revision, **runtime)
        models[str(one)] = cache(load)
    return models


def is_complete(name: str) -> bool:
    """Whether all weights of a preset, trained ones included, are on this machine."""
    return all(finding.level == OK for finding in check_weights(PRESETS[name], {}))


def find_samples(folder: Path) -> dict[str, Path]:
    """The clips in a folder, by name; none if there is no such folder."""
    return {path.name: path for path in sorted(folder.glob("*")) if path.suffix in ENDINGS}


@contextmanager
def private_folder() -> Iterator[Path]:
    """Where uploads lie, and all other temporary files of this process: its owner's alone, deleted at the end."""
    with (
        tempfile.TemporaryDirectory(prefix="salmonn-mini-") as folder,
        patch.object(tempfile, "tempdir", folder),
        patch.dict(os.environ, GRADIO_TEMP_DIR=folder),
    ):
        yield Path(folder)


def read_upload(file: Path) -> Clip:
    """The sound in an uploaded file, which is deleted, also if `Clip.read` raises SalmonnError."""
    try:
        return _read(file)
    finally:
        file.unlink(missing_ok=True)


# Equal uploads have one path, named by their content: when its turn comes, the second may be gone.
@lru_cache(maxsize=4)
def _read(file: Path) -> Clip:
    return Clip.read(file, file.name)


def reply(
    model: pretrained.Salmonn, clip: Clip, instruction: str, scale: float
) -> Iterator[tuple[str, str, str]]:
    """The clip with its tokens, the answer at LoRA scale `scale` and the transcript at the model's own, as they grow.

    Raises as `Salmonn.stream`.
    """
    with torch.no_grad():
        features = model.encode([model.load_waveform(clip.X)])
        H, lengths = model.get_audio_features(features)
    card, answered, transcript = clip.sound(H[0, : int(lengths[0])].float().cpu()).html(), "", ""
    for piece in model.stream(features, instruction, lora_scale=scale):
        answered += piece
        yield card, f"{answered} …", ""
    for piece in model.stream(features, TRANSCRIBE):
        transcript += piece
        yield card, answered, f"{transcript} …"
    yield card, answered, transcript

"""From a configuration to a model, the one place where the toy and full scale part; save and load."""

from __future__ import annotations

from typing import TYPE_CHECKING

from salmonn_mini import lazy_exports
from salmonn_mini.pretrained.source import resolve, toy_folder

if TYPE_CHECKING:
    from salmonn_mini.pretrained.backbones import (
        beats_tags,
        load_backbones,
        load_beats,
        load_llm,
        load_whisper,
        load_whisper_for_generation,
        save_backbones,
    )
    from salmonn_mini.pretrained.loading import Salmonn, build, load, read_info, save

__all__ = [
    "Salmonn",
    "beats_tags",
    "build",
    "load",
    "load_backbones",
    "load_beats",
    "load_llm",
    "load_whisper",
    "load_whisper_for_generation",
    "read_info",
    "resolve",
    "save",
    "save_backbones",
    "toy_folder",
]

_LOADING = ["Salmonn", "build", "load", "read_info", "save"]
_BACKBONES = sorted({*__all__} - {*_LOADING, "resolve", "toy_folder"})
__getattr__, __dir__ = lazy_exports(__name__, {"loading": _LOADING, "backbones": _BACKBONES})

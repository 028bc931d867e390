"""From a configuration to a model, the one place where the toy and full scale part; save and load."""

from salmonn_mini.pretrained.backbones import (
    Backbones,
    beats_tags,
    load_backbones,
    load_beats,
    load_llm,
    load_whisper,
    load_whisper_for_generation,
    save_backbones,
    toy_folder,
)
from salmonn_mini.pretrained.loading import Salmonn, build, load, read_info, save

__all__ = [
    "Backbones",
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
    "save",
    "save_backbones",
    "toy_folder",
]

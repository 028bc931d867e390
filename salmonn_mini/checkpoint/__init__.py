"""From a configuration to a model, the one place where the toy and full scale part; save and load."""

from salmonn_mini.checkpoint.parts import (
    Parts,
    beats_tags,
    load_any_beats,
    load_ears,
    load_llm,
    load_parts,
    load_whisper,
    save_backbones,
    toy_folder,
)
from salmonn_mini.checkpoint.whole import Salmonn, build, load, read_info, save

__all__ = [
    "Parts",
    "Salmonn",
    "beats_tags",
    "build",
    "load",
    "load_any_beats",
    "load_ears",
    "load_llm",
    "load_parts",
    "load_whisper",
    "read_info",
    "save",
    "save_backbones",
    "toy_folder",
]

"""Clips to train on: out of manifests and tar files, with their prompts and answers, in batches."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_EXPORTS = {  # imported when they are asked for: the task table alone needs no torch
    "BadClip": "manifest",
    "BatchOrder": "order",
    "ClipDataset": "clips",
    "Example": "clips",
    "ManifestDataset": "clips",
    "MixtureDataset": "mixture",
    "PackedDataset": "stream",
    "Sample": "manifest",
    "TarStream": "stream",
    "check_bad_share": "quarantine",
    "load_clip": "manifest",
    "map_in_order": "loader",
    "open_dataset": "stream",
    "pack": "packed",
    "prefetch": "loader",
    "read_manifest": "manifest",
    "read_prompts": "manifest",
    "try_clip": "manifest",
    "usable": "quarantine",
    "write_manifest": "manifest",
    "write_quarantine": "quarantine",
}

__all__ = list(_EXPORTS)


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_EXPORTS[name]}"), name)

"""Clips to train on: out of manifests and tar files, with their prompts and answers, in batches."""

from __future__ import annotations

from salmonn_mini import lazy_exports

_EXPORTS = {  # the task table alone needs no torch
    "clips": [
        "ClipDataset",
        "Example",
        "ManifestDataset",
        "MixtureDataset",
        "check_bad_share",
        "usable",
        "write_quarantine",
    ],
    "loader": ["map_in_order", "prefetch"],
    "manifest": [
        "BadClip",
        "Sample",
        "load_clip",
        "read_manifest",
        "read_prompts",
        "try_clip",
        "write_manifest",
    ],
    "order": ["BatchOrder"],
    "packed": ["pack"],
    "stream": ["PackedDataset", "TarStream", "open_dataset"],
}

__all__ = sorted(name for names in _EXPORTS.values() for name in names)
__getattr__, __dir__ = lazy_exports(__name__, _EXPORTS)

"""Clips to train on: out of manifests or the toy world, with their prompts and answers, in batches."""

from salmonn_mini.data.clips import ClipSet, ManifestClips, Question, WorldClips, frame
from salmonn_mini.data.loader import in_order, one_ahead
from salmonn_mini.data.manifest import (
    Bad,
    Sample,
    load_clip,
    read_manifest,
    read_prompts,
    try_clip,
    write_manifest,
)
from salmonn_mini.data.mixture import Mixture
from salmonn_mini.data.order import BatchOrder
from salmonn_mini.data.packed import pack
from salmonn_mini.data.quarantine import check_share, list_bad, usable
from salmonn_mini.data.stream import PackedClips, TarStream, open_clips

__all__ = [
    "Bad",
    "BatchOrder",
    "ClipSet",
    "ManifestClips",
    "Mixture",
    "PackedClips",
    "Question",
    "Sample",
    "TarStream",
    "WorldClips",
    "check_share",
    "frame",
    "in_order",
    "list_bad",
    "load_clip",
    "one_ahead",
    "open_clips",
    "pack",
    "read_manifest",
    "read_prompts",
    "try_clip",
    "usable",
    "write_manifest",
]

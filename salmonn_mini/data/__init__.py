"""Clips to train on: out of manifests or the toy world, with their prompts and answers, in batches."""

from salmonn_mini.data.clips import ClipSet, ManifestClips, Question, WorldClips
from salmonn_mini.data.manifest import Sample, load_clip, read_manifest, read_prompts
from salmonn_mini.data.order import BatchOrder

__all__ = [
    "BatchOrder",
    "ClipSet",
    "ManifestClips",
    "Question",
    "Sample",
    "WorldClips",
    "load_clip",
    "read_manifest",
    "read_prompts",
]

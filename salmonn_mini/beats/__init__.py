"""BEATs, the ears for everything that is not speech: sounds, music, voices as such."""

from salmonn_mini.beats.encoder import BeatsConfig, relative_buckets
from salmonn_mini.beats.model import Beats, load_beats

__all__ = ["Beats", "BeatsConfig", "load_beats", "relative_buckets"]

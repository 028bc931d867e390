"""BEATs, the encoder for all that is not speech: sounds, music, voices as such."""

from salmonn_mini.models.encoders.beats.encoder import BeatsConfig, relative_buckets
from salmonn_mini.models.encoders.beats.model import Beats, load_beats_checkpoint

__all__ = ["Beats", "BeatsConfig", "load_beats_checkpoint", "relative_buckets"]

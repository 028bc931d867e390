"""What notebooks show and play: sounds beside their pictures, and figures with sliders and drop-downs."""

from salmonn_mini.course.figures.explorer import (
    COST,
    WINDOWS,
    Explorer,
    asking,
    focusing,
    sampling,
    windowing,
)
from salmonn_mini.course.figures.player import Gallery, Sound
from salmonn_mini.course.figures.sound import (
    clip_length,
    sampled,
    seen,
    spectrogram_picture,
    time_frequency,
    windowed,
)
from salmonn_mini.course.figures.tour import own_clip, respond, uploading

__all__ = [
    "COST",
    "WINDOWS",
    "Explorer",
    "Gallery",
    "Sound",
    "asking",
    "clip_length",
    "focusing",
    "own_clip",
    "respond",
    "sampled",
    "sampling",
    "seen",
    "spectrogram_picture",
    "time_frequency",
    "uploading",
    "windowed",
    "windowing",
]

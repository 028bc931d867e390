"""The one voice behind all speakers: hibari-tts's network (its voice "heart"), taken apart.

    symbols ─ network ─ harmonics, noise, rest and f0 for every 12.5 ms ─ changed by `voice` ─ sound at 16 kHz

The network predicts how long each symbol lasts but does not return it. One more output, added to the graph's bytes,
does: so every word has its times. Equal calls give equal bytes on one machine; another processor may round otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from salmonn_mini.models.config import SAMPLE_RATE

VOICE_F0 = 190.0  # Hz, what the voice speaks at by itself
FRAME_SECONDS = 0.0125
UNVOICED = 40.0  # Hz; a frame of a lower f0 has none
_RATE = 24_000  # Hz, of the network's sound
_FIRST = 2  # pairs of frames that the first symbol lasts
_DURATIONS = "/Cast_32_output_0"  # the tensor with each symbol's duration, in pairs of frames

# For what is made with the voice: the model card and the README of data_samples/.
ORIGIN = """## The voice

All speakers, women, men and children, are variations of one voice, the American English one of hibari-tts
0.2.1: moved in pitch, length of the vocal tract, brightness, breath and tempo. What is found about speakers is
found about such variations. The package, the weights of its voice and its lexicon, misaki's, are under the Apache
License 2.0. The voice imitates another model, Kokoro-82M in its voice "af_heart", whose weights are under the
Apache License 2.0 too. Its authors say that they trained it only on permissive or non-copyrighted audio, and count
synthetic speech of closed commercial models as such; whether those providers' terms allow that, nobody here can
judge. The part of the package that reads unknown words learned from espeak-ng's readings; no code and no data of
espeak-ng are in it. None of these licenses covers the sound that comes out.
"""


@dataclass
class Spectra:
    """What the network says of a sentence of F frames: log magnitudes and phases (601, F) from 0 to 12 kHz.

    Attributes:
        harmonics, turn: log magnitude of the harmonics of f0 and their turn of phase.
        noise: log magnitude of the noise.
        rest, phase: log magnitude and phase of what is neither.
        f0: (F,) in Hz, below `UNVOICED` where there is none.
        bounds: (L + 1,) the frames between which the L symbols lie, one after the other.
    """

    harmonics: np.ndarray
    turn: np.ndarray
    noise: np.ndarray
    rest: np.ndarray
    phase: np.ndarray
    f0: np.ndarray
    bounds: np.ndarray


def analyze(symbols: str, tempo: float) -> Spectra:
    """How the voice says `symbols`, at `tempo` times its own pace."""
    network, vocabulary = _network()
    ids = np.array([[0, *(vocabulary[symbol] for symbol in symbols), 0]], np.int64)
    *parts, durations = network.run(None, {"ids": ids, "speed": np.array([tempo], np.float32)})
    # Durations count from a mark before the first symbol, but each symbol sounds in the time of the one before it: the
    # first one at the end of the mark's, which is silent up to there.
    bounds = np.cumsum(durations)[: len(symbols)]
    return Spectra(*(part[0] for part in parts), 2 * np.concatenate([bounds[:1] - _FIRST, bounds]))


def synthesize(spectra: Spectra, rng: np.random.Generator) -> np.ndarray:
    """The sound (S,) of F frames at 16 kHz, float32."""
    from hibari import dsp
    from scipy.signal import resample_poly

    s = spectra
    wave = dsp.synth(s.harmonics, s.turn, s.noise, s.rest, s.phase, s.f0, rng)
    common = int(np.gcd(SAMPLE_RATE, _RATE))
    return resample_poly(wave, SAMPLE_RATE // common, _RATE // common).astype(np.float32)


@lru_cache(maxsize=1)
def _network():
    """The network with its durations, on one thread, and the numbers of its symbols."""
    import onnxruntime
    from hibari import Hibari

    voice = Hibari()
    with open(voice.model_path, "rb") as file:
        graph = file.read()
    # Two serialized protocol buffers in a row are read as one whose lists are joined: ModelProto.graph (7) with one
    # more GraphProto.output (12) of this ValueInfoProto.name (1).
    graph += _field(7, _field(12, _field(1, _DURATIONS.encode())))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    return session, voice.vocab


def _field(number: int, content: bytes) -> bytes:
    """A field of a protocol buffer, of fewer than 128 bytes."""
    return bytes([number << 3 | 2, len(content)]) + content

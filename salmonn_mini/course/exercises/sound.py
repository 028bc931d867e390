"""Chapter 1, sound: exercises and quiz."""

from __future__ import annotations

import torch
from torch import Tensor

from salmonn_mini.audio import spectra
from salmonn_mini.course.exercises.exercise import Student, exercise, expect, hint, same
from salmonn_mini.course.exercises.quiz import enter
from salmonn_mini.course.figures.sound import power_spectrogram, to_log_mel


@exercise("1.1", "what a slow sampler hears", level=2, minutes=8)
def alias(alias: Student) -> None:
    """the frequency in Hz, from 0 to half the rate, that is heard of a tone of f Hz after sampling at `rate` Hz"""
    given = alias(3000, 4000)
    hint(
        same(given, 3000),
        "4,000 samples a second cannot carry 3,000 Hz: everything above 2,000 Hz is folded back.",
    )
    hint(
        same(given, 2000),
        "The tone is not cut off at rate / 2. It is folded back: 3,000 Hz appears at 1,000 Hz.",
    )
    hint(
        same(given, 1000) and same(alias(1500, 4000), 2500),
        "1,500 Hz lies below rate / 2 and stays where it is. Only higher tones are folded.",
    )
    hint(
        same(alias(5000, 4000), -1000) or same(alias(7000, 4000), -3000),
        "A frequency below zero: 7,000 Hz is one whole rate above 3,000 Hz, which is folded back to 1,000 Hz.",
    )
    for f, rate in ((3000, 4000), (1500, 4000), (4100, 4000), (5000, 4000), (7000, 4000), (440, 16000)):
        expect(alias(f, rate), abs(f - rate * round(f / rate)), f"{f} Hz sampled at {rate} Hz")


@exercise("1.2", "from a wave to power", level=3, minutes=20, reference=power_spectrogram)
def power(power_spectrogram: Student) -> None:
    """a tensor, one row a whole frame of `length` samples, one frame every `hop` samples; in each row the power of
    the frequencies from 0 Hz to half the sample rate, 201 of them where `length` is 400"""
    X = torch.sin(2 * torch.pi * 450 * torch.arange(1000) / 16_000) + 0.2
    frames, window = X.unfold(0, 400, 160), torch.hann_window(400)
    right = torch.fft.rfft(frames * window).abs() ** 2
    given = power_spectrogram(X.clone(), 400, 160)
    hint(
        isinstance(given, Tensor) and given.is_complex(),
        "The transform gives complex numbers. Take their size with .abs(), then square it.",
    )
    hint(same(given, right.T), "One frame a row: the frames come first, then the frequencies.")
    _name_wrong_frames(given, right)
    hint(
        same(given, torch.fft.rfft(frames).abs() ** 2),
        "The window is missing: multiply each frame by Hann's window before the transform.",
    )
    hint(same(given, right.sqrt()), "This is the amplitude. The power is its square.")
    hint(
        same(given, torch.fft.rfft(frames * window).real ** 2),
        "This is the square of the real part alone. The size of a complex number needs both parts: .abs().",
    )
    hint(
        same(given, torch.fft.fft(frames * window).abs() ** 2),
        "199 of these 400 numbers are mirror images. rfft gives the 201 that differ.",
    )
    even = torch.hann_window(400, periodic=False)
    hint(
        same(given, torch.fft.rfft(frames * even).abs() ** 2),
        "Nearly: this window ends in a zero as it begins. torch.hann_window(400) is the periodic one.",
    )
    expect(given, right, "1,000 samples in frames of 400, one every 160")
    for S, length, hop in ((400, 400, 160), (1000, 80, 40), (1000, 512, 100)):
        right = torch.fft.rfft(X[:S].unfold(0, length, hop) * torch.hann_window(length)).abs() ** 2
        expect(
            power_spectrogram(X[:S].clone(), length, hop),
            right,
            f"{S} samples in frames of {length}, one every {hop}",
        )


def _name_wrong_frames(given: object, right: Tensor) -> None:
    """Rows of which there are too few, too many, or others than the 4 of 1,000 samples, each 400 long every 160."""
    rows = len(given) if isinstance(given, Tensor) and given.dim() else 0
    hint(rows == 2, "Two frames: they touch. They must overlap: one begins every 160 samples.")
    hint(
        rows == 3 and same(given, right[:3]),
        "The last frame is missing: samples 480 to 879 are a whole frame too. Mind the + 1.",
    )
    hint(
        rows > 4,
        "Too many frames: 1,000 samples hold 4 whole ones. (torch.stft adds half a frame at both ends, unless it is "
        "told center=False.)",
    )


@exercise("1.3", "a bank of mel filters", level=3, minutes=20, reference=spectra.mel_filters)
def filters(mel_filters: Student) -> None:
    """a tensor, one row a filter, n_mels of them; in each row the weights of the 201 frequencies, 40 Hz apart"""
    right = spectra.mel_filters(80)
    given = mel_filters(80)
    hint(same(given, right.T), "One filter a row: the filters come first, then the frequencies.")
    hint(
        isinstance(given, Tensor) and given.shape == (78, 201),
        "80 corners make 78 triangles: each needs a left and a right neighbor. Take n_mels + 2 corners.",
    )
    corners = _corners(80)
    peaked = _triangles(corners)
    scale = 2 / (corners[2:] - corners[:-2])[:, None]
    hint(
        same(given, peaked),
        "Every peak is 1. Each triangle must have the area 1: half its width times its height.",
    )
    hint(
        same(given, _slopes(corners) * scale) or same(given, _slopes(corners)),
        "Outside of its triangle a filter is negative. It must be 0 there.",
    )
    hint(
        same(given, right / right.sum(1, keepdim=True)),
        "The weights of each filter sum to 1. The area counts the width too: the frequencies lie 40 Hz apart.",
    )
    even = torch.linspace(0, 8000, 82, dtype=torch.float64)
    hint(
        same(given, _triangles(even) * 2 / (even[2:] - even[:-2])[:, None]) or same(given, _triangles(even)),
        "The corners are evenly spaced in Hz. They must be evenly spaced in mel, then turned into Hz.",
    )
    hint(
        same(given, _triangles(corners, torch.maximum) * scale)
        or same(given, _triangles(corners, torch.maximum)),
        "It takes the larger of the two slopes. The triangle is under both: take the smaller.",
    )
    expect(given, right, "80 filters")
    expect(mel_filters(128), spectra.mel_filters(128), "128 filters")


def _corners(n_mels: int) -> Tensor:
    """(n_mels + 2,) Hz, evenly spaced on Slaney's mel scale."""
    mel = torch.linspace(0, 15 + 27 * torch.tensor(8.0).log() / torch.tensor(6.4).log(), n_mels + 2)
    mel = mel.double()
    return torch.where(mel < 15, mel * 200 / 3, 1000 * 6.4 ** ((mel - 15) / 27))


def _slopes(corners: Tensor, which=torch.minimum) -> Tensor:
    left, peak, right = (part[:, None] for part in (corners[:-2], corners[1:-1], corners[2:]))
    hz = 40.0 * torch.arange(201)
    return which((hz - left) / (peak - left), (right - hz) / (right - peak))


def _triangles(corners: Tensor, which=torch.minimum) -> Tensor:
    return _slopes(corners, which).clamp(min=0)


@exercise("1.4", "from power to Whisper's log-mel", level=2, minutes=12, reference=to_log_mel)
def squash(to_log_mel: Student) -> None:
    """a tensor, one row a mel band and one column a frame, as Whisper scales it"""
    power = torch.tensor([[4.0, 1.0, 0.0, 2.0], [0.0, 0.0, 0.0, 0.0], [0.2, 1e-9, 0.0, 0.0]])  # (F, bins)
    filters = torch.tensor([[0.5, 0.5, 0.0, 0.0], [0.0, 0.0, 1.0, 1.0]])  # (n_mels, bins)
    mel = filters @ power.T
    log = mel.clamp(min=1e-10).log10()
    right = (log.clamp(min=log.max() - 8) + 4) / 4
    given = to_log_mel(power.clone(), filters.clone())
    hint(
        isinstance(given, Tensor) and not given.isfinite().all(),
        "The logarithm of 0 is minus infinity: raise the power to at least 1e-10 first.",
    )
    hint(same(given, right.T), "Frames are the rows here. Whisper reads bands as rows, frames as columns.")
    natural = mel.clamp(min=1e-10).log()
    hint(
        same(given, (natural.clamp(min=natural.max() - 8) + 4) / 4),
        "This is the natural logarithm. Whisper takes log10.",
    )
    hint(
        same(given, (log.clamp(min=-8) + 4) / 4),
        "The floor is not -8 but 8 below the loudest value. So loud and soft clips look alike.",
    )
    hint(
        same(given, (log + 4) / 4),
        "The floor is missing: nothing may lie more than 8 below the loudest value.",
    )
    hint(
        same(given, (log.maximum(log.amax(0, keepdim=True) - 8) + 4) / 4)
        or same(given, (log.maximum(log.amax(1, keepdim=True) - 8) + 4) / 4),
        "The loudest value is that of the whole clip, not of each frame or band.",
    )
    hint(same(given, log.clamp(min=log.max() - 8)), "The last scaling is missing: add 4, then divide by 4.")
    expect(given, right, "3 frames of 4 frequencies, and 2 filters")


enter(
    1,
    """
A clip lasts 2 s at 16 kHz. What is the shape of its log-mel spectrogram for Whisper?
+ (80, 200)
  80 mel bands, and a frame every 10 ms: 200 in 2 s.
- (80, 32000)
  There is a frame every 160 samples, not one a sample.
- (201, 200)
  201 are the bins of the Fourier transform. Mel filters gather them into 80 bands.
- (80, 100)
  50 frames a second come out of Whisper's encoder. It takes 100 in.

You multiply all samples by 10. By how many decibels does the power rise?
- 10 dB
  That is ten times the power. Power is the square of the amplitude, so it rises a hundred times.
+ 20 dB
  A hundred times the power: 10 · log10(100) = 20.
- 100 dB
  100 is the factor on the power. Its decibels are 10 · log10(100).

Why does Whisper's mel scale have narrow bands below 1 kHz and wide ones above?
+ Our ears are the same: we easily tell 200 from 300 Hz, but hardly 7,000 from 7,100 Hz.
  The scale was made by asking listeners which steps sound equally wide.
- There is no sound above 4 kHz.
  There is: an s hisses up to 8 kHz and beyond.
- It makes the Fourier transform faster.
  The transform comes before, and takes as long either way.

You play a 6 kHz whistle, sampled at 8 kHz without a filter before. What do you hear?
- Nothing: it is above the limit of 4 kHz.
  Only if it had been filtered out before. Sampling alone does not remove it.
- 6 kHz, but softer.
  No sampling at 8 kHz can hold a tone above 4 kHz.
+ A whistle at 2 kHz.
  6 kHz is folded back at 4 kHz: 8 - 6 = 2 kHz. That is aliasing.

You double the length of the window from 25 to 50 ms. What becomes sharper in the spectrogram?
+ Frequencies: bins lie 20 Hz apart instead of 40.
  And moments get blurred: nothing shorter than 50 ms stands out by itself.
- Moments.
  They get blurred: everything within 50 ms falls into one frame.
- Both.
  Time and frequency are traded against each other. You cannot sharpen both.

The spectrum of a vowel has lines 200 Hz apart, and broad bumps near 600 and 1,200 Hz. What are the bumps?
- The pitch of the voice.
  The pitch is the distance of the lines: 200 Hz.
+ Formants, the resonances of mouth and throat.
  They stay where they are when the pitch changes, and they tell vowels apart.
- Aliasing.
  Aliasing comes from sampling too slowly. Bumps like these are there in the air.
""",
)

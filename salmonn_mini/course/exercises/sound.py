"""Chapter 1, sound: exercises and quiz."""

from __future__ import annotations

import torch
from torch import Tensor

from salmonn_mini.audio import spectra
from salmonn_mini.course.exercises.exercise import Student, exercise, expect, hint, same
from salmonn_mini.course.exercises.quiz import enter
from salmonn_mini.course.figures.sound import fourier_matrix, kaldi_power, power_spectrogram


@exercise("1.1", "what a slow sampler hears", level=2, minutes=8)
def alias(alias: Student) -> None:
    """the frequency in Hz, from 0 to half the rate, at which a tone of f Hz appears after sampling at `rate` Hz"""
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
    hint(
        same(alias(3000, 5000), 1000),
        "The rate is not always 4,000: at 5,000 samples a second, 3,000 Hz appears at 2,000 Hz.",
    )
    hint(
        same(alias(5000, 4000), 1000) and not same(alias(11000, 4000), 1000),
        "11,000 Hz sampled at 4,000 Hz: it is folded more than twice. All tones a whole rate apart are alike.",
    )
    at_4000 = (3000, 1500, 2000, 4000, 4100, 5000, 7000, 11000, 43_210)
    for f, rate in (*((f, 4000) for f in at_4000), (3000, 5000), (440, 16000), (23.5, 10)):
        expect(alias(f, rate), abs(f - rate * round(f / rate)), f"{f} Hz sampled at {rate} Hz")


@exercise("1.2", "the Fourier transform as a matrix", level=2, minutes=12, reference=fourier_matrix)
def matrix(fourier_matrix: Student) -> None:
    """a tensor of complex64, N // 2 + 1 rows and N columns"""
    given, right = fourier_matrix(8), _turns(8)
    hint(
        isinstance(given, Tensor) and not given.is_complex(),
        "These are real numbers. Each entry is complex: a cosine and, times -i, a sine.",
    )
    hint(same(given, right.T), "One frequency per row: k counts the rows, n the columns.")
    hint(same(given, right.conj()), "The exponent has a minus sign: this matrix turns the other way.")
    k, n = torch.arange(8)[:, None], torch.arange(8)
    hint(
        same(given, torch.exp(-2j * torch.pi * k * n / 8)),
        "These are all N frequencies. Above N / 2 they mirror the ones below: keep the rows from 0 to N // 2.",
    )
    hint(
        same(given, right[:-1]),
        "The last row is missing: half the sample rate, k = N // 2, belongs to it.",
    )
    hint(
        same(given, torch.exp(-1j * k[:5] * n / 8)),
        "The 2 pi is missing: row 1 must go around once in N samples.",
    )
    for N in (8, 10, 7):
        expect(fourier_matrix(N), _turns(N), f"N = {N}")


def _turns(N: int) -> Tensor:
    """The right matrix, from the transform of the N unit vectors."""
    return torch.fft.rfft(torch.eye(N)).T


@exercise("1.3", "from a wave to power", level=2, minutes=15, reference=power_spectrogram)
def power(power_spectrogram: Student) -> None:
    """a tensor of float32, one row per whole frame of `length` samples, one frame every `hop` samples; in each row
    the power of the frequencies from 0 Hz to half the sample rate, 201 of them where `length` is 400"""
    X = torch.sin(2 * torch.pi * 450 * torch.arange(1000) / 16_000) + 0.2
    frames, window = X.unfold(0, 400, 160), torch.hann_window(400)
    right = torch.fft.rfft(frames * window).abs() ** 2
    given = power_spectrogram(X.clone(), 400, 160)
    hint(
        isinstance(given, Tensor) and given.is_complex(),
        "The transform gives complex numbers. Take their magnitude with .abs(), then square it.",
    )
    hint(same(given, right.T), "One frame per row: the frames come first, then the frequencies.")
    _name_wrong_frames(given, right)
    hint(
        same(given, torch.fft.rfft(frames).abs() ** 2),
        "The window is missing: multiply each frame by Hann's window before the transform.",
    )
    hint(same(given, right.sqrt()), "This is the amplitude. The power is its square.")
    hint(
        same(given, torch.fft.rfft(frames * window).real ** 2),
        "This is the square of the real part alone. The magnitude of a complex number needs both parts: .abs().",
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


@exercise("1.4", "a bank of mel filters", level=3, minutes=20, reference=spectra.mel_filters)
def filters(mel_filters: Student) -> None:
    """a tensor of float32, one row per filter, n_mels of them; in each row the weights of the 201 frequencies,
    40 Hz apart"""
    right = spectra.mel_filters(80)
    given = mel_filters(80)
    hint(same(given, right.T), "One filter per row: the filters come first, then the frequencies.")
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


@exercise("1.5", "from a wave to BEATs' power", level=3, minutes=20, reference=kaldi_power)
def power_of_beats(kaldi_power: Student) -> None:
    """a tensor of float64, one row per whole frame of 400 samples, one frame every 160 samples; in each row the power
    of the frequencies from 0 Hz to half the sample rate, 257 of them where `points` is 512"""
    X = torch.sin(torch.arange(1000) ** 1.5) + 0.3
    window = torch.hamming_window(400, dtype=torch.float64)  # no zero at its end: the first sample counts
    own, frames = (window, 1.0, True, 0.97, 512), X.double().unfold(0, 400, 160)
    level = frames - frames.mean(1, keepdim=True)
    before = torch.cat([level[:, :1], level[:, :-1]], 1)

    def power(frames: Tensor) -> Tensor:
        return torch.fft.rfft(frames * window, n=512).abs() ** 2

    given = kaldi_power(X.clone(), *own)
    hint(
        isinstance(given, Tensor) and given.shape == (4, 201),
        "201 frequencies: the frames are not zero-padded. Each must be `points` samples long in the transform.",
    )
    hint(
        same(given, power(level - 0.97 * torch.cat([0 * level[:, :1], level[:, :-1]], 1))),
        "The first sample of a frame has none before it: it serves as its own, and 0.97 of it is subtracted.",
    )
    hint(
        same(given, power(level)),
        "Pre-emphasis is missing: subtract `emphasis` times the sample before from each.",
    )
    rough = frames - 0.97 * torch.cat([frames[:, :1], frames[:, :-1]], 1)
    hint(
        same(given, power(rough)) or same(given, power(rough - rough.mean(1, keepdim=True))),
        "The mean is subtracted first, and of each frame by itself; pre-emphasis comes after it.",
    )
    whole = X.double() - 0.97 * torch.cat([X[:1], X[:-1]]).double()
    cut = whole.unfold(0, 400, 160)
    hint(
        same(given, power(cut)) or same(given, power(cut - cut.mean(1, keepdim=True))),
        "Pre-emphasis ran over the whole wave. It is done within each frame, after the mean is gone.",
    )
    hint(same(given, power(level - 0.97 * before).sqrt()), "This is the amplitude. The power is its square.")
    hint(
        isinstance(given, Tensor) and given.dtype == torch.float32,
        "Single precision: turn X into float64 first, X.double(). The published code computes so as well.",
    )
    expect(given, power(level - 0.97 * before), "1,000 samples under a window of Hamming's")
    hint(
        same(kaldi_power(X.clone(), window, 4.0, True, 0.97, 512), given),
        "`scale` changes nothing: it is a factor on every sample.",
    )
    hint(
        same(kaldi_power(X.clone(), window, 1.0, False, 0.97, 512), given),
        "`centered` changes nothing: where it is False the mean stays.",
    )
    for scale, centered, emphasis, points in (
        (4.0, True, 0.97, 512),
        (1.0, False, 0.0, 400),
        (2.0, False, 0.5, 800),
    ):
        ready = scale * (level if centered else frames)
        ready = ready - emphasis * torch.cat([ready[:, :1], ready[:, :-1]], 1)
        expect(
            kaldi_power(X.clone(), window, scale, centered, emphasis, points),
            torch.fft.rfft(ready * window, n=points).abs() ** 2,
            f"1,000 samples with scale {scale:g}, centered {centered}, emphasis {emphasis:g} and {points} points",
        )


enter(
    1,
    """
A clip lasts 2 s at 16 kHz. What is the shape of its log-mel spectrogram, before Whisper pads it to 30 s?
+ (80, 200)
  80 mel bands, and a frame every 10 ms: 200 in 2 s. Padded to 30 s, there are 3,000.
- (80, 32000)
  There is a frame every 160 samples, not one per sample.
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
+ It follows our ears: the step from 200 to 300 Hz sounds far larger than the one from 7,000 to 7,100 Hz.
  Listeners judged which steps sound equally wide, and mel scales follow them.
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

Under Hann's window of 25 ms, tones of 400 and 440 Hz make one peak, averaged over their phases. What shows two?
+ A window of 50 ms.
  It resolves half the distance in frequency. In return, timing is blurred over 50 ms.
- Zero-padding the 25 ms to 4,000 samples.
  The bins then lie 4 Hz apart, and draw the one peak more finely. What 400 samples cannot tell apart stays one.
- A window of 5 ms.
  It shows timing, and blurs frequencies five times as much.

The spectrum of a vowel has lines 200 Hz apart, and broad bumps near 600 and 1,200 Hz. What are the bumps?
- The pitch of the voice.
  The lines are multiples of F0, the voice's lowest frequency: it is their distance, 200 Hz.
+ Formants, the resonances of mouth and throat.
  They stay where they are when the pitch changes, and they tell vowels apart.
- Aliasing.
  Aliasing comes from sampling too slowly. Bumps like these are there in the air.
""",
)

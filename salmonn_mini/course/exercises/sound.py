"""Chapter 1, sound: exercises and quiz."""

from __future__ import annotations

import torch
from torch import Tensor

from salmonn_mini.course.exercises.exercise import Student, exercise, expect, hint, same
from salmonn_mini.course.exercises.quiz import enter


@exercise("1.1", "what a slow sampler hears", level=2, minutes=8)
def alias(alias: Student) -> None:
    """the frequency in Hz, from 0 to rate / 2, at which a tone of f Hz appears after sampling at `rate` Hz"""
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


@exercise("1.2", "cut a wave into frames", level=2, minutes=10)
def frames(frames: Student) -> None:
    """a tensor (F, length): frames of `length` samples, one every `hop` samples, whole frames only"""
    X = torch.arange(1000.0)
    right = X.unfold(0, 400, 160)
    given = frames(X.clone(), 400, 160)
    hint(
        same(given, X[:800].view(2, 400)),
        "The frames touch. They must overlap: one begins every 160 samples.",
    )
    hint(same(given, X[:960].view(6, 160)), "These are steps of 160 samples. Each frame is 400 samples long.")
    hint(
        same(given, right[:-1]),
        "The last frame is missing: samples 480 to 879 are a whole frame too. Mind the + 1.",
    )
    hint(same(given, right.T), "One frame a row: (F, length), not (length, F).")
    hint(
        isinstance(given, Tensor) and len(given) > 4,
        "Too many frames: the last ones reach beyond the 1,000 samples. Kaldi takes whole frames only.",
    )
    expect(given, right, "1,000 samples in frames of 400, one every 160")
    expect(frames(X[:400].clone(), 400, 160), X[None, :400], "400 samples, exactly one frame")


@exercise("1.3", "the power of each frequency", level=1, minutes=6)
def power(power: Student) -> None:
    """a tensor (F, 201): for each frame (400,) the squared size of its Fourier transform after a Hann window"""
    x = torch.sin(2 * torch.pi * 450 * torch.arange(800) / 16_000).view(2, 400) + 0.2
    window = torch.hann_window(400)
    right = torch.fft.rfft(x * window).abs() ** 2
    given = power(x.clone())
    hint(
        same(given, torch.fft.rfft(x).abs() ** 2),
        "The window is missing: multiply each frame by it before the transform.",
    )
    hint(same(given, right.sqrt()), "This is the amplitude |x|. The power is its square.")
    hint(
        same(given, torch.fft.fft(x * window).abs() ** 2),
        "199 of these 400 numbers are mirror images. rfft gives the 201 that differ.",
    )
    even = torch.hann_window(400, periodic=False)
    hint(
        same(given, torch.fft.rfft(x * even).abs() ** 2),
        "Nearly: this window ends in a zero as it begins. torch.hann_window(400) is the periodic one.",
    )
    hint(
        isinstance(given, Tensor) and given.is_complex(),
        "The transform gives complex numbers. Take their size with .abs(), then square it.",
    )
    expect(given, right, "The power of 2 frames")


@exercise("1.4", "one mel filter", level=2, minutes=8)
def triangle(triangle: Student) -> None:
    """a tensor like hz: a triangle, 0 up to `left`, 1 at `peak`, 0 from `right` on"""
    hz = torch.arange(0.0, 1001.0, 50.0)
    rise, fall = (hz - 200) / 200, (700 - hz) / 300
    right = torch.minimum(rise, fall).clamp(min=0)
    given = triangle(hz.clone(), 200.0, 400.0, 700.0)
    hint(
        same(given, torch.minimum(rise, fall)),
        "Below `left` and above `right` the filter is negative. It must be 0 there.",
    )
    hint(
        same(given, torch.maximum(rise, fall).clamp(min=0)),
        "It takes the larger of the two slopes. The triangle is under both: take the smaller.",
    )
    hint(
        same(given, (1 - (hz - 400).abs() / 300).clamp(min=0))
        or same(given, (1 - (hz - 400).abs() / 200).clamp(min=0)),
        "Both slopes are equally steep. Here the peak is nearer to `left` (200 Hz) than to `right` (300 Hz).",
    )
    hint(
        same(given, right * 2 / 500),
        "Its area is 1. Whisper's filters are scaled so, but here the peak is to be 1.",
    )
    expect(given, right, "The triangle from 200 over 400 to 700 Hz")


@exercise("1.5", "Whisper's last step", level=1, minutes=6)
def squash(squash: Student) -> None:
    """a tensor like mel: log10 of at least 1e-10, no lower than the loudest value less 8, then (x + 4) / 4"""
    mel = torch.tensor([[1.0, 100.0, 0.0], [1e-3, 1e-9, 0.01]])
    log = mel.clamp(min=1e-10).log10()
    given = squash(mel.clone())
    hint(
        isinstance(given, Tensor) and not given.isfinite().all(),
        "The logarithm of 0 is minus infinity: raise the power to at least 1e-10 first.",
    )
    natural = mel.clamp(min=1e-10).log()
    hint(
        same(given, (natural.clamp(min=natural.max() - 8) + 4) / 4),
        "This is the natural logarithm. Whisper takes log10.",
    )
    hint(
        same(given, (log.clamp(min=-8) + 4) / 4),
        "The floor is not -8 but the loudest value less 8: here 2 - 8 = -6. So loud and soft clips look alike.",
    )
    hint(
        same(given, (log.maximum(log.amax(0, keepdim=True) - 8) + 4) / 4)
        or same(given, (log.maximum(log.amax(1, keepdim=True) - 8) + 4) / 4),
        "The loudest value is that of the whole clip, not of each frame or band.",
    )
    hint(same(given, log.clamp(min=log.max() - 8)), "The last scaling is missing: (x + 4) / 4.")
    expect(given, (log.clamp(min=log.max() - 8) + 4) / 4, "The scaled logarithm")


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
- (80, 50)
  50 frames a second come out of Whisper's encoder. It takes 100 in.

Why does Whisper's mel scale have narrow bands below 1 kHz and wide ones above?
+ Our ears are the same: we easily tell 200 from 300 Hz, but hardly 7,000 from 7,100 Hz.
  Vowels and voices differ most at low frequencies. Hisses differ in broad strokes.
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

SALMONN hears with two encoders. Why not with Whisper alone?
- Whisper's spectrogram has no music in it.
  It has: log-mel shows every sound. The encoder behind it learned from speech.
+ Whisper was trained to write down speech, BEATs to tell sounds and music apart.
  The paper joins both for this reason. Chapter 2 measures what each of them hears.
- One encoder could not run on 30 s.
  Whisper does: 30 s is just what it was made for.
""",
)

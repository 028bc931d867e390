"""A manifest looked through before a run: how much there is, in which forms, and what is wrong with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from salmonn_mini.audio.decoding import open_audio
from salmonn_mini.data.clips import PROMPTS, content_of, question_faults
from salmonn_mini.data.loader import read_all
from salmonn_mini.data.manifest import BadClip, Sample, try_clip
from salmonn_mini.models.config import SAMPLE_RATE, SalmonnConfig

Value = TypeVar("Value")
SILENT = 10 ** (-60 / 20)  # a peak below -60 dB of full scale
FULL = 1 - 2**-15  # the largest sample of 16 bits
CLIPPED = 1e-3  # the share of samples at full scale from which a clip is said to be clipped
SHOWN = 3  # clips that a table names for each fault
FAULTS = {
    "corrupt": "cannot be read, or not to the end: put aside in a run",
    "silent": "never louder than -60 dB of full scale",
    "clipped": "more than 0.1 % of the samples at full scale",
    "over_long": "longer than --max-seconds",
    "duplicate": "same sound, task, Q and text as a sample before it",
    "missing_text": "no text: the answer would be empty",
    "missing_Q": "no Q, but its task's prompts have a gap that only a Q fills: refused in a run",
    "not_unicode": "a text or file name that is not Unicode: refused in a run",
    "unknown_task": "not in the task table: it needs a prompt file",
}


@dataclass(frozen=True)
class ClipInfo:
    """What one sample's files hold.

    Attributes:
        faults: of the sound, each with a word on it.
        rates, channels: of its files, as stored; Hz.
        sound: equal for equal files and segments; empty where none can be read.
    """

    faults: dict[str, str]
    seconds: float = 0.0
    rates: tuple[int, ...] = ()
    channels: tuple[int, ...] = ()
    sound: str = ""


@dataclass
class Audit:
    """What a manifest holds. `faults` gives for each of FAULTS the samples that have it, with a word on each."""

    samples: int
    hours: float
    tasks: dict[str, int]
    hours_of_tasks: dict[str, float]
    rates: dict[int, int]
    channels: dict[int, int]
    shortest: float
    longest: float
    faults: dict[str, list[dict[str, str]]]

    def table(self) -> str:
        """Lines for a reader."""
        lines = [
            f"samples   {self.samples:,}",
            f"hours     {self.hours:.2f}, clips of {self.shortest:.2f} to {self.longest:.2f} s",
            *_counted("tasks", {f"{t} ({self.hours_of_tasks[t]:.2f} h)": n for t, n in self.tasks.items()}),
            *_counted("rates", {f"{rate:,} Hz": n for rate, n in self.rates.items()}),
            *_counted("channels", self.channels),
            "",
        ]
        for fault, found in self.faults.items():
            lines.append(f"{fault:<13} {len(found):>7,}   {FAULTS[fault]}")
            lines += [f"{'':<24} {row['clip']}: {row['what']}" for row in found[:SHOWN]]
            lines += [f"{'':<24} … and {len(found) - SHOWN:,} more"] if len(found) > SHOWN else []
        return "\n".join(lines)


def audit(samples: Sequence[Sample], max_seconds: float = 30.0, jobs: int = 1) -> Audit:
    """Decode every sample and count what is there. `jobs` files are read at a time."""
    found = read_all(inspect_clip, samples, jobs)
    faults: dict[str, list[dict[str, str]]] = {fault: [] for fault in FAULTS}
    tasks = _count(sample.task for sample in samples)
    seconds = dict.fromkeys(tasks, 0.0)
    first: dict[tuple[str, ...], int] = {}
    for i, (sample, info) in enumerate(zip(samples, found, strict=True)):
        seconds[sample.task] += info.seconds
        before = first.setdefault((info.sound, sample.task, sample.Q, sample.text), i)
        says = info.faults | question_faults(sample, PROMPTS)
        if info.seconds > max_seconds:
            says["over_long"] = f"{info.seconds:.1f} s"
        if info.sound and before != i:
            says["duplicate"] = f"as {samples[before].clip}"
        if not sample.text.strip():
            says["missing_text"] = f"text {sample.text!r}"
        for fault in filter(says.get, says):
            faults[fault].append({"clip": sample.clip, "what": says[fault]})
    lengths = [info.seconds for info in found if info.sound] or [0.0]
    return Audit(
        samples=len(samples),
        hours=round(sum(lengths) / 3600, 4),
        tasks=tasks,
        hours_of_tasks={task: round(seconds[task] / 3600, 4) for task in tasks},
        rates=_count(rate for info in found for rate in info.rates),
        channels=_count(number for info in found for number in info.channels),
        shortest=round(min(lengths), 3),
        longest=round(max(lengths), 3),
        faults=faults,
    )


def inspect_clip(sample: Sample) -> ClipInfo:
    """Decode a sample."""
    X = try_clip(sample, SalmonnConfig(name="audit", min_seconds=0))
    if isinstance(X, BadClip):
        return ClipInfo({"corrupt": X.reason})
    peak, full_scale = float(X.abs().max()), float((X.abs() >= FULL).float().mean())
    faults = {}
    if peak < SILENT:
        faults["silent"] = f"peak {peak:.1e}"
    if full_scale > CLIPPED:
        faults["clipped"] = f"{100 * full_scale:.1f} % at full scale"
    forms = []
    for path in sample.files:
        with open_audio(path) as file:
            forms.append((file.samplerate, file.channels))
    rates, channels = zip(*forms, strict=True)
    return ClipInfo(faults, len(X) / SAMPLE_RATE, rates, channels, content_of(sample).hex())


def _count(values: Iterable[Value]) -> dict[Value, int]:
    return dict(Counter(values).most_common())


def _counted(title: str, counts: dict[object, int]) -> list[str]:
    return [f"{title:<9} " + ", ".join(f"{name}: {n:,}" for name, n in counts.items())] if counts else []

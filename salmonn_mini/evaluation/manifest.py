"""The clips of a manifest, answered and scored: any model, any task, rows written as they come and resumed.

Batches hold clips of one task and of like length. A row says what was asked, answered and expected; the scores follow
from the rows alone (`report.load_report`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor
from tqdm import tqdm

from salmonn_mini.data.clips import Example, ManifestDataset
from salmonn_mini.data.manifest import BadClip, Sample, try_clip
from salmonn_mini.errors import SalmonnError
from salmonn_mini.evaluation.control import changed, check_control, other_clips
from salmonn_mini.evaluation.evaluate import BATCH, EncodedExamples, generate_answers, length_batches
from salmonn_mini.evaluation.metrics import words
from salmonn_mini.evaluation.report import STAMP, Report, json_line, with_scores
from salmonn_mini.evaluation.sweep import Sweep, check_scales
from salmonn_mini.files import write_text
from salmonn_mini.models.lora import current_scale
from salmonn_mini.models.salmonn import SalmonnModel
from salmonn_mini.models.splice import Answer

MAX_UNREADABLE = 0.05  # more clips than this share that cannot be read end the run
READ_AHEAD = 4  # batches whose clips are read, and sorted by length, together


def select_tasks(samples: Sequence[Sample], tasks: Sequence[str]) -> list[Sample]:
    """The samples of some tasks.

    Raises:
        SalmonnError: a task that no sample has.
    """
    known = dict.fromkeys(sample.task for sample in samples)
    for task in tasks:
        if task not in known:
            raise SalmonnError(f"the manifest has no task {task!r}: choose among {', '.join(known)}")
    return [sample for sample in samples if sample.task in tasks]


def evaluate_manifest(
    model: SalmonnModel, samples: Sequence[Sample], *, lora_scale: float | None = None, **settings: Any
) -> Report:
    """Answer and score a manifest's clips at one LoRA scale.

    Args:
        lora_scale: the absolute factor s in W + s·BA; None: as the model stands.
        settings: as for `sweep_manifest`.

    Raises:
        SalmonnError: as `sweep_manifest`.
    """
    scale = current_scale(model.llm) if lora_scale is None else lora_scale
    return sweep_manifest(model, samples, [scale], **settings).reports[0]


def sweep_manifest(
    model: SalmonnModel,
    samples: Sequence[Sample],
    scales: Sequence[float],
    *,
    prompts: Mapping[str, Sequence[str]] | None = None,
    stage: int | None = None,
    name: str | None = None,
    seed: int = 0,
    control: str | None = None,
    normalizer: str = "basic",
    rows_file: str | Path | None = None,
    batch_size: int = BATCH,
    **decoding: Any,
) -> Sweep:
    """Answer and score a manifest's clips at several LoRA scales.

    Args:
        prompts: of each task; the task table's own by default. `seed` draws one for each clip.
        control: a row of `control.CONTROLS`: answer a second time without the clips' own sound.
        normalizer: of error rates, a row of `words.NORMALIZERS`.
        rows_file: rows are written there as they come; a run that finds rows there answers what is missing.
        decoding: as for `SalmonnModel.generate`.

    Raises:
        SalmonnError: rows of another run in `rows_file`; more than MAX_UNREADABLE of the clips cannot be read; a task
            without prompts; unknown names, scales and decoding.
    """
    words.normalizer(normalizer)
    scales, kinds = check_scales(model, scales), list(dict.fromkeys(("", check_control(control))))
    clips = ManifestDataset(samples, model.config, seed, prompts)
    stamp = {"model": name or model.config.name, "stage": stage, "seed": seed, "decoding": decoding}
    stamp |= {"manifest": digest(clips), "scales": scales, "controls": kinds}
    log = RowLog(rows_file, stamp, len(scales) * len(kinds))
    unreadable: list[str] = []
    with tqdm(total=len(samples), initial=len(log.done), unit="clip") as bar:
        for task, numbers, waves in _batches(clips, kinds[-1], seed, log.done, unreadable, batch_size):
            bar.set_description(task)
            examples = tuple(clips.examples[i] for i in numbers)
            rows = []
            for kind in kinds:
                if kind != "no_audio":  # whose features are never used
                    features = model.encode(waves[kind])
                encoded = EncodedExamples(examples, ((list(range(len(numbers))), features),))
                for scale in scales:
                    answers = generate_answers(model, encoded, scale=scale, control=kind, **decoding)
                    stamped = {"lora_scale": scale, "control": kind, "normalizer": normalizer}
                    rows += [_row(*one) | stamped for one in zip(numbers, examples, answers, strict=True)]
            log.add(rows)
            bar.update(len(numbers))
    rows = [row | {"normalizer": normalizer} for row in sorted(log.rows, key=lambda row: row["index"])]
    by_scale = [[row for row in rows if row["lora_scale"] == scale] for scale in scales]
    own = {key: stamp[key] for key in STAMP if key != "lora_scale"}
    return Sweep(
        tuple(
            Report(**own, lora_scale=scale, rows=with_scores(some), unreadable=tuple(unreadable))
            for scale, some in zip(scales, by_scale, strict=True)
        )
    )


def _row(index: int, example: Example, given: Answer) -> dict[str, Any]:
    return {
        "index": index,
        "clip": example.clip,
        "task": example.task,
        "prompt": example.prompt,
        "words": example.answer if example.task.startswith("asr") else "",
        "sounds": "",
        "reference": example.answer,
        "answer": given.text,
        "ended": given.ended,
    }


def digest(clips: ManifestDataset) -> str:
    """Equal for the same samples with the same prompts, in the same order."""
    rows = [
        [str(s.path.absolute()), *map(str, s.expand_wav), s.task, s.text, example.prompt]
        for s, example in zip(clips.samples, clips.examples, strict=True)
    ]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:16]


def _batches(
    clips: ManifestDataset, control: str, seed: int, done: set[int], unreadable: list[str], batch_size: int
) -> Iterator[tuple[str, list[int], dict[str, list[Tensor]]]]:
    """Task, numbers and sounds, as they are and under the control, of clips that are still to be answered."""
    by_task: dict[str, list[int]] = {}
    for i, sample in enumerate(clips.samples):
        by_task.setdefault(sample.task, []).append(i)
    others = {}
    if control == "other":  # refused before the work is done
        for own in by_task.values():
            turn = other_clips([str(clips.samples[i].path) for i in own], seed)
            others |= {i: own[j] for i, j in zip(own, turn, strict=True)}
    for task, own in by_task.items():
        own = [i for i in own if i not in done]
        for start in range(0, len(own), READ_AHEAD * batch_size):
            some = own[start : start + READ_AHEAD * batch_size]
            sounds = {i: try_clip(clips.samples[i], clips.config) for i in some}
            for i, sound in sounds.items():
                if isinstance(sound, BadClip):
                    _count(unreadable, f"{clips.samples[i].path} ({sound.reason})", len(clips))
            good = [i for i in some if not isinstance(sounds[i], BadClip)]
            for batch in length_batches([sounds[i] for i in good], batch_size):
                numbers = [good[b] for b in batch]
                waves = {"": [sounds[i] for i in numbers]}
                if control == "other":
                    waves[control] = [_other(clips, i, others) for i in numbers]
                elif control:
                    waves[control] = [changed(wave, control) for wave in waves[""]]
                yield task, numbers, waves


def _other(clips: ManifestDataset, i: int, others: Mapping[int, int]) -> Tensor:
    """The first readable clip that may stand in for clip i."""
    j = i
    for _ in others:
        j = others[j]
        sound = try_clip(clips.samples[j], clips.config)
        if not isinstance(sound, BadClip) and clips.samples[j].path != clips.samples[i].path:
            return sound
    raise SalmonnError(f"{clips.samples[i].path}: no other clip of task {clips.samples[i].task} can be read")


def _count(unreadable: list[str], problem: str, clips: int) -> None:
    unreadable.append(problem)
    if len(unreadable) > MAX_UNREADABLE * clips:
        raise SalmonnError(
            f"{len(unreadable)} of {clips} clips cannot be read, more than {MAX_UNREADABLE:.0%}; the first is "
            f"{unreadable[0]}: correct the files or their paths"
        )


class RowLog:
    """Rows of one run, in a file that grows batch by batch.

    Args:
        stamp: what the rows of a run have in common; it is written into each.
        each: rows of one clip; a clip with fewer is answered again.

    Raises:
        SalmonnError: the file holds no rows, or those of another run.
    """

    def __init__(self, path: str | Path | None, stamp: Mapping[str, Any], each: int) -> None:
        self.path, self.stamp = path and Path(path), json.loads(json.dumps(stamp))
        self.rows = self._read() if self.path and self.path.exists() else []
        counts: dict[int, int] = {}
        for row in self.rows:
            counts[row["index"]] = counts.get(row["index"], 0) + 1
        self.done = {index for index, count in counts.items() if count == each}
        self.rows = [row for row in self.rows if row["index"] in self.done]
        if self.path:
            write_text(self.path, "".join(map(json_line, self.rows)))

    def add(self, rows: Sequence[dict]) -> None:
        """Keep the rows of a batch.

        Raises:
            SalmonnError: a file that cannot be written to.
        """
        rows = [row | self.stamp for row in rows]
        self.rows += rows
        if self.path:
            try:
                with self.path.open("a", encoding="utf-8") as file:
                    file.write("".join(map(json_line, rows)))
            except OSError as problem:
                raise SalmonnError(
                    f"{self.path}: cannot be written to ({problem.strerror}); the same command resumes"
                ) from problem

    def _read(self) -> list[dict]:
        try:
            *lines, rest = self.path.read_text(encoding="utf-8").split("\n")
            if not rest.startswith(
                '{"index"'[: len(rest)]
            ):  # a run that was stopped leaves the start of a row
                raise ValueError("its last line is none")
            rows = [json.loads(line) for line in lines]
            for row in rows:
                for key, value in self.stamp.items():
                    if row[key] != value:
                        raise SalmonnError(
                            f"{self.path} has rows of another run: {key} is {row[key]!r} there and {value!r} here; "
                            "give another file, or the same settings"
                        )
                row["index"] = int(row["index"])
        except SalmonnError:
            raise
        except (OSError, UnicodeDecodeError, ValueError, KeyError, TypeError) as problem:
            raise SalmonnError(
                f"{self.path} has no rows of an evaluation of a manifest ({problem}): give another file"
            ) from problem
        return rows

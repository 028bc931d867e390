"""One loop for every stage, through Accelerate: plain, with torchrun, or with `accelerate launch`.

What a step reads and draws at random is a function of (seed, step, process). So weights, optimizer state and position
are all that a checkpoint needs, and a run that was stopped gives bit for bit what it would have given; on a CPU, for
one number of threads and of processes.
"""

from __future__ import annotations

import time
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from salmonn_mini.data import ClipDataset
from salmonn_mini.errors import SalmonnError
from salmonn_mini.files import append_json, truncate_lines
from salmonn_mini.models.salmonn import SalmonnModel
from salmonn_mini.train.accelerator import make_accelerator, track, tracking
from salmonn_mini.train.alignment import AlignmentPhase
from salmonn_mini.train.checkpointing import RunDirectory, read_checkpoint
from salmonn_mini.train.feature_cache import fingerprint, progress
from salmonn_mini.train.optim import deterministic, set_trainable
from salmonn_mini.train.phase import Phase
from salmonn_mini.train.recipe import Recipe
from salmonn_mini.train.sharding import full_tensors
from salmonn_mini.train.sources import StreamingDataset, data_digest
from salmonn_mini.train.validation import Validation

MAX_NONFINITE_STEPS = 3  # steps in a row without a finite loss and gradient


def fit(
    model: SalmonnModel,
    clips: ClipDataset | StreamingDataset,
    recipe: Recipe,
    *,
    eval_dataset: ClipDataset | None = None,
    fresh: bool = False,
) -> dict[str, Any]:
    """Train `model` in place, resuming a run of this recipe in its output_dir, or deleting it if `fresh`.

    The loss is the mean over the answer tokens of the whole batch, so neither the number of processes nor
    `gradient_accumulation_steps` changes it. After an exception, such as Ctrl-C in a notebook, the model is as it was
    before the call, and the same call resumes the run. `eval_dataset` is transcribed every `eval_every` steps.
    A recipe with an `alignment` begins with its steps, of another loss (see `alignment.py`).

    Returns:
        "steps"; "seconds" spent on them in all sessions together; "skipped" steps; "processes"; and "wrapper", the
        class that wrapped the model for them.

    Raises:
        SalmonnError: the directory holds another run, or one with other clips; clips that cannot be used; an engine
            that is unavailable; `MAX_NONFINITE_STEPS` steps in a row without a finite loss and gradient.
    """
    accelerator = make_accelerator(recipe)
    directory, latest = RunDirectory(recipe), [None]
    is_main = accelerator.is_main_process
    model.to(accelerator.device)
    with (
        directory.lock() if is_main else nullcontext(),
        deterministic(),
        set_trainable(model, recipe.trainable),
    ):
        run = _Run(model, recipe, accelerator, directory, data_digest(clips) if is_main else None)
        if is_main:
            directory.prepare(recipe, fresh=fresh)
            latest = [directory.latest()]
        broadcast_object_list(latest)
        if latest[0] is not None:
            run.resume(read_checkpoint(latest[0]))
        if is_main:
            truncate_lines(directory.log_path, run.done)  # a killed run may have logged more than it saved
        if run.done < recipe.total_steps:
            run.train(clips, eval_dataset)
    result = {"steps": run.done, "seconds": round(run.seconds), "skipped": run.lost}
    return result | {"processes": accelerator.num_processes, "wrapper": type(run.phases[-1].net).__name__}


@dataclass
class _Run:
    """A model, the phases of its training, and how far they are."""

    model: SalmonnModel
    recipe: Recipe
    accelerator: Accelerator
    directory: RunDirectory
    data: str | None  # a digest of the clips, in the main process
    done: int = 0  # steps, of all phases
    seconds: float = 0.0  # spent on them
    skipped: int = 0  # steps, the latest in a row, that changed nothing
    lost: int = 0  # such steps in all

    def __post_init__(self) -> None:
        kinds = [AlignmentPhase, Phase] if self.recipe.alignment else [Phase]
        given = self.model, self.recipe, self.accelerator, self.directory
        self.phases = [kind(*given) for kind in kinds]
        self.ends = list(accumulate(phase.recipe.steps for phase in self.phases))
        self.optimizer_state: dict[str, Any] | None = None  # of a checkpoint, to be loaded
        self.start = fingerprint(self.model)

    def resume(self, state: dict[str, Any]) -> None:
        """Load a checkpoint; raises SalmonnError if the run began with another model, or with other clips."""
        other = None
        if state["start"] != self.start:
            other = "the model is not the one with which this run began: pass that model unchanged"
        elif self.data is not None and state.get("data", self.data) != self.data:
            other = "the clips are not those with which this run began: restore them"
        if other:
            remedy = "choose another output_dir, or start over with --fresh"
            raise SalmonnError(f"{self.directory.path}: {other}, {remedy}")
        named = dict(self.model.named_parameters())
        for name, tensor in state["trained"].items():
            named[name].data.copy_(tensor)
        self.done, self.seconds, self.skipped = state["step"], state["seconds"], state["skipped"]
        self.lost = state.get("lost", 0)
        self.optimizer_state = None if self.done in self.ends else state["optimizer"]

    def train(self, clips: ClipDataset | StreamingDataset, eval_dataset: ClipDataset | None) -> None:
        """Take the remaining steps."""
        recipe, accelerator = self.recipe, self.accelerator
        validation = None
        if eval_dataset is not None and recipe.eval_every is not None:
            validation = Validation(self.model, eval_dataset, Path(recipe.cache_dir), accelerator)
        with tracking(accelerator, recipe, self.done):
            for phase, end in zip(self.phases, self.ends, strict=True):
                if self.done < end:
                    self.phase = phase
                    with phase.begun(clips, self.optimizer_state):
                        self.optimizer_state = None
                        self._take_steps(phase, end - phase.recipe.steps, validation)

    def _take_steps(self, phase: Phase, first: int, validation: Validation | None) -> None:
        began = time.monotonic() - self.seconds
        position = {"initial": self.done - first, "total": phase.recipe.steps}
        with progress(self.accelerator, desc=phase.title, unit="step", **position) as bar:
            for step in range(self.done - first, phase.recipe.steps):
                row = {"step": self.done + 1, "phase": phase.name} | phase.step(step)
                self.done += 1
                self.skipped = self.skipped + 1 if "skipped" in row else 0
                self.lost += "skipped" in row
                if validation is not None and self.done % self.recipe.eval_every == 0:
                    with self.accelerator.autocast():
                        row["wer"] = validation.wer(self.model, phase.transcribe)
                before, self.seconds = self.seconds, time.monotonic() - began
                self.rate = phase.recipe.batch_size / max(1e-9, self.seconds - before)  # clips a second
                self._record(row)
                bar.set_postfix(loss=row["loss"], refresh=False)
                bar.update()

    def _record(self, row: dict[str, Any]) -> None:
        """Log the step, save every `save_every` steps, and end a run whose loss is not finite."""
        due = self.done % self.recipe.save_every == 0 or self.done in self.ends
        state = self._state() if due else None  # in all processes: weights may be sharded over them
        if self.accelerator.is_main_process:
            row = row | {"seconds": round(self.seconds, 2)}
            append_json(self.directory.log_path, row)
            if due:
                self.directory.save(state)
            track(self.accelerator, row | {"clips_per_second": self.rate})
        if self.skipped == MAX_NONFINITE_STEPS:
            raise SalmonnError(
                f"the loss or its gradient was not finite in {MAX_NONFINITE_STEPS} steps in a row up to step "
                f"{self.done}; {self.directory.log_path} names their clips: look at these, or lower "
                f"{self.phase.rates}"
            )

    def _state(self) -> dict[str, Any]:
        return {
            "step": self.done,
            "trained": {name: full_tensors(p.detach()) for name, p in self.phase.trained.items()},
            "optimizer": full_tensors(self.phase.optimizer.state_dict()),
        } | {name: getattr(self, name) for name in ("seconds", "skipped", "lost", "start", "data")}

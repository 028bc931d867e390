"""One loop for every stage, through Accelerate: plain, with torchrun, or with `accelerate launch`.

What a step reads and draws at random is a function of (seed, step, process). So weights, optimizer state and position
are all that a checkpoint needs, and a run that was stopped gives bit for bit what it would have given; on a CPU, for
one number of threads and of processes.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list, gather_object
from torch import Tensor
from torch.distributed.fsdp import register_fsdp_forward_method

from salmonn_mini.data import ClipDataset
from salmonn_mini.errors import SalmonnError
from salmonn_mini.files import append_json, truncate_lines
from salmonn_mini.models.salmonn import SalmonnModel
from salmonn_mini.train.accelerator import make_accelerator, track, tracking
from salmonn_mini.train.checkpointing import RunDirectory, read_checkpoint
from salmonn_mini.train.feature_cache import fingerprint, progress
from salmonn_mini.train.optim import compiled, deterministic, make_optimizer, set_trainable, training_mode
from salmonn_mini.train.recipe import Recipe
from salmonn_mini.train.sharding import full_tensors, load_full_optimizer_state, unshard
from salmonn_mini.train.sources import CachedSource, Item, StreamingDataset, StreamingSource, data_digest
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
        if is_main:
            directory.prepare(recipe, fresh=fresh)
            latest = [directory.latest()]
        broadcast_object_list(latest)
        run = _Run(model, recipe, accelerator, directory, data_digest(clips) if is_main else None)
        if latest[0] is not None:
            run.resume(read_checkpoint(latest[0]))
        if is_main:
            truncate_lines(directory.log_path, run.done)  # a killed run may have logged more than it saved
        if run.done < recipe.steps:
            run.train(clips, eval_dataset)
    result = {"steps": run.done, "seconds": round(run.seconds), "skipped": run.lost}
    return result | {"processes": accelerator.num_processes, "wrapper": type(run.net).__name__}


@dataclass
class _Run:
    """A model, its optimizer, and how far they are."""

    model: SalmonnModel
    recipe: Recipe
    accelerator: Accelerator
    directory: RunDirectory
    data: str | None  # a digest of the clips, in the main process
    done: int = 0  # steps
    seconds: float = 0.0  # spent on them
    skipped: int = 0  # steps, the latest in a row, that changed nothing
    lost: int = 0  # such steps in all

    def __post_init__(self) -> None:
        self.net = self.model
        self.trained = {name: p for name, p in self.model.named_parameters() if p.requires_grad}
        self.optimizer = make_optimizer(self.trained, self.recipe)
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
        for name, parameter in self.trained.items():
            parameter.data.copy_(state["trained"][name])
        self.optimizer_state = state["optimizer"]
        self.done, self.seconds, self.skipped = state["step"], state["seconds"], state["skipped"]
        self.lost = state.get("lost", 0)

    def train(self, clips: ClipDataset | StreamingDataset, eval_dataset: ClipDataset | None) -> None:
        """Take the remaining steps."""
        recipe, accelerator = self.recipe, self.accelerator
        kind = StreamingSource if isinstance(clips, StreamingDataset) else CachedSource
        with closing(kind(self.model, clips, recipe, accelerator, self.directory.path)) as self.source:
            validation = None
            if eval_dataset is not None and recipe.eval_every is not None:
                validation = Validation(self.model, eval_dataset, Path(recipe.cache_dir), accelerator)
            with (
                tracking(accelerator, recipe, self.done),
                self._prepared(),
                training_mode(self.model, recipe.gradient_checkpointing),
                compiled(self.model, recipe.compile),
            ):
                self._take_steps(validation)

    @contextmanager
    def _prepared(self) -> Iterator[None]:
        """Within the block model and optimizer are as Accelerate prepares them; afterwards the model is itself."""
        before, complete = dict(vars(self.model)), False
        try:
            self.net, self.optimizer = self.accelerator.prepare(self.model, self.optimizer)
            for method in ("encode", "generate"):  # they too need weights that FSDP has sharded
                register_fsdp_forward_method(self.model, method)
            now = dict(self.model.named_parameters())  # FSDP has put others in their places
            self.trained = {name: now[name] for name in self.trained}
            if self.optimizer_state is not None:
                load_full_optimizer_state(self.optimizer, self.optimizer_state)
                self.optimizer_state = None
            self.optimizer.zero_grad()
            yield
            complete = True
        finally:
            if complete or self.accelerator.num_processes == 1:  # else the other processes may have ended
                unshard(self.model)
            self.accelerator.unwrap_model(self.net, keep_fp32_wrapper=False)
            for name in vars(self.model).keys() - before.keys():
                delattr(self.model, name)  # the unwrapped forward and a mark, which Accelerate leaves behind

    def _take_steps(self, validation: Validation | None) -> None:
        began = time.monotonic() - self.seconds
        position = {"initial": self.done, "total": self.recipe.steps}
        with progress(self.accelerator, desc=f"stage {self.recipe.stage}", unit="step", **position) as bar:
            for step in range(self.done, self.recipe.steps):
                row = self._step(step)
                self.done = step + 1
                if validation is not None and self.done % self.recipe.eval_every == 0:
                    with self.accelerator.autocast():
                        row["wer"] = validation.wer(self.model)
                before, self.seconds = self.seconds, time.monotonic() - began
                self.rate = self.recipe.batch_size / max(1e-9, self.seconds - before)  # clips a second
                self._record(row)
                bar.set_postfix(loss=row["loss"], refresh=False)
                bar.update()

    def _step(self, step: int) -> dict[str, Any]:
        """One update, unless loss or gradient are not finite; the row for the log."""
        items, factor = self.source.batch(step), self.recipe.factor(step)
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * factor
        loss, norm, task_losses = self._backward(step, items)
        finite = math.isfinite(loss) and math.isfinite(norm)
        if finite:
            self.optimizer.step()
        self.optimizer.zero_grad()
        self.skipped = 0 if finite else self.skipped + 1
        self.lost += not finite
        row = {
            "step": step + 1,
            "loss": _number(loss),
            "gradient_norm": _number(norm),
            "lr": self.recipe.connector_lr * factor,
            "lora_lr": self.recipe.lora_lr * factor,
            "tasks": {name: _number(value) for name, value in task_losses.items()},
        }
        if not finite:
            row["skipped"] = gather_object([item.example.clip for item in items])
        return row

    def _backward(self, step: int, items: list[Item]) -> tuple[float, float, dict[str, float]]:
        """The mean loss of the whole batch, the norm of its gradient before clipping, and each task's mean loss."""
        rank, world = self.accelerator.process_index, self.accelerator.num_processes
        torch.manual_seed(int(np.random.SeedSequence((self.recipe.seed, step, rank)).generate_state(1)[0]))
        lengths = [len(self.model.prompt.answer(item.example.answer)) for item in items]
        tokens = self.accelerator.reduce(self._by_task(items, torch.tensor(lengths)), "sum").tolist()
        scale = world / sum(tokens)  # processes average their gradients: this makes it the sum
        losses = torch.zeros(1 + len(tokens), device=self.accelerator.device)  # in all, and for each task
        parts = np.array_split(np.arange(len(items)), self.recipe.gradient_accumulation_steps)
        for part in parts:
            own = items[part[0] : part[-1] + 1]
            features = self.source.features(own).to(self.accelerator.device)
            examples = [item.example for item in own]
            with nullcontext() if part is parts[-1] else self.accelerator.no_sync(self.net):
                loss = self.net(features, [e.prompt for e in examples], [e.answer for e in examples])
                self.accelerator.backward(loss.total * scale)
            losses += torch.cat([loss.total.detach()[None], self._by_task(own, loss.per_sample)])
        total, *each = self.accelerator.reduce(losses, "sum").tolist()
        numbers = zip(self.source.tasks, each, tokens, strict=True)
        task_losses = {task: loss / count for task, loss, count in numbers if count}
        norm = self.accelerator.clip_grad_norm_(self.trained.values(), self.recipe.max_grad_norm)
        return total / sum(tokens), float(norm), task_losses

    def _by_task(self, items: Sequence[Item], values: Tensor) -> Tensor:
        """A number for each clip (B,), summed for each task."""
        values = values.to(self.accelerator.device, torch.float32)
        places = [self.source.tasks.index(item.example.task) for item in items]
        sums = torch.zeros(len(self.source.tasks), device=values.device)
        return sums.index_add(0, torch.tensor(places, device=values.device), values)

    def _record(self, row: dict[str, Any]) -> None:
        """Log the step, save every `save_every` steps, and end a run whose loss is not finite."""
        due = self.done % self.recipe.save_every == 0 or self.done == self.recipe.steps
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
                f"{self.done}; {self.directory.log_path} names their clips: look at these, or lower connector_lr = "
                f"{self.recipe.connector_lr} and lora_lr = {self.recipe.lora_lr}"
            )

    def _state(self) -> dict[str, Any]:
        return {
            "step": self.done,
            "trained": {name: full_tensors(p.detach()) for name, p in self.trained.items()},
            "optimizer": full_tensors(self.optimizer.state_dict()),
        } | {name: getattr(self, name) for name in ("seconds", "skipped", "lost", "start", "data")}


def _number(value: float) -> float | None:
    """None for what JSON cannot hold: infinity and not-a-number."""
    return value if math.isfinite(value) else None

"""One loop for every stage, through Accelerate: plain, with torchrun, or with `accelerate launch`.

What a step reads and draws at random is a function of (seed, step, process). So weights, optimizer state and position
are all that a checkpoint needs, and a run that was stopped gives bit for bit what it would have given; on a CPU, for
one number of threads and of processes.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list, gather_object
from torch import Tensor
from tqdm import tqdm

from salmonn_mini.data import ClipDataset
from salmonn_mini.errors import SalmonnError
from salmonn_mini.models.salmonn import SalmonnModel
from salmonn_mini.train.checkpointing import RunDirectory, read_checkpoint
from salmonn_mini.train.feature_cache import fingerprint, progress
from salmonn_mini.train.launch import make_accelerator
from salmonn_mini.train.optim import (
    autocast,
    compiled,
    deterministic,
    make_optimizer,
    restored_on_error,
    set_trainable,
    training_mode,
)
from salmonn_mini.train.recipe import Recipe
from salmonn_mini.train.sharding import (
    full_tensors,
    load_full_optimizer_state,
    register_forward_methods,
    unshard,
)
from salmonn_mini.train.sources import CachedSource, Item, StreamingDataset, StreamingSource, data_digest
from salmonn_mini.train.tracking import Tracking, installed_trackers
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
    """Train `model` in place, resuming a run of this recipe in its output_dir.

    The loss is the mean over the answer tokens of the whole batch, so neither the number of processes nor
    `gradient_accumulation_steps` changes it. After an exception, such as Ctrl-C in a notebook, the model is as it was
    before the call, and the same call resumes the run.

    Args:
        eval_dataset: clips that are transcribed after each `eval_every` steps.
        fresh: delete a run that is in the directory, and start over.

    Returns:
        "steps"; "seconds" spent on them in all sessions together; "skipped" steps; "processes"; and "wrapper", the
        class that wrapped the model for them.

    Raises:
        SalmonnError: the directory holds another run, or one with other clips; clips that cannot be used; fewer
            clips per step than processes; an engine that is unavailable; `MAX_NONFINITE_STEPS` steps in a row
            without a finite loss and gradient.
    """
    trackers = installed_trackers(recipe)
    accelerator = make_accelerator(recipe, trackers)
    directory, latest = RunDirectory(recipe), [None]
    is_main = accelerator.is_main_process
    model.to(accelerator.device)
    with (
        directory.lock() if is_main else nullcontext(),
        deterministic(),
        restored_on_error(model),
        set_trainable(model, recipe.trainable),
    ):
        if is_main:
            directory.prepare(recipe, fresh=fresh)
            latest = [directory.latest()]
            for name in set(recipe.trackers) - set(trackers):
                tqdm.write(f"tracker {name}: not installed; {directory.log_path} has everything", sys.stderr)
        broadcast_object_list(latest)
        run = _Run(model, recipe, accelerator, directory)
        run.data = data_digest(clips) if is_main else None
        if latest[0] is not None:
            run.resume(read_checkpoint(latest[0]))
        if is_main:
            directory.truncate_log(run.done)
        if run.done < recipe.steps:
            run.train(clips, eval_dataset)
    result = {"steps": run.done, "seconds": round(run.seconds), "skipped": run.lost}
    return result | {"processes": accelerator.num_processes, "wrapper": type(run.net).__name__}


class _Run:
    """A model, its optimizer, and how far they are."""

    def __init__(
        self, model: SalmonnModel, recipe: Recipe, accelerator: Accelerator, directory: RunDirectory
    ) -> None:
        self.model, self.recipe, self.accelerator, self.directory = model, recipe, accelerator, directory
        self.net = model
        self.trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self.optimizer = make_optimizer(self.trained, recipe)
        self.optimizer_state: dict[str, Any] | None = None  # of a checkpoint, to be loaded
        self.done = 0  # steps
        self.seconds = 0.0  # spent on them
        self.skipped = 0  # steps, the latest in a row, that changed nothing
        self.lost = 0  # such steps in all
        self.start = fingerprint(model)
        self.data: str | None = None  # a digest of the clips, in the main process

    def resume(self, state: dict[str, Any]) -> None:
        """Load a checkpoint.

        Raises:
            SalmonnError: the run began with another model, or with other clips.
        """
        if state["start"] != self.start:
            raise SalmonnError(
                f"{self.directory.path}: the model is not the one with which this run began; pass that model "
                f"unchanged, choose another output_dir, or start over with --fresh"
            )
        if self.data is not None and state.get("data", self.data) != self.data:
            raise SalmonnError(
                f"{self.directory.path}: the clips are not those with which this run began; restore them, "
                f"choose another output_dir, or start over with --fresh"
            )
        for name, parameter in self.trained.items():
            parameter.data.copy_(state["trained"][name])
        self.optimizer_state = state["optimizer"]
        self.done, self.seconds, self.skipped = state["step"], state["seconds"], state["skipped"]
        self.lost = state.get("lost", 0)

    def train(self, clips: ClipDataset | StreamingDataset, eval_dataset: ClipDataset | None) -> None:
        """Take the remaining steps."""
        recipe, accelerator = self.recipe, self.accelerator
        source = StreamingSource if isinstance(clips, StreamingDataset) else CachedSource
        with closing(source(self.model, clips, recipe, accelerator, self.directory.path)) as self.source:
            self.validation = None
            if eval_dataset is not None and recipe.eval_every is not None:
                self.validation = Validation(self.model, eval_dataset, Path(recipe.cache_dir), accelerator)
            with (
                closing(Tracking(accelerator, recipe, self.directory.read_log())) as self.tracking,
                self._prepared(),
                training_mode(self.model, recipe.gradient_checkpointing),
                compiled(self.model, recipe.compile),
            ):
                self._train()

    @contextmanager
    def _prepared(self) -> Iterator[None]:
        """Within the block model and optimizer are as Accelerate prepares them; afterwards the model is itself."""
        before, complete = dict(vars(self.model)), False
        try:
            self.net, self.optimizer = self.accelerator.prepare(self.model, self.optimizer)
            register_forward_methods(self.model, "encode", "generate")
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

    def _train(self) -> None:
        began = time.monotonic() - self.seconds
        position = {"initial": self.done, "total": self.recipe.steps}
        with progress(self.accelerator, desc=f"stage {self.recipe.stage}", unit="step", **position) as bar:
            for step in range(self.done, self.recipe.steps):
                row = self._step(step)
                self.done = step + 1
                if self.validation is not None and self.done % self.recipe.eval_every == 0:
                    row["wer"] = self._wer()
                self.seconds = time.monotonic() - began
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
        row = {"step": step + 1, "loss": _number(loss), "gradient_norm": _number(norm)}
        row |= {"lr": self.recipe.connector_lr * factor, "lora_lr": self.recipe.lora_lr * factor}
        row["tasks"] = {name: _number(value) for name, value in task_losses.items()}
        if not finite:
            row["skipped"] = gather_object([item.example.clip for item in items])
        return row

    def _backward(self, step: int, items: list[Item]) -> tuple[float, float, dict[str, float]]:
        """The mean loss of the whole batch, the norm of its gradient before clipping, and each task's mean loss."""
        rank, world = self.accelerator.process_index, self.accelerator.num_processes
        torch.manual_seed(int(np.random.SeedSequence((self.recipe.seed, step, rank)).generate_state(1)[0]))
        tokens = self.accelerator.reduce(self._answer_tokens(items), "sum").tolist()
        scale = world / sum(tokens)  # processes average their gradients: this makes it the sum
        sums = torch.zeros(1 + len(tokens), device=self.accelerator.device)
        parts = np.array_split(np.arange(len(items)), self.recipe.gradient_accumulation_steps)
        for part in parts:
            last = part is parts[-1]
            with nullcontext() if last else self.accelerator.no_sync(self.net):
                self.accelerator.backward(self._loss(items[part[0] : part[-1] + 1], sums) * scale)
        total, *each = self.accelerator.reduce(sums, "sum").tolist()
        numbers = zip(self.source.tasks, each, tokens, strict=True)
        task_losses = {task: loss / count for task, loss, count in numbers if count}
        norm = self.accelerator.clip_grad_norm_(self.trained.values(), self.recipe.max_grad_norm)
        return total / sum(tokens), float(norm), task_losses

    def _loss(self, part: Sequence[Item], sums: Tensor) -> Tensor:
        """The loss of some clips, summed over their answers' tokens; added to `sums`: in all, and for each task."""
        features = self.source.features(part).to(self.accelerator.device)
        examples = [item.example for item in part]
        loss = self.net(features, [e.prompt for e in examples], [e.answer for e in examples])
        sums[0] += loss.total.detach()
        place = torch.tensor([1 + self.source.tasks.index(e.task) for e in examples], device=sums.device)
        sums.index_add_(0, place, loss.per_sample.to(sums.dtype))
        return loss.total

    def _answer_tokens(self, items: list[Item]) -> Tensor:
        """The number of answer tokens of each task."""
        tokens = torch.zeros(len(self.source.tasks), device=self.accelerator.device)
        for example, _ in items:
            tokens[self.source.tasks.index(example.task)] += len(self.model.prompt.answer(example.answer))
        return tokens

    def _wer(self) -> float:
        self.model.eval()
        with autocast(self.recipe, self.accelerator.device):
            wer = self.validation.wer(self.model)
        self.model.train()
        return wer

    def _record(self, row: dict[str, Any]) -> None:
        """Log the step, save every `save_every` steps, and end a run whose loss is not finite."""
        due = self.done % self.recipe.save_every == 0 or self.done == self.recipe.steps
        state = self._state() if due else None  # in all processes: weights may be sharded over them
        if self.accelerator.is_main_process:
            row = row | {"seconds": round(self.seconds, 2)}
            self.directory.log(row)
            if due:
                self.directory.save(state)
            self.tracking.log(row)
        if self.skipped == MAX_NONFINITE_STEPS:
            raise SalmonnError(
                f"the loss or its gradient was not finite in {MAX_NONFINITE_STEPS} steps in a row, the last of them "
                f"step {self.done}; {self.directory.log_path} names their clips: look at these, or lower "
                f"connector_lr = {self.recipe.connector_lr} and lora_lr = {self.recipe.lora_lr}"
            )

    def _state(self) -> dict[str, Any]:
        state = {name: getattr(self, name) for name in ("seconds", "skipped", "lost", "start", "data")}
        weights = {name: full_tensors(p.detach()) for name, p in self.trained.items()}
        optimizer_state = full_tensors(self.optimizer.state_dict())
        return {"step": self.done, "trained": weights, "optimizer": optimizer_state} | state


def _number(value: float) -> float | None:
    """None for what JSON cannot hold: infinity and not-a-number."""
    return value if math.isfinite(value) else None

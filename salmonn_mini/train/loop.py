"""One loop for every stage, through Accelerate: plain, with torchrun, or with `accelerate launch`.

What a step sees and what it draws at random is a function of (seed, step, process). So weights, optimizer
and position are all that a checkpoint needs, and a run that was stopped gives bit for bit what it would have
given; on a CPU, for one number of threads and of processes.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType, broadcast_object_list, gather_object
from torch import Tensor
from tqdm import tqdm

from salmonn_mini.data import ClipDataset
from salmonn_mini.errors import SalmonnError
from salmonn_mini.models.salmonn import Salmonn
from salmonn_mini.train import deepspeed
from salmonn_mini.train.checkpointing import RunFolder, read_checkpoint
from salmonn_mini.train.feature_cache import fingerprint, progress
from salmonn_mini.train.launch import make_accelerator
from salmonn_mini.train.optim import (
    autocast,
    compiled,
    deterministic,
    enter_training,
    leave_training,
    make_optimizer,
    set_trainable,
)
from salmonn_mini.train.recipe import Recipe
from salmonn_mini.train.sharding import (
    accumulate_gradients,
    full_optimizer_state,
    full_tensors,
    load_full_optimizer_state,
    register_forward_methods,
    unshard,
)
from salmonn_mini.train.sources import CachedSource, Item, StreamingDataset, StreamingSource
from salmonn_mini.train.tracking import Tracking, installed_trackers
from salmonn_mini.train.validation import Validation

MAX_NONFINITE_STEPS = 3  # steps in a row without a finite loss and gradient


def fit(
    model: Salmonn,
    clips: ClipDataset | StreamingDataset,
    recipe: Recipe,
    *,
    eval_dataset: ClipDataset | None = None,
    fresh: bool = False,
) -> dict[str, Any]:
    """Train `model` in place, going on where a run of this recipe in its folder was stopped.

    Several processes share each batch. The loss is the mean over the answer tokens of the whole batch, so neither
    the number of processes nor `gradient_accumulation_steps` changes it.

    Args:
        clips: what is learned from; streams are heard at each step instead of being kept.
        watched: clips that are transcribed after each `eval_every` steps.
        fresh: delete a run that is in the folder, and start anew.

    Returns:
        The steps, the seconds spent on them in all sessions together, the steps that were skipped, the number of
        processes, and the class that held the model for them.

    Raises:
        SalmonnError: the folder holds another run; clips that cannot be used; fewer clips a step than processes; an
            engine that is asked for and not to be had; `MAX_NONFINITE_STEPS` steps in a row without a finite loss
            and gradient.
    """
    trackers = installed_trackers(recipe)
    accelerator = make_accelerator(recipe, trackers)
    folder, found = RunFolder(recipe), [None]
    if accelerator.is_main_process:
        folder.prepare(recipe, fresh=fresh)
        found = [folder.newest()]
        for name in set(recipe.trackers) - set(trackers):
            tqdm.write(f"tracker {name}: not installed; {folder.log_path} has everything")
    broadcast_object_list(found)
    model.to(accelerator.device)
    with deterministic(), set_trainable(model, recipe.trainable):
        run = _Run(model, recipe, accelerator, folder, found[0])
        if run.done < recipe.steps:
            run.go(clips, eval_dataset)
    took = {"steps": run.done, "seconds": round(run.seconds), "skipped": run.lost}
    return took | {"processes": accelerator.num_processes, "wrapper": type(run.net).__name__}


class _Run:
    """A model, its optimizer, and how far they are."""

    def __init__(
        self, model: Salmonn, recipe: Recipe, accelerator: Accelerator, folder: RunFolder, found: Path | None
    ) -> None:
        self.model, self.recipe, self.accelerator, self.folder = model, recipe, accelerator, folder
        self.net = model
        self.zero = accelerator.distributed_type == DistributedType.DEEPSPEED
        self.trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self.optimizer = make_optimizer(self.trained, recipe)
        self.done = 0  # steps
        self.seconds = 0.0  # spent on them
        self.skipped = 0  # steps, the newest in a row, that changed nothing
        self.lost = 0  # such steps in all
        self.start = fingerprint(model)
        self.moments: dict[str, Any] | None = None  # the optimizer's, of a checkpoint
        if found is not None:
            self._restore(read_checkpoint(found))
        if accelerator.is_main_process:
            folder.cut_log(self.done)

    def go(self, clips: ClipDataset | StreamingDataset, eval_dataset: ClipDataset | None) -> None:
        """Take the steps that are left."""
        source = StreamingSource if isinstance(clips, StreamingDataset) else CachedSource
        self.source = source(self.model, clips, self.recipe, self.accelerator, self.folder.path)
        cache = Path(self.recipe.cache_dir)
        looks = eval_dataset is not None and self.recipe.eval_every is not None
        self.validation = Validation(self.model, eval_dataset, cache, self.accelerator) if looks else None
        self.tracking = Tracking(self.accelerator, self.recipe, self.folder.rows())
        self._prepare()
        enter_training(self.model, self.recipe)
        with closing(self.source), compiled(self.model, self.recipe.compile):
            self._go()
        leave_training(self.model, self.recipe)
        self.tracking.close()
        unshard(self.model)
        if self.zero:
            deepspeed.release(self.net)
        self.accelerator.unwrap_model(self.net, keep_fp32_wrapper=False)  # the model's own forward again

    def _prepare(self) -> None:
        if self.zero:
            prepared = deepspeed.prepare(self.accelerator, self.model, self.optimizer, self.recipe)
        else:
            prepared = self.accelerator.prepare(self.model, self.optimizer)
        self.net, self.optimizer = prepared
        register_forward_methods(self.model, "encode", "generate")
        now = dict(self.model.named_parameters())  # FSDP has put others in their places
        self.trained = {name: now[name] for name in self.trained}
        if self.moments is not None:
            load_full_optimizer_state(self.optimizer, self.moments)
            self.moments = None

    def _go(self) -> None:
        began = time.monotonic() - self.seconds
        left = {"initial": self.done, "total": self.recipe.steps}
        with progress(self.accelerator, desc=f"stage {self.recipe.stage}", unit="step", **left) as bar:
            for step in range(self.done, self.recipe.steps):
                row = self._step(step)
                self.done = step + 1
                if self.validation is not None and self.done % self.recipe.eval_every == 0:
                    row["wer"] = self._wer()
                self.seconds = time.monotonic() - began
                self._keep(row)
                bar.set_postfix(loss=row["loss"], refresh=False)
                bar.update()

    def _step(self, step: int) -> dict[str, Any]:
        """One update, unless loss or gradient are not finite; the row for the log."""
        own, factor = self.source.batch(step), self.recipe.factor(step)
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * factor
        loss, norm, of_tasks = self._backward(step, own)
        finite = math.isfinite(loss) and math.isfinite(norm)
        if finite:
            self.optimizer.step()
        self.optimizer.zero_grad()
        self.skipped = 0 if finite else self.skipped + 1
        self.lost += not finite
        row = {"step": step + 1, "loss": _number(loss), "gradient_norm": _number(norm)}
        row |= {"lr": self.recipe.connector_lr * factor, "lora_lr": self.recipe.lora_lr * factor}
        row["tasks"] = {name: _number(value) for name, value in of_tasks.items()}
        if not finite:
            row["skipped"] = gather_object([item.example.clip for item in own])
        return row

    def _backward(self, step: int, own: list[Item]) -> tuple[float, float, dict[str, float]]:
        """The mean loss of the whole batch, the norm of its gradient, and the mean loss of each of its tasks.

        The gradient is clipped, and in place.
        """
        rank, world = self.accelerator.process_index, self.accelerator.num_processes
        torch.manual_seed(int(np.random.SeedSequence((self.recipe.seed, step, rank)).generate_state(1)[0]))
        tokens = self.accelerator.reduce(self._answer_tokens(own), "sum").tolist()
        share = world / sum(tokens)  # processes take the mean of their gradients: this makes it the sum
        sums = torch.zeros(1 + len(tokens), device=self.accelerator.device)
        *first, last = (own[part[0] : part[-1] + 1] for part in self._parts(len(own)))
        for part in first:
            with accumulate_gradients(self.accelerator, self.net):
                self.accelerator.backward(self._loss(part, sums) * share)
        loss = self._loss(last, sums)
        total, *each = self.accelerator.reduce(sums, "sum").tolist()
        numbers = zip(self.source.tasks, each, tokens, strict=True)
        of_tasks = {task: part / count for task, part, count in numbers if count}
        if not math.isfinite(total):
            share = math.nan  # then the gradient is not finite either, for which DeepSpeed skips a step
        self.accelerator.backward(loss * share)
        norm = self.accelerator.clip_grad_norm_(self.trained.values(), self.recipe.max_grad_norm)
        return total / sum(tokens), float(norm), of_tasks

    def _parts(self, clips: int) -> list[np.ndarray]:
        """A process's clips cut into as many parts as the recipe accumulates."""
        return np.array_split(np.arange(clips), self.recipe.gradient_accumulation_steps)

    def _loss(self, part: Sequence[Item], sums: Tensor) -> Tensor:
        """The loss of some clips, summed over their answers' tokens; added to `sums`, in all and of each task."""
        features = self.source.features(part).to(self.accelerator.device)
        asked = [item.example for item in part]
        loss = self.net(features, [q.prompt for q in asked], [q.answer for q in asked])
        sums[0] += loss.total.detach()
        place = torch.tensor([1 + self.source.tasks.index(q.task) for q in asked], device=sums.device)
        sums.index_add_(0, place, loss.per_sample.to(sums.dtype))
        return loss.total

    def _answer_tokens(self, own: list[Item]) -> Tensor:
        """How many tokens the answers of each task have."""
        tokens = torch.zeros(len(self.source.tasks), device=self.accelerator.device)
        for example, _ in own:
            tokens[self.source.tasks.index(example.task)] += len(self.model.prompt.answer(example.answer))
        return tokens

    def _wer(self) -> float:
        leave_training(self.model, self.recipe)
        with autocast(self.recipe, self.accelerator.device):
            wer = self.validation.wer(self.model)
        enter_training(self.model, self.recipe)
        return wer

    def _keep(self, row: dict[str, Any]) -> None:
        """Log the step, save now and then, and end the run when it leads nowhere."""
        due = self.done % self.recipe.save_every == 0 or self.done == self.recipe.steps
        state = self._state() if due else None  # of all processes: weights may be spread over them
        if self.accelerator.is_main_process:
            row = row | {"seconds": round(self.seconds, 2)}
            self.folder.note(row)
            if due:
                self.folder.save(state)
            if warning := self.tracking.note(row):
                tqdm.write(warning, file=sys.stderr)
        if self.skipped == MAX_NONFINITE_STEPS:
            raise SalmonnError(
                f"the loss or its gradient was not finite in {MAX_NONFINITE_STEPS} steps in a row, the last of them "
                f"step {self.done}; {self.folder.log_path} names their clips: look at these, or lower "
                f"connector_lr = {self.recipe.connector_lr} and lora_lr = {self.recipe.lora_lr}"
            )

    def _state(self) -> dict[str, Any]:
        state = {name: getattr(self, name) for name in ("seconds", "skipped", "lost", "start")}
        weights = {name: full_tensors(p.detach()) for name, p in self.trained.items()}
        moments = full_optimizer_state(self.optimizer)
        return {"step": self.done, "trained": weights, "optimizer": moments} | state

    def _restore(self, state: dict[str, Any]) -> None:
        if state["start"] != self.start:
            raise SalmonnError(
                f"{self.folder.path}: the model is not the one with which this run began; give it that one "
                f"as it was, choose another output_dir, or start anew with --fresh"
            )
        for name, parameter in self.trained.items():
            parameter.data.copy_(state["trained"][name])
        self.moments = state["optimizer"]
        self.done, self.seconds, self.skipped = state["step"], state["seconds"], state["skipped"]
        self.lost = state.get("lost", 0)


def _number(value: float) -> float | None:
    """What JSON can hold: null for infinity and for what is not a number."""
    return value if math.isfinite(value) else None

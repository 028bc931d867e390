"""One loop for every stage, through Accelerate: plain, with torchrun, or with `accelerate launch`.

What a step sees and what it draws at random is a function of (seed, step, process). So weights, optimizer
and position are all that a checkpoint needs, and a run that was stopped gives bit for bit what it would have
given; on a CPU, for one number of threads.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs
from torch import nn

from salmonn_mini.data import BatchOrder, ClipSet
from salmonn_mini.errors import SalmonnError
from salmonn_mini.features import Features
from salmonn_mini.model import Salmonn
from salmonn_mini.train.folder import RunFolder
from salmonn_mini.train.hearing import fingerprint, hear, progress
from salmonn_mini.train.recipe import Recipe

MIXED = {"float32": "no", "bfloat16": "bf16"}  # Accelerate's names
PATIENCE = 3  # steps in a row without a finite loss and gradient


def fit(model: Salmonn, clips: ClipSet, recipe: Recipe, *, fresh: bool = False) -> dict[str, Any]:
    """Train `model` in place, going on where a run of this recipe in its folder was stopped.

    Several processes share each batch. The loss is the mean over the answer tokens of the whole batch, so the
    number of processes does not change it.

    Args:
        fresh: delete a run that is in the folder, and start anew.

    Returns:
        The steps, and the seconds spent on them in all sessions together.

    Raises:
        SalmonnError: the folder holds another run; clips that cannot be used; `PATIENCE` steps in a row
            whose loss or gradient is not finite.
    """
    accelerator = Accelerator(
        cpu=not torch.cuda.is_available(),  # else several processes on a CPU become one
        mixed_precision=MIXED[recipe.precision],
        kwargs_handlers=[DistributedDataParallelKwargs(broadcast_buffers=False)],
    )
    folder = RunFolder(recipe)
    if accelerator.is_main_process:
        folder.prepare(recipe, fresh=fresh)
    accelerator.wait_for_everyone()
    model.to(accelerator.device)
    with _repeatable(), _only(model, recipe.trains):
        run = _Run(model, recipe, accelerator, folder)
        if run.done < recipe.steps:
            run.go(clips)
    return {"steps": run.done, "seconds": round(run.seconds)}


class _Run:
    """A model, its optimizer, and how far they are."""

    def __init__(self, model: Salmonn, recipe: Recipe, accelerator: Accelerator, folder: RunFolder) -> None:
        self.model, self.recipe, self.accelerator, self.folder = model, recipe, accelerator, folder
        self.trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self.optimizer = _optimizer(self.trained, recipe)
        self.done = 0  # steps
        self.seconds = 0.0  # spent on them
        self.skipped = 0  # steps, the newest in a row, that changed nothing
        self.start = fingerprint(model)
        state = folder.load()
        if state is not None:
            self._restore(state)
        if accelerator.is_main_process:
            folder.cut_log(self.done)

    def go(self, clips: ClipSet) -> None:
        """Take the steps that are left."""
        self.clips = clips
        self.heard = hear(self.model, clips, Path(self.recipe.cache_dir), self.accelerator)
        lengths = [_frames(features) for features in self.heard]
        tasks = [question.task for question in clips.questions]
        self.order = BatchOrder(lengths, tasks, self.recipe.batch_size, self.recipe.seed)
        self.net, self.optimizer = self.accelerator.prepare(self.model, self.optimizer)
        self.model.train()
        began = time.monotonic() - self.seconds
        left = {"initial": self.done, "total": self.recipe.steps}
        with progress(self.accelerator, desc=f"stage {self.recipe.stage}", unit="step", **left) as bar:
            for step in range(self.done, self.recipe.steps):
                row = self._step(step)
                self.done, self.seconds = step + 1, time.monotonic() - began
                self._keep(row)
                bar.set_postfix(loss=row["loss"], refresh=False)
                bar.update()
        self.model.eval()
        self.accelerator.unwrap_model(self.net, keep_fp32_wrapper=False)  # the model's own forward again

    def _step(self, step: int) -> dict[str, Any]:
        """One update, unless loss or gradient are not finite; the row for the log."""
        batch, factor = self.order[step], self.recipe.factor(step)
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * factor
        loss, norm = self._backward(step, batch)
        finite = math.isfinite(loss) and math.isfinite(norm)
        if finite:
            self.optimizer.step()
        self.optimizer.zero_grad()
        self.skipped = 0 if finite else self.skipped + 1
        row = {"step": step + 1, "loss": _number(loss), "gradient_norm": _number(norm)}
        row |= {"lr": self.recipe.connector_lr * factor, "lora_lr": self.recipe.lora_lr * factor}
        if not finite:
            row["skipped"] = [self.clips.questions[i].clip for i in batch]
        return row

    def _backward(self, step: int, batch: list[int]) -> tuple[float, float]:
        """The mean loss of the whole batch, and the norm of its gradient, which is clipped and in place."""
        rank, world = self.accelerator.process_index, self.accelerator.num_processes
        own = batch[rank::world]
        torch.manual_seed(int(np.random.SeedSequence((self.recipe.seed, step, rank)).generate_state(1)[0]))
        features = Features.stack([self.heard[i] for i in own]).to(self.accelerator.device)
        asked = [self.clips.questions[i] for i in own]
        loss = self.net(features, [q.prompt for q in asked], [q.answer for q in asked])
        sums = torch.stack([loss.total.detach(), loss.total.new_tensor(loss.tokens)])
        total, tokens = self.accelerator.reduce(sums, "sum").tolist()
        if not math.isfinite(total):
            return total, math.nan
        # Processes take the mean of their gradients: with the factor `world` it is the sum.
        self.accelerator.backward(loss.total * (world / tokens))
        norm = self.accelerator.clip_grad_norm_(self.trained.values(), self.recipe.clip_norm)
        return total / tokens, float(norm)

    def _keep(self, row: dict[str, Any]) -> None:
        """Log the step, save now and then, and end the run when it leads nowhere."""
        if self.accelerator.is_main_process:
            self.folder.note(row | {"seconds": round(self.seconds, 2)})
            if self.done % self.recipe.save_every == 0 or self.done == self.recipe.steps:
                self.folder.save(self._state())
        if self.skipped == PATIENCE:
            raise SalmonnError(
                f"the loss or its gradient was not finite in {PATIENCE} steps in a row, the last of them "
                f"step {self.done}; {self.folder.log_path} names their clips: look at these, or lower "
                f"connector_lr = {self.recipe.connector_lr} and lora_lr = {self.recipe.lora_lr}"
            )

    def _state(self) -> dict[str, Any]:
        return {
            "step": self.done,
            "seconds": self.seconds,
            "skipped": self.skipped,
            "start": self.start,
            "trained": {name: p.detach() for name, p in self.trained.items()},
            "optimizer": self.optimizer.state_dict(),
        }

    def _restore(self, state: dict[str, Any]) -> None:
        if state["start"] != self.start:
            raise SalmonnError(
                f"{self.folder.path}: the model is not the one with which this run began; give it that one "
                f"as it was, choose another output_dir, or start anew with --fresh"
            )
        for name, parameter in self.trained.items():
            parameter.data.copy_(state["trained"][name])
        self.optimizer.load_state_dict(state["optimizer"])
        self.done, self.seconds, self.skipped = state["step"], state["seconds"], state["skipped"]


def part_of(name: str) -> str:
    """Which of PARTS a trained parameter belongs to, by its name in the model."""
    return "lora" if ".lora_" in name else "connector"


def _optimizer(trained: dict[str, nn.Parameter], recipe: Recipe) -> torch.optim.Optimizer:
    """AdamW: a learning rate for each part; weight decay for matrices, none for biases and norms."""
    peaks = {"connector": recipe.connector_lr, "lora": recipe.lora_lr}
    groups = [
        {
            "params": [
                p for name, p in trained.items() if part_of(name) == part and (p.ndim > 1) == matrices
            ],
            "peak": peaks[part],
            "weight_decay": recipe.weight_decay if matrices else 0.0,
        }
        for part in recipe.trains
        for matrices in (True, False)
    ]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]], betas=(recipe.beta1, recipe.beta2), fused=True
    )


@contextmanager
def _only(model: Salmonn, parts: tuple[str, ...]) -> Iterator[None]:
    """Within the block the other trained parts are frozen too."""
    others = [p for name, p in model.named_parameters() if p.requires_grad and part_of(name) not in parts]
    for parameter in others:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in others:
            parameter.requires_grad_(True)


@contextmanager
def _repeatable() -> Iterator[None]:
    """On a CPU, sums always in the same order; on a GPU some of torch's operations have no such order."""
    before, filled = (
        torch.are_deterministic_algorithms_enabled(),
        torch.utils.deterministic.fill_uninitialized_memory,
    )
    torch.use_deterministic_algorithms(before or not torch.cuda.is_available())
    torch.utils.deterministic.fill_uninitialized_memory = False  # it costs time, and we read none
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
        torch.utils.deterministic.fill_uninitialized_memory = filled


def _frames(features: Features) -> int:
    """The frames T of one clip."""
    streams = (features.whisper, features.beats)
    return max(stream.shape[1] for stream in streams if stream is not None)


def _number(value: float) -> float | None:
    """What JSON can hold: null for infinity and for what is not a number."""
    return value if math.isfinite(value) else None

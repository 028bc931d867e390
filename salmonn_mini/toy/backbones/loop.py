"""One resumable training loop for the three backbones.

What a step sees is a function of (seed, step) alone, and the state is saved atomically, so a run that was interrupted
resumes as if nothing had happened. A batch is computed in PARTS, each by a thread of its own: matrices as small as the
toy's gain nothing from threads within them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn
from tqdm import tqdm

from salmonn_mini.files import append_json, truncate_lines, write_bytes
from salmonn_mini.train.optim import decay_groups
from salmonn_mini.train.recipe import lr_factor

DTYPES = ("float32", "bfloat16")
MIN_LR_RATIO = 0.05
PARTS = 2  # of a batch, whatever the machine: the same numbers everywhere

Item = TypeVar("Item")


@dataclass(frozen=True)
class Schedule:
    """Cosine with warmup, from `lr` down to MIN_LR_RATIO of it."""

    steps: int
    lr: float
    warmup: int = 100
    weight_decay: float = 0.01


@dataclass(frozen=True)
class Place:
    """Where a run keeps its state and its log, how it computes, and how often it saves."""

    folder: Path
    name: str
    dtype: str = "float32"
    save_every: int = 250

    @property
    def state(self) -> Path:
        return self.folder / f"{self.name}.pt"

    @property
    def log(self) -> Path:
        return self.folder / f"{self.name}.jsonl"


def train(
    model: nn.Module,
    batch_of: Callable[[int], Sequence[Item]],
    loss_of: Callable[[Sequence[Item], int], Tensor],
    schedule: Schedule,
    place: Place,
    *,
    seed: int,
) -> dict[str, float]:
    """Train `model` for `schedule.steps` steps, resuming from the saved state if there is one.

    Args:
        batch_of: the items of a step's batch, drawn from the step's number alone.
        loss_of: the mean loss of some items; what is random in it comes from the number that it is given. Several
            threads call it at once, so torch's own generator is not for it.

    Returns:
        The steps and the seconds spent on them, all sessions together.
    """
    trained = [p for p in model.parameters() if p.requires_grad]
    groups = decay_groups(trained, schedule.weight_decay)
    optimizer = torch.optim.AdamW(groups, lr=schedule.lr, betas=(0.9, 0.98))
    start, seconds = _resume(model, optimizer, place)
    model.train()

    def part_of(items: Sequence[Item], number: int) -> tuple[float, tuple[Tensor, ...]]:
        """The loss of a part of a batch, and its gradients."""
        with torch.autocast("cpu", torch.bfloat16, enabled=place.dtype == "bfloat16"):
            loss = loss_of(items, number)
        return loss.item(), torch.autograd.grad(loss, trained)

    began = time.monotonic() - seconds
    with ThreadPoolExecutor(PARTS, initializer=torch.set_num_threads, initargs=(1,)) as threads:
        items = batch_of(start)
        for step in tqdm(range(start, schedule.steps), initial=start, total=schedule.steps, desc=place.name):
            numbers = [(seed * 1_000_003 + step) * PARTS + i for i in range(PARTS)]
            parts = threads.map(part_of, [items[i::PARTS] for i in range(PARTS)], numbers)
            items = batch_of(step + 1)  # meanwhile
            losses, gradients = zip(*parts, strict=True)
            for group in optimizer.param_groups:
                group["lr"] = schedule.lr * lr_factor(step, schedule.steps, schedule.warmup, MIN_LR_RATIO)
            for parameter, *shares in zip(trained, *gradients, strict=True):
                parameter.grad = sum(shares) / PARTS
            nn.utils.clip_grad_norm_(trained, 1.0)
            optimizer.step()
            seconds = time.monotonic() - began
            row = {"step": step, "loss": round(sum(losses) / PARTS, 5), "lr": optimizer.param_groups[0]["lr"]}
            append_json(place.log, row | {"seconds": round(seconds, 1)})
            if (step + 1) % place.save_every == 0 or step + 1 == schedule.steps:
                _save(model, optimizer, step + 1, seconds, place)
    model.eval()
    return {"steps": schedule.steps, "seconds": round(seconds)}


def _resume(model: nn.Module, optimizer: torch.optim.Optimizer, place: Place) -> tuple[int, float]:
    place.folder.mkdir(parents=True, exist_ok=True)
    if not place.state.exists():
        truncate_lines(place.log, 0)
        return 0, 0.0
    state = torch.load(place.state, weights_only=True)
    truncate_lines(place.log, state["step"])  # a killed run may have logged more than it saved
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    return state["step"], state["seconds"]


def _save(
    model: nn.Module, optimizer: torch.optim.Optimizer, step: int, seconds: float, place: Place
) -> None:
    state = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "step": step,
        "seconds": seconds,
    }
    content = BytesIO()
    torch.save(state, content)
    write_bytes(place.state, content.getbuffer())

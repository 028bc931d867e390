"""One resumable training loop for the three backbones.

What a step sees is a function of (seed, step) alone, and the whole state is written beside and renamed, so that a
run that was interrupted goes on as if nothing had happened.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm import tqdm

from salmonn_mini.files import write_whole

DTYPES = ("float32", "bfloat16")


@dataclass(frozen=True)
class Schedule:
    """Linear warm-up, then a cosine down to a twentieth of `lr`."""

    steps: int
    lr: float
    warmup: int = 100
    weight_decay: float = 0.01

    def factor(self, step: int) -> float:
        """The factor on `lr` at `step` (from 0)."""
        if step < self.warmup:
            return (step + 1) / self.warmup
        progress = (step - self.warmup) / max(1, self.steps - self.warmup)
        return 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * progress))


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
    model: nn.Module, loss_of: Callable[[int], Tensor], schedule: Schedule, place: Place, *, seed: int
) -> dict[str, float]:
    """Train `model` for `schedule.steps` steps, going on from the saved state if there is one.

    Args:
        loss_of: the loss of a step's batch; it draws the batch from the step's number alone.

    Returns:
        The steps and the seconds spent on them, all sessions together.
    """
    optimizer = torch.optim.AdamW(_groups(model, schedule), lr=schedule.lr, betas=(0.9, 0.98))
    start, seconds = _resume(model, optimizer, place)
    model.train()
    autocast = torch.autocast("cpu", torch.bfloat16, enabled=place.dtype == "bfloat16")
    bar = tqdm(range(start, schedule.steps), initial=start, total=schedule.steps, desc=place.name)
    began = time.monotonic() - seconds
    for step in bar:
        torch.manual_seed(seed * 1_000_003 + step)
        for group in optimizer.param_groups:
            group["lr"] = schedule.lr * schedule.factor(step)
        with autocast:
            loss = loss_of(step)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        seconds = time.monotonic() - began
        _note(place, step, loss, optimizer, seconds)
        bar.set_postfix(loss=f"{loss.item():.3f}")
        if (step + 1) % place.save_every == 0 or step + 1 == schedule.steps:
            _save(model, optimizer, step + 1, seconds, place)
    model.eval()
    return {"steps": schedule.steps, "seconds": round(seconds)}


def _groups(model: nn.Module, schedule: Schedule) -> list[dict]:
    """Weight decay for matrices, none for biases and norms."""
    trained = [p for p in model.parameters() if p.requires_grad]
    return [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": schedule.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]


def _resume(model: nn.Module, optimizer: torch.optim.Optimizer, place: Place) -> tuple[int, float]:
    place.folder.mkdir(parents=True, exist_ok=True)
    if not place.state.exists():
        place.log.unlink(missing_ok=True)
        return 0, 0.0
    state = torch.load(place.state, weights_only=True)
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
    write_whole(place.state, content.getbuffer())


def _note(place: Place, step: int, loss: Tensor, optimizer: torch.optim.Optimizer, seconds: float) -> None:
    row = {
        "step": step,
        "loss": round(loss.item(), 5),
        "lr": optimizer.param_groups[0]["lr"],
        "seconds": round(seconds, 1),
    }
    with place.log.open("a") as log:
        log.write(json.dumps(row) + "\n")

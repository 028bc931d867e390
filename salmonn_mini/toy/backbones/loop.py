"""One resumable training loop for the three backbones.

What a step sees is a function of (seed, step) alone, and the state is saved atomically, so a run that was interrupted
resumes as if nothing had happened.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm import tqdm

from salmonn_mini.files import append_json, truncate_lines, write_bytes
from salmonn_mini.train.optim import decay_groups
from salmonn_mini.train.recipe import lr_factor

DTYPES = ("float32", "bfloat16")
MIN_LR_RATIO = 0.05


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
    model: nn.Module, loss_of: Callable[[int], Tensor], schedule: Schedule, place: Place, *, seed: int
) -> dict[str, float]:
    """Train `model` for `schedule.steps` steps, resuming from the saved state if there is one.

    Args:
        loss_of: the loss of a step's batch; it draws the batch from the step's number alone.

    Returns:
        The steps and the seconds spent on them, all sessions together.
    """
    trained = [p for p in model.parameters() if p.requires_grad]
    groups = decay_groups(trained, schedule.weight_decay)
    optimizer = torch.optim.AdamW(groups, lr=schedule.lr, betas=(0.9, 0.98))
    start, seconds = _resume(model, optimizer, place)
    model.train()
    autocast = torch.autocast("cpu", torch.bfloat16, enabled=place.dtype == "bfloat16")
    bar = tqdm(range(start, schedule.steps), initial=start, total=schedule.steps, desc=place.name)
    began = time.monotonic() - seconds
    for step in bar:
        torch.manual_seed(seed * 1_000_003 + step)
        for group in optimizer.param_groups:
            group["lr"] = schedule.lr * lr_factor(step, schedule.steps, schedule.warmup, MIN_LR_RATIO)
        with autocast:
            loss = loss_of(step)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        seconds = time.monotonic() - began
        row = {"step": step, "loss": round(loss.item(), 5), "lr": optimizer.param_groups[0]["lr"]}
        append_json(place.log, row | {"seconds": round(seconds, 1)})
        bar.set_postfix(loss=f"{loss.item():.3f}")
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

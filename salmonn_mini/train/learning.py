"""What of a model learns, how fast, and in which mode: for the time of a run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from salmonn_mini.model import Salmonn
from salmonn_mini.train.recipe import Recipe


def part_of(name: str) -> str:
    """Which of PARTS a trained parameter belongs to, by its name in the model."""
    return "lora" if ".lora_" in name else "connector"


def make_optimizer(trained: dict[str, nn.Parameter], recipe: Recipe) -> torch.optim.Optimizer:
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
def only(model: Salmonn, parts: tuple[str, ...]) -> Iterator[None]:
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
def repeatable() -> Iterator[None]:
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


def start_learning(model: Salmonn, recipe: Recipe) -> None:
    """Training mode; with `gradient_checkpointing` the LLM's layers keep their inputs alone for the way back."""
    model.train()
    if recipe.gradient_checkpointing:
        model.checkpoint_gradients()


def stop_learning(model: Salmonn, recipe: Recipe) -> None:
    """Evaluation mode, as before `start_learning`."""
    model.eval()
    if recipe.gradient_checkpointing:
        model.checkpoint_gradients(False)

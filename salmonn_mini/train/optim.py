"""What of a model learns, how fast, and in which mode: for the time of a run."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from salmonn_mini.errors import SalmonnError
from salmonn_mini.models.salmonn import Salmonn
from salmonn_mini.train.recipe import Recipe

COMPILERS = ("g++", "clang++", "cl")


def trainable_part(name: str) -> str:
    """Which of PARTS a trained parameter belongs to, by its name in the model."""
    return "lora" if ".lora_" in name else "connector"


def make_optimizer(trained: dict[str, nn.Parameter], recipe: Recipe) -> torch.optim.Optimizer:
    """AdamW: a learning rate for each part; weight decay for matrices, none for biases and norms."""
    peaks = {"connector": recipe.connector_lr, "lora": recipe.lora_lr}
    groups = [
        {
            "params": [
                p for name, p in trained.items() if trainable_part(name) == part and (p.ndim > 1) == matrices
            ],
            "peak": peaks[part],
            "weight_decay": recipe.weight_decay if matrices else 0.0,
        }
        for part in recipe.trainable
        for matrices in (True, False)
    ]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]], betas=(recipe.beta1, recipe.beta2), fused=True
    )


@contextmanager
def set_trainable(model: Salmonn, parts: tuple[str, ...]) -> Iterator[None]:
    """Within the block the other trained parts are frozen too."""
    others = [
        p for name, p in model.named_parameters() if p.requires_grad and trainable_part(name) not in parts
    ]
    for parameter in others:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in others:
            parameter.requires_grad_(True)


@contextmanager
def deterministic() -> Iterator[None]:
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


@contextmanager
def compiled(model: Salmonn, on: bool) -> Iterator[None]:
    """Within the block, if `on`, the layers of both ears and of the LLM run as torch.compile makes them.

    Raises:
        SalmonnError: what torch.compile needs for this device is not there.
    """
    if on:
        _check_compiler(model.device)
    blocks = transformer_blocks(model) if on else []
    for block in blocks:
        block.compile()
    try:
        yield
    finally:
        for block in blocks:
            block._compiled_call_impl = None  # torch has no call that takes it back


def transformer_blocks(model: Salmonn) -> list[nn.Module]:
    """The layers of both ears and of the LLM, which torch.compile takes one by one."""
    blocks = list(model.llm.get_base_model().model.layers)
    for ear in (model.whisper, model.beats):
        blocks += ear.encoder.layers if ear is not None else ()
    return blocks


def _check_compiler(device: torch.device) -> None:
    if device.type == "cpu" and not any(map(shutil.which, COMPILERS)):
        raise SalmonnError(
            f"compile is true, but torch.compile needs a C++ compiler on a CPU, and {', '.join(COMPILERS)} are "
            f"not on the PATH: install one, or leave compile out"
        )
    if device.type == "cuda" and importlib.util.find_spec("triton") is None:
        raise SalmonnError(
            "compile is true, but torch.compile needs triton on a GPU: pip install triton, or leave compile out"
        )


def autocast(recipe: Recipe, device: torch.device) -> torch.autocast:
    """Within it, what can be computed in the recipe's precision is."""
    return torch.autocast(device.type, torch.bfloat16, enabled=recipe.dtype == "bfloat16")


def enter_training(model: Salmonn, recipe: Recipe) -> None:
    """Training mode; with `gradient_checkpointing` the LLM's layers keep their inputs alone for the way back."""
    model.train()
    if recipe.gradient_checkpointing:
        model.set_gradient_checkpointing()


def leave_training(model: Salmonn, recipe: Recipe) -> None:
    """Evaluation mode, as before `enter_training`."""
    model.eval()
    if recipe.gradient_checkpointing:
        model.set_gradient_checkpointing(False)

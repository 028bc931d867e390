"""Trainable parameters, optimizer and train/eval mode during a run."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from peft.tuners.lora import LoraLayer
from torch import nn

from salmonn_mini.errors import SalmonnError
from salmonn_mini.models.lora import ADAPTER
from salmonn_mini.models.salmonn import SalmonnModel
from salmonn_mini.train.recipe import Recipe
from salmonn_mini.train.sharding import is_sharded

COMPILERS = ("g++", "clang++", "cl")


def trainable_part(name: str) -> str:
    """The one of PARTS that a trained parameter belongs to, by its name in the model."""
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
def set_trainable(model: SalmonnModel, parts: tuple[str, ...]) -> Iterator[None]:
    """Within the block the other trained parts are frozen too."""
    named = dict(model.named_parameters())
    others = [name for name, p in named.items() if p.requires_grad and trainable_part(name) not in parts]
    for name in others:
        named[name].requires_grad_(False)
    try:
        yield
    finally:
        now = dict(model.named_parameters())  # sharding puts others in their places
        for name in others:
            now[name].requires_grad_(True)


def set_dropout(model: SalmonnModel, p: float) -> None:
    """Change the dropout of the connector and of LoRA."""
    for module in model.connector.modules():
        if isinstance(module, nn.Dropout):
            module.p = p
        elif isinstance(getattr(module, "dropout", None), float):
            module.dropout = p
    for layer in model.llm.modules():
        if isinstance(layer, LoraLayer):
            layer.lora_dropout[ADAPTER] = nn.Dropout(p).train(model.training) if p else nn.Identity()


@contextmanager
def restored_on_error(model: SalmonnModel) -> Iterator[None]:
    """If the block raises, the trained weights become what they were; no gradient is left in any case."""
    before = {name: p.to("cpu", copy=True) for name, p in model.trainable_state().items()}
    try:
        yield
    except BaseException:
        if not is_sharded(model):
            model.load_trainable(before)
        raise
    finally:
        model.zero_grad()


@contextmanager
def deterministic() -> Iterator[None]:
    """On a CPU, sums always in the same order; on a GPU some of torch's operations have no such order."""
    before = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    filled = torch.utils.deterministic.fill_uninitialized_memory
    torch.use_deterministic_algorithms(before or not torch.cuda.is_available())
    torch.utils.deterministic.fill_uninitialized_memory = False  # it costs time, and we read none
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=warn_only)
        torch.utils.deterministic.fill_uninitialized_memory = filled


@contextmanager
def compiled(model: SalmonnModel, on: bool) -> Iterator[None]:
    """Within the block, if `on`, the layers of both encoders and of the LLM are compiled by torch.compile.

    Raises:
        SalmonnError: torch.compile lacks something for this device.
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
            block._compiled_call_impl = None  # torch has no public call for it


def transformer_blocks(model: SalmonnModel) -> list[nn.Module]:
    """The layers of both encoders and of the LLM, to be compiled one by one."""
    blocks = list(model.llm.get_base_model().model.layers)
    for encoder in (model.whisper, model.beats):
        blocks += encoder.encoder.layers if encoder is not None else ()
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
    """Autocast to the recipe's dtype."""
    return torch.autocast(device.type, torch.bfloat16, enabled=recipe.dtype == "bfloat16")


@contextmanager
def training_mode(model: SalmonnModel, gradient_checkpointing: bool) -> Iterator[None]:
    """Training mode within the block; afterwards mode and gradient checkpointing are what they were."""
    before = model.training
    switch = gradient_checkpointing and not any(
        getattr(layer, "gradient_checkpointing", False) for layer in model.llm.modules()
    )
    try:
        if switch:
            model.gradient_checkpointing_enable()
        model.train()
        yield
    finally:
        model.train(before)
        if switch:
            model.gradient_checkpointing_disable()

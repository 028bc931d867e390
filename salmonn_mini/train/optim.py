"""Trainable parameters, optimizer and train/eval mode during a run."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

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
    """The part, of a recipe's `trainable`, that a trained parameter belongs to, by its name in the model."""
    return "lora" if ".lora_" in name else "connector"


def make_optimizer(trained: dict[str, nn.Parameter], recipe: Recipe) -> torch.optim.Optimizer:
    """AdamW: a learning rate for each part, and its peak with it."""
    groups = []
    for part, peak in (("connector", recipe.connector_lr), ("lora", recipe.lora_lr)):
        own = [p for name, p in trained.items() if trainable_part(name) == part]
        groups += [group | {"peak": peak} for group in decay_groups(own, recipe.weight_decay)]
    return torch.optim.AdamW(groups, betas=(recipe.beta1, recipe.beta2), fused=True)


def decay_groups(parameters: list[nn.Parameter], weight_decay: float) -> list[dict[str, Any]]:
    """An optimizer's groups: weight decay for matrices, none for biases and norms."""
    matrices, others = [p for p in parameters if p.ndim > 1], [p for p in parameters if p.ndim <= 1]
    decays = ((matrices, weight_decay), (others, 0.0))
    return [{"params": params, "weight_decay": decay} for params, decay in decays if params]


@contextmanager
def set_trainable(model: SalmonnModel, parts: tuple[str, ...]) -> Iterator[None]:
    """Within the block the other trained parts are frozen too. If it raises, the weights become what they were."""
    named = dict(model.named_parameters())
    others = [name for name, p in named.items() if p.requires_grad and trainable_part(name) not in parts]
    before = {name: p.to("cpu", copy=True) for name, p in model.trainable_state().items()}
    complete = False
    for name in others:
        named[name].requires_grad_(False)
    try:
        yield
        complete = True
    finally:
        now = dict(model.named_parameters())  # sharding puts others in their places
        for name in others:
            now[name].requires_grad_(True)
        if not complete and not is_sharded(model):
            model.load_trainable(before)
        model.zero_grad()


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
def deterministic() -> Iterator[None]:
    """On a CPU, sums always in the same order; on a GPU some of torch's operations have no such order."""
    mode, filled = torch.get_deterministic_debug_mode(), torch.utils.deterministic.fill_uninitialized_memory
    if not torch.cuda.is_available():
        torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # it costs time, and we read none
    try:
        yield
    finally:
        torch.set_deterministic_debug_mode(mode)
        torch.utils.deterministic.fill_uninitialized_memory = filled


@contextmanager
def compiled(model: SalmonnModel, on: bool) -> Iterator[None]:
    """Within the block, if `on`, the layers of both encoders and of the LLM are compiled by torch.compile.

    Raises SalmonnError if there is no C++ compiler for a CPU; for a GPU torch brings its own.
    """
    blocks = transformer_blocks(model) if on else []
    if on and model.device.type == "cpu" and not any(map(shutil.which, COMPILERS)):
        missing = f"a C++ compiler on a CPU, and {', '.join(COMPILERS)} are not on the PATH"
        raise SalmonnError(
            f"compile is true, but torch.compile needs {missing}: install one, or omit compile"
        )
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


@contextmanager
def training_mode(model: SalmonnModel, gradient_checkpointing: bool) -> Iterator[None]:
    """Training mode within the block; afterwards mode and gradient checkpointing are what they were."""
    before = model.training
    already = any(getattr(layer, "gradient_checkpointing", False) for layer in model.llm.modules())
    switch = gradient_checkpointing and not already
    if switch:
        model.gradient_checkpointing_enable()
    model.train()
    try:
        yield
    finally:
        model.train(before)
        if switch:
            model.gradient_checkpointing_disable()

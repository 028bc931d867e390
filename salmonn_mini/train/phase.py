"""What a step of the joint training does: the answers' cross-entropy, and an update of connector and LoRA."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor
from torch.distributed.fsdp import register_fsdp_forward_method

from salmonn_mini.data import ClipDataset
from salmonn_mini.models.features import Features
from salmonn_mini.models.salmonn import SalmonnModel
from salmonn_mini.train.checkpointing import RunDirectory
from salmonn_mini.train.optim import compiled, make_optimizer, trainable_part, training_mode
from salmonn_mini.train.recipe import Recipe
from salmonn_mini.train.sharding import load_full_optimizer_state, unshard
from salmonn_mini.train.sources import CachedSource, Item, StreamingDataset, StreamingSource

MAX_NEW_TOKENS = 100  # of a validation clip's transcript


class Phase:
    """The steps of a recipe, with the parameters that they train and their optimizer.

    Attributes:
        name: of its rows in the log.
        net: the model as Accelerate has wrapped it.
        title: of its progress bar.
        rates: what a user may lower.
    """

    name = "joint"

    def __init__(
        self, model: SalmonnModel, recipe: Recipe, accelerator: Accelerator, directory: RunDirectory
    ) -> None:
        self.model, self.recipe, self.accelerator, self.directory = model, recipe, accelerator, directory
        named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
        self.trained = {name: p for name, p in named if trainable_part(name) in recipe.trainable}
        self.optimizer = make_optimizer(self.trained, recipe)
        self.net = model
        self.title = f"stage {recipe.stage}"
        self.rates = f"connector_lr = {recipe.connector_lr} and lora_lr = {recipe.lora_lr}"

    @contextmanager
    def begun(
        self, clips: ClipDataset | StreamingDataset, optimizer_state: dict[str, Any] | None
    ) -> Iterator[None]:
        """Within the block steps can be taken, from the beginning or from a checkpoint's state of the optimizer."""
        kind = StreamingSource if isinstance(clips, StreamingDataset) else CachedSource
        given = self.model, clips, self.recipe, self.accelerator, self.directory.path
        with (
            closing(kind(*given)) as self.source,
            self._prepared(optimizer_state),
            training_mode(self.model, self.recipe.gradient_checkpointing),
            compiled(self.model, self.recipe.compile),
        ):
            yield
            del self.source  # the features of all clips, which the next phase loads for itself

    @contextmanager
    def _prepared(self, optimizer_state: dict[str, Any] | None) -> Iterator[None]:
        """Within the block model and optimizer are as Accelerate prepares them; afterwards the model is itself."""
        before, complete = dict(vars(self.model)), False
        try:
            self.net, self.optimizer = self.accelerator.prepare(self.model, self.optimizer)
            for method in ("encode", "generate"):  # they too need weights that FSDP has sharded
                register_fsdp_forward_method(self.model, method)
            now = dict(self.model.named_parameters())  # FSDP has put others in their places
            self.trained = {name: now[name] for name in self.trained}
            if optimizer_state is not None:
                load_full_optimizer_state(self.optimizer, optimizer_state)
            self.optimizer.zero_grad()
            yield
            complete = True
        finally:
            if complete or self.accelerator.num_processes == 1:  # else the other processes may have ended
                unshard(self.model)
            self.accelerator.unwrap_model(self.net, keep_fp32_wrapper=False)
            for name in vars(self.model).keys() - before.keys():
                delattr(self.model, name)  # the unwrapped forward and a mark, which Accelerate leaves behind

    def step(self, step: int) -> dict[str, Any]:
        """One update, unless loss or gradient are not finite; the row for the log. Steps are counted from 0."""
        items, factor = self.source.batch(step), self.recipe.factor(step)
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * factor
        seed = np.random.SeedSequence((self.recipe.seed, step, self.accelerator.process_index))
        torch.manual_seed(int(seed.generate_state(1)[0]))
        loss, norm, details = self._backward(items)
        finite = math.isfinite(loss) and math.isfinite(norm)
        if finite:
            self.optimizer.step()
        self.optimizer.zero_grad()
        rates = {"connector": ("lr", self.recipe.connector_lr), "lora": ("lora_lr", self.recipe.lora_lr)}
        row = {"loss": number(loss), "gradient_norm": number(norm)}
        row |= {name: peak * factor for part, (name, peak) in rates.items() if part in self.recipe.trainable}
        if not finite:
            details["skipped"] = gather_object([item.example.clip for item in items])
        return row | details

    def _backward(self, items: list[Item]) -> tuple[float, float, dict[str, Any]]:
        """The mean loss of the whole batch, the norm of its gradient before clipping, and each task's mean loss."""
        world = self.accelerator.num_processes
        lengths = [len(self.model.prompt.answer(item.example.answer)) for item in items]
        tokens = self.accelerator.reduce(self._by_task(items, torch.tensor(lengths)), "sum").tolist()
        scale = world / sum(tokens)  # processes average their gradients: this makes it the sum
        losses = torch.zeros(1 + len(tokens), device=self.accelerator.device)  # in all, and for each task
        parts = self._parts(items)
        for own in parts:
            features = self.source.features(own).to(self.accelerator.device)
            examples = [item.example for item in own]
            with nullcontext() if own is parts[-1] else self.accelerator.no_sync(self.net):
                loss = self.net(features, [e.prompt for e in examples], [e.answer for e in examples])
                self.accelerator.backward(loss.total * scale)
            losses += torch.cat([loss.total.detach()[None], self._by_task(own, loss.per_sample)])
        total, *each = self.accelerator.reduce(losses, "sum").tolist()
        numbers = zip(self.source.tasks, each, tokens, strict=True)
        task_losses = {task: number(loss / count) for task, loss, count in numbers if count}
        norm = self.accelerator.clip_grad_norm_(self.trained.values(), self.recipe.max_grad_norm)
        return total / sum(tokens), float(norm), {"tasks": task_losses}

    def _parts(self, items: list[Any]) -> list[list[Any]]:
        """A step's clips, as they are computed one part after the other."""
        parts = np.array_split(np.arange(len(items)), self.recipe.gradient_accumulation_steps)
        return [items[part[0] : part[-1] + 1] for part in parts if len(part)]

    def _by_task(self, items: Sequence[Item], values: Tensor) -> Tensor:
        """A number for each clip (B,), summed for each task."""
        values = values.to(self.accelerator.device, torch.float32)
        places = [self.source.tasks.index(item.example.task) for item in items]
        sums = torch.zeros(len(self.source.tasks), device=values.device)
        return sums.index_add(0, torch.tensor(places, device=values.device), values)

    def transcribe(self, features: Features, prompts: Sequence[str]) -> list[str]:
        """The model's answers about validation clips."""
        answers = self.model.generate(features, prompts, max_new_tokens=MAX_NEW_TOKENS)
        return [answer.text for answer in answers]


def number(value: float) -> float | None:
    """None for what JSON cannot hold: infinity and not-a-number."""
    return value if math.isfinite(value) else None

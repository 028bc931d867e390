"""The connector's warm-up: CTC in the LLM's own vocabulary, by cosine. It is no part of the paper.

SALMONN's connector learns from the answers alone how the LLM's words look, which took 80,000 steps on 32 GPUs. Here
some 2,000 short steps put H where these words are. They need no pass through the LLM, and change the connector alone.

    logits = cos(H_m, E_v) / temperature        CTC        tokens of what is heard in the clip

E are the LLM's input embeddings of the tokens that occur in the targets, and of a blank. Afterwards every token keeps
the embeddings' mean norm (`token_scale` None), in training as in generation: the LLM cannot read what is far larger.
In a recipe:

    alignment: {steps: 2400, lr: 1.5e-3, batch_size: 32, temperature: 0.1}
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby, pairwise
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor
from torch.nn.functional import ctc_loss, normalize
from torch.nn.utils import clip_grad_norm_, parameters_to_vector
from torch.nn.utils.rnn import pad_sequence
from tqdm import tqdm

from salmonn_mini.data import ClipDataset
from salmonn_mini.data.clips import Example
from salmonn_mini.errors import SalmonnError
from salmonn_mini.models.connectors import SegmentQFormer
from salmonn_mini.models.features import Features
from salmonn_mini.models.salmonn import SalmonnModel
from salmonn_mini.models.splice import Prompt
from salmonn_mini.train.checkpointing import RunDirectory
from salmonn_mini.train.phase import Phase
from salmonn_mini.train.recipe import Recipe
from salmonn_mini.train.sources import Item, StreamingDataset


class AlignmentPhase(Phase):
    """The steps of a recipe's `alignment`.

    The mean loss is over the targets' tokens of the whole batch. A target that is longer than its clip's H, counting
    the blanks that CTC needs between equal tokens, is left out and counted.

    Raises:
        SalmonnError: a connector whose tokens do not follow time, or H that is not scaled to the embeddings' norm.
    """

    name = "alignment"

    def __init__(
        self, model: SalmonnModel, recipe: Recipe, accelerator: Accelerator, directory: RunDirectory
    ) -> None:
        config = model.config.connector
        if isinstance(model.connector, SegmentQFormer):
            rule = "alignment needs tokens that follow time: choose another connector, or leave alignment out"
            raise SalmonnError(f"config.connector.kind is {config.kind!r}, but {rule}")
        if config.token_scale is not None:
            rule = "alignment needs null, so that H has the norm of the embeddings: change it"
            raise SalmonnError(f"config.connector.token_scale is {config.token_scale}, but {rule}")
        super().__init__(model, recipe.of_alignment(), accelerator, directory)
        self.temperature, self.tasks = recipe.alignment.temperature, recipe.alignment.tasks
        self.blank = blank_token(model.prompt)
        self.title, self.rates = self.name, f"alignment.lr = {self.recipe.connector_lr}"

    @contextmanager
    def begun(
        self, clips: ClipDataset | StreamingDataset, optimizer_state: dict[str, Any] | None
    ) -> Iterator[None]:
        """As `Phase.begun`; at the end the targets that were left out are told.

        Raises SalmonnError if no clip has a target.
        """
        weight = self.model.base_llm.get_input_embeddings().weight
        self.vocabulary = self._vocabulary(clips, len(weight)).to(weight.device)
        self.embeddings = normalize(weight.detach()[self.vocabulary].float(), dim=-1)
        with super().begun(clips, optimizer_state):
            yield
        rows = self.directory.read_log() if self.accelerator.is_main_process else []
        if left_out := sum(row.get("left_out", 0) for row in rows):
            share = f"{left_out:,} of {self.recipe.steps * self.recipe.batch_size:,} targets"
            tqdm.write(f"alignment: {share} were longer than their clip's tokens, and left out", sys.stderr)

    def _vocabulary(self, clips: ClipDataset | StreamingDataset, size: int) -> Tensor:
        """(V,), in order: the tokens that occur in the targets, and the blank. Of a stream, nobody knows: all."""
        if isinstance(clips, StreamingDataset):
            return torch.arange(min(size, len(self.model.tokenizer)))
        occurring = {token for example in clips.examples for token in self._target(example)}
        if not occurring:
            rule = "none of the clips has a task among them: name theirs"
            raise SalmonnError(f"alignment.tasks is {', '.join(self.tasks)}, but {rule}")
        return torch.tensor(sorted(occurring | {self.blank}))

    def _target(self, example: Example) -> list[int]:
        """The tokens of all that is heard in a clip; none where its answer tells something else."""
        text = (example.description or example.answer) if example.task in self.tasks else ""
        return [token for token in self.model.prompt.ids(text) if token != self.blank]

    @contextmanager
    def _prepared(self, optimizer_state: dict[str, Any] | None) -> Iterator[None]:
        """Nothing to wrap or to shard: the connector is small, and its gradients are added up by hand."""
        if optimizer_state is not None:
            self.optimizer.load_state_dict(optimizer_state)
        yield

    def _backward(self, items: list[Item]) -> tuple[float, float, dict[str, Any]]:
        """The mean loss of the whole batch, the norm of its gradient before clipping, and the targets left out."""
        sums = torch.zeros(3, device=self.accelerator.device)
        pairs = [(item, self._target(item.example)) for item in items]
        for part in self._parts([(item, target) for item, target in pairs if target]):
            own, targets = zip(*part, strict=True)
            losses, sizes, fits = self.losses(self.source.features(own), targets)
            losses.sum().backward()
            sums += torch.stack([losses.detach().sum(), sizes[fits].sum(), (~fits).sum()])
        loss, tokens, left_out = self.accelerator.reduce(sums, "sum").tolist()
        parameters, tokens = list(self.trained.values()), max(1.0, tokens)
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        total = self.accelerator.reduce(parameters_to_vector(gradients), "sum") / tokens
        for p, gradient in zip(parameters, total.split([p.numel() for p in parameters]), strict=True):
            p.grad = gradient.view_as(p)
        norm = clip_grad_norm_(parameters, self.recipe.max_grad_norm)
        return loss / tokens, float(norm), {"left_out": int(left_out)}

    def losses(self, features: Features, targets: Sequence[list[int]]) -> tuple[Tensor, Tensor, Tensor]:
        """The CTC loss of each clip's token ids, in nats, their number, and whether they fit into H: each (B,).

        The loss of a target that does not fit is 0.
        """
        log_probs, lengths = self._log_probs(features.to(self.accelerator.device))
        sizes = torch.tensor([len(target) for target in targets], device=lengths.device)
        repeats = [sum(a == b for a, b in pairwise(target)) for target in targets]
        fits = sizes + torch.tensor(repeats, device=lengths.device) <= lengths
        ids = [torch.tensor(target, device=lengths.device) for target in targets]
        labels = torch.searchsorted(self.vocabulary, pad_sequence(ids, True, self.blank))
        settings = {"blank": int(torch.searchsorted(self.vocabulary, self.blank)), "reduction": "none"}
        aligned = log_probs.transpose(0, 1), labels, lengths, sizes
        return ctc_loss(*aligned, **settings, zero_infinity=True), sizes, fits

    def _log_probs(self, features: Features) -> tuple[Tensor, Tensor]:
        """log P of the vocabulary's tokens for each token of H, (B, M, V), and H's lengths (B,)."""
        with self.accelerator.autocast():
            H, lengths = self.model.get_audio_features(features)
        with torch.autocast(H.device.type, enabled=False):
            cosines = normalize(H.float(), dim=-1) @ self.embeddings.T
        return (cosines / self.temperature).log_softmax(-1), lengths

    def transcribe(self, features: Features, prompts: Sequence[str]) -> list[str]:
        """What H says by itself, greedily: of each run of one token the first, without blanks."""
        log_probs, lengths = self._log_probs(features)
        best = self.vocabulary[log_probs.argmax(-1)].tolist()
        rows = [row[:length] for row, length in zip(best, lengths.tolist(), strict=True)]
        runs = [[token for token, _ in groupby(row) if token != self.blank] for row in rows]
        return [self.model.prompt.text(ids) for ids in runs]


def blank_token(prompt: Prompt) -> int:
    """CTC's blank among an LLM's tokens: the unknown one, which no text has.

    Tokenizers of bytes know no unknown token, and have an end symbol in its place. There it is the token of a space,
    which means nothing by itself; without that one too, the symbol that closes answers.
    """
    unknown, space = prompt.tokenizer.unk_token, prompt.ids(" ")
    if unknown and "unk" in unknown.lower():
        return int(prompt.tokenizer.unk_token_id)
    return space[0] if len(space) == 1 else int(prompt.eos_token_id)

"""Why an instruction-tuned SALMONN answers with a transcript whatever it is asked (paper, section 3.2).

    P(Y | X, I) = P(Y | X) · P(I | Y, X) / P(I | X)

With a finite set of instructions and a prior over them every term follows from one table of scores,
log P(Y_a | X, I_i). The prior is taken as uniform and independent of X, P(I | X) = P(I) = 1 / n: an assumption.
In the training mixture the instruction depends on the kind of sound.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from salmonn_mini.errors import SalmonnError
from salmonn_mini.models.features import Features
from salmonn_mini.models.salmonn import SalmonnModel

BATCH_SIZE = 64  # pairs of instruction and answer in one forward pass


@dataclass(frozen=True)
class BayesTable:
    """One clip's answers against instructions; logarithms in nats.

    Attributes:
        log_likelihood: (A, n), log P(Y_a | X, I_i), with the end symbol.
        log_bare: (A,), log P(Y_a | X) as the model itself gives it under the empty instruction.
        tokens: (A,), the tokens of each answer with its end symbol.
    """

    instructions: tuple[str, ...]
    answers: tuple[str, ...]
    log_likelihood: Tensor
    log_bare: Tensor
    tokens: Tensor

    @property
    def log_prior(self) -> Tensor:
        """(A,), log P(Y_a | X) = log Σ_i P(I_i) P(Y_a | X, I_i) over the table's instructions."""
        return self.log_likelihood.logsumexp(1) - torch.tensor(len(self.instructions)).log()

    @property
    def log_posterior(self) -> Tensor:
        """(A, n), log P(I_i | Y_a, X) = log P(I_i) + log P(Y_a | X, I_i) - log P(Y_a | X)."""
        return self.log_likelihood - self.log_likelihood.logsumexp(1, keepdim=True)

    @property
    def perplexity(self) -> Tensor:
        """(A, n), exp(-log P(Y_a | X, I_i) / tokens): what a token costs."""
        return (-self.log_likelihood / self.tokens[:, None]).exp()

    @property
    def bare_perplexity(self) -> Tensor:
        """(A,), the same without an instruction."""
        return (-self.log_bare / self.tokens).exp()

    def losing_term(self, wanted: int, rival: int, instruction: int) -> dict[str, float]:
        """Why `rival` beats `wanted` under an instruction: the two log-ratios that add up to the whole.

        Each is log of (wanted over rival): `prior` of P(Y | X), `posterior` of P(I | Y, X), `total` of
        P(Y | X, I). Below zero the term speaks for the rival.
        """
        prior = self.log_prior[wanted] - self.log_prior[rival]
        posterior = self.log_posterior[wanted, instruction] - self.log_posterior[rival, instruction]
        return {"prior": float(prior), "posterior": float(posterior), "total": float(prior + posterior)}


def bayes_table(
    model: SalmonnModel, clip: Features, instructions: Sequence[str], answers: Sequence[str]
) -> BayesTable:
    """Score every answer under every instruction, and under none, for one clip.

    Raises:
        SalmonnError: more than one clip, or nothing to score.
    """
    if len(clip) != 1 or not instructions or not answers:
        raise SalmonnError(
            f"{len(clip)} clips, {len(instructions)} instructions, {len(answers)} answers: a table is made of one "
            f"clip and at least one of each; call it once a clip"
        )
    asked = (*instructions, "")
    pairs = [(instruction, answer) for answer in answers for instruction in asked]
    scores = []
    for start in range(0, len(pairs), BATCH_SIZE):
        some = pairs[start : start + BATCH_SIZE]
        features = Features.stack([clip] * len(some))
        scores.append(model.log_prob(features, [i for i, _ in some], [y for _, y in some]).cpu())
    table = torch.cat(scores).unflatten(0, (len(answers), len(asked)))
    tokens = torch.tensor([len(model.prompt.answer(answer)) for answer in answers])
    return BayesTable(tuple(instructions), tuple(answers), table[:, :-1], table[:, -1], tokens)

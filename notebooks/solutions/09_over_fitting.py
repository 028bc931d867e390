"""Chapter 9, over-fitting: the answers. Try first; a hint teaches more than an answer.

From the root of the project: python notebooks/solutions/09_over_fitting.py
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from salmonn_mini.course.exercises import check


# Exercise 9.1: Bayes' rule from counts (●○○, 8 minutes)
def terms(counts: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    likelihood = counts / counts.sum(0)  # P(Y | I): within a column
    prior = counts.sum(1) / counts.sum()  # P(Y): a row's share of all
    posterior = counts / counts.sum(1, keepdim=True)  # P(I | Y): within a row
    return likelihood, prior, posterior


check("9.1", terms)


# Exercise 9.2: what a token costs (●○○, 5 minutes)
def perplexity(log_probs: list[float]) -> float:
    return math.exp(-sum(log_probs) / len(log_probs))


check("9.2", perplexity)


# Exercise 9.3: every answer there is (●●●, 15 minutes)
def every_answer(next_probs: Callable, end: str, longest: int) -> dict[tuple, float]:
    answers, begun = {}, {(): 1.0}
    for _ in range(longest):
        longer = {(*y, t): p * q for y, p in begun.items() for t, q in next_probs(y).items()}
        answers |= {y: p for y, p in longer.items() if y[-1] == end}
        begun = {y: p for y, p in longer.items() if y[-1] != end}
    return answers | begun  # ended, and still open


check("9.3", every_answer)


# Exercise 9.4: the same in logarithms (●●○, 12 minutes)
def log_terms(log_likelihood: Tensor) -> tuple[Tensor, Tensor]:
    log_total = torch.logsumexp(log_likelihood, dim=1)  # log Σ P(Y | I)
    log_prior = log_total - math.log(log_likelihood.shape[1])  # each with weight 1 / n
    return log_prior, log_likelihood - log_total[:, None]  # the weights cancel in P(I | Y)


check("9.4", log_terms)


# Exercise 9.5: which term loses (●●○, 12 minutes)
def weigh(log_likelihood: Tensor, wanted: int, rival: int, instruction: int) -> tuple[float, float]:
    log_prior, log_posterior = log_terms(log_likelihood)
    prior = log_prior[wanted] - log_prior[rival]
    posterior = log_posterior[wanted, instruction] - log_posterior[rival, instruction]
    return float(prior), float(posterior)


check("9.5", weigh)

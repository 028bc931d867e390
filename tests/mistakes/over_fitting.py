"""Wrong answers to the exercises of chapter 9, each with a piece of the hint that is meant for it."""

import itertools
import math

import torch


def likelihood(counts):
    return counts / counts.sum(0)


def prior(counts):
    return counts.sum(1) / counts.sum()


def posterior(counts):
    return counts / counts.sum(1, keepdim=True)


def swapped(counts):
    return posterior(counts), prior(counts), likelihood(counts)


def joint(counts):
    return counts / counts.sum(), prior(counts), posterior(counts)


def joint_for_posterior(counts):
    return likelihood(counts), prior(counts), counts / counts.sum()


def share_of_instructions(counts):
    return likelihood(counts), counts.sum(0) / counts.sum(), posterior(counts)


def uniform(counts):
    return likelihood(counts), likelihood(counts).mean(1), posterior(counts)


def unweighted(counts):
    return likelihood(counts), likelihood(counts).sum(1), posterior(counts)


def rows_of_likelihood(counts):
    table = likelihood(counts)
    return table, prior(counts), table / table.sum(1, keepdim=True)


def grown(next_probs, longest, end, product=lambda begun, p, q: p * q, stop=True):
    """Ended answers and open ones; `product` joins a beginning's number with the next token's."""
    answers, begun, passed = {}, {(): 1.0}, {}
    for _ in range(longest):
        longer = {(*y, t): product(y, p, q) for y, p in begun.items() for t, q in next_probs(y).items()}
        answers |= {y: p for y, p in longer.items() if y[-1] == end}
        begun = {y: p for y, p in longer.items() if not stop or y[-1] != end}
        passed |= begun
    return answers, begun, passed


def ended_alone(next_probs, end, longest):
    return grown(next_probs, longest, end)[0]


def with_beginnings(next_probs, end, longest):
    answers, _, passed = grown(next_probs, longest, end)
    return answers | passed


def beyond_the_end(next_probs, end, longest):
    answers, begun, _ = grown(next_probs, longest, end, stop=False)
    return answers | begun


def longest_alone(next_probs, end, longest):
    return grown(next_probs, longest, end)[1]


def one_longer(next_probs, end, longest):
    answers, begun, _ = grown(next_probs, longest + 1, end)
    return answers | begun


def without_memory(next_probs, end, longest):
    answers, begun, _ = grown(lambda y: next_probs(()), longest, end)
    return answers | begun


def last_token(next_probs, end, longest):
    answers, begun, _ = grown(next_probs, longest, end, lambda y, p, q: q)
    return answers | begun


def logarithms(next_probs, end, longest):
    answers, begun, _ = grown(next_probs, longest, end)
    return {y: math.log(p) for y, p in (answers | begun).items()}


def all_strings(next_probs, end, longest):
    return dict.fromkeys(itertools.product(next_probs(()), repeat=longest), 0.1)


def through_exp(logs):
    p = logs.float().exp()
    return p.mean(1).log(), (p / p.sum(1, keepdim=True)).log()


def log_prior(logs):
    return logs.logsumexp(1) - math.log(logs.shape[1])


def log_terms(prior=log_prior, posterior=lambda logs: logs.log_softmax(1)):
    return lambda logs: (prior(logs), posterior(logs))


def ratios(prior=log_prior, posterior=lambda logs: logs.log_softmax(1), shift=0):
    def weigh(logs, wanted, rival, instruction):
        p, q = prior(logs), posterior(logs)[:, (instruction + shift) % logs.shape[1]]
        return float(p[wanted] - p[rival]), float(q[wanted] - q[rival])

    return weigh


def reordered(change):
    return lambda logs, wanted, rival, i: change(*ratios()(logs, wanted, rival, i))


MISTAKES = {
    "9.1": [
        (swapped, "Swapped"),
        (joint, "P(Y | I) is still"),
        (joint_for_posterior, "P(I | Y) is still"),
        (share_of_instructions, "That is P(I)"),
        (uniform, "each column weighs with P(I)"),
        (unweighted, "without their weights"),
        (rows_of_likelihood, "P(I | Y): got"),
        (prior, "three tensors come back"),
    ],
    "9.2": [
        (lambda logs: math.exp(sum(logs) / len(logs)), "the minus sign is missing"),
        (lambda logs: math.exp(-sum(logs)), "the whole answer"),
        (
            lambda logs: sum(math.exp(-x) for x in logs) / len(logs),
            "tokens' own perplexities",
        ),
        (lambda logs: len(logs) / sum(math.exp(x) for x in logs), "A mean of probabilities"),
        (lambda logs: 2 ** (-sum(logs) / len(logs)), "to base e"),
        (lambda logs: -sum(logs) / len(logs), "the loss a token"),
        (lambda logs: math.exp(-sum(logs) / (len(logs) - 1)), "Divided by 3"),
    ],
    "9.3": [
        (ended_alone, "no end yet"),
        (with_beginnings, "they count twice"),
        (beyond_the_end, "goes on after its end"),
        (longest_alone, "The end may come earlier"),
        (one_longer, "more than 3 tokens"),
        (without_memory, "ask next_probs anew"),
        (last_token, "the last token alone"),
        (logarithms, "their logarithms do not"),
        (all_strings, "goes on after its end"),
        (lambda next_probs, end, longest: list(grown(next_probs, longest, end)[0]), "must be a dictionary"),
    ],
    "9.4": [
        (through_exp, "exp(-900) is 0"),
        (log_terms(lambda logs: logs.logsumexp(1)), "without their weight"),
        (log_terms(lambda logs: logs.mean(1)), "no logarithm of a mean"),
        (log_terms(lambda logs: logs.logsumexp(0) - math.log(3)), "Summed over the answers"),
        (log_terms(lambda logs: logs.sum(1)), "that multiplies"),
        (log_terms(posterior=lambda logs: logs.log_softmax(0)), "Each column adds up to 1"),
        (log_terms(posterior=lambda logs: logs.softmax(1)), "P(I | Y) itself"),
        (log_terms(posterior=lambda logs: logs - log_prior(logs)[:, None]), "take off log 3 once more"),
        (log_terms(posterior=lambda logs: -logs.log_softmax(1)), "The wrong way round"),
        (log_prior, "two tensors come back"),
    ],
    "9.5": [
        (reordered(lambda p, q: (-p, -q)), "The other way round"),
        (reordered(lambda p, q: (q, p)), "In the other order"),
        (reordered(lambda p, q: (p, p + q)), "both terms in one"),
        (reordered(lambda p, q: (math.exp(p), math.exp(q))), "not its logarithm"),
        (ratios(prior=lambda logs: logs.mean(1)), "The logarithms were averaged"),
        (ratios(posterior=lambda logs: logs.log_softmax(0)), "not over the answers"),
        (ratios(shift=1), "of another instruction"),
        (lambda logs, wanted, rival, i: torch.tensor(1.0), "two numbers come back"),
    ],
}

"""Chapter 9, over-fitting: exercises and quiz."""

from __future__ import annotations

import itertools
import math
import numbers
from collections.abc import Sequence

import torch
from torch import Tensor

from salmonn_mini.course.exercises.exercise import Hint, Student, exercise, expect, hint, same
from salmonn_mini.course.exercises.quiz import enter


@exercise("9.1", "Bayes' rule from counts", level=1, minutes=8)
def terms(terms: Student) -> None:
    """three tensors: P(Y | I), of the shape of `counts` (answers, instructions); P(Y), a number for each
    answer; P(I | Y), again (answers, instructions)
    """
    counts = torch.tensor([[30.0, 10.0], [0.0, 40.0], [10.0, 10.0]])  # 40 of one instruction, 60 of the other
    whole = counts.sum()
    right = counts / counts.sum(0), counts.sum(1) / whole, counts / counts.sum(1, keepdim=True)
    given = terms(counts.clone())
    expect(isinstance(given, list | tuple) and len(given) == 3, True, "That three tensors come back")
    likelihood, prior, posterior = given
    hint(
        same(likelihood, right[2]) and same(posterior, right[0]),
        "Swapped: P(Y | I) looks at one instruction, so each *column* adds up to 1. P(I | Y) looks at "
        "one answer: rows.",
    )
    for found, name in ((likelihood, "P(Y | I)"), (posterior, "P(I | Y)")):
        hint(
            same(found, counts / whole),
            f"{name} is still P(Y and I), out of all 100. Count only those for which the condition holds.",
        )
    hint(
        same(prior, counts.sum(0) / whole),
        "That is P(I), the share of each instruction. P(Y) is the share of each answer: add up its row.",
    )
    hint(
        same(prior, right[0].mean(1)),
        "The mean of the columns of P(Y | I) counts both instructions alike. Here one was given 40 times and the "
        "other 60 times: each column weighs with P(I).",
    )
    hint(same(prior, right[0].sum(1)), "The columns of P(Y | I) were added without their weights P(I).")
    expect(likelihood, right[0], "P(Y | I)")
    expect(prior, right[1], "P(Y)")
    expect(posterior, right[2], "P(I | Y)")


@exercise("9.2", "what a token costs", level=1, minutes=5)
def perplexity(perplexity: Student) -> None:
    """the perplexity of an answer: exp of minus the mean of its tokens' log-probabilities (natural logarithms)"""
    chances = [0.5, 0.125, 1.0, 0.25]  # of product 1/64, so 64 ** (1/4)
    logs = [math.log(p) for p in chances]
    given = perplexity(list(logs))
    wanted = 64**0.25
    hint(same(given, 1 / wanted), "Below 1: the minus sign is missing. A token can cost no less than 1.")
    hint(
        same(given, 64),
        "That is the price of the whole answer, 1 / P. Take the mean over its tokens, then exp.",
    )
    hint(
        same(given, sum(1 / p for p in chances) / 4),
        "A mean of the tokens' own perplexities: unlikely ones count too much. Average the logarithms first.",
    )
    hint(same(given, 1 / (sum(chances) / 4)), "A mean of probabilities. Take the mean of the logarithms.")
    hint(
        same(given, 2 ** (math.log(64) / 4)),
        "2 to the power of a natural logarithm. These are logarithms to base e: exp undoes them.",
    )
    hint(same(given, math.log(64) / 4), "That is the loss a token, in nats. Its exp is the perplexity.")
    hint(
        same(given, 64 ** (1 / 3)),
        "Divided by 3: the end symbol is a token of the answer, too. All 4 numbers count.",
    )
    expect(given, wanted, "Four tokens of probability 0.5, 0.125, 1 and 0.25")
    expect(perplexity([0.0, 0.0]), 1.0, "Two tokens that were certain")


@exercise("9.3", "every answer there is", level=3, minutes=15)
def every_answer(every_answer: Student) -> None:
    """a dictionary: for each answer, a tuple of tokens, its probability. Answers end with `end`; those that
    have `longest` tokens and no end yet stand in it too, for all that would follow
    """
    end, longest = ".", 3

    def next_probs(begun: Sequence[str]) -> dict[str, float]:
        """Of each token, after what has been written; after two a's an end is likely."""
        done = 0.2 + 0.3 * list(begun).count("a")
        return {"a": 0.75 * (1 - done), "b": 0.25 * (1 - done), ".": done}

    def probability(answer: Sequence[str]) -> float:
        return math.prod(next_probs(answer[:i])[token] for i, token in enumerate(answer))

    ended = [(*y, end) for n in range(longest) for y in itertools.product("ab", repeat=n)]
    still_open = list(itertools.product("ab", repeat=longest))
    given = every_answer(next_probs, end, longest)
    if not isinstance(given, dict) or not all(isinstance(p, numbers.Real) for p in given.values()):
        raise Hint("It must be a dictionary from tuples of tokens to probabilities.")
    found, total = set(given), sum(given.values())
    hint(
        any(y[i] == end for y in found if isinstance(y, tuple) for i in range(len(y) - 1)),
        "An answer goes on after its end. Nothing follows the end symbol.",
    )
    hint(
        found == set(ended),
        f"These add up to {total:.3f}. The rest is with those that have {longest} tokens and no end yet: they count "
        "too, for all the longer answers that begin with them.",
    )
    hint(
        bool(found & {y for n in range(longest) for y in itertools.product("ab", repeat=n)}),
        "A beginning such as ('a',) stands next to the answers that begin with it, so they count twice. "
        "Only what has ended is an answer, and what is cut off at the greatest length.",
    )
    hint(
        found == set(still_open),
        "Only answers of the greatest length are there. The end may come earlier: ('a', '.') is an answer.",
    )
    hint(
        any(y[-1:] != (end,) and len(y) > longest for y in found if isinstance(y, tuple)),
        f"There are answers of more than {longest} tokens.",
    )
    expect(
        sorted(found) == sorted({*ended, *still_open}),
        True,
        "That each of the 15 answers is there, and no other",
    )
    first = next_probs(())
    hint(
        all(same(p, math.prod(first[token] for token in y)) for y, p in given.items()),
        "Each token was given the probability that it has at the beginning. It depends on what has been written: "
        "ask next_probs anew.",
    )
    hint(
        all(same(p, math.log(probability(y))) for y, p in given.items()),
        "These are logarithms. Probabilities add up to 1; their logarithms do not.",
    )
    hint(
        all(same(p, next_probs(y[:-1])[y[-1]]) for y, p in given.items()),
        "That is the probability of the last token alone. An answer's is the product over all of its tokens.",
    )
    for y in (*ended, *still_open):
        expect(given[y], probability(y), f"P{y}")


LOGS = torch.tensor([[-10.0, -12.0, -11.0], [-900.0, -903.0, -901.0], [-40.0, -20.0, -15.0]]).double()


@exercise("9.4", "the same in logarithms", level=2, minutes=12)
def log_terms(log_terms: Student) -> None:
    """two tensors: log P(Y), a number for each answer, and log P(I | Y), (answers, instructions), if all
    instructions are equally likely
    """
    given = log_terms(LOGS.clone())
    expect(isinstance(given, list | tuple) and len(given) == 2, True, "That two tensors come back")
    prior, posterior = given
    total = LOGS.logsumexp(1)
    right = total - math.log(3), LOGS - total[:, None]
    for found in given:
        hint(
            isinstance(found, Tensor) and not torch.isfinite(found).all(),
            "An answer got -inf or nan: exp(-900) is 0 in a computer, and log 0 is -inf. torch.logsumexp takes the "
            "largest one out first.",
        )
    hint(
        same(prior, total),
        "That is log Σ P(Y | I): the instructions were added without their weight. Each has P(I) = 1/3: "
        "take off log 3.",
    )
    hint(
        same(prior, LOGS.mean(1)),
        "A mean of logarithms is no logarithm of a mean. P(Y) is the mean of the *probabilities*.",
    )
    hint(
        same(prior, LOGS.logsumexp(0) - math.log(3)) or same(prior, LOGS.logsumexp(0)),
        "Summed over the answers. P(Y) of one answer is a sum over the instructions: over its row.",
    )
    hint(
        same(prior, LOGS.sum(1)),
        "The logarithms were added: that multiplies the probabilities. They are to be averaged.",
    )
    expect(prior, right[0], "log P(Y)")
    hint(
        same(posterior, LOGS.log_softmax(0)),
        "Each column adds up to 1, over the answers. P(I | Y) asks which instruction it was, so each row "
        "adds up to 1.",
    )
    hint(same(posterior, right[1].exp()), "That is P(I | Y) itself. Its logarithm is wanted.")
    hint(
        same(posterior, LOGS - right[0][:, None]),
        "P(Y | I) / P(Y) is there, but not P(I): take off log 3 once more, and each row adds up to 1.",
    )
    hint(same(posterior, -right[1]), "The wrong way round: the logarithm of a probability is never above 0.")
    expect(posterior, right[1], "log P(I | Y)")


@exercise("9.5", "which term loses", level=2, minutes=12)
def weigh(weigh: Student) -> None:
    """two numbers: log of P(Y) of the wanted answer over that of its rival, and the same for P(I | Y), where I
    is the instruction that was given. They add up to the log-ratio of P(Y | I)
    """
    wanted, rival, asked = 2, 0, 1
    given = weigh(LOGS.clone(), wanted, rival, asked)
    expect(isinstance(given, list | tuple) and len(given) == 2, True, "That two numbers come back")
    prior, posterior = (float(value) for value in given)
    log_prior = LOGS.logsumexp(1) - math.log(3)
    log_posterior = LOGS.log_softmax(1)
    right = _ratio(log_prior, wanted, rival), _ratio(log_posterior[:, asked], wanted, rival)
    hint(
        same(prior, -right[0]) and same(posterior, -right[1]),
        "The other way round: the wanted answer stands above the line, so that below zero speaks for the rival.",
    )
    hint(
        same(prior, right[1]) and same(posterior, right[0]), "In the other order: first P(Y), then P(I | Y)."
    )
    hint(
        same(prior, right[0] + right[1]) or same(posterior, right[0] + right[1]),
        "That is the log-ratio of P(Y | I), both terms in one. P(I | Y) adds up to 1 over the instructions, not over "
        "the answers.",
    )
    hint(
        same(prior, math.exp(right[0])) or same(posterior, math.exp(right[1])),
        "A ratio, but not its logarithm. Logarithms can be added up.",
    )
    hint(
        same(prior, _ratio(LOGS.mean(1), wanted, rival)),
        "The logarithms were averaged. P(Y) is the mean of the probabilities: logsumexp.",
    )
    expect(prior, right[0], "The log-ratio of P(Y)")
    hint(
        any(same(posterior, _ratio(log_posterior[:, i], wanted, rival)) for i in (0, 2)),
        f"That is the P(I | Y) of another instruction. Asked was number {asked}.",
    )
    expect(posterior, right[1], "The log-ratio of P(I | Y)")
    other = weigh(LOGS.clone(), 0, 2, 0)
    expect(float(other[0]), _ratio(log_prior, 0, 2), "The log-ratio of P(Y), with other numbers")
    expect(
        float(other[1]), _ratio(log_posterior[:, 0], 0, 2), "The log-ratio of P(I | Y), with other numbers"
    )


def _ratio(logs: Tensor, wanted: int, rival: int) -> float:
    return float(logs[wanted] - logs[rival])


enter(
    9,
    """
A model transcribes where it is asked for a story. What is task over-fitting?
- It knows its training clips by heart.
  That would be over-fitting to data. New clips are transcribed as well as old ones.
+ It holds on to the kinds of answer that it was trained on, whatever it is asked.
  New clips are fine; new *instructions* are not.
- It has forgotten how to write stories.
  Given the words as text, or with a smaller LoRA scale, it writes them.

P(Y | X, I) = P(Y | X) · P(I | Y, X) / P(I | X). Which term is the same for all answers?
- P(Y | X)
  It is the term that transcripts are ahead in.
- P(I | Y, X)
  It asks how well the answer goes with the instruction: each answer has its own.
+ P(I | X)
  No Y stands in it. It makes the numbers add up, and never decides which answer is ahead.

A story of 45 tokens has log P = -40, a transcript of 8 tokens -12. What follows?
- The model prefers the transcript at every place.
  A token costs 0.9 nats in the story, and 1.5 in the transcript. The story has more of them.
+ By itself, little: the story is long, and there are many other stories.
  Each single long answer is improbable, even if it is certain that a long answer comes.
- The numbers must be wrong, for they do not add up to 1.
  All answers together do, and there are more of them than these two.

There are 6 instructions, all equally likely. By which factor can the instruction lift an answer above its P(Y |
X), at most?
- without limit
  P(I | Y, X) is a probability: at most 1. Divided by P(I) = 1/6 that is 6.
+ 6
  P(I | Y, X) / P(I) is 6 if the answer gives the instruction away. It can push an answer *down* without limit.
- 1
  At P(I | Y, X) = 1/6 the answer says nothing about the instruction. It may say more.

P(Y | X) was computed in two ways: as a mean over the instructions, and with no instruction at all. Why may they
differ?
- Because of rounding.
  In float32 the two would agree to some digits. They are two different questions.
- Because one of the two is Bayes' rule and the other is not.
  Both are estimates of P(Y | X). Bayes' rule holds with the first exactly, as it is made from it.
+ The mean assumes which instructions come, and how often; an empty one is an input of its own.
  Neither is *the* P(Y | X). Where both tell the same, the finding rests on neither assumption.
""",
)

"""Chapter 11, evaluation: exercises and quiz."""

from __future__ import annotations

import math
import numbers
from typing import Any

import numpy as np

from salmonn_mini.course.exercises.exercise import Student, exercise, expect, hint, same
from salmonn_mini.course.exercises.quiz import enter

NEAR = 0.08  # an end of a bootstrap interval may be off by so many standard errors: it is drawn by chance


@exercise("11.1", "the rate of a set", level=1, minutes=5)
def rate(rate: Student) -> None:
    """the error rate of all clips together, a fraction, from a list of (errors, words of the reference), one
    pair a clip; 0 if there is no word at all
    """
    counts = [(1, 2), (0, 8), (3, 1)]
    given = rate(counts)
    hint(
        same(given, (1 / 2 + 0 / 8 + 3 / 1) / 3),
        "The mean of the clips' rates: the clip of one word counts as much as that of eight. "
        "Add up all errors and all words first, then divide once.",
    )
    hint(
        same(given, (1 / 2 + 0 / 8 + 1) / 3) or same(given, 2 / 11),
        "A clip's errors were cut off at its words. Three errors in a clip of one word are three: "
        "insertions have no upper limit.",
    )
    hint(
        same(given, 2 / 3),
        "The share of clips with an error. Wanted is the share of words: 4 errors, 11 words.",
    )
    hint(same(given, 1 - 4 / 11), "The share of right words. Wanted is that of the errors.")
    hint(same(given, 4 / 3), "Divided by the number of clips. The rate is errors for each *word*.")
    expect(given, 4 / 11, "4 errors in 11 words")
    expect(
        rate([(2, 0), (1, 4)]), 3 / 4, "A clip of silence, for which two words were written, and another one"
    )
    expect(rate([(2, 0)]), 0.0, "A set without any word")


@exercise("11.2", "n-grams that count", level=2, minutes=12)
def matches(matches: Student) -> None:
    """two whole numbers: how many n-grams of the answer are right, each at most as often as the reference has
    it, and how many n-grams the answer has in all
    """
    reference = ["the", "cat", "sees", "the", "dog"]

    def given(answer: str, n: int) -> tuple[int, int]:
        found = matches(list(reference), answer.split(), n)
        two = isinstance(found, tuple | list) and len(found) == 2
        expect(
            two and all(isinstance(one, numbers.Integral) for one in found), True, "That it gives two numbers"
        )
        return tuple(map(int, found))

    thrice = given("the the the cat", 1)
    hint(
        thrice == (4, 4),
        "`the the the cat` got 4 of 4: the third `the` counts, though the reference has only two. "
        "Cut each n-gram's count down to the reference's.",
    )
    hint(
        thrice == (2, 2),
        "Each different word counted once. An n-gram counts as often as the answer has it, "
        "as long as the reference has it as often.",
    )
    hint(
        thrice == (3, 5),
        "Divided by the reference's words: that is recall. BLEU asks how much of the *answer* is right: 3 of 4.",
    )
    hint(
        thrice == (1, 4),
        "Compared place by place. An n-gram is right wherever it stands: only which ones and how many counts.",
    )
    expect(thrice, (3, 4), "Single words of `the the the cat`, (right, all)")
    pairs = given("the cat sees a dog", 2)
    hint(
        pairs == (4, 5), "Pairs were asked for, n = 2, and single words were counted: take n words at a time."
    )
    hint(
        pairs == (2, 5),
        "There are 4 pairs in 5 words, not 5: the last one begins at the last but one. "
        "A text has len - n + 1 n-grams.",
    )
    expect(pairs, (2, 4), "Pairs of `the cat sees a dog`, (right, all)")
    short = given("the cat", 4)
    hint(short[1] < 0, "An answer of two words has no n-grams of four: 0, not a number below it.")
    expect(short, (0, 0), "An answer of two words has no n-grams of four, (right, all)")
    expect(given("the cat sees the dog", 3), (3, 3), "The reference itself, threes")


@exercise("11.3", "did it only transcribe?", level=1, minutes=8)
def follows(follows: Student) -> None:
    """True if the answer follows by the paper's rule: its word error rate against the words spoken is 30 % or
    more; and False for an answer without a word
    """
    spoken = "one two three four five six seven eight nine ten"
    short = "where do they cook soup"

    def given(answer: str, words: str) -> bool:
        found = follows(answer, words)
        expect(isinstance(found, bool | np.bool_), True, "That it gives True or False")
        return bool(found)

    reply, echo = given("the answer is the kitchen .", short), given(short, short)
    hint(
        not reply and echo,
        "The wrong way round: a transcript follows and an answer does not. "
        "A low error rate against the words spoken means that it only transcribed.",
    )
    expect((reply, echo), (True, False), "A real answer, and a transcript")
    expect(given("Where do they cook soup?", short), False, "A transcript with a capital and a question mark")
    hint(
        given(spoken.replace("two", "to"), spoken),
        "A transcript with one word wrong follows. It did speech recognition all the same: "
        "ask whether the error rate is under 30 %, not whether the texts are equal.",
    )
    three_missing = "one two three four five six seven"
    hint(
        not given(three_missing, spoken),
        "3 errors in 10 words are 30 %, and the rule says *under* 30 % is a transcript: this one follows.",
    )
    hint(
        not given(f"{short} today please", short),
        "Two words too many for five spoken: a word error rate of 2/5. Divide by the words *spoken*, "
        "not by the answer's: they are the reference.",
    )
    hint(given("", short) or given(" . ", short), "An answer without a word has followed nothing.")


@exercise("11.4", "an interval", level=2, minutes=15)
def interval(interval: Student) -> None:
    """the lower and upper end of the 95 % bootstrap interval of the mean: draw the scores again from
    themselves, as many as there are, `resamples` times; the same seed gives the same interval
    """
    rng = np.random.default_rng(0)
    scores = rng.gamma(2.0, 0.2, size=60)  # a score a clip, more small ones than large ones
    error = scores.std() / math.sqrt(len(scores))  # the standard error of the mean

    def given(seed: int) -> tuple[float, float]:
        return _ends(interval(scores.tolist(), 8000, seed))

    (low, high), again, other = given(1), given(1), given(2)
    hint(
        (low, high) != again,
        "The same seed gave another interval: draw from `np.random.default_rng(seed)`, and from nothing else.",
    )
    half = (high - low) / 2 / error  # 1.96 where it is right
    hint(
        half < 0.1,
        "The interval has hardly any width. Who draws *without* putting back gets the whole set again, "
        "each time: draw with replacement.",
    )
    lowest, highest = np.percentile(scores, [2.5, 97.5])
    hint(
        same(low, float(lowest)) and same(high, float(highest)),
        "These are percentiles of the clips' scores. Wanted are those of the *mean*: draw a set, take its mean, "
        "and again.",
    )
    hint(
        (low, high) == other,
        "Two seeds give the same interval, to the last digit: nothing was drawn. A formula would do for a mean, "
        "but not for WER, BLEU or a difference.",
    )
    hint(
        abs(half - 1.645) < NEAR,
        "This is a 90 % interval: 5 % are left out on each side. 95 % lie between the percentiles 2.5 and 97.5.",
    )
    hint(
        abs(half - 1.0) < NEAR,
        "This is the mean plus and minus one standard error, which holds 68 % of the means. "
        "Take the percentiles 2.5 and 97.5.",
    )
    hint(
        half > 3.0,
        "From the smallest mean to the largest: with more resamples it only grows. Take percentiles.",
    )
    hint(
        half > 2.5,
        "The interval is too wide: draw as many scores as there are. A smaller set has wider intervals.",
    )
    _near(low, high, scores.mean() - 1.9 * error, scores.mean() + 2.02 * error, error)


@exercise("11.5", "the same clips", level=3, minutes=12)
def difference(difference: Student) -> None:
    """the lower and upper end of the 95 % interval of mean(after) - mean(before), by the paired bootstrap: in
    each round both models get the same clips. after[i] and before[i] are scores of clip i
    """
    rng = np.random.default_rng(3)
    before = rng.gamma(2.0, 0.2, size=80)
    after = before + 0.05 + rng.normal(0.0, 0.06, size=80)  # nearly the same on each clip
    low, high = _ends(difference(before.tolist(), after.tolist(), 8000, 1))
    gained = after - before
    error = gained.std() / math.sqrt(len(gained))
    apart = math.sqrt(
        (before.var() + after.var()) / len(before)
    )  # of two means that know nothing of each other
    half = (high - low) / 2
    hint(
        abs((low + high) / 2 + gained.mean()) < error,
        "The sign is turned: the gain is after minus before.",
    )
    hint(
        abs(half / apart - 1.96) < 0.2,
        "Each model got clips of its own. So the difference also holds that one draw was easier than the other, "
        "and the interval is several times too wide. Draw once a round, for both.",
    )
    hint(
        half > 2.2 * apart,
        "From two intervals, the worst end of one against the best of the other. That is far too wide: "
        "in each round draw once, take the difference of the two means, and at the end its percentiles.",
    )
    hint(
        half < 1.2 * error,
        "Lower end minus lower end, upper minus upper: their common luck is gone, and with it what the clips say. "
        "Take the difference in each round, and at the end its percentiles.",
    )
    _near(low, high, gained.mean() - 1.96 * error, gained.mean() + 1.96 * error, error)


def _ends(given: Any) -> tuple[float, float]:
    two = isinstance(given, tuple | list | np.ndarray) and len(given) == 2
    expect(two and all(isinstance(one, numbers.Real) for one in given), True, "That it gives two numbers")
    low, high = map(float, given)
    hint(low > high, "The lower end is above the upper end.")
    return low, high


def _near(low: float, high: float, wanted_low: float, wanted_high: float, error: float) -> None:
    """Both ends may be off by as much as two rounds of drawing differ."""
    near = abs(low - wanted_low) < 2 * NEAR * error and abs(high - wanted_high) < 2 * NEAR * error
    hint(
        not near,
        f"The interval: got {low:.3f} to {high:.3f}, but it must be near {wanted_low:.3f} to {wanted_high:.3f}.",
    )


enter(
    11,
    """
A model transcribes silence as three words. What is the word error rate of this clip alone?
- 300 %
  Three errors, but of how many words? The reference has none.
+ It has none; but its three errors count in the set.
  A rate needs words to divide by. In a set, errors and words are added up first, and the three invented words
  raise the sum as any others do.
- 0 %
  Then inventing words in silence would cost nothing, which is just what such models do.

Two papers report a WER of 2.1 % and 2.4 % on the same test set. Which model is better?
- The first.
  Perhaps. But which normalizer, which clips, and how wide are the intervals?
+ One cannot tell from these two numbers.
  Another normalizer easily moves a WER by more than that; and two numbers without intervals, not from the same
  clips side by side, say little about a small difference.
- They are equally good.
  Not seeing a difference is not the same as there being none. Compare them clip by clip.

Why does SALMONN's evaluation report a following rate as well as the accuracy?
+ A wrong answer and a transcript are two different failures.
  A model that answers `madrid` has understood what is wanted, and does not know or hear enough. One that writes
  down the question has not done the task at all.
- Because accuracy cannot be computed by a program.
  It can, here, by looking for the value named.
- Because following is the harder of the two.
  It is the easier one: a right answer has to follow first.

The 95 % intervals of two models overlap. Both were asked the same 200 clips. What now?
- There is no difference.
  Overlap proves nothing: much of each interval's width is the choice of clips.
+ Take the paired difference and its interval.
  Hard clips are hard for both. The difference on each clip does not contain that, and its interval is often
  much narrower.
- Ask each of them another 200 clips.
  With other clips for each, luck comes on top. The same new ones for both would help.

A claim's verdict says `not`. What has been shown?
- The paper is wrong.
  The toy has little data, and another world. It is no test of the paper's model.
+ In the toy, by the rule that was fixed before, no test of the claim held.
  No more and no less. The row stays, with its figures, and says how far off it was.
- The rule was too strict, and should be made milder.
  A rule that is changed once the result is known can prove anything.
""",
)

"""Chapter 10, activation tuning: exercises and quiz."""

from __future__ import annotations

import math
from collections.abc import Sequence

from salmonn_mini.course.exercises.exercise import Student, exercise, expect, hint, same
from salmonn_mini.course.exercises.quiz import enter
from salmonn_mini.models.splice import Answer


@exercise("10.1", "the right scale", level=2, minutes=8)
def best_scale(best: Student) -> None:
    """the scale with the highest following rate, among those whose WER is at most `most` above the WER at the
    largest scale; of several the largest
    """
    scales, following = [4.0, 3.0, 2.5, 1.5, 0.0], [0.1, 0.4, 0.8, 0.9, 0.9]
    wer = [0.04, 0.05, 0.08, 0.40, 0.95]
    given = best(scales, following, wer, 0.05)
    hint(same(given, 2), "2 is the place in the list. The scale that stands there is 2.5.")
    hint(same(given, 0.8), "0.8 is the following rate. The scale is wanted.")
    hint(
        same(given, 1.5) or same(given, 0.0),
        f"At scale {given} most answers follow, but the WER is above 0.04 + 0.05: the limit was not kept.",
    )
    hint(
        same(given, 3.0),
        "The limit is not on the WER but on its rise: 0.04 at scale 4, so 0.04 + 0.05 is allowed, and 2.5 has 0.08.",
    )
    hint(
        same(given, 4.0),
        "Only the largest scale was let through. `most` is added to the WER there, 0.04; it is no factor on it.",
    )
    expect(given, 2.5, "The best scale of five")
    given = best([0.0, 1.0, 2.0, 4.0], [0.95, 0.9, 0.5, 0.1], [1.0, 0.5, 0.375, 0.25], 0.25)
    hint(
        same(given, 0.0),
        "The list runs the other way here, and the WER at its first scale, 0, was taken for the one to start from. "
        "Look for the largest scale.",
    )
    hint(
        same(given, 2.0),
        "At scale 1 the WER is 0.5, which is 0.25 + 0.25 exactly. `At most` lets it through.",
    )
    expect(given, 1.0, "The best of four scales, in ascending order")
    given = best([4.0, 3.0, 2.0], [0.2, 0.7, 0.7], [0.0, 0.0, 0.0], 0.1)
    hint(same(given, 2.0), "Scales 3 and 2 follow equally often. Take 3: it is nearer to what was trained.")
    expect(given, 3.0, "The best of scales 4, 3 and 2, the last two following equally often")


@exercise("10.2", "chosen by form", level=2, minutes=12)
def keep(keep: Student) -> None:
    """the places, counted from 0, of the first n answers that have ended, have at least `words` words, and
    hold no run of four words three times
    """
    given = keep(_POOL, 3, 20)
    expect(isinstance(given, list | tuple), True, "That it gives a list")
    hint(
        any(isinstance(one, Answer | str) for one in given),
        "These are the answers. Give their places in the list, so that the clips can be found too.",
    )
    found = [int(one) for one in given]
    hint(
        len(found) > 3,
        f"{len(found)} answers were kept, but n is 3: stop there.",
    )
    hint(
        1 in found,
        "Answer 1 was kept, with seven words. Count words, not letters.",
    )
    hint(
        2 in found,
        "Answer 2 was kept, with 19 words and two full stops. In the toy's texts a full stop stands by itself; "
        "it is no word.",
    )
    hint(3 in found, "Answer 3 was kept, but it never came to an end: it was cut off. See `ended`.")
    hint(
        4 in found,
        "Answer 4 was kept, though it goes round in circles: one run of four words stands in it three times.",
    )
    hint(
        0 not in found or found != sorted(found),
        "The first ones are wanted, in their order. To take the longest, or the best, is to choose by more than form.",
    )
    hint(
        5 not in found,
        "Answer 5 was thrown out. It says one run of four words twice, which is allowed.",
    )
    hint(
        6 not in found,
        "Answer 6 was thrown out, though it has 20 words, and `at least 20` is wanted.",
    )
    expect(found, [0, 5, 6], "The places of the first three")
    expect(list(keep(_POOL, 1, 5)), [0], "The place of the first that has five words")
    expect(list(keep(_POOL[:4], 3, 20)), [0], "All that four answers yield")


def _words(n: int, stops: int = 1) -> str:
    """n different words and some full stops."""
    return " ".join([f"word{chr(97 + i % 26)}{i}" for i in range(n)] + ["."] * stops)


_LOOP = "the rain falls down "
_POOL = [
    Answer(_words(24), (2,), True),
    Answer("the rain falls on the roof again .", (2,), True),
    Answer(_words(19, stops=2), (2,), True),
    Answer(_words(30), (2,), False),
    Answer(3 * _LOOP + _words(16), (2,), True),
    Answer(2 * _LOOP + _words(32), (2,), True),
    Answer(_words(20), (2,), True),
    Answer(_words(26), (2,), True),
]


@exercise("10.3", "how far twelve steps can go", level=1, minutes=6)
def reach(reach: Student) -> None:
    """the learning rates of all steps added up: lr times the factor of each step k = 0 … steps - 1, which is
    final + (1 - final) · (1 + cos(π k / steps)) / 2
    """
    given = reach(0.1, 2, 0.5)
    hint(same(given, 0.2), "0.1 a step, and the schedule left out: the second step has the factor 0.75.")
    hint(same(given, 0.0875), "That is the mean step. All steps are added up.")
    hint(
        same(given, 0.125),
        "The steps were counted from 1. The first is k = 0: its factor is 1, for there is no warm-up.",
    )
    hint(
        same(given, 0.15),
        "The cosine runs down to `final`, which it would reach at k = steps: neither does the last step have it, nor "
        "does it end at 0.",
    )
    hint(same(given, 1.75), "The factors were added up. Each is a factor on the learning rate, 0.1.")
    expect(given, 0.175, "Two steps of 0.1, down towards a half")
    expect(reach(1.0, 12, 0.5), _reach(1.0, 12, 0.5), "Twelve steps")
    expect(reach(2e-3, 5, 0.0), _reach(2e-3, 5, 0.0), "Five steps, down towards 0")


def _reach(lr: float, steps: int, final: float) -> float:
    cosines = (0.5 * (1 + math.cos(math.pi * k / steps)) for k in range(steps))
    return lr * sum(final + (1 - final) * cosine for cosine in cosines)


@exercise("10.4", "where the order flips", level=2, minutes=10)
def flip(flip: Student) -> None:
    """the first of the steps at which a token of the story costs less than one of each other answer; -1 if
    there is none. A token costs -log P / tokens
    """
    steps = [0, 3, 6, 9, 12]
    scores = {
        "transcript": [(-4.0, 8), (-8.0, 8), (-16.0, 8), (-24.0, 8), (-32.0, 8)],
        "story": [(-160.0, 40), (-80.0, 40), (-44.0, 40), (-20.0, 40), (-16.0, 40)],
        "caption": [(-5.0, 5), (-5.0, 5), (-5.0, 5), (-5.0, 5), (-4.5, 5)],
    }
    given = flip(steps, scores)
    hint(
        same(given, 3),
        "3 is the place of that step in the list, or the step at which the story has passed nobody yet. "
        "Give the step itself.",
    )
    hint(
        same(given, -1),
        "The story has 40 tokens and the others 5 and 8, so its log P as a whole will hardly ever be higher. "
        "Divide each by its tokens.",
    )
    hint(
        same(given, 0),
        "At step 0 a token of the story costs 4 nats, more than any other. Less is better: log P is negative.",
    )
    hint(
        same(given, 6),
        "At step 6 the story has passed the transcript (1.1 nats against 2), but not yet the caption (1 nat).",
    )
    hint(same(given, 12), "At step 12 it is past both, but so it was before. The first such step is wanted.")
    expect(given, 9, "The step of the flip")
    never = flip(steps, {"story": scores["transcript"], "caption": scores["story"]} | _CHEAP)
    expect(never, -1, "The step where it never happens")
    expect(
        flip([1, 5], {"caption": [(-9.0, 3), (-9.0, 3)], "story": [(-40.0, 20), (-30.0, 20)]}), 1, "The step"
    )


_CHEAP: dict[str, Sequence[tuple[float, int]]] = {"silence": [(-0.1, 1)] * 5}


enter(
    10,
    """
Method 1 turns s down. Why does it bring the stories back?
- At a lower scale the model hears better.
  The encoders and the Q-Former are unchanged. And transcripts break; they do not get better.
+ The habit of transcribing lies in s·BA, and less of it is added to W.
  W is the language model, which follows instructions. LoRA has learned two things at once: how to transcribe,
  and to do so whatever is asked. Both fade together.
- The model is trained anew at that scale.
  Nothing is trained. One number is changed while the model answers.

Nobody reads the twelve stories before they are trained on. By what are they chosen?
- They are the twelve best of the pool.
  That would need a judge, and would bring in another's taste.
- They agree with the clip.
  Nobody checks. Some of them may be wrong about what is in the clip.
+ They end, they are long, and they do not go round in circles.
  Form alone. It can be checked by a few lines of code, and it is all that the cure needs.

Why are the stories written by the model itself, and not by a good author?
+ To the model its own words are likely already, so little has to change.
  The loss of another's words asks to change style, words and facts as well. The model's own only ask for
  permission to begin.
- No author could write about sounds.
  One could. It would cost more, and teach another thing.
- Its stories are better than an author's.
  They are as they are, and some tell of things that are not in the clip.

The control takes twelve steps of the same length on trained tasks. What is it there for?
- To keep the WER low.
  That is a side effect. It is no part of the cure.
+ To see whether twelve steps of anything would do.
  Without it, any change could come from the steps, the learning rate or dropout. Only what the stories do and
  the control does not is owed to the stories.
- To have more data.
  It is another model, trained from the same start, and only compared.

40 clips: 12 of them followed before, 31 after. Another task: 20 before, 24 after. What may be said?
- Both tasks have gained.
  Four clips of 40 are well within chance: look at the intervals.
- Nothing: 40 clips are too few.
  For the first they are enough: its intervals are far apart.
+ The first has gained; of the second nobody can tell yet.
  30 % and 78 % are far apart. 50 % and 60 % have intervals of some 15 points to each side. More clips, and
  paired ones, would tell: that is chapter 11.
""",
)

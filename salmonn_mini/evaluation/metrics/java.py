"""METEOR and SPIDEr, the paper's measures of captions, as the COCO captions' evaluation computes them, in Java.

    pip install -e '.[captions]'   and a Java runtime, from version 8

SPICE, one half of SPIDEr, fetches Stanford's parser when it is first used.
"""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Callable, Iterable, Sequence

from salmonn_mini.errors import SalmonnError
from salmonn_mini.evaluation.metrics.captions import cider_d
from salmonn_mini.evaluation.metrics.words import basic


def meteor(references: Sequence[str], answers: Sequence[str]) -> list[float]:
    """METEOR 1.5 of each answer, 0 to 1, against one reference each (Denkowski and Lavie 2014)."""
    return _scores("meteor", references, answers)


def spider(references: Sequence[str], answers: Sequence[str]) -> list[float]:
    """SPIDEr of each answer, 0 to 5.5: the mean of CIDEr-D (0 to 10) and SPICE (0 to 1) (Liu et al. 2017)."""
    pairs = zip(cider_d(references, answers), _scores("spice", references, answers), strict=True)
    return [(cider + spice) / 2 for cider, spice in pairs]


JAVA: dict[str, Callable[[Sequence[str], Sequence[str]], list[float]]] = {"meteor": meteor, "spider": spider}


def require(names: Iterable[str]) -> None:
    """Raises SalmonnError where Java or pycocoevalcap, which these measures need, is not installed."""
    lacks = ""
    if not shutil.which("java"):
        lacks = "Java, and no java is on the PATH: install a runtime"
    elif not importlib.util.find_spec("pycocoevalcap"):
        lacks = "the package pycocoevalcap: pip install -e '.[captions]'"
    for name in names if lacks else ():
        raise SalmonnError(f"{name} needs {lacks}, or leave {name} out")


def _scores(name: str, references: Sequence[str], answers: Sequence[str]) -> list[float]:
    """A scorer's numbers; an answer without a word scores 0 and is not passed on: Java counts lines.

    Raises:
        SalmonnError: as `require`, or SPICE cannot fetch its parser.
    """
    require([name])
    try:
        scorer = getattr(importlib.import_module(f"pycocoevalcap.{name}.{name}"), name.capitalize())()
    except OSError as problem:
        raise SalmonnError(
            f"{name} cannot fetch Stanford's parser ({problem}): use it once with a network, or leave {name} out"
        ) from problem
    pairs = {i: (basic(a), basic(b)) for i, (a, b) in enumerate(zip(references, answers, strict=True))}
    asked = {i: pair for i, pair in pairs.items() if all(pair)}
    scores = [0.0] * len(pairs)
    if asked:
        wanted, given = ({i: [pair[side]] for i, pair in asked.items()} for side in (0, 1))
        for i, score in zip(asked, scorer.compute_score(wanted, given)[1], strict=True):
            scores[i] = float(score["All"]["f"] if name == "spice" else score)
    return scores

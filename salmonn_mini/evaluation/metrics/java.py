"""METEOR and SPIDEr, the paper's measures of captions, as the COCO captions' evaluation computes them, in Java.

    pip install -e '.[captions]'   and a Java runtime, from version 8

SPICE, one half of SPIDEr, fetches Stanford's parser when it is first used.
"""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from salmonn_mini.errors import SalmonnError
from salmonn_mini.evaluation.metrics.captions import cider_d
from salmonn_mini.evaluation.metrics.words import basic


def meteor(references: Sequence[str], answers: Sequence[str]) -> list[float]:
    """METEOR 1.5 of each answer, 0 to 1, against one reference each (Denkowski and Lavie 2014).

    Raises:
        SalmonnError: there is no Java, or pycocoevalcap is not installed.
    """
    return _ask("meteor", "Meteor", references, answers, lambda score: score)


def spider(references: Sequence[str], answers: Sequence[str]) -> list[float]:
    """SPIDEr of each answer, 0 to 5.5: the mean of CIDEr-D (0 to 10) and SPICE (0 to 1) (Liu et al. 2017).

    Raises:
        SalmonnError: there is no Java, pycocoevalcap is not installed, or the parser cannot be fetched.
    """
    spice = _ask("spice", "Spice", references, answers, lambda score: score["All"]["f"])
    return [(one + other) / 2 for one, other in zip(cider_d(references, answers), spice, strict=True)]


JAVA: dict[str, Callable[[Sequence[str], Sequence[str]], list[float]]] = {"meteor": meteor, "spider": spider}


def _ask(
    room: str,
    name: str,
    references: Sequence[str],
    answers: Sequence[str],
    value: Callable[[Any], float],
) -> list[float]:
    """A scorer's numbers. An answer without a word is worth nothing, and is not shown to it: Java counts lines."""
    texts = [(basic(reference), basic(answer)) for reference, answer in zip(references, answers, strict=True)]
    asked = [i for i, pair in enumerate(texts) if all(pair)]
    scores = [0.0] * len(texts)
    if asked:
        scorer = _scorer(room, name)
        wanted, given = ({i: [texts[i][side]] for i in asked} for side in (0, 1))
        _, each = scorer.compute_score(wanted, given)
        for i, score in zip(sorted(asked), each, strict=True):
            scores[i] = float(value(score))
    return scores


def require(names: Iterable[str]) -> None:
    """Whether what the measures `names` need is installed: to be asked before any work is done for them.

    Raises:
        SalmonnError: there is no Java, or pycocoevalcap is not installed.
    """
    for name in names:
        if shutil.which("java") is None:
            raise SalmonnError(
                f"{name} needs Java, and no java is on the PATH: install a runtime, or leave {name} out"
            )
        if importlib.util.find_spec("pycocoevalcap") is None:
            raise SalmonnError(
                f"{name} needs the package pycocoevalcap: pip install -e '.[captions]', or leave {name} out"
            )


def _scorer(room: str, name: str) -> Any:
    require([room])
    module = importlib.import_module(f"pycocoevalcap.{room}.{room}")
    try:
        return getattr(module, name)()
    except OSError as problem:
        raise SalmonnError(
            f"{room} cannot fetch Stanford's parser ({problem}): use it once with a network, or leave {room} out"
        ) from problem

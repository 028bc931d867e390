"""Figures of chapter 9: kinds of answers, what each token costs, and the two terms of Bayes' rule on a balance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from salmonn_mini.course.explorer import Explorer
from salmonn_mini.course.plots import BLUE, CENTERED, GRAY, GREEN, INK, ORANGE, SKY, VERMILION, Picture, dress
from salmonn_mini.evaluation.bayes import BayesTable

KINDS = {
    "transcript": VERMILION,
    "caption": ORANGE,
    "something else": GRAY,
    "story": GREEN,
    "follows": BLUE,
}
TERMS = {"prior": VERMILION, "posterior": BLUE, "total": INK}
NAMES = {"prior": "P(Y|X)", "posterior": "P(I|Y,X)", "total": "P(Y|X,I)"}


def answer_kinds(counts: Mapping[str, Mapping[str, int]]) -> Picture:
    """Which kinds of answers each instruction got: one bar an instruction, of the shares of KINDS.

    Args:
        counts: for each instruction how many answers of each kind; a kind that is left out has none.
    """
    shares = {
        asked: {kind: row.get(kind, 0) / sum(row.values()) for kind in KINDS} for asked, row in counts.items()
    }
    said = (
        f"{asked}: {', '.join(f'{kind} {share:.0%}' for kind, share in row.items() if share)}"
        for asked, row in shares.items()
    )
    found = [kind for kind in KINDS if any(row[kind] for row in shares.values())]
    picture = Picture(f"Kinds of answers. {'; '.join(said)}.", height=1.1 + 0.34 * len(counts))
    rows = {"yticks": range(len(shares)), "yticklabels": shares}
    axes = picture.panel(xlabel="share of answers", xlim=(0, 1), **rows)
    for place, row in enumerate(shares.values()):
        start = 0.0
        for kind in found:
            share, label = row[kind], kind if place == 0 else None
            axes.barh(place, share, left=start, height=0.7, color=KINDS[kind], label=label)
            if share >= 0.08:
                axes.text(start + share / 2, place, f"{share:.0%}", fontsize=9, color="white", **CENTERED)
            start += share
    axes.invert_yaxis()
    axes.legend(frameon=False, ncols=len(found), loc="lower center", bbox_to_anchor=(0.45, 1.0), fontsize=9)
    return picture


def token_probabilities(tokens: Sequence[str], rows: Mapping[str, ArrayLike]) -> Picture:
    """The probability of each token of an answer after those before it, a row for each way to ask: (A,) each.

    The alt text names, for each row, the least likely token and the perplexity a token.
    """
    table = np.array([np.asarray(row, dtype=float) for row in rows.values()])
    said = (
        f"{name}: the least likely is '{tokens[p.argmin()]}' at {p.min():.2g}, "
        f"perplexity {np.exp(-np.log(p).mean()):.2f}"
        for name, p in zip(rows, table, strict=True)
    )
    alt = f"Probability of each of {len(tokens)} tokens. {'; '.join(said)}."
    picture = Picture(alt, width=9.0, height=1.2 + 0.32 * len(rows))
    axes = picture.subplots()
    image = axes.imshow(table, cmap="cividis", vmin=0.0, vmax=1.0, aspect="auto")
    picture.colorbar(image, ax=axes, label="probability", pad=0.01)
    axes.set_yticks(range(len(rows)), rows)
    axes.set_xticks(range(len(tokens)), tokens, rotation=90, fontsize=8)
    axes.tick_params(length=0)
    return picture


@dataclass(frozen=True)
class Contest:
    """Two answers to one instruction, scored for some clips at several LoRA scales.

    Attributes:
        wanted: a name for the answer that is asked for; `rival` for the one that may come instead.
        places: of the wanted answer, of its rival and of the instruction in each table.
        tables: for each scale a table a clip.
    """

    wanted: str
    rival: str
    places: tuple[int, int, int]
    tables: Mapping[float, Sequence[BayesTable]]

    def terms(self, scale: float) -> dict[str, np.ndarray]:
        """log(wanted / rival) of each term of Bayes' rule, a number for each clip."""
        found = [table.losing_term(*self.places) for table in self.tables[scale]]
        return {term: np.array([row[term] for row in found]) for term in TERMS}

    def without_instruction(self, scale: float) -> np.ndarray:
        """log(wanted / rival) of P(Y | X) as the model gives it without an instruction."""
        wanted, rival, _ = self.places
        logs = [table.log_bare for table in self.tables[scale]]
        return np.array([float(log[wanted] - log[rival]) for log in logs])


def balance(contest: Contest, scale: float) -> Picture:
    """Which answer is ahead at a LoRA scale, and by which term: log(wanted / rival), the mean over clips."""
    scales = sorted(contest.tables)
    over = {s: contest.terms(s) for s in scales}
    here = {term: float(values.mean()) for term, values in over[scale].items()}
    ahead = contest.wanted if here["total"] > 0 else contest.rival
    alt = (
        f"{contest.wanted.capitalize()} or {contest.rival}, asked for the first, LoRA scale {scale:g}, "
        f"ahead: {ahead}. log({contest.wanted} / {contest.rival}): "
        + ", ".join(f"{NAMES[term]} {value:+.1f}" for term, value in here.items())
        + "."
    )
    picture = Picture(alt, width=9.0, height=3.2)
    picture.headline(alt)
    left, right = picture.subplots(1, 2, width_ratios=(1, 1.15))
    most = max(np.abs(values).max() for row in over.values() for values in row.values())
    for place, (term, value) in enumerate(here.items()):
        left.barh(place, value, height=0.55, color=TERMS[term])
        left.plot(over[scale][term], [place] * len(over[scale][term]), "o", color=SKY, markersize=3.5)
        means = [over[s][term].mean() for s in scales]
        right.plot(scales, means, color=TERMS[term], marker="osD"[place], markersize=4, label=NAMES[term])
    ratio = f"← {contest.rival}     log-ratio, in nats     {contest.wanted} →"
    rows = {"yticks": range(len(here)), "yticklabels": [NAMES[term] for term in here]}
    dress(left, xlabel=ratio, xlim=(-1.05 * most, 1.05 * most), **rows)
    left.invert_yaxis()
    left.axvline(0, color=INK, linewidth=0.8)
    dress(right, xlabel="LoRA scale s")
    right.axhline(0, color=INK, linewidth=0.8)
    right.axvline(scale, color=GREEN, linewidth=6, alpha=0.25)
    right.legend(frameon=False, fontsize=9)
    return picture


def explore_balance(contests: Mapping[str, Contest]) -> Explorer:
    """`balance` with a slider for the LoRA scale and a choice of contests; all have the same scales."""
    scales = sorted(next(iter(contests.values())).tables)
    return Explorer(
        lambda scale, contest: balance(contests[contest], scale),
        {"scale": tuple(scales), "contest": tuple(contests)},
        {"scale": scales[-1]},
    )

"""Chapter 9's figures, over the whole range of their sliders."""

import base64
import re

import numpy as np
import pytest
import torch

from salmonn_mini.course.figures import over_fitting
from salmonn_mini.evaluation.bayes import BayesTable

NAMES = ("transcript", "caption", "story")
SCALES = (0.0, 1.0, 2.5, 4.0)


def table(seed: int) -> BayesTable:
    logs = -20 * torch.rand(3, 3, generator=torch.Generator().manual_seed(seed))
    return BayesTable(("a", "b", "c"), NAMES, logs, logs[:, 0], torch.tensor([5, 4, 30]))


TABLES = {scale: [table(10 * place + clip) for clip in range(3)] for place, scale in enumerate(SCALES)}
CONTESTS = {
    "caption": over_fitting.Contest("caption", "transcript", (1, 0, 1), TABLES),
    "story": over_fitting.Contest("story", "transcript", (2, 0, 2), TABLES),
}


def test_the_balance_tells_the_terms_of_the_tables_over_the_whole_range() -> None:
    explorer = over_fitting.explore_balance(CONTESTS)
    assert explorer.controls == {"scale": SCALES, "contest": ("caption", "story")}
    assert explorer.start == {"scale": 4.0}
    for scale in explorer.controls["scale"]:
        for asked in explorer.controls["contest"]:
            picture = explorer.figure(scale=scale, contest=asked)
            k = NAMES.index(asked)
            logs = [one.log_likelihood[k, k] - one.log_likelihood[0, k] for one in TABLES[scale]]
            total = float(torch.stack(logs).mean())
            said = [float(number) for number in re.findall(r"[+-]\d+\.\d", picture.alt)]
            assert said[2] == pytest.approx(total, abs=0.051)
            assert said[0] + said[1] == pytest.approx(said[2], abs=0.151)
            assert f"ahead: {asked if total > 0 else 'transcript'}." in picture.alt
            left, right = picture.axes
            assert [bar.get_width() for bar in left.patches] == pytest.approx(said, abs=0.051)
            assert len(right.lines) == 5 and list(right.lines[0].get_xdata()) == list(SCALES)
            low, high = left.get_xlim()
            dots = np.concatenate([line.get_xdata() for line in left.lines[:3]])
            assert low < dots.min() and dots.max() < high


def test_a_contest_without_instruction_is_one_of_priors() -> None:
    bare = [float(one.log_bare[2] - one.log_bare[0]) for one in TABLES[4.0]]
    assert CONTESTS["story"].without_instruction(4.0) == pytest.approx(bare)


def test_kinds_of_answers_fill_each_bar() -> None:
    picture = over_fitting.answer_kinds(
        {"Write a story.": {"transcript": 3, "follows": 1}, "Transcribe.": {"follows": 2}}
    )
    assert (
        picture.alt
        == "Kinds of answers. Write a story.: transcript 75%, follows 25%; Transcribe.: follows 100%."
    )
    widths = [bar.get_width() for bar in picture.axes[0].patches]
    assert widths == [0.75, 0.25, 0.0, 1.0]
    assert [text.get_text() for text in picture.axes[0].texts] == ["75%", "25%", "100%"]


def test_probabilities_name_the_least_likely_token_and_the_perplexity() -> None:
    picture = over_fitting.token_probabilities(
        ["once", "upon", "."], {"s = 4": [0.125, 1.0, 1.0], "s = 0": [0.5, 0.5, 0.5]}
    )
    assert picture.alt == (
        "Probability of each of 3 tokens. s = 4: the least likely is 'once' at 0.12, perplexity 2.00; "
        "s = 0: the least likely is 'once' at 0.5, perplexity 2.00."
    )
    assert [label.get_text() for label in picture.axes[0].get_xticklabels()] == ["once", "upon", "."]


def test_they_can_be_drawn() -> None:
    for picture in (
        over_fitting.balance(CONTESTS["story"], 2.5),
        over_fitting.answer_kinds({"Transcribe.": {"follows": 2}}),
        over_fitting.token_probabilities(["a", "b"], {"one": [0.2, 0.3]}),
    ):
        data, _ = picture._repr_mimebundle_()
        assert base64.b64decode(data["image/png"]).startswith(b"\x89PNG")

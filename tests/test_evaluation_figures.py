"""Chapter 11's figures: over the whole range of the sliders, and for claims with figures and without."""

import base64

import numpy as np
import pytest

from salmonn_mini.course.figures import evaluation
from salmonn_mini.evaluation.claims import Rules, read_claims
from salmonn_mini.evaluation.claims.rules import Claim, Term, Test
from salmonn_mini.evaluation.claims.verdicts import OPEN

RNG = np.random.default_rng(0)


def test_an_alignment_counts_its_errors_by_kind() -> None:
    table = [[0, 1, 2, 3], [1, 0, 1, 2], [2, 1, 1, 2], [3, 2, 2, 2]]
    picture = evaluation.alignment(table, [(0, 0), (1, 1), (2, 2), (3, 3)], "abc", "axy")
    assert picture.alt == "Errors: 2 in 3 words: 2 substitutions, 0 deletions, 0 insertions."
    moved = evaluation.alignment([[0, 1, 2], [1, 0, 1]], [(0, 0), (1, 1), (1, 2)], ["a"], ["a", "b"])
    assert moved.alt == "Errors: 1 in 1 words: 0 substitutions, 0 deletions, 1 insertion."
    lost = evaluation.alignment([[0, 1], [1, 0], [2, 1]], [(0, 0), (1, 1), (2, 1)], ["a", "b"], ["a"])
    assert "1 deletion," in lost.alt
    assert [len(one.axes[0].patches) for one in (picture, moved, lost)] == [2, 1, 1]


def test_chances_add_up_and_agree_with_drawing() -> None:
    for share in (0.0, 0.3, 0.9, 1.0):
        likely = evaluation.score_distribution(share, 40)
        assert likely.sum() == pytest.approx(1)
        assert likely @ np.arange(41) / 40 == pytest.approx(share)
    drawn = RNG.binomial(40, 0.9, size=200_000) / 40
    assert evaluation.central_range(0.9, 40) == pytest.approx(np.percentile(drawn, [2.5, 97.5]), abs=0.026)


def test_the_better_model_shows_more_surely_with_more_clips_over_the_whole_range() -> None:
    controls = evaluation.TWO_MODELS.controls
    for share in controls["share"]:
        for gain in controls["gain"]:
            spans, misled = [], []
            for clips in controls["clips"]:
                picture = evaluation.two_models(clips, share, gain)
                low, high = evaluation.central_range(share, clips)
                assert low <= share <= high and picture.alt.startswith(f"{clips} clips. ")
                spans.append(high - low)
                misled.append(evaluation.chance_of_no_gain(share, gain, clips))
            assert spans == sorted(spans, reverse=True)
            assert misled == sorted(misled, reverse=True)
            assert misled[-1] >= 0.5 if gain == 0 else misled[-1] < 0.2


def test_who_looks_no_better_agrees_with_drawing() -> None:
    one, other = RNG.binomial(40, 0.9, size=100_000), RNG.binomial(40, 0.95, size=100_000)
    assert evaluation.chance_of_no_gain(0.9, 0.05, 40) == pytest.approx((other <= one).mean(), abs=0.01)


def decided() -> tuple[dict, Rules]:
    """Three claims: one that holds, one that does not, in nats, and one that is open."""
    story = Term("stage3", "story", "following_rate"), Term("bayes_stage2", "story", "prior_gap")
    tests = [Test("stories", (story[0],), (), 0.5, None), Test("prior", (story[1],), (), None, 0.0)]
    claims = tuple(Claim(i, f"claim {i}", "", (tests[i % 2],)) for i in (2, 3, 4))
    rows = [
        {"id": 2, "rule": [{"holds": True}], "ours": [0.9], "interval": [[0.8, 0.95]], "seeds": [0]},
        {"id": 3, "rule": [{"holds": False}], "ours": [1.4], "interval": [[1.0, 1.8]], "seeds": [0]},
        {"id": 4, "rule": [{}], "ours": [], "interval": [], "seeds": [], "verdict": OPEN},
    ]
    return {"claims": rows}, Rules((0,), (Claim(1, "", "", ()), *claims))


def test_verdicts_are_drawn_each_beside_its_line() -> None:
    picture = evaluation.verdicts(*decided())
    assert picture.alt == "2 of 3 claims measured: 1 of their 2 tests hold. These do not: 3 prior."
    shares, nats = picture.axes
    assert [label.get_text() for label in shares.get_yticklabels()] == ["2 stories"]
    assert [label.get_text() for label in nats.get_yticklabels()] == ["3 prior"]
    assert shares.get_xlabel().startswith("shares") and nats.get_xlabel() == "nats a token"
    dots = [axes.lines[1] for axes in (shares, nats)]
    assert [dot.get_marker() for dot in dots] == ["o", "X"]
    assert [dot.get_xdata()[0] for dot in dots] == [0.9, 1.4]
    assert [axes.lines[2].get_xdata()[0] for axes in (shares, nats)] == [0.5, 0.0]


def test_claims_without_figures_is_no_error() -> None:
    rules = read_claims()
    rows = [
        {"id": claim.id, "rule": [], "ours": [], "interval": [], "seeds": [], "verdict": OPEN}
        for claim in rules.claims
    ]
    assert (
        evaluation.verdicts({"claims": rows}, rules).alt
        == "0 of 14 claims measured: 0 of their 0 tests hold."
    )


def test_they_can_be_drawn() -> None:
    for picture in (
        evaluation.TWO_MODELS.figure(**evaluation.TWO_MODELS.start),
        evaluation.verdicts(*decided()),
        evaluation.alignment([[0, 1], [1, 0]], [(0, 0), (1, 1)], ["a"], ["a"]),
    ):
        data, _ = picture._repr_mimebundle_()
        assert base64.b64decode(data["image/png"]).startswith(b"\x89PNG")

"""Chapter 10's figures, over the whole range of their sliders."""

import base64

import pytest

from salmonn_mini.course.figures import activation_tuning
from salmonn_mini.models.splice import Answer

SCALES = (4.0, 3.0, 2.0, 1.0, 0.0)
SHARES = {"stories followed": (5.0, 40.0, 90.0, 100.0, 98.0), "words right": (97.0, 96.0, 90.0, 40.0, 2.0)}


def answer_of(n: int, ended: bool = True) -> Answer:
    return Answer(" ".join(f"word{i}" for i in range(n)) + " .", (2,), ended)


POOLS = {
    "s = 4": [answer_of(n) for n in (3, 3, 3, 7, 30)],
    "s = 1": [
        answer_of(40),
        answer_of(41),
        answer_of(19),
        answer_of(20),
        answer_of(50, False),
        Answer("a b c d . " * 9, (2,), True),
    ],
}


def test_the_price_is_given_at_every_scale() -> None:
    explorer = activation_tuning.explore_scale(SCALES, SHARES)
    assert list(explorer.controls["s"]) == sorted(SCALES) and explorer.start["s"] == 4.0
    for s in explorer.controls["s"]:
        stories, words = (values[SCALES.index(s)] for values in SHARES.values())
        picture = explorer.figure(s=s)
        expected = f"At LoRA scale {s:g}: stories followed {stories:.0f} %; words right {words:.0f} %."
        assert picture.alt == expected
        left, right = picture.axes[0].get_xlim()
        assert left > 4 > 0 > right
    with pytest.raises(ValueError):
        activation_tuning.scale_tradeoff(SCALES, SHARES, 2.5)


@pytest.mark.parametrize(
    ("answer", "form"),
    [
        (answer_of(20), "kept"),
        (answer_of(19), "too short"),
        (answer_of(50, False), "without an end"),
        (Answer("the rain falls . " * 12, (2,), True), "goes round in circles"),
    ],
)
def test_the_form_of_an_answer(answer: Answer, form: str) -> None:
    assert activation_tuning.form_of(answer) == form


def test_answers_kept_are_counted_over_the_whole_range() -> None:
    explorer = activation_tuning.explore_forms(POOLS)
    before = [len(answers) for answers in POOLS.values()]
    for at_least in explorer.controls["at_least"]:
        picture = explorer.figure(at_least=at_least)
        kept = [
            sum(activation_tuning.form_of(answer, at_least) == "kept" for answer in answers)
            for answers in POOLS.values()
        ]
        assert all(now <= then for now, then in zip(kept, before, strict=True))
        assert picture.alt == (
            f"Kept, at {at_least} words or more: s = 4: {kept[0]} of 5; s = 1: {kept[1]} of 6."
        )
        before = kept
    assert explorer.figure(**explorer.start).alt.endswith("s = 4: 1 of 5; s = 1: 3 of 6.")
    assert before == [0, 0]


def test_every_answer_has_a_dot_of_its_own() -> None:
    picture = activation_tuning.answer_forms(POOLS)
    dots = [
        (round(x, 6), round(y, 6))
        for line in picture.axes[0].lines[:-1]
        for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)
    ]
    assert len(dots) == len(set(dots)) == 11
    assert [label.get_text() for label in picture.axes[0].get_yticklabels()] == list(POOLS)


def test_they_can_be_drawn() -> None:
    for picture in (
        *(activation_tuning.scale_tradeoff(SCALES, SHARES, s) for s in SCALES),
        activation_tuning.answer_forms(POOLS),
    ):
        data, metadata = picture._repr_mimebundle_()
        assert base64.b64decode(data["image/png"]).startswith(b"\x89PNG")
        assert metadata["image/png"]["alt"]

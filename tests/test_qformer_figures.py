"""Chapter 4's figures, and its masks over the whole range of their controls."""

import base64

import numpy as np
import pytest
import torch

from salmonn_mini.course import diagrams, plots
from salmonn_mini.course.exercises import qformer as exercises
from salmonn_mini.course.figures import qformer
from salmonn_mini.course.plots import Picture
from salmonn_mini.models.config import SAMPLE_RATE, ConnectorConfig
from salmonn_mini.models.connectors import WindowQFormer
from salmonn_mini.models.qformer import MASKS
from salmonn_mini.models.windows import split
from salmonn_mini.toy.world.voice import Word

NOISE = 0.1 * np.random.default_rng(0).standard_normal(SAMPLE_RATE)  # 100 log-mel frames


def drawn(picture: Picture) -> bool:
    return base64.b64decode(picture._repr_mimebundle_()[0]["image/png"]).startswith(b"\x89PNG")


@pytest.mark.parametrize("kind", MASKS)
def test_a_mask_over_its_whole_range(kind: str) -> None:
    assert tuple(qformer.MASK.controls["kind"]) == MASKS
    for N in qformer.MASK.controls["N"]:
        for S in qformer.MASK.controls["S"]:
            across = N * S if kind == "bidirectional" else 0
            upwards = 0 if kind == "unimodal" else N * S
            words = S * (S + 1) // 2 if kind == "multimodal_causal" else S * S
            alt = qformer.MASK.figure(kind=kind, N=N, S=S).alt
            assert f"queries see {across} of {N * S} text cells" in alt
            assert f"text see {upwards} of {N * S} queries cells" in alt
            assert f"text see {words} of {S * S} text cells" in alt


def test_queries_over_sound_say_where_they_look_and_mark_the_words() -> None:
    weights = {"one": torch.eye(50)[10], "other": torch.eye(50)[40]}
    picture = qformer.attention_over_sound(weights, NOISE, "Two", [Word("cat", 0.2, 0.5)])
    assert picture.alt == "Two. one most at 0.2 s; other most at 0.8 s. Words, in seconds: cat 0.20 to 0.50."
    assert "cat" in [text.get_text() for text in picture.axes[0].texts]
    assert drawn(picture)


def test_weights_stand_in_the_column_of_their_window_and_zeros_are_crossed_out() -> None:
    weights = torch.tensor([[0.5, 0.4, 0.1], [0.1, 0.2, 0.7], [1.0, 0.0, 0.0]])
    mask = torch.tensor([[True] * 3, [True] * 3, [True, False, False]])
    picture = qformer.attention_in_windows(weights, mask, NOISE)
    lower = picture.axes[1]
    assert np.asarray(lower.collections[0].get_array()).tolist() == weights.T.tolist()
    assert len([line for line in lower.lines if line.get_marker() == "x"]) == 2
    assert picture.alt.startswith(
        "Weights of 3 tokens, each on the 3 frames of its window; most on frame 1, 3, 1; 2 "
    )
    assert drawn(picture)


def test_the_last_window_tells_what_falls_on_the_clip() -> None:
    picture = qformer.last_window({"without": [0.1, 0.2, 0.7], "with": [0.4, 0.6, 0.0]}, own=2)
    assert picture.alt == (
        "Weights on 3 frames, of which 2 are the clip's: without 0.30 on the clip's frames; "
        "with 1.00 on the clip's frames."
    )
    heights = [bar.get_height() for bars in picture.axes[0].containers for bar in bars]
    assert heights == [0.1, 0.2, 0.7, 0.4, 0.6, 0.0]
    assert drawn(picture)


def test_the_layer_has_its_three_steps_each_with_a_residual() -> None:
    picture = qformer.layer()
    said = [text.get_text().replace("\n", " ") for text in picture.axes[0].texts]
    assert said.count("residual") == said.count("+") == said.count("Layer Norm") == 3
    assert {"self- attention", "cross- attention", "feed- forward"} <= set(said)
    assert "LayerNorm follows" in picture.alt and drawn(picture)


def test_the_ladder_has_a_shape_for_each_step_and_column() -> None:
    rows = [("Z", ("1 × 9 × 4", "1 × 90 × 8")), ("H", ("1 × 3 × 2", "1 × 6 × 5"))]
    picture = qformer.ladder(rows, ("small", "large"))
    assert picture.alt == "Shapes, small and large. Z: 1 × 9 × 4, 1 × 90 × 8; H: 1 × 3 × 2, 1 × 6 × 5."
    said = [text.get_text() for text in picture.axes[0].texts]
    assert {"small", "large", "Z", "H", *rows[0][1], *rows[1][1]} <= set(said)
    assert drawn(picture)


@pytest.mark.parametrize(
    ("right", "interval"), [([1, 0], (50, 9.5, 90.5)), ([1] * 10, (100, 72.2, 100)), ([0] * 10, (0, 0, 27.8))]
)
def test_a_share_has_wilsons_interval(right: list[int], interval: tuple[float, float, float]) -> None:
    assert qformer.percent(right) == pytest.approx(interval, abs=0.06)


def test_the_three_masks_and_the_two_uses_can_be_drawn() -> None:
    assert drawn(qformer.masks()) and drawn(diagrams.two_uses())
    assert all(kind.replace("_", " ") in qformer.masks(2, 5).alt for kind in MASKS)
    assert "32 queries" in diagrams.two_uses().alt


def test_chance_is_a_line_and_stands_in_the_alt_text() -> None:
    picture = qformer.mark_chance(plots.bars({"a": 50.0}, "% right"), 12.5)
    assert picture.alt == "Bars of % right: a 50.00. Guessing: 12.5."
    assert [12.5, 12.5] in [list(line.get_xdata()) for line in picture.axes[0].lines]


def test_what_stands_in_for_the_exercises_is_the_package_s() -> None:
    torch.manual_seed(0)
    config = ConnectorConfig(
        hidden_size=12, num_attention_heads=3, intermediate_size=8, num_hidden_layers=1, num_query_tokens=2,
        window_seconds=0.06, dropout=0.0,
    )  # fmt: skip
    package = WindowQFormer(config, 10, 5).eval()
    layer = exercises.QFormerLayer(12, 10, 8, 3)
    layer.load_state_dict(package.qformer.bert["encoder"]["layer"][0].state_dict())
    norm = package.qformer.bert["embeddings"].LayerNorm
    own = exercises.WindowQFormer(
        lambda queries, Z, mask: layer(norm(queries).expand(len(Z), -1, -1), Z, mask), 2, 12, 5
    )
    own.load_state_dict(package.state_dict(), strict=False)
    Z, lengths = torch.randn(2, 7, 10), torch.tensor([7, 2])
    torch.testing.assert_close(own(*split(Z, 3, lengths)), package(Z, lengths), rtol=1e-4, atol=1e-5)
    part, x = package.qformer.bert["encoder"]["layer"][0].crossattention.self, torch.randn(2, 2, 12)
    mask = torch.arange(7) < lengths[:, None]
    found = exercises.attend(part.query(x), part.key(Z), part.value(Z), 3, mask)
    torch.testing.assert_close(found, part(x, Z, mask[:, None], return_weights=True), rtol=1e-4, atol=1e-5)

"""Chapter 4's figures over the whole range of their controls."""

import base64

import numpy as np
import pytest
import torch

from salmonn_mini.course import diagrams
from salmonn_mini.course.figures import qformer
from salmonn_mini.course.plots import Picture
from salmonn_mini.models.config import SAMPLE_RATE
from salmonn_mini.models.qformer import MASKS

NOISE = 0.1 * np.random.default_rng(0).standard_normal(SAMPLE_RATE)  # 100 log-mel frames, 6 moments of BEATs


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


def test_weights_of_windows_stand_at_their_frames() -> None:
    weights = torch.tensor([[0.5, 0.5, 0.0], [0.1, 0.2, 0.7]])
    rows = qformer.on_all_frames(weights, T=5)
    assert rows.tolist() == pytest.approx(np.array([[0.5, 0.5, 0, 0, 0], [0, 0, 0, 0.1, 0.2]]), abs=1e-6)


def test_queries_over_sound_say_where_they_look() -> None:
    picture = qformer.attention_over_sound(
        {"one": torch.eye(50)[10], "other": torch.eye(50)[40]}, NOISE, "Two"
    )
    assert picture.alt == "Two. one most at 0.2 s; other most at 0.8 s."
    assert drawn(picture)


def test_queries_over_bands_say_where_they_look() -> None:
    picture = qformer.attention_over_bands({"low": torch.eye(48)[8 * 3], "high": torch.eye(48)[7]}, NOISE)
    assert picture.alt == "low most at 0.6 s in band 0; high most at 0.1 s in band 7."
    assert drawn(picture)


def test_the_three_masks_and_the_two_uses_can_be_drawn() -> None:
    assert drawn(qformer.masks()) and drawn(diagrams.two_uses())
    assert all(kind.replace("_", " ") in qformer.masks(2, 5).alt for kind in MASKS)
    assert "32 queries" in diagrams.two_uses().alt

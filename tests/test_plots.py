"""Figures: their alt text says what they show, colors can be told apart, words do not collide."""

import base64
import html
import io
import re
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from IPython.core.formatters import DisplayFormatter
from IPython.core.pylabtools import select_figure_formats
from matplotlib.colors import to_rgb
from PIL import Image

from salmonn_mini.course import diagrams, plots
from salmonn_mini.toy.world.voice import Word

PICTURE = Path(__file__).parents[1] / ".github" / "architecture.svg"
RANDOM = np.random.default_rng(0)
MEL = RANDOM.normal(size=(80, 300))

PICTURES = {
    "waveform": lambda: plots.waveform(np.sin(np.arange(48_000) / 20), 16_000, "A tone"),
    "silence": lambda: plots.waveform(np.zeros(0), 16_000),
    "log_mel": lambda: plots.log_mel(MEL),
    "fbank": lambda: plots.fbank(RANDOM.normal(size=(298, 128))),
    "attention": lambda: plots.attention(np.kron(np.eye(15), np.ones((1, 10))), MEL, seconds=3.0),
    "heat_map": lambda: plots.heat_map(
        [[0.1, 0.9], [0.8, 0.2]], ["story", "caption"], ["I", "I'"], "P(Y|X,I)"
    ),
    "curves": lambda: plots.curves(
        [0, 2, 4], {"WER": [[0.9, 0.8, 1], [0.5, 0.4, 0.6], [0.1, 0, 0.2]]}, "s", "rate"
    ),
    "bars": lambda: plots.bars({"asr": (0.05, 0.03, 0.07), "gender": 0.5}, "error"),
    "dots": lambda: plots.dots(
        {"asr": {"before": 3.0, "after": (4.0, 2.0, 6.0)}, "gender": {"before": None, "after": 90.0}}, "Score"
    ),
    "many dots": lambda: plots.dots(
        {f"task {i}": {f"model {j}": (50.0, 40.0, 60.0) for j in range(8)} for i in range(9)}, "%", "Models"
    ),
    "no bars": lambda: plots.bars({"asr": 0.0}, "error"),
    "windows": lambda: diagrams.windows(10, 3, 2),
    "splice": lambda: diagrams.splice(
        ["<s>", "H1", "dog"], ["text", "sound", "answer"], [False, False, True]
    ),
    "architecture": diagrams.architecture,
}


@pytest.mark.parametrize("name", PICTURES)
def test_a_notebook_gets_a_png_and_its_alt_text(name: str) -> None:
    data, metadata = PICTURES[name]()._repr_mimebundle_()
    png = base64.b64decode(data["image/png"])
    with Image.open(io.BytesIO(png)) as image:
        assert (image.format, image.mode) == ("PNG", "P")  # a palette: at most 256 colors
        assert image.width == pytest.approx(1.5 * metadata["image/png"]["width"], abs=1)  # 150 dots an inch
    full = io.BytesIO()
    PICTURES[name]().savefig(full, format="png")
    assert len(png) < 0.95 * len(full.getvalue())
    assert data["text/plain"] == metadata["image/png"]["alt"]
    assert re.match(r"[A-Z].*\.$", data["text/plain"])


def test_pyplot_in_the_kernel_does_not_bring_full_color_back(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda data, **_: shown.append(data))
    shell = SimpleNamespace(display_formatter=DisplayFormatter())
    select_figure_formats(shell, {"png"})
    plots.register(shell)
    assert shell.display_formatter.format(PICTURES["bars"]()) == ({}, {})  # it has shown itself
    with Image.open(io.BytesIO(base64.b64decode(shown[0]["image/png"]))) as image:
        assert image.mode == "P"


def test_the_alt_text_stands_in_the_page_too(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda data, **_: shown.append(data))
    picture = plots.bars({"a <b>": 1.0}, "error")
    picture._ipython_display_()
    (page,) = (data["text/html"] for data in shown if "text/html" in data)
    assert f">Figure: {html.escape(picture.alt)}<" in page


def test_words_are_marked_where_they_begin_and_end_and_told_in_the_alt_text() -> None:
    words = [Word("a", 0.1, 0.2), Word("dog", 0.25, 0.9)]
    for picture in (
        plots.waveform(np.zeros(16_000), 16_000, words=words),
        plots.log_mel(MEL, words=words),
        plots.fbank(MEL.T, words=words),
    ):
        (axes,) = picture.axes
        edges = {line.get_xdata()[0] for line in axes.lines if len(set(line.get_xdata())) == 1}
        assert edges == {0.1, 0.2, 0.25, 0.9}
        places = {text.get_text(): text.get_position()[0] for text in axes.texts}
        assert places == {"a": pytest.approx(0.15), "dog": pytest.approx(0.575)}
        assert "Words, in seconds: a 0.10 to 0.20, dog 0.25 to 0.90." in picture.alt


@pytest.mark.parametrize("name", ["log_mel", "curves", "architecture"])
def test_the_same_arrays_give_the_same_bytes(name: str) -> None:
    assert PICTURES[name]()._repr_mimebundle_() == PICTURES[name]()._repr_mimebundle_()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("waveform", "A tone. Waveform of 3.0 s, peak 1.00."),
        (
            "attention",
            "Attention of 15 speech tokens over 3.0 s of sound: their peaks run from 0.0 s to 2.8 s.",
        ),
        ("heat_map", "caption × I 0.80"),
        ("curves", "Curves of rate against s, 0 to 4: WER from 0.9 to 0.1."),
        ("bars", "asr 0.05; gender 0.50"),
        ("dots", "Score: asr before 3, after 4; gender after 90."),
        ("splice", "1 of text, 1 of sound, 1 of answer; the loss counts 1."),
    ],
)
def test_alt_text_says_what_the_figure_shows(name: str, words: str) -> None:
    assert words in PICTURES[name]().alt


@pytest.mark.parametrize("hz", [20, 440, 1000, 8000])
def test_mel_scales_are_the_libraries(hz: float) -> None:
    from transformers.audio_utils import hertz_to_mel

    assert plots.slaney_mel(hz) == pytest.approx(hertz_to_mel(hz, "slaney"))
    assert plots.kaldi_mel(hz) == pytest.approx(hertz_to_mel(hz, "kaldi"))


# Linear RGB as color-blind eyes see it (Machado, Oliveira and Fernandes 2009, severity 1).
VISIONS = {
    "usual": np.eye(3),
    "protanopia": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
    "deuteranopia": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
    "tritanopia": [[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]],
}


@pytest.mark.parametrize("vision", VISIONS)
def test_colors_can_be_told_apart_by_everyone(vision: str) -> None:
    def seen(color: str) -> np.ndarray:
        return np.clip(VISIONS[vision] @ np.array(to_rgb(color)) ** 2.2, 0, 1) ** (1 / 2.2)

    for one, other in combinations(plots.PALETTE, 2):
        assert np.linalg.norm(seen(one) - seen(other)) > 0.1, (one, other)


@pytest.mark.parametrize("tail", ["pad", "drop"])
@pytest.mark.parametrize("L", [1, 3, 10, 17, 60])
@pytest.mark.parametrize("T", [1, 10, 50, 149, 1500])
def test_windows_are_counted_as_in_the_paper_over_the_whole_range(T: int, L: int, tail: str) -> None:
    count = int(np.ceil(T / L)) if tail == "pad" else T // L
    picture = diagrams.windows(T, L, N=2, tail=tail)
    assert f": {count} windows, {2 * count} tokens;" in picture.alt
    dots = [line for line in picture.axes[0].lines if line.get_marker() == "o"]
    assert sum(len(line.get_xdata()) for line in dots) == 2 * count


def test_a_long_splice_wraps_within_its_row() -> None:
    tokens = [f"H{i}" for i in range(88)]
    axes = diagrams.splice(tokens, ["sound"] * 88, [False] * 88).axes[0]
    assert len(axes.patches) == 88
    assert max(box.get_x() + box.get_width() for box in axes.patches) <= axes.get_xlim()[1]


def test_misaligned_input_is_refused() -> None:
    with pytest.raises(ValueError, match="2 tokens, 1 kinds, 2 labels"):
        diagrams.splice(["a", "b"], ["text"], [True, True])
    with pytest.raises(ValueError, match="2 rows and 1 columns"):
        plots.heat_map([[1.0]], ["a", "b"], ["c"], "p")


def test_series_stand_side_by_side_in_their_rows_with_zero_in_sight() -> None:
    picture = PICTURES["dots"]()
    (axes,) = picture.axes
    before, after = (line for line in axes.lines if line.get_label() in ("before", "after"))
    assert list(before.get_xdata()) == [3.0] and list(after.get_xdata()) == [4.0, 90.0]
    assert before.get_ydata()[0] < after.get_ydata()[0] < 0.5 < after.get_ydata()[1] < 1.5
    whisker = axes.collections[1].get_segments()[0]
    assert sorted(x for x, _ in whisker) == [2.0, 6.0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["asr", "gender"]
    picture.canvas.draw()
    assert axes.get_xlim()[0] < 0 < 90 < axes.get_xlim()[1]


def words(svg: str) -> list[str]:
    """The texts in a matplotlib SVG, which stand in comments beside their outlines."""
    return re.findall(r"<!-- (.*?) -->", svg)


def test_the_readme_picture_is_what_the_code_draws(tmp_path: Path) -> None:
    diagrams.save_svg(diagrams.architecture(), tmp_path / "again.svg")
    again = (tmp_path / "again.svg").read_text(encoding="utf-8")
    committed = PICTURE.read_text(encoding="utf-8")
    assert words(again) == words(committed), "the picture has changed: run make figures"
    assert "Whisper encoder" in words(committed)


def test_no_words_of_the_architecture_collide() -> None:
    picture = diagrams.architecture()
    picture.canvas.draw()
    boxes = {t.get_text(): t.get_window_extent() for t in picture.axes[0].texts if t.get_text()}
    for one, other in combinations(boxes, 2):
        assert not boxes[one].overlaps(boxes[other]), (one, other)
    for text, box in boxes.items():
        assert picture.bbox.containsx(box.x0) and picture.bbox.containsx(box.x1), text
        assert picture.bbox.containsy(box.y0) and picture.bbox.containsy(box.y1), text

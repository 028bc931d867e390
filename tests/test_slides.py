"""Slides: the rule that tags cells, and pages that need nothing from elsewhere."""

import re
from pathlib import Path

import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from record import clean

from tools import slide_tags, slides
from tools.course import chapters, read, write
from tools.slide_tags import BELOW, NEW, ON, ROOM, SKIP, asks, slide_type, with_slide_tags

FIGURE = new_output("execute_result", data={"image/png": "iVBORw0KGgo=", "text/plain": "A curve."})
SAID = new_output("stream", name="stdout", text="89 windows\n")


def code(source: str, *outputs: NotebookNode, tag: str = "") -> NotebookNode:
    return new_code_cell(
        source, outputs=list(outputs), execution_count=1, metadata={"tags": [tag]} if tag else {}
    )


def text(source: str) -> NotebookNode:
    return new_markdown_cell(source)


@pytest.mark.parametrize(
    ("cell", "kind"),
    [
        (text("# 3 · Windows\n\nFew tokens."), NEW),
        (text("## Cutting Z"), NEW),
        (text("So far.\n\n**Predict.** How many?"), BELOW),
        (text("**Exercise 3.1: count (●○○, 3 minutes)**"), BELOW),
        (text("A window is short."), ON),
        (code("n_windows(10, 3)", SAID), ON),
        (code("draw()", FIGURE), BELOW),
        (code("import torch"), SKIP),
        (code("guess = predict(1, 2)", tag="nbval-ignore-output"), SKIP),
        (code("check('3.1', f)", SAID, tag="exercise"), SKIP),
        (code("show()", FIGURE, tag="nbval-ignore-output"), SKIP),
        (code("print('for me')", SAID, tag="instructor"), SKIP),
        (code("draw()", FIGURE, tag="handout"), SKIP),
        (code("card(minutes=1, gigabytes=1)", SAID), SKIP),
    ],
)
def test_each_kind_of_cell_has_its_slide_type(cell: NotebookNode, kind: str) -> None:
    assert slide_type(cell) == kind


def test_a_full_slide_is_followed_by_another() -> None:
    long = [text("## Long"), *(text("word " * (ROOM // 15)) for _ in range(4))]
    kinds = [cell.metadata.slideshow.slide_type for cell in with_slide_tags(new_notebook(cells=long)).cells]
    assert kinds == [NEW, ON, ON, BELOW, ON]


@pytest.mark.parametrize("path", chapters(), ids=lambda path: path.stem)
def test_every_notebook_has_them_up_to_date(path: Path) -> None:
    assert clean(with_slide_tags(read(path))) == read(path), "run: make tags"


def test_the_command_writes_only_what_changes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "03_windows.ipynb"
    write(path, new_notebook(cells=[text("# 3 · Windows\n\nFew."), code("n_windows(10, 3)", SAID)]))
    slide_tags.main([str(path)])
    once = path.read_bytes()
    slide_tags.main([str(path)])
    assert path.read_bytes() == once and b'"slide_type": "slide"' in once
    assert capsys.readouterr().out == "03_windows.ipynb: brought up to date\n"


@pytest.mark.parametrize("path", chapters(), ids=lambda path: path.stem)
def test_a_question_ends_its_slide(path: Path) -> None:
    for cells in slides.groups(read(path)):
        early = [cell.source for cell in cells[:-1] if asks(cell)]
        assert not early, f"the answer stands on the same slide: {early[0][-200:]}"


def test_what_follows_a_question_comes_on_a_slide_of_its_own() -> None:
    cells = [
        text("## Tokens\n\n**Predict.** 88, 89 or 90?"),
        code("guess = predict(88, 89, 90)"),
        code("f()", SAID),
    ]
    kinds = [cell.metadata.slideshow.slide_type for cell in with_slide_tags(new_notebook(cells=cells)).cells]
    assert kinds == [NEW, SKIP, BELOW]


def page(*cells: NotebookNode) -> str:
    return slides.deck(with_slide_tags(new_notebook(cells=list(cells))), Path())


def test_a_deck_has_a_slide_for_each_group_and_the_heading_over_those_that_go_on() -> None:
    made = page(
        text("# 3 · Windows: few\n\nStart."),
        code("import torch"),
        text("## Cutting\n\nIt is cut."),
        code("draw(\n)", FIGURE),
        text("And on.\n\n## Joining\n\nBack."),
    )
    shown = re.findall(r"<section>(.*?)</section>", made, re.DOTALL)
    assert len(shown) == 5
    assert "Start." in shown[0]
    assert "import torch" not in made
    assert '<div class="where">Cutting</div>' in shown[2]
    assert "image/png" in shown[2]
    assert "draw" not in shown[2]
    assert "Back." in shown[-1]
    assert "<title>3 · Windows: few</title>" in made


def test_short_code_is_shown_with_its_output_and_long_code_is_not() -> None:
    made = page(text("# 1 · A\n\nB"), code("count(17)", SAID), code("\n".join(["x = 1"] * 20), SAID))
    assert "count" in made
    assert '<span class="n">x</span>' not in made
    assert made.count("89 windows") == 2


def test_links_lead_to_slides_or_stay_words() -> None:
    made = page(
        text(
            "# 1 · A\n\n[*pitch*](GLOSSARY.md), [two](02_two.ipynb#Tokens), [paper](https://arxiv.org/abs/1)"
        )
    )
    assert re.findall(r'<a href="([^"]+)"[^>]*>(?:two|paper|pitch)', made) == [
        "02_two.html",
        "https://arxiv.org/abs/1",
    ]
    assert "<em>pitch</em>, " in made and "GLOSSARY" not in made


def test_formulas_are_pictures_and_those_beyond_matplotlib_are_text() -> None:
    made = page(
        text("# 1 · A\n\nIn line $q \\cdot k_j$ and\n\n$$\\frac{a}{\\sqrt d}$$\n\n```\n$(not a formula)\n```")
    )
    assert made.count("data:image/svg+xml;base64,") == 2
    assert 'alt="q \\cdot k_j"' in made
    assert "$(not a formula)" in made
    assert slides.formula(r"\begin{aligned} a < b \end{aligned}").startswith(
        "<code>\\begin{aligned} a &lt; b"
    )


@pytest.mark.parametrize("path", chapters(), ids=lambda path: path.stem)
def test_every_formula_of_the_course_can_be_drawn(path: Path) -> None:
    for cell in read(path).cells:
        if cell.cell_type == "markdown":
            prose = re.sub(r"```.*?```|`[^`]*`", "", cell.source, flags=re.DOTALL)
            for block, inline in re.findall(r"\$\$(.+?)\$\$|\$([^$\n]+)\$", prose, re.DOTALL):
                assert slides.formula(block or inline).startswith("<img"), block or inline


def test_a_real_chapter_needs_nothing_from_elsewhere(tmp_path: Path) -> None:
    path = chapters()[0]
    slides.main([str(path), "--out", str(tmp_path)])
    made = (tmp_path / f"{path.stem}.html").read_text(encoding="utf-8")
    loaded = re.findall(r"<(?:img|script|link|audio|iframe|source)[^>]*?(?:src|href)=\"([^\"]{0,30})", made)
    assert loaded
    assert all(address.startswith("data:") for address in loaded)
    assert "@import" not in made and "url(" not in made
    assert made.count("<section>") >= 15
    assert f'<a href="{path.stem}.html">0 · The tour' in (tmp_path / "index.html").read_text(encoding="utf-8")

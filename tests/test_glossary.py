"""Each row of the glossary has its four languages, and its term is explained in the chapter that it names."""

import re
from functools import cache
from pathlib import Path

import pytest

from tools.course import NOTEBOOKS, chapters, read

ROWS = [
    [field.strip() for field in line.strip("|").split("|")]
    for line in (NOTEBOOKS / "GLOSSARY.md").read_text(encoding="utf-8").splitlines()
    if re.match(r"\| .* \| \d+ \|$", line)
]
CHAPTERS = {int(path.stem[:2]): path for path in chapters()}
HANGUL, HAN = re.compile(r"[가-힣]"), re.compile(r"[\u4e00-\u9fff]")
NAMES = {"AdamW", "bfloat16", "CTC"}  # which Korean and Chinese write as English does


@cache
def prose(path: Path) -> str:
    return "\n".join(cell.source for cell in read(path).cells if cell.cell_type == "markdown")


def has(path: Path, term: str, emphasized: bool = False) -> bool:
    """Whether a chapter's text has the term, also with an ending; if asked, in italics, as a term that it explains."""
    word = rf"(?<!\w)\*{re.escape(term)}(s|es)?\*(?!\w)" if emphasized else rf"(?<!\w){re.escape(term)}"
    return bool(re.search(word, prose(path), re.IGNORECASE))


def test_there_are_many_rows_in_order_and_none_twice() -> None:
    terms = [row[0].lower() for row in ROWS]
    assert len(terms) >= 90
    assert terms == sorted(set(terms))


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_a_row_has_four_languages_and_one_sentence(row: list[str]) -> None:
    english, korean, chinese, german, sentence, _ = row
    assert english and german
    assert HANGUL.search(korean) or english in NAMES
    assert HAN.search(chinese) or english in NAMES
    assert not HAN.search(german + english)
    assert not HANGUL.search(chinese + german + english)
    assert sentence.endswith(".")
    assert not re.search(r"[.!?] [A-Z]", sentence), "one sentence"


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_a_term_is_explained_in_its_chapter(row: list[str]) -> None:
    """It stands in the chapter's text, and no chapter before it prints it in italics, as a term that is new."""
    term, chapter = row[0], int(row[-1])
    assert 0 <= chapter <= 12
    assert chapter not in CHAPTERS or has(CHAPTERS[chapter], term)
    assert not [number for number, path in CHAPTERS.items() if number < chapter and has(path, term, True)]

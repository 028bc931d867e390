"""INSTRUCTORS.md: plans that come to their minutes, every chapter and exercise as the notebooks have it."""

import re

import pytest

from salmonn_mini.course.exercises import EXERCISES
from tools import cards
from tools.course import NOTEBOOKS, chapters, read, title

PAGE = (NOTEBOOKS / "INSTRUCTORS.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))
CHAPTERS = {int(path.stem[:2]): path for path in chapters()}


def rows(section: str) -> list[list[str]]:
    lines = re.findall(r"^\|(.*)\|$", SECTIONS[section], re.MULTILINE)
    return [[field.strip() for field in line.split("|")] for line in lines]


def chapter(field: str) -> int:
    return int(field.split(" · ")[0])


def test_six_sessions_have_ninety_minutes_each_and_every_chapter_in_its_order() -> None:
    plan = [row for row in rows("Six times 90 minutes") if row[0].isdigit()]
    assert [chapter(row[1]) for row in plan] == list(range(13))
    for session in "123456":
        assert sum(int(row[2]) for row in plan if row[0] == session) == 90


def test_the_day_runs_without_gap() -> None:
    plan = [row for row in rows("One day") if re.match(r"\d+:\d\d$", row[0])]
    begins = [60 * int(row[0].split(":")[0]) + int(row[0].split(":")[1]) for row in plan]
    lasts = [int(row[2]) for row in plan]
    assert [begin + last for begin, last in zip(begins, lasts, strict=True)][:-1] == begins[1:]
    assert sum(last for row, last in zip(plan, lasts, strict=True) if " · " in row[1]) == 360


@pytest.mark.parametrize("section", ["Six times 90 minutes", "One day"])
def test_the_plans_name_chapters_as_they_are_called(section: str) -> None:
    for row in rows(section):
        name = next((field for field in row if re.match(r"\d+ · ", field)), None)
        if name and chapter(name) in CHAPTERS:
            assert title(read(CHAPTERS[chapter(name)])).startswith(f"{name}:")


def test_the_exercises_named_are_there() -> None:
    named = set(re.findall(r"\b(\d{1,2}\.\d)\b(?! GB)", SECTIONS["Six times 90 minutes"]))
    named |= set(re.findall(r"^- (\d+\.\d)", SECTIONS["Goals and common mistakes"], re.MULTILINE))
    written = {number for number in named if int(number.split(".")[0]) in CHAPTERS}
    assert len(written) >= 30
    assert written <= set(EXERCISES)


def test_every_chapter_has_goals_and_at_least_three_mistakes() -> None:
    parts = re.findall(
        r"^### (\d+) · .+?\n(.*?)(?=^### |\Z)", SECTIONS["Goals and common mistakes"], re.M | re.S
    )
    assert [int(number) for number, _ in parts] == list(range(13))
    for number, text in parts:
        assert "*Goals*: " in text, number
        assert text.count("\n- ") >= 3, number


def test_the_shares_of_the_marks_come_to_all() -> None:
    assert sum(int(share) for share in re.findall(r"\| (\d+) % \|", SECTIONS["Marking"])) == 100


def test_the_table_of_cards_is_the_notebooks() -> None:
    assert cards.table() in PAGE, "run: make tags"
    for number, path in CHAPTERS.items():
        own = [row for row in EXERCISES.values() if row.number.startswith(f"{number}.")]
        minutes, points = sum(row.minutes for row in own), sum(row.level for row in own)
        assert cards.row(path).endswith(f"| {len(own)} | {minutes} | {points} |\n")


def test_what_the_page_names_is_there() -> None:
    root = NOTEBOOKS.parent
    targets = set(re.findall(r"^(\w+):", (root / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"(?:^|`)make (\w+)", PAGE, re.MULTILINE)) <= targets
    for link in re.findall(r"\]\(([^)#]+)\)", PAGE):
        assert (NOTEBOOKS / link).exists(), link
    for file in re.findall(r"`((?:tools|tests|notebooks)/[\w./]+)`", PAGE):
        assert (root / file).exists(), file

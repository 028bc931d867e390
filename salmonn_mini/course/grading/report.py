"""Marks as a table for the terminal, and as CSV for a spreadsheet."""

from __future__ import annotations

import csv
import io
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath
from typing import Any

from salmonn_mini.course.grading.work import MISSING, NAMED, NOTHING, RIGHT, WRONG, one_line

MEANING = {
    RIGHT: "right",
    WRONG: "not yet",
    NOTHING: "nothing there",
    NAMED: "right, but see how: it does not count",
    MISSING: "no such exercise in it",
}
COLUMNS = ("student", "file", "exercise", "mark", "points", "of", "hint", "notes")
LONG = 120  # characters of code, from which two equal ones are told

Row = dict[str, Any]


def table(rows: list[Row]) -> str:
    """A line a student and a column an exercise; below, what the marks mean, all hints, and what else was seen."""
    return "\n".join([*_lines(_in_chapters(rows)), *_notes(rows)]).rstrip()


def to_csv(rows: list[Row]) -> str:
    """A line for each student and exercise; no cell is a formula."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    notes = seen(rows)
    for points, own in _in_chapters(rows).items():
        for row in own:
            for number, most in points:
                mark, hint = _mark(row, number)
                counted = most if mark == RIGHT else 0
                line = student(row), row["file"], number, MEANING[mark], counted, most, hint
                writer.writerow(map(_plain, (*line, " ".join(notes[row["file"]]))))
    return file.getvalue()


def student(row: Row) -> str:
    """Who handed it in: the folder that the file lies in, or else the file's own name."""
    path = PurePosixPath(row["file"])
    return one_line(path.parts[0] if len(path.parts) > 1 else path.stem)


def seen(rows: Iterable[Row]) -> dict[str, list[str]]:
    """What there is to say of each file beside the exercises: it cannot be read; it is another's."""
    notes = {row["file"]: list(map(one_line, row["notes"])) for row in rows}
    alike = defaultdict(list)
    for row in rows:
        if len(row["code"]) >= LONG and {mark for mark, _ in row["marks"].values()} - {NOTHING}:
            alike[row["code"]].append(row)
    for own in alike.values():
        for row in own if len(own) > 1 else ():
            others = ", ".join(student(other) for other in own if other is not row)
            notes[row["file"]].append(f"The same code as {others}.")
    return notes


def _in_chapters(rows: Iterable[Row]) -> dict[tuple, list[Row]]:
    """By a chapter's exercises and their points; a file that tells no chapter is of the most frequent one."""
    often = Counter(tuple(row["points"].items()) for row in rows if row["points"])
    usual = max(often, key=often.get, default=())
    found = defaultdict(list)
    for row in rows:
        found[tuple(row["points"].items()) or usual].append(row)
    return found


def _lines(chapters: dict[tuple, list[Row]]) -> Iterator[str]:
    for points, rows in chapters.items():
        width = max(len(student(row)) for row in [*rows, {"file": "student"}])
        yield f"{'student':<{width}}  {'  '.join(f'{number:<5}' for number, _ in points)}  points"
        for row in rows:
            marks = [_mark(row, number)[0] for number, _ in points]
            counted = sum(most for (_, most), mark in zip(points, marks, strict=True) if mark == RIGHT)
            shown = "  ".join(f"{mark:<5}" for mark in marks)
            yield f"{student(row):<{width}}  {shown}  {counted} of {sum(most for _, most in points)}"
        yield ""
    yield "  ".join(f"{mark} {meaning}" for mark, meaning in MEANING.items())
    yield ""
    for points, rows in chapters.items():
        for number, _ in points:
            yield from _hints(number, rows)


def _hints(number: str, rows: list[Row]) -> Iterator[str]:
    """An exercise's hints, the most frequent first: what to talk about in class."""
    found = defaultdict(list)
    for row in rows:
        mark, hint = _mark(row, number)
        if hint:
            found[f"{mark} {hint}"].append(student(row))
    for hint, who in sorted(found.items(), key=lambda item: -len(item[1])):
        yield f"{number}  {hint}  ({', '.join(who)})"


def _notes(rows: list[Row]) -> Iterator[str]:
    for file, notes in seen(rows).items():
        for note in notes:
            yield f"{student({'file': file})}: {note}"


def _mark(row: Row, number: str) -> tuple[str, str]:
    mark, hint = row["marks"].get(number, (MISSING, ""))
    return mark, one_line(hint)


def _plain(value: Any) -> Any:
    """A text that no spreadsheet takes for a formula."""
    if not isinstance(value, str):
        return value
    value = one_line(value)
    return f"'{value}" if value.startswith(("=", "+", "-", "@")) else value

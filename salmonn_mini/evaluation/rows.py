"""Rows: a JSON object for each answer, written as the answers come, scored from its texts alone."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from salmonn_mini.errors import SalmonnError
from salmonn_mini.evaluation.metrics.following import Prediction
from salmonn_mini.evaluation.metrics.measures import score
from salmonn_mini.files import append_json, write_text

TEXTS = ("task", "prompt", "words", "sounds", "reference", "answer", "ended")
Row = dict[str, Any]


def prediction_of(row: Mapping[str, Any]) -> Prediction:
    """What of a row is scored."""
    texts = {name: row[name] for name in TEXTS if name != "prompt"}
    return Prediction(**texts, normalizer=row.get("normalizer", "basic"))


def group_by_task(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """The rows of each task, in their order."""
    by_task: dict[str, list[Row]] = {}
    for row in rows:
        by_task.setdefault(row["task"], []).append(row)
    return by_task


def with_scores(rows: Sequence[Row]) -> list[Row]:
    """The rows with the numbers of every measure, after their texts; each task and control is a set of its own."""
    sets: dict[tuple, list[int]] = {}
    for i, row in enumerate(rows):
        sets.setdefault((row["task"], row.get("control", "")), []).append(i)
    scored = [{name: row[name] for name in TEXTS} | {"scores": ()} | row for row in rows]
    for own in sets.values():
        for i, scores in zip(own, score([prediction_of(rows[i]) for i in own]), strict=True):
            scored[i]["scores"] = scores
    return scored


def json_lines(rows: Iterable[Mapping[str, Any]]) -> str:
    """Rows as a file's text."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def parse_lines(text: str) -> list[Row]:
    """The rows of such a text; within them, other line separators than a line feed stay."""
    return [json.loads(line) for line in text.removesuffix("\n").split("\n")]


class RowLog:
    """Rows of one run, in a file that grows answer by answer; a run that finds rows there continues it.

    Args:
        path: the file; None keeps the rows in memory.
        stamp: what the rows of a run have in common; it is written into each.
        each: rows of one clip; a clip with fewer is answered again.

    Raises:
        SalmonnError: the file holds no rows, or those of another run.
    """

    def __init__(self, path: str | Path | None, stamp: Mapping[str, Any], each: int) -> None:
        self.path, self.each = path and Path(path), each
        self.stamp = json.loads(json.dumps(stamp))
        rows = self._read() if self.path and self.path.exists() else []
        counts = Counter(row["index"] for row in rows)
        self.done = {index for index, count in counts.items() if count == each}
        self.rows = [row for row in rows if row["index"] in self.done]
        if self.path:
            write_text(self.path, json_lines(self.rows))

    def add(self, rows: Iterable[Row]) -> None:
        """Keep rows, each with the "index" of its clip; raises SalmonnError where the file cannot be written to."""
        for row in rows:
            self.rows.append(row)
            if self.path:
                append_json(self.path, row | self.stamp)

    def ordered(self) -> list[Row]:
        """The rows in the clips' order, without their numbers."""
        rows = sorted(self.rows, key=lambda row: row["index"])
        return [{name: value for name, value in row.items() if name != "index"} for row in rows]

    def _read(self) -> list[Row]:
        try:
            whole, _, rest = self.path.read_text(encoding="utf-8").rpartition("\n")
            if not rest.startswith('{"index"'[: len(rest)]):  # a stopped run leaves the start of a row
                raise ValueError("its last line is none")
            rows = [row | {"index": int(row["index"])} for row in (parse_lines(whole) if whole else ())]
            found = {key: row[key] for row in rows for key in self.stamp if row[key] != self.stamp[key]}
        except (OSError, ValueError, KeyError, TypeError) as problem:
            raise SalmonnError(
                f"{self.path} has no rows of an evaluation ({problem}): give another"
            ) from problem
        for key, theirs in found.items():
            raise SalmonnError(
                f"{self.path} has rows of another run: {key} is {theirs!r} there and {self.stamp[key]!r} here; "
                "give another file, or the same settings"
            )
        return rows

"""Tables of texts: for the terminal, and in Markdown."""

from __future__ import annotations

from collections.abc import Sequence

Cells = Sequence[Sequence[str]]  # rows; the first is the header


def aligned(cells: Cells) -> list[str]:
    """The lines of a table with its columns side by side."""
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in cells]


def markdown(cells: Cells) -> list[str]:
    """The lines of a Markdown table."""
    rows = [" | ".join(cell.replace("|", r"\|") for cell in row) for row in cells]
    head, *body = (f"| {row} |".replace("|  |", "| |") for row in rows)
    return [head, "|" + "---|" * len(cells[0]), *body]

"""What is known of a submission, and what its marks are called; it imports nothing heavy."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field

NOTHING, WRONG, RIGHT = "○", "✗", "✓"  # as `check` prints them
NAMED, MISSING = "!", "–"
ORDER = (MISSING, NOTHING, WRONG, NAMED, RIGHT)  # of several tries the one that is furthest on


@dataclass
class Work:
    """A judge goes on where the one before it had to stop.

    Attributes:
        points: of the chapter's exercises, by number.
        code: of all exercise cells, to tell copies by.
        marks: number → mark and hint.
        judged, skipped: places of cells that are done, and of those in which a process came to its end.
        notes: what was seen outside of the exercises.
        missing: what this system could not forbid.
        over: whether all has been judged.
    """

    points: dict[str, int] = field(default_factory=dict)
    code: str = ""
    marks: dict[str, tuple[str, str]] = field(default_factory=dict)
    judged: list[int] = field(default_factory=list)
    skipped: list[int] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    over: bool = False

    def mark(self, number: str, mark: str, hint: str) -> None:
        """Enter a mark, unless an earlier try was better."""
        before = self.marks.get(number, (MISSING, ""))[0]
        if number in self.points and ORDER.index(mark) >= ORDER.index(before):
            self.marks[number] = mark, one_line(hint)


def one_line(text: str) -> str:
    """Without control characters, which a terminal might obey, and not too long."""
    seen = "".join(" " if unicodedata.category(sign)[0] in "CZ" else sign for sign in text)
    seen = " ".join(seen.split())
    return seen if len(seen) <= 300 else f"{seen[:297]}..."

"""What a check finds."""

from __future__ import annotations

from dataclasses import dataclass

OK, WARN, FAIL = "OK", "WARN", "FAIL"


@dataclass(frozen=True)
class Finding:
    """A line of the report: the value and the rule; the remedy where it is not OK."""

    level: str
    text: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"[{self.level}]".ljust(7) + self.text + (f": {self.remedy}" if self.remedy else "")


def size(bytes_: float) -> str:
    """Bytes in GB or MB, for reading."""
    return f"{bytes_ / 1e9:.1f} GB" if bytes_ >= 1e9 else f"{bytes_ / 1e6:.1f} MB"

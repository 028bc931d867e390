"""Clips that cannot be used: put aside with their reasons, listed, and counted against a share."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from salmonn_mini.data.clips import Example
from salmonn_mini.data.manifest import BadClip
from salmonn_mini.errors import SalmonnError
from salmonn_mini.files import write_text

FILE = "quarantine.jsonl"
MAX_BAD_SHARE = 0.05


def usable(results: Sequence[object]) -> list[int]:
    """The numbers of the clips that are not Bad."""
    return [i for i, result in enumerate(results) if not isinstance(result, BadClip)]


def write_quarantine(examples: Sequence[Example], results: Sequence[object], folder: Path) -> None:
    """Write `quarantine.jsonl`, a line `{"clip", "task", "reason"}` for each Bad result; none, no file."""
    rows = [
        {"clip": example.clip, "task": example.task, "reason": result.reason}
        for example, result in zip(examples, results, strict=True)
        if isinstance(result, BadClip)
    ]
    if rows:
        write_text(folder / FILE, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    else:
        (folder / FILE).unlink(missing_ok=True)


def check_bad_share(
    examples: Sequence[Example], results: Sequence[object], max_bad_share: float, folder: Path
) -> str | None:
    """What there is to say of bad clips, in a line; None where all are good.

    Raises:
        SalmonnError: more than `max_bad_share` of the clips are bad.
    """
    bad = [i for i, result in enumerate(results) if isinstance(result, BadClip)]
    if not bad:
        return None
    said = f"{len(bad):,} of {len(results):,} clips cannot be used and are put aside: see {folder / FILE}"
    if len(bad) > max_bad_share * len(results):
        raise SalmonnError(
            f"{said}; that is more than max_bad_share = {max_bad_share:g}; the first is "
            f"{examples[bad[0]].clip} ({results[bad[0]].reason}): fix the files or their paths, or raise "
            f"max_bad_share"
        )
    return said

"""What a release says: CHANGELOG.md's part for a tag, which must be the package's version.

python tools/release.py v0.1.0
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VERSION = re.compile(r'^__version__ = "(.+)"$', re.MULTILINE)


def notes(tag: str, root: Path = ROOT) -> str:
    """The text below the version's heading; SystemExit, in one line, when tag, package and changelog do not agree."""
    version = VERSION.search((root / "salmonn_mini" / "__init__.py").read_text(encoding="utf-8"))[1]
    if tag != f"v{version}":
        raise SystemExit(
            f"error: the tag is {tag}, the package {version}: tag v{version}, or change __version__ first"
        )
    parts = re.split(r"(?m)^## ", (root / "CHANGELOG.md").read_text(encoding="utf-8"))
    for part in parts[1:]:
        heading, _, text = part.partition("\n")
        if re.fullmatch(rf"{re.escape(version)} · \d{{4}}-\d\d-\d\d", heading):
            return text.strip() + "\n"
    raise SystemExit(
        f"error: CHANGELOG.md has no part '## {version} · YYYY-MM-DD': name what is unreleased so"
    )


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8")
    print(notes(*sys.argv[1:2] or [""]), end="")

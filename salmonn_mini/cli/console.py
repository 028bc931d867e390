"""What is said on stderr: by one process of a run alone, and at once."""

from __future__ import annotations

import os
import sys


def say(text: str, everywhere: bool = False) -> None:
    """One line on stderr; of the processes that torchrun starts, only the first says it, unless `everywhere`."""
    if everywhere or os.environ.get("RANK", "0") == "0":
        print(" ".join(text.split()), file=sys.stderr, flush=True)

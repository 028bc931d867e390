"""What a notebook says of itself: what a run costs."""

from __future__ import annotations

import json
import os
import sys
import time

try:
    import resource
except ImportError:  # Windows
    resource = None

REPORT = "SALMONN_MINI_CARDS"  # names the file that `card` adds its measurements to
_reported = 0.0  # seconds of computing, up to the last report


def card(minutes: float, gigabytes: float) -> None:
    """Print what the notebook should take, the same words on every machine; measure what it took.

    The measurement, a line of JSON, goes to the file that the variable SALMONN_MINI_CARDS names, if it is set:
    `make cards` sets it and prints the table.

    Args:
        minutes: of computing by this process, since it began or since the last report; what else the machine
            does at the same time does not count.
        gigabytes: of memory at its peak; unknown on Windows.
    """
    global _reported
    spent = time.process_time() - _reported
    _reported += spent
    if path := os.environ.get(REPORT):
        row = {"card": [minutes, gigabytes], "measured": [spent / 60, _peak_gigabytes()]}
        with open(path, "a", encoding="utf-8") as report:
            report.write(json.dumps(row) + "\n")
    print(f"Planned: at most {minutes:g} min of computing and {gigabytes:g} GB of memory.")


def _peak_gigabytes() -> float:
    if resource is None:
        return 0.0
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, kilobytes elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9

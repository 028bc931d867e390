"""What a notebook says of itself: what a reader predicted beside what came out, and what a run costs."""

from __future__ import annotations

import sys
import time

try:
    import resource
except ImportError:  # Windows
    resource = None

_seconds = 0.0  # of computing, up to the last report


def compare(guess: object, measured: float, unit: str = "") -> None:
    """Print a prediction, None if there is none, beside the measurement."""
    found = f"Measured: {measured:,.4g} {unit}".rstrip()
    if guess is None:
        print(f"{found}. (No prediction was written down.)")
    elif not isinstance(guess, int | float):
        print(f"{found}. Predicted: {guess}.")
    elif guess == measured:
        print(f"{found}. Predicted: the same.")
    else:
        print(f"{found}. Predicted: {guess:,.4g}, {'too low' if guess < measured else 'too high'}.")


def within(minutes: float, gigabytes: float) -> None:
    """Print whether the notebook kept to its card.

    Args:
        minutes: of computing by this process, since it began or since the last report: what else the machine
            does at the same time does not count.
        gigabytes: of memory at its peak; unknown on Windows.
    """
    global _seconds
    spent = (time.process_time() - _seconds) / 60
    _seconds = time.process_time()
    peak = _peak_gigabytes()
    kept = spent <= minutes and peak <= gigabytes
    print(
        f"As the card says: at most {minutes:g} min of computing and {gigabytes:g} GB of memory."
        if kept
        else f"More than the card says: {spent:.1f} min of {minutes:g}, {peak:.1f} GB of {gigabytes:g}."
    )


def _peak_gigabytes() -> float:
    if resource is None:
        return 0.0
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, kilobytes elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9

"""Jobs for data/loader.py, in a file of their own: a worker imports the file that its job comes from."""

from __future__ import annotations

import os
import time

import torch

from salmonn_mini.errors import SalmonnError


def work(number: int) -> tuple[int, torch.Tensor]:
    """The earlier of two jobs takes longer; the 13th cannot be done."""
    time.sleep(0.02 * (number % 2 == 0))
    if number == 13:
        raise SalmonnError("13 is too many")
    return number, torch.full((4,), float(number))


def who(number: int) -> int:
    """The process that does the job."""
    return os.getpid()


def begin(pipe) -> None:
    """A process whose workers have begun, and that goes on for long."""
    from salmonn_mini.data import map_in_order

    results = map_in_order(who, range(1000), workers=2)
    pipe.send([next(results) for _ in range(4)])
    time.sleep(600)

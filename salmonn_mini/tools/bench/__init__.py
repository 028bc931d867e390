"""How fast this is, and how much memory it takes; runs only on demand.

    published-small   the work that the published code was timed at, in units that two machines share
    long-audio        recordings of 1, 2, 4 and 8 minutes
    ablations         a training step of a preset, with each measure of speed and memory on and off

Weights are random. On a CPU all runs on one thread, and times are the process's CPU seconds, so that a busy machine
changes them little; the least of several runs counts.
"""

from __future__ import annotations

from typing import Any

import torch

from salmonn_mini.errors import unknown
from salmonn_mini.tools.bench import long_audio, published
from salmonn_mini.tools.bench.timing import calibrate, one_thread, peak_bytes

RUNS = 3
BENCHES = {"published-small": published, "long-audio": long_audio}
NAMES = (*BENCHES, "ablations")


def bench(name: str, *, runs: int = RUNS) -> dict[str, Any]:
    """The measurements of `name`, one of BENCHES, ready for JSON.

    Args:
        runs: how often each piece of work is timed; the least counts.

    Raises:
        SalmonnError: no such benchmark.
    """
    if name not in BENCHES:
        raise unknown("benchmark", name, NAMES)
    module = BENCHES[name]
    with one_thread():
        before = calibrate()
        model = module.make()
        times = module.measure(model, runs)
        mm = min(before, calibrate())
    return {
        "config": name,
        "torch": torch.__version__,
        "threads": 1,
        "dtype": "float32",
        "calibration": {"seconds": round(mm, 4), "gflops": round(2 * 2048**3 / mm / 1e9, 1)},
        "parameters": sum(p.numel() for p in model.parameters()),
        "trainable": sum(p.numel() for p in model.parameters() if p.requires_grad),
        **module.report(times, mm),
        "peak_bytes": peak_bytes(),
    }

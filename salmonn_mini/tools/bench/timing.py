"""Seconds of a piece of work, the rate of a matrix product, the peak of memory; the reports made of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import torch

from salmonn_mini.evaluation.tables import aligned
from salmonn_mini.tools import size

CPU = torch.device("cpu")
PRODUCT = {"cpu": 2048, "cuda": 8192}  # size of the matrix product that other work is measured by
# A number of a row: its heading, and how it is written.
COLUMNS: dict[str, tuple[str, Callable[[Any], str]]] = {
    "seconds": ("seconds", "{:.3f}".format),
    "times_as_fast": ("times as fast", "{:.2f}".format),
    "growth": ("growth", "{:.2f}".format),
    "samples_per_second": ("samples/s", "{:.2f}".format),
    "tokens_per_second": ("tokens/s", "{:.0f}".format),
    "flops": ("TFLOP", lambda flops: f"{flops / 1e12:.3f}"),
    "mfu": ("MFU", "{:.0%}".format),
    "peak_bytes": ("peak", size),
    "error": ("", str),
}


def fastest(do: Callable[[], object], runs: int, device: torch.device = CPU) -> float:
    """The least seconds that a piece of work takes in so many runs, after one for what only the first call costs."""
    do()
    return min(_seconds(do, device) for _ in range(runs))


def _seconds(do: Callable[[], object], device: torch.device) -> float:
    """CPU time of the process on a CPU; wall-clock time on a GPU, from an empty queue to an empty queue."""
    clock, wait = time.process_time, lambda: None
    if device.type == "cuda":
        clock, wait = time.perf_counter, torch.cuda.synchronize
    wait()
    start = clock()
    do()
    wait()
    return clock() - start


def product_rate(device: torch.device = CPU, dtype: torch.dtype = torch.float32) -> float:
    """FLOPs a second of a large matrix product."""
    n = PRODUCT[device.type]
    a, b = (torch.randn(n, n, device=device, dtype=dtype) for _ in range(2))
    return 2 * n**3 / fastest(lambda: a @ b, 5, device)


@contextmanager
def one_thread() -> Iterator[None]:
    """Within the block torch uses a single thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def reset_peak(device: torch.device = CPU) -> None:
    """Count the peak from here on; on a CPU only Linux can."""
    clear = Path("/proc/self/clear_refs")
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif clear.exists():
        clear.write_text("5", encoding="ascii")


def peak_bytes(device: torch.device = CPU) -> int:
    """The most memory that torch has held on the GPU, or the process in RAM; beside Linux what it holds now."""
    status = Path("/proc/self/status")
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if status.exists():
        return int(status.read_text(encoding="utf-8").partition("VmHWM:")[2].split()[0]) * 1024
    return psutil.Process().memory_info().rss


def report(
    config: str, device: torch.device, rates: dict[str, float], rows: dict[str, dict], **more: Any
) -> dict[str, Any]:
    """A benchmark's results, ready for JSON; `rates` are of a matrix product in each type that was used."""
    name = "CPU, one thread" if device.type == "cpu" else torch.cuda.get_device_name(device)
    rates = {dtype: round(rate) for dtype, rate in rates.items()}
    where = {"torch": torch.__version__, "device": name, "matrix_product_flops": rates}
    return {"config": config, **where, **more, "rows": rows}


def table(report: dict[str, Any]) -> str:
    """A report for reading: what it says of all rows in a line, then the rows."""
    rows = report["rows"]
    title = ", ".join(
        f"{key} {value}" for key, value in report.items() if isinstance(value, str | int | float)
    )
    columns = {key: column for key, column in COLUMNS.items() if any(key in row for row in rows.values())}
    cells = [["", *(heading for heading, _ in columns.values())]]
    for name, row in rows.items():
        cells.append([name, *(form(row[key]) if key in row else "" for key, (_, form) in columns.items())])
    return "\n".join([title, *aligned(cells)])

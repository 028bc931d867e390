"""Seconds of a piece of work, the rate of a matrix product, the peak of memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil
import torch
from tqdm import tqdm

CPU = torch.device("cpu")

Times = dict[str, float]  # a row's name and its seconds
Work = Callable[[], object]


def now(device: torch.device = CPU) -> float:
    """Seconds: CPU time of the process on a CPU; wall-clock time on a GPU, once its queue is empty."""
    if device.type == "cpu":
        return time.process_time()
    torch.cuda.synchronize(device)
    return time.perf_counter()


def seconds(do: Work, device: torch.device = CPU) -> float:
    """How long a piece of work takes."""
    start = now(device)
    do()
    return now(device) - start


def calibrate(size: int = 2048, device: torch.device = CPU, dtype: torch.dtype = torch.float32) -> float:
    """Seconds of a matrix product size³, the fastest of five."""
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    a @ b  # libraries choose their kernel at the first call
    return min(seconds(lambda: a @ b, device) for _ in range(5))


def fastest(works: Mapping[str, Work], runs: int) -> Times:
    """The least CPU seconds of each row, and of the parts that a work returns as a dictionary.

    The runs take turns, so that a disturbance meets all works alike.
    """
    times: Times = {}
    with tqdm(total=runs * len(works), leave=False) as bar:
        for _ in range(runs):
            for name, work in works.items():
                bar.set_description(name)
                start, parts = now(), work()
                spent = {name: now() - start}
                if isinstance(parts, dict):
                    spent |= {f"{name}: {part}": took for part, took in parts.items()}
                times |= {row: min(took, times.get(row, took)) for row, took in spent.items()}
                bar.update()
    return times


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
        clear.write_text("5")


def peak_bytes(device: torch.device = CPU) -> int:
    """The most memory that torch has held on the GPU, or the process in RAM; macOS tells only what it holds now."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().partition("VmHWM:")[2].split()[0]) * 1024
    memory = psutil.Process().memory_info()
    return getattr(memory, "peak_wset", memory.rss)

"""Work on clips in other processes or threads; its results come in the order of the jobs, however many work."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from typing import TypeVar

import torch
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm
from tqdm.contrib.concurrent import thread_map

Job, Result = TypeVar("Job"), TypeVar("Result")


def map_in_order(
    do: Callable[[Job], Result], jobs: Iterable[Job], workers: int = 0, ahead: int = 8
) -> Iterator[Result]:
    """`do` of each job, in the order of the jobs, through torch's DataLoader; without workers in this process.

    A result is a function of its job alone, so the number of workers changes none. The jobs may be endless: closing
    the iterator ends the workers.

    Args:
        do: must be picklable, as functions of a module are; so must jobs and results.
        ahead: jobs for each worker, waiting or done.
    """
    loader = DataLoader(
        _Work(do),
        sampler=jobs,
        batch_size=None,
        num_workers=workers,
        collate_fn=pickle.dumps,  # as bytes: a tensor in shared memory keeps a file open, and there are too many
        prefetch_factor=ahead if workers else None,
        multiprocessing_context=_context() if workers else None,
        worker_init_fn=_end_with_parent,
        generator=torch.Generator(),  # else it would draw from the one that others draw from
    )
    for packed in loader:
        yield pickle.loads(packed)


def read_all(do: Callable[[Job], Result], jobs: Sequence[Job], threads: int = 1) -> list[Result]:
    """`do` of each job, so many at a time, with a progress bar on stderr."""
    stderr = nullcontext(sys.stderr)
    with suppress(OSError, ValueError):  # a notebook's, or closed
        if sys.stderr.fileno() == 2:  # under another number: while MP3s are decoded, number 2 leads nowhere
            stderr = os.fdopen(os.dup(2), "w")
    with stderr as file:
        bar = {"desc": "reading", "unit": "clip", "file": file, "tqdm_class": tqdm}  # text in notebooks, too
        return thread_map(do, jobs, max_workers=threads, **bar)


def prefetch(items: Iterable[Result]) -> Iterator[Result]:
    """The same items; while one is in use, a thread gets the next."""
    items, end = iter(items), object()
    with ThreadPoolExecutor(1) as reader:
        coming = reader.submit(next, items, end)
        while (item := coming.result()) is not end:
            coming = reader.submit(next, items, end)
            yield item


class _Work(Dataset):
    """What DataLoader takes as a dataset: its "index" is a job."""

    def __init__(self, do: Callable[[Job], Result]) -> None:
        self.do = do

    def __getitem__(self, job: Job) -> Result:
        return self.do(job)


def _context() -> multiprocessing.context.BaseContext:
    """Workers do not begin as copies of this process, whose threads and GPU do not survive being copied."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["salmonn_mini.data"])
    return context


def _end_with_parent(worker: int) -> None:
    """Let a worker end with the process that started it, also when that one was killed."""

    def wait() -> None:
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()

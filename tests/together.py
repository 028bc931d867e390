"""Processes that work together, out of a server that has imported what is slow to import."""

from __future__ import annotations

import multiprocessing
import os
import socket
from collections.abc import Callable
from typing import Any


def start(target: Callable[..., None], count: int, *arguments: Any) -> list[multiprocessing.Process]:
    """`count` processes that run `target(*arguments)`; more than one are a world, by torchrun's own variables."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = server()
    started = [
        context.Process(target=_in_world, args=(rank, count, port, target, arguments))
        for rank in range(count)
    ]
    for process in started:
        process.start()
    return started


def server() -> multiprocessing.context.BaseContext:
    """Where processes come from: a server that has imported what is slow, or, on Windows, from nothing."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["runs", "tiny", "salmonn_mini.train.loop"])
    return context


def finish(started: list[multiprocessing.Process], patience: float = 120.0) -> None:
    """Wait until they have all come to a good end."""
    for process in started:
        process.join(patience)
        assert process.exitcode == 0, f"a process ended with {process.exitcode}"


def _in_world(rank: int, count: int, port: int, target: Callable[..., None], arguments: tuple) -> None:
    import torch

    torch.set_num_threads(1)
    if count > 1:
        os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(count)}
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    target(*arguments)

"""The judge: the rules run here, on what comes back from a student's process, and nothing of a student's runs here."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import random
import re
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch

from salmonn_mini.course.exercises import EXERCISES, verdict
from salmonn_mini.course.grading import wire
from salmonn_mini.course.grading.limits import Limits, adopt, kill_family, overdrawn
from salmonn_mini.course.grading.notebook import Cell, chapter_of, fingerprint, read_cells
from salmonn_mini.course.grading.student import serve
from salmonn_mini.course.grading.work import NAMED, RIGHT, WRONG, Work, one_line
from salmonn_mini.errors import SalmonnError


class Ended(BaseException):
    """A student's process has come to its end, by itself or by the judge; no rule may catch it."""


def judge(connection: Connection, content: bytes, work: Work, hidden: list[Path], limits: Limits) -> None:
    """Judge what is left of a submission, in a process of its own, and send the work back."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who asked for the marks stops this one
    adopt()
    torch.set_num_threads(1)
    try:
        _go_on(content, work, hidden, limits)
    except SalmonnError as problem:
        work.notes, work.over = [str(problem)], True
    except Exception as error:  # what nobody has foreseen costs this submission alone
        said = f"It could not be judged: {type(error).__name__}: {error}"
        work.notes, work.marks, work.over = [said], {}, True
    with contextlib.suppress(OSError):  # nobody waits any more
        connection.send(work)


def _go_on(content: bytes, work: Work, hidden: list[Path], limits: Limits) -> None:
    cells = read_cells(content)
    chapter = chapter_of(cells)
    work.points = {n: row.level for n, row in EXERCISES.items() if n.split(".")[0] == chapter}
    work.code = fingerprint(cells)
    with tempfile.TemporaryDirectory(prefix="salmonn-mini-grade-", ignore_cleanup_errors=True) as folder:
        own = Path(folder).resolve()
        (own / "notebook.ipynb").write_bytes(content)
        _attempt(cells, own, work, hidden, limits)


def _attempt(cells: list[Cell], folder: Path, work: Work, hidden: list[Path], limits: Limits) -> None:
    """Judge one cell after another until all are done, or the student's process has come to its end."""
    desk = Desk(cells, folder, hidden, limits)
    place = -1
    try:
        work.missing = desk.start()
        for place, cell in enumerate(cells):
            if place not in work.skipped and (cell.body or cell.numbers):
                _cell(desk, place, cell, work, limits)
        work.over = True
    except Ended as end:
        numbers, reaches = (cells[place].numbers, cells[place].reaches) if place >= 0 else ((), [])
        said = f"Stopped: {end}. {_uses([*desk.earlier, *desk.seen, *reaches])}"
        for number in numbers if place not in work.judged else ():
            work.mark(number, WRONG, said)
        work.notes += [] if numbers else [f"Code cell {place + 1}: {said}"]
        work.skipped.append(place)
        work.over = place < 0 or len(work.skipped) > len({n for cell in cells for n in cell.numbers}) + 2
    finally:
        desk.close()


def _cell(desk: Desk, place: int, cell: Cell, work: Work, limits: Limits) -> None:
    """Load a cell, and judge its answers if that has not been done yet."""
    desk.seen.clear()
    desk.deadline = time.monotonic() + limits.seconds * (1 if cell.numbers else 3)
    loaded = desk.ask("load", place)
    with _answers():
        answers = [(str(number), desk.decode(answer)) for number, answer in loaded["answers"]]
        problem = str(loaded["problem"])
    desk.earlier += [] if cell.numbers else desk.seen  # what it made may serve any exercise below
    if place in work.judged:
        return
    if problem and not cell.numbers and not problem.startswith("NameError"):  # not all that is named has run
        work.notes.append(f"Code cell {place + 1}: {problem}")
    for number in cell.numbers if cell.problem else ():
        work.mark(number, WRONG, cell.problem)
    for number, answer in answers:
        desk.deadline = time.monotonic() + limits.seconds
        said = verdict(number, answer)
        mark, hint = said[0], {WRONG: " ".join(said.split("\n")[1:]), RIGHT: ""}.get(said[0], problem)
        if uses := _uses([*desk.earlier, *desk.seen, *cell.reaches]):
            mark, hint = NAMED if mark == RIGHT else mark, f"{uses} {hint}"
        work.mark(number, mark, hint)
    work.judged.append(place)


def _uses(what: list[str]) -> str:
    return f"It uses {', '.join(dict.fromkeys(what))}." if what else ""


class Desk:
    """Where the judge sits: asks a student's process, answers what it asks back, and watches its limits."""

    def __init__(self, cells: list[Cell], folder: Path, hidden: list[Path], limits: Limits) -> None:
        self.folder, self.limits = folder, limits
        self.seen: list[str] = []  # what the cell's code reaches for
        self.earlier: list[str] = []  # what cells above did that are no exercise's
        self.callbacks: list[Any] = []
        self.graphs: list[torch.Tensor] = []
        self.deadline = time.monotonic() + limits.start
        context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs, cells, folder, hidden, limits))
        self.process.start()
        theirs.close()
        self.student = psutil.Process(self.process.pid)

    def start(self) -> list[str]:
        return self._receive()["missing"]

    def close(self) -> None:
        """End the student's process, and all that came from it, also those whose parent has died."""
        kill_family(self.process.pid)
        self.process.join(10)
        for orphan in psutil.Process().children(recursive=True):
            kill_family(orphan.pid)

    def ask(self, *message: Any) -> dict:
        self._send(message)
        while True:
            reply = self._receive()
            if "saw" in reply:
                self.seen += [one_line(str(reply["saw"]))][: 20 - len(self.seen)]
            elif "callback" in reply:
                self._call_back(reply)
            else:
                return reply

    def call(self, place: int, values: tuple) -> Any:
        """A call in the student's process, and what it did there done here: gradients, settings, random numbers."""
        self.graphs = []  # callbacks stay: what a call has made may call them later
        reply = self.ask("call", place, values)
        with _answers():
            for number, gradient in self.decode(reply["gradients"]):
                self.graphs[number].backward(gradient)
            for layer, settings in zip(_layers(values), reply["layers"], strict=True):
                vars(layer).update({name: settings[name] for name in settings.keys() & vars(layer).keys()})
            if reply["drew"]:
                torch.rand(1), np.random.random(), random.random()  # noqa: NPY002
        return self.given(reply)

    def given(self, reply: dict) -> Any:
        with _answers():
            if "raised" not in reply:
                return self.decode(reply["gave"])
            name, text = map(str, reply["raised"])
        if name in ("NotImplementedError", "AttributeError"):
            raise {"NotImplementedError": NotImplementedError, "AttributeError": AttributeError}[name](text)
        raise type(re.sub(r"\W", "", name) or "Exception", (Exception,), {})(text)

    def decode(self, data: Any) -> Any:
        with _answers():
            return wire.decode(data, lambda *kept: Remote(self, *kept))

    def _call_back(self, reply: dict) -> None:
        with _answers():
            function, values = self.callbacks[reply["callback"]], self.decode(reply["values"])
        try:
            answer = "", function(*values)
        except Exception as error:
            answer = type(error).__name__, str(error)
        self._send(answer)

    def _send(self, message: Any) -> None:
        data = wire.pack(message, self.callbacks, self.graphs)
        with contextlib.suppress(OSError):  # that it has ended shows when it is to answer
            self.connection.send_bytes(data)

    def _receive(self) -> dict:
        try:
            while time.monotonic() > self.deadline or not self.connection.poll(0.1):
                if passed := overdrawn(self.student, self.folder, self.limits, self.deadline):
                    raise Ended(passed)
            data = self.connection.recv_bytes(wire.MOST)
        except (EOFError, OSError) as error:
            self.process.join(2)
            status = self.process.exitcode
            ended = "it sent too much" if status is None else f"it ended by itself (exit status {status})"
            raise Ended(ended) from error
        with _answers():
            return dict(json.loads(data))


class _Far:
    """What `Remote` can do."""

    def __init__(self, desk: Desk, place: int, name: str, text: str) -> None:
        self._desk, self._place, self._text = desk, int(place), one_line(str(text))
        self.__name__ = one_line(str(name))[:60]

    def __call__(self, *values: Any) -> Any:
        return self._desk.call(self._place, values)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self._desk.given(self._desk.ask("get", self._place, name))

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("_"):
            super().__setattr__(name, value)
        else:
            self._desk.given(self._desk.ask("set", self._place, name, value))

    def __repr__(self) -> str:
        return self._text


class Remote(_Far):
    """A student's function, class or object: it stays in its own process, and calls go there.

    No method stands here: the line of the student's that raised is named by the other process.
    """


@contextlib.contextmanager
def _answers() -> Iterator[None]:
    """What a student's process sends may be anything; what is no answer ends it."""
    try:
        yield
    except Exception as error:
        raise Ended("it sent what is no answer") from error


def _layers(values: tuple) -> list[torch.nn.Module]:
    return [value for value in values if isinstance(value, torch.nn.Module)]

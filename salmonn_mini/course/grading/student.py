"""A student's process: it runs the cells, calls what they define, and tells what it sees the code reach for."""

from __future__ import annotations

import ast
import builtins
import linecache
import os
import random
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from salmonn_mini.course.exercises.exercise import name_of, raised_at
from salmonn_mini.course.grading import limits, wire
from salmonn_mini.course.grading.notebook import ATTRIBUTES, GIVEN, PACKAGE, SHOWS, Cell

HERE, OURS = str(Path(__file__).parent), str(PACKAGE)
FROM_A_CELL = {
    "exec",
    "compile",
    "sys._getframe",
    "sys.setprofile",
    "sys.settrace",
    "code.__new__",
    "gc.get_objects",
}
FROM_A_CELL |= {"gc.get_referrers", "object.__getattr__", "ctypes.dlopen"}
FROM_ANYWHERE = ("os.", "shutil.", "subprocess.", "socket.", "open")
LOOKED_AT = 10**6  # of Python's events in a call; looking at one takes a microsecond, and loops have many
SYSTEM = ("/proc", "/sys", "/dev", "/usr", "/etc")
KEPT = {"PATH", "LANG", "LC_ALL", "SYSTEMROOT", "OMP_NUM_THREADS"}  # of the environment: no keys, no tokens


def serve(
    connection: Connection, cells: list[Cell], folder: Path, hidden: list[Path], most: limits.Limits
) -> None:
    """Run cells and call functions as the judge asks, until the process is killed."""
    _leave_the_judge(connection)
    os.chdir(folder)
    numbers = sum(len(cell.numbers) for cell in cells)
    missing = limits.confine(folder, hidden, most, numbers)
    os.environ |= {"HOME": str(folder), "TMPDIR": str(folder)}
    tempfile.tempdir = None
    warnings.simplefilter("ignore")
    connection.send_bytes(wire.to_json({"missing": missing}))
    _Student(connection, cells, folder, hidden).work()


def _leave_the_judge(connection: Connection) -> None:
    """Its terminal, files, session and environment are not the student's."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    if sys.platform == "linux":  # it was forked: what the judge has open is open here too
        os.closerange(3, connection.fileno())
        os.closerange(connection.fileno() + 1, limits.OPEN_FILES * 8)
    if hasattr(os, "setsid"):
        os.setsid()
    for name in set(os.environ) - KEPT:
        del os.environ[name]


class _Student:
    def __init__(self, connection: Connection, cells: list[Cell], folder: Path, others: list[Path]) -> None:
        self.connection, self.cells = connection, cells
        self.names: dict[str, Any] = {"__name__": "__main__"}
        self.kept: list[Any] = []
        self.graphs: dict[int, Tensor] = {}
        self.guard = _Guard(folder, others, lambda text: self.send({"saw": text}))

    def send(self, message: dict) -> None:
        self.connection.send_bytes(wire.to_json(message))

    def work(self) -> None:
        while True:
            asked, *values = wire.unpack(self.connection.recv_bytes(), self.resolve)
            self.send(
                {"load": self.load, "call": self.call, "get": self.get, "set": self.set}[asked](*values)
            )

    def resolve(self, found: tuple) -> Any:
        """What stands for a judge's function, or a tensor with a history there, whose gradient is sent back."""
        kind, place, *more = found
        if kind == "graph":
            self.graphs[place] = more[0].requires_grad_()
            return self.graphs[place]
        return lambda *values: self.ask_back(place, values)

    def ask_back(self, place: int, values: tuple) -> Any:
        with self.guard.resting():
            self.send({"callback": place, "values": wire.encode(values, self.keep)})
            raised, answer = wire.unpack(self.connection.recv_bytes(), self.resolve)
        if raised:
            raise getattr(builtins, raised, RuntimeError)(answer)
        return answer

    def keep(self, value: Any) -> list:
        self.kept.append(value)
        return [len(self.kept) - 1, name_of(value), repr(value)[:60]]

    def load(self, place: int) -> dict:
        """Run a cell, each of its statements by itself; gives what it answers, and its first error."""
        cell, problem, answers = self.cells[place], "", []
        self.guard.reported.clear()
        lines = [f"{line}\n" for line in cell.source.split("\n")]
        linecache.cache[cell.name] = (len(cell.source), None, lines, cell.name)
        for node in cell.body:
            wrong = self.attempt(cell, ast.Module([node], []), "exec")[1]
            problem = problem or wrong
        for number, node in cell.answers:
            answer, wrong = self.attempt(cell, ast.Expression(node), "eval")
            answers.append([number, wire.encode(answer, self.keep)])
            problem = problem or wrong
        return {"answers": answers, "problem": problem}

    def attempt(self, cell: Cell, tree: ast.mod, mode: str) -> tuple[Any, str]:
        try:
            code = compile(tree, cell.name, mode, dont_inherit=True)
            with self.guard.watching():
                return eval(code, self.names), ""
        except BaseException as error:
            return None, f"{type(error).__name__}: {error}"

    def get(self, place: int, name: str) -> dict:
        try:
            return {"gave": wire.encode(getattr(self.kept[place], name), self.keep)}
        except BaseException as error:
            return {"raised": ["AttributeError", str(error)]}

    def set(self, place: int, name: str, value: Any) -> dict:
        try:
            return {"gave": setattr(self.kept[place], name, value)}
        except BaseException as error:
            return {"raised": ["AttributeError", str(error)]}

    def call(self, place: int, values: tuple) -> dict:
        """Call what was kept; gives also what the call did to the judge's tensors, layers and random numbers."""
        function, before, self.graphs = self.kept[place], _generators(), {}
        layers = [value for value in values if isinstance(value, nn.Module)]
        try:
            with self.guard.watching(*values):
                given = function(*values)
            reply = {"gave": wire.encode(given, self.keep)}
        except BaseException as error:
            reply = {"raised": [type(error).__name__, f"{error}{raised_at(error, function)}"]}
        gradients = [[place, graph.grad] for place, graph in self.graphs.items() if graph.grad is not None]
        reply["gradients"] = wire.encode(gradients, self.keep)
        reply["layers"] = [_plain(layer) for layer in layers]
        return reply | {"drew": _generators() != before}


def _plain(layer: nn.Module) -> dict[str, Any]:
    """A layer's own settings: plain values, and tables of them."""

    def is_plain(value: Any) -> bool:
        table = type(value) is dict and all(map(is_plain, value.values()))
        return table or type(value) in (bool, int, float, str)

    return {name: value for name, value in vars(layer).items() if name[0] != "_" and is_plain(value)}


def _generators() -> tuple:
    """The state of everybody's random numbers."""
    kind, keys, *rest = np.random.get_state()  # noqa: NPY002
    return random.getstate(), kind, keys.tobytes(), *rest, torch.random.get_rng_state().numpy().tobytes()


class _Guard:
    """Sees what Python tells of: files, processes, network, Python's inside, and calls of the package's functions."""

    def __init__(self, folder: Path, others: list[Path], tell: Callable[[str], None]) -> None:
        self._tell, self.others = tell, (OURS, *map(str, others))
        self.active = False
        self.given: list[Any] = []
        self.left = 0
        self.reported: set[str] = set()
        self.own = (str(folder), sys.prefix, sys.base_prefix, *SYSTEM)
        sys.addaudithook(self.audit)

    @contextmanager
    def watching(self, *values: Any) -> Iterator[None]:
        """Within, the code that runs is the student's; it may call the methods of what it was given."""
        layers = [value for value in values if isinstance(value, nn.Module)]
        self.given = [*values, *(part for layer in layers for part in layer.modules())]
        self.left = LOOKED_AT
        sys.setprofile(self.profile)
        threading.setprofile(self.profile)
        self.active = True
        try:
            yield
        finally:
            self.active = False
            threading.setprofile(None)
            sys.setprofile(None)

    @contextmanager
    def resting(self) -> Iterator[None]:
        self.active = False
        try:
            yield
        finally:
            self.active = True

    def tell(self, text: str) -> None:
        text = text.replace(OURS, PACKAGE.name)[:160]
        if text not in self.reported and len(self.reported) < 20:
            self.reported.add(text)
            self._tell(text)

    def audit(self, event: str, values: tuple) -> None:
        if not self.active or not (event in FROM_A_CELL or event.startswith(FROM_ANYWHERE)):
            return
        with self.resting():
            frame = sys._getframe(1)
            while frame and frame.f_code.co_filename.startswith(HERE):  # audit, and who rests
                frame = frame.f_back
            if event in FROM_A_CELL:
                inside = event != "object.__getattr__" or values[1] in ATTRIBUTES
                if inside and frame and frame.f_code.co_filename.startswith("<cell "):
                    self.tell(event)
            elif not _is_import(frame) and self.matters(event, values):
                first = values[0] if values and isinstance(values[0], str | bytes | os.PathLike) else ""
                self.tell(f"{event} {os.fsdecode(first)}".strip())

    def matters(self, event: str, values: tuple) -> bool:
        """All but opening its own files, the system's and the libraries'."""
        if event != "open":
            return not event.startswith("os.putenv")
        if not isinstance(values[0], str | bytes | os.PathLike):
            return False
        path = os.path.abspath(os.fsdecode(values[0]))
        return path.startswith(self.others) or not path.startswith(self.own)

    def profile(self, frame: FrameType, event: str, _: Any) -> None:
        self.left -= 1
        if self.left < 0:
            with self.resting():
                sys.setprofile(None)
        code = frame.f_code
        if event != "call" or not self.active or not code.co_filename.startswith(OURS):
            return
        module = frame.f_globals.get("__name__", "")
        shown = module.startswith((*GIVEN, *SHOWS)) or code.co_filename.startswith(HERE)
        if shown or module == PACKAGE.name or code.co_name == "<module>" or self.is_given(frame):
            return
        caller = frame.f_back
        while caller and not caller.f_code.co_filename.startswith(OURS):
            caller = caller.f_back
        if caller is None or caller.f_code.co_filename.startswith(HERE):
            with self.resting():
                self.tell(f"{module}.{getattr(code, 'co_qualname', code.co_name)}")

    def is_given(self, frame: FrameType) -> bool:
        """Whether it is a method of what the exercise gave."""
        first = frame.f_locals.get("self")
        return first is not None and any(first is value for value in self.given)


def _is_import(frame: FrameType | None) -> bool:
    """Whether Python's own imports have asked, and not the student's code."""
    while frame and not frame.f_code.co_filename.startswith((HERE, "<cell ")):
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False

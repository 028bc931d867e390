"""Marking: judge and student agree, nobody is accused who is not to blame, and no submission ends the run."""

from __future__ import annotations

import base64
import contextlib
import csv
import io
import json
import multiprocessing
import runpy
import subprocess
import sys
import threading
from functools import cache
from pathlib import Path

import grading
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_exercises import CALL, MISTAKES

from salmonn_mini.cli import main
from salmonn_mini.course.exercises import EXERCISES, exercise, verdict
from salmonn_mini.course.grading import report, student, wire
from salmonn_mini.course.grading.judge import Desk, Ended, Remote, _cell
from salmonn_mini.course.grading.limits import Limits
from salmonn_mini.course.grading.notebook import read_cells
from salmonn_mini.course.grading.student import _Student
from salmonn_mini.course.grading.work import NOTHING, RIGHT, WRONG, Work
from salmonn_mini.errors import SalmonnError
from tools.course import EXERCISE, chapters, read, tags

RULES, IMPORT = "salmonn_mini.course.exercises", "from salmonn_mini.models import windows as w"
LONG = Limits(seconds=1e6)


class Near(Desk):
    """A judge's desk whose student works in a thread of this process, without limits."""

    def __init__(self, folder: Path, cells: list) -> None:
        self.seen, self.earlier, self.callbacks, self.graphs = [], [], [], []
        self.connection, theirs = multiprocessing.Pipe()
        self.student = _Student(theirs, cells, folder, [])
        threading.Thread(target=self._work, daemon=True).start()

    def _work(self) -> None:
        try:
            self.student.work()
        finally:
            self.student.connection.close()

    def _receive(self) -> dict:
        return json.loads(self.connection.recv_bytes(wire.MOST))

    def remote(self, function: object) -> Remote:
        return Remote(self, *self.student.keep(function))


@pytest.fixture(scope="module")
def near(tmp_path_factory: pytest.TempPathFactory) -> Near:
    return Near(tmp_path_factory.mktemp("near"), [])


@cache
def solutions(chapter: str) -> dict:
    (path,) = (grading.NOTEBOOKS / "solutions").glob(f"{int(chapter):02d}_*.py")
    with contextlib.redirect_stdout(io.StringIO()):
        return runpy.run_path(str(path))


@cache
def name_of(number: str) -> str:
    """What the student's function is called in the notebook."""
    (path,) = (path for path in chapters() if int(path.stem[:2]) == int(number.split(".")[0]))
    calls = [CALL.search(cell.source) for cell in read(path).cells if EXERCISE in tags(cell)]
    return next(call["name"] for call in calls if call["number"] == number)


def judged(tmp_path: Path, content: bytes) -> Work:
    """A notebook's marks, without a process of its own."""
    cells, work = read_cells(content), Work(points=dict.fromkeys(EXERCISES, 1))
    desk = Near(tmp_path, cells)
    for place, cell in enumerate(cells):
        _cell(desk, place, cell, work, LONG)
    return work


@pytest.mark.parametrize("number", EXERCISES)
def test_the_judge_says_of_a_function_far_away_what_the_notebook_says_of_it(
    near: Near, number: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(student, "LOOKED_AT", 20_000)  # some mistakes draw 8,000 times
    solution = solutions(number.split(".")[0])[name_of(number)]
    near.seen.clear()
    near.student.guard.reported.clear()
    assert verdict(number, near.remote(solution)).startswith(RIGHT)
    assert near.seen == [], "what a solution calls of the package must stand in GIVEN"
    for wrong, _ in MISTAKES[number]:
        assert verdict(number, near.remote(wrong)) == verdict(number, wrong)


@pytest.mark.parametrize("chapter", chapters(), ids=lambda path: path.stem)
def test_a_solved_chapter_is_right_and_nobody_is_accused(tmp_path: Path, chapter: Path) -> None:
    work = judged(tmp_path, grading.notebook(grading.right(chapter), chapter=chapter))
    assert work.marks == dict.fromkeys(grading.right(chapter), (RIGHT, ""))


@pytest.mark.parametrize("chapter", chapters(), ids=lambda path: path.stem)
def test_a_chapter_as_it_is_handed_out_has_nothing_there(tmp_path: Path, chapter: Path) -> None:
    work = judged(tmp_path, grading.notebook({}, chapter=chapter))
    assert work.marks == dict.fromkeys(grading.right(chapter), (NOTHING, ""))


def test_the_marks_are_those_that_check_prints() -> None:
    assert (RIGHT, WRONG, NOTHING) == (exercise.RIGHT, exercise.WRONG, exercise.NOTHING)


# --- the whole way, in processes -------------------------------------------------------------------------------------

FEW = ("right-solutions", "wrong-raises", "empty-file", "endless-function", "exit-in-cell", "others-writes")
FEW += ("processes-forks", "forged-pipe", "solution-source", "others-file-copied")


def test_no_submission_ends_the_run_changes_anything_or_counts_for_more_than_it_is(tmp_path: Path) -> None:
    assert grading.trial(tmp_path, FEW.__contains__, seconds=30, kill=False) == []
    rows = (tmp_path / "grades.jsonl").read_bytes()
    command = grading.command(tmp_path / "handed-in", tmp_path / "grades.csv", 30)
    again = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=True)
    assert "10 of 10 are marked already" in again.stderr
    assert (tmp_path / "grades.jsonl").read_bytes() == rows
    assert "right-solutions     ✓      ✓      ✓      ✓      8 of 8" in again.stdout


WALL = """
import errno, socket, sys
from pathlib import Path
from salmonn_mini.course.grading import limits

own, others, elsewhere = map(Path, sys.argv[1:])
if not limits.{wall}(own, [others]):
    sys.exit(77)
limits._drop_capabilities()

def refused(act):
    try:
        act()
    except OSError as error:
        return error.errno != errno.ECONNREFUSED

(own / "x").write_text("mine")
assert refused((others / "a").read_text)
for path in (others / "a", elsewhere / "a"):
    assert refused(lambda: path.write_text("mine")) and refused(path.unlink)
    assert refused(path.with_name("b").mkdir)
    assert "{wall}" == "_landlock" or refused(lambda: path.chmod(0))
assert refused(lambda: socket.create_connection(("127.0.0.1", 9), 1))
"""


@pytest.mark.parametrize("wall", ["_landlock", "_namespaces"])
def test_each_of_linux_s_walls_holds_alone(tmp_path: Path, wall: str) -> None:
    folders = [tmp_path / name for name in ("own", "others", "elsewhere")]
    for folder in folders:
        folder.mkdir()
        (folder / "a").write_text("a")
    if sys.platform != "linux":
        pytest.skip("these are Linux's")
    command = [sys.executable, "-c", WALL.format(wall=wall), *map(str, folders)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode == 77:
        pytest.skip("this system has it not")
    assert (done.returncode, done.stderr) == (0, "")
    assert (folders[0] / "x").read_text() == "mine"
    assert [(folder / "a").read_text() for folder in folders] == ["a", "a", "a"]


# --- what passes between them ----------------------------------------------------------------------------------------

NUMBERS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text())
PLAIN = st.recursive(
    st.one_of(NUMBERS, st.complex_numbers(allow_nan=False), st.just(...)),
    lambda inner: st.one_of(
        st.lists(inner), st.lists(inner).map(tuple), st.dictionaries(st.one_of(NUMBERS), inner)
    ),
)


def there_and_back(value: object) -> object:
    data = json.loads(wire.to_json(wire.encode(value, lambda kept: [0, "kept", repr(kept)])))
    return wire.decode(data, lambda *kept: kept)


@given(PLAIN)
@settings(max_examples=100)
def test_plain_data_comes_back_as_it_was(value: object) -> None:
    assert there_and_back(value) == value


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int64, torch.bool, torch.complex64])
@pytest.mark.parametrize("shape", [(), (0,), (3, 2)])
def test_tensors_and_arrays_come_back_as_they_were(dtype: torch.dtype, shape: tuple) -> None:
    tensor = torch.randint(0, 2, shape).to(dtype)
    back = there_and_back(tensor)
    assert back.dtype == dtype and torch.equal(back, tensor) and not back.requires_grad
    if dtype is not torch.bfloat16:
        array = there_and_back(tensor.numpy())
        assert array.dtype == tensor.numpy().dtype and np.array_equal(array, tensor.numpy())
    number = there_and_back(np.float64(0.5))
    assert type(number) is np.float64 and number == 0.5
    assert there_and_back(torch.ones(2, requires_grad=True) * 2).requires_grad


@pytest.mark.parametrize(
    "data",
    [
        ["tensor", "float32", [2], base64.b64encode(bytes(4)).decode(), False],
        ["tensor", "load", [1], "", False],
        ["array", "O", [1], base64.b64encode(bytes(8)).decode()],
        ["number", "<f8", [2], ""],
        ["dict", [[["list", []], 1]]],
        ["eval", "print()"],
        ["object", "one", "two"],
        [],
    ],
)
def test_what_is_no_answer_ends_the_student_s_process(near: Near, data: list) -> None:
    with pytest.raises(Ended, match="no answer"):
        near.decode(data)


# --- what is read of a notebook --------------------------------------------------------------------------------------


def book(*sources: str) -> bytes:
    cells = [{"cell_type": "code", "source": source} for source in sources]
    return json.dumps({"cells": cells}).encode()


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"\xff", b"null", b'{"cells": [3]}', b"[" * 99_999])
def test_what_is_no_notebook_is_refused_in_one_line(content: bytes) -> None:
    with pytest.raises(SalmonnError, match="hand in the notebook itself"):
        read_cells(content)


def test_of_a_cell_without_an_exercise_only_definitions_run() -> None:
    source = (
        "import math\nfrom os import path\nL = 3\nmodel = load('toy')\nprint(L)\ndef f(): ...\nclass A: ..."
    )
    (cell,) = read_cells(book(source))
    assert [type(node).__name__ for node in cell.body] == [
        "Import",
        "ImportFrom",
        "Assign",
        "FunctionDef",
        "ClassDef",
    ]
    (cell,) = read_cells(book(source + '\ncheck("3.1", f)'))
    assert len(cell.body) == 7 and cell.numbers == ("3.1",)


@pytest.mark.parametrize(
    ("source", "reached"),
    [
        ("import inspect\nx = inspect.getsource(f)", ["inspect.getsource"]),
        ("from salmonn_mini.models import windows\nf = windows.split", ["salmonn_mini.models.windows.split"]),
        ("from salmonn_mini.models.windows import split as g\nf = g", ["salmonn_mini.models.windows.split"]),
        ("f = f.__globals__", ["__globals__"]),
        ("f = exec('3')", ["exec"]),
        ("import torch\nf = torch.os.system", ["torch.os.system"]),
        (
            "from salmonn_mini.course.exercises import EXERCISES\nf = EXERCISES",
            ["salmonn_mini.course.exercises.EXERCISES"],
        ),
        ("from salmonn_mini.models.lora import LoraLinear\ndef f(x: LoraLinear): return x", []),
        ("from salmonn_mini.evaluation.metrics.words import word_errors\nf = word_errors", []),
        (f"from {RULES} import check\nprint(check)", []),
        ("from salmonn_mini.models import windows\ndef f(windows): return windows.split", []),
        ("import re, torch\nf = re.compile('a'), torch.compile, model.eval()", []),
    ],
)
def test_an_exercise_that_reaches_too_far_is_seen_by_reading_it(source: str, reached: list[str]) -> None:
    (cell,) = read_cells(book(source + '\ncheck("3.1", f)'))
    assert cell.reaches == reached


@pytest.mark.parametrize(
    ("above", "cell", "words"),
    [
        ("", "from salmonn_mini.models import windows as w\nf = getattr(w, 'n_' + 'windows')", "n_windows"),
        (
            "from salmonn_mini.models import windows as w\nclass A:\n    x = w.n_windows(10, 3)",
            "f = cut",
            "n_windows",
        ),
        (
            "def g(T, L):\n    from salmonn_mini.models import windows\n    return windows.n_windows(T, L)",
            "f = g",
            "n_windows",
        ),
        ("", "import salmonn_mini.models.windows as w\nopen(w.__file__).read()\nf = cut", "windows.py"),
        ("", "def f(T, L):\n    import socket\n    socket.socket()\n    return cut(T, L)", "socket"),
        (
            "",
            "def f(T, L):\n    import sys\n    sys.setprofile(None)\n    return cut(T, L)",
            "sys.setprofile",
        ),
        ("", "def f(T, L):\n    eval('1')\n    return cut(T, L)", "exec"),
    ],
)
def test_a_way_round_is_seen_when_it_runs(tmp_path: Path, above: str, cell: str, words: str) -> None:
    cut = "def cut(T, L):\n    return -(-T // L)"
    work = judged(tmp_path, book(cut, above, cell + '\ncheck("3.1", f)'))
    mark, hint = work.marks["3.1"]
    assert mark == "!" and words in hint


def test_who_computes_long_is_not_accused_of_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(student, "LOOKED_AT", 100)
    loop = "def f(T, L):\n    for _ in range(1000):\n        abs(-1)\n    return -(-T // L)\ncheck('3.1', f)"
    assert judged(tmp_path, book(loop)).marks["3.1"] == (RIGHT, "")


# --- tables ----------------------------------------------------------------------------------------------------------


def row(file: str, marks: dict, code: str = "", notes: tuple = ()) -> dict:
    points = {"3.1": 1, "3.2": 3} if marks else {}
    return {**vars(Work(points, code, marks, notes=list(notes))), "file": file, "key": ""}


def test_a_spreadsheet_takes_no_cell_for_a_formula_and_a_terminal_no_text_for_an_order() -> None:
    hint = "\x1b[2J=cmd|' /C calc'!A0\n+1"
    rows = [
        row("=1+1.ipynb", {"3.1": (RIGHT, ""), "3.2": (WRONG, hint)}),
        row("@b/x.ipynb", {}, notes=["-2"]),
    ]
    cells = [cell for line in csv.reader(io.StringIO(report.to_csv(rows))) for cell in line]
    assert "'=1+1" in cells and "'=1+1.ipynb" in cells and "'@b" in cells and "'-2" in cells
    assert not any(cell.startswith(("=", "+", "-", "@")) for cell in cells)
    assert "\x1b" not in report.to_csv(rows) + report.table(rows)


def test_a_table_has_points_hints_and_whose_code_is_the_same() -> None:
    code, hint = "x" * 200, "The last window was dropped."
    rows = [
        row("anna/a.ipynb", {"3.1": (WRONG, hint), "3.2": (RIGHT, "")}, code),
        row("ben.ipynb", {"3.1": (WRONG, hint), "3.2": ("!", "It uses open.")}, code),
        row("cleo.ipynb", {}, notes=["this is not JSON"]),
        row("dora.ipynb", {"3.1": (NOTHING, ""), "3.2": (NOTHING, "")}, code),
    ]
    text = report.table(rows)
    assert "anna     ✗      ✓      3 of 4" in text
    assert "ben      ✗      !      0 of 4" in text
    assert "cleo     –      –      0 of 4" in text
    assert f"3.1  ✗ {hint}  (anna, ben)" in text
    assert "anna: The same code as ben." in text and "dora: " not in text
    assert "cleo: this is not JSON" in text


def test_of_several_tries_the_best_counts() -> None:
    work = Work(points={"3.1": 1})
    for mark in (NOTHING, RIGHT, WRONG):
        work.mark("3.1", mark, mark)
    work.mark("99.1", RIGHT, "")
    assert work.marks == {"3.1": (RIGHT, RIGHT)}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["gone"], "there is no such folder; name the one that holds the notebooks handed in"),
        (["."], "no notebook (*.ipynb) in it or below; unpack what was handed in first"),
        ([".", "--seconds", "0"], "argument --seconds: '0' must be a number above 0"),
        ([".", "--jobs", "none"], "argument --jobs: 'none' must be a whole number of at least 1"),
    ],
)
def test_the_command_refuses_in_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list,
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["grade", *words]) == 2
    assert said in capsys.readouterr().err


def test_what_starts_the_marking_imports_no_torch() -> None:
    rooms = "import salmonn_mini.course.grading.run, salmonn_mini.course.grading.report"
    code = f"{rooms}, sys\nassert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=600)

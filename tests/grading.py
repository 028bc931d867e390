"""Forty submissions of chapter 3, honest, careless and hostile, marked in one run, and again with a kill midway.

    python tests/grading.py                  # all forty, twice
    python tests/grading.py --only hostile   # those whose names hold the word, once

Every mark must be the one that the submission deserves, every trick must be named, and nothing outside the copies may
have changed: no other submission, no solution, no file of the package; no process may be left.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
from nbformat.v4 import new_code_cell, new_notebook

from salmonn_mini.course.grading.report import MEANING
from tools.course import EXERCISE, NOTEBOOKS, read, tags
from tools.students import stripped

CHAPTER = NOTEBOOKS / "03_windows.ipynb"
SOLUTIONS = NOTEBOOKS / "solutions" / f"{CHAPTER.stem}.py"
NUMBERS = ("3.1", "3.2", "3.3", "3.4")
SLEEP = "86399"  # seconds, by which processes that were left behind are known
RIGHT, WRONG, NOTHING, NAMED, MISSING = (MEANING[mark] for mark in "✓✗○!–")


@dataclass(frozen=True)
class Case:
    """A submission, the marks it deserves, and what the hints or notes must say of it."""

    content: bytes
    marks: tuple[str, str, str, str]
    words: str = ""


def notebook(own: dict[str, str], before: str = "", chapter: Path = CHAPTER) -> bytes:
    """The handed-out notebook, with the source of some exercises, and a cell of the student's own before them."""
    made = stripped(read(chapter))
    for cell in made.cells:
        if EXERCISE in tags(cell):
            (number,) = re.findall(r'\b(?:check|use)\("([\d.]+)", ', cell.source)
            cell.source = own.get(number, cell.source)
    if before:
        made.cells.insert(3, new_code_cell(before))
    return json.dumps(made).encode()


def right(chapter: Path = CHAPTER) -> dict[str, str]:
    """The solutions, as a student has them in the cells."""
    text = (NOTEBOOKS / "solutions" / f"{chapter.stem}.py").read_text(encoding="utf-8")
    head, *parts = re.split(r"^# Exercise ([\d.]+): .*\n", text, flags=re.MULTILINE)
    imports = head.split('"""')[2]
    return {number: imports + code for number, code in zip(parts[::2], parts[1::2], strict=True)}


def first(body: str, before: str = "", number: str = "3.1") -> dict[str, str]:
    """The solutions, but of 3.1, whose function has this body."""
    lines = "\n".join(f"    {line}" for line in body.split("\n"))
    head = "def n_windows(T: int, L: int) -> int:\n" + lines
    return right() | {number: f'{before}\n{head}\n\n\ncheck("3.1", n_windows)'}


def cases(bystander: Path) -> dict[str, Case]:
    """By the name of the file. `bystander` is a folder that nobody may change."""
    good, stubs = right(), {}
    all_right, rest = (RIGHT,) * 4, (RIGHT,) * 3
    half = {number: good[number] for number in NUMBERS[:2]}
    made: dict[str, Case] = {}

    def add(name: str, own: dict[str, str] | bytes, marks: tuple, words: str = "", before: str = "") -> None:
        content = own if isinstance(own, bytes) else notebook(own, before)
        made[name] = Case(content, marks, words)

    def trick(name: str, body: str, mark: str, words: str, before: str = "") -> None:
        add(name, first(body, before), (mark, *rest), words)

    ceil = "return -(-T // L)"
    add("right-solutions", good, all_right)
    add("right-in-other-words", first(ceil), all_right)
    add("right-with-magic", first(ceil, "%matplotlib inline\n!pip list"), all_right)
    helper = "def whole(T, L):\n    return -(-T // L)"
    add("right-with-a-helper", first("return whole(T, L)"), all_right, before=helper)
    add("right-after-an-experiment", first(ceil, "print(undefined)"), all_right)
    twice = good["3.1"].replace("ceil(T / L)", "T // L") + "\n\n\n" + good["3.1"]
    add("right-at-second-try", good | {"3.1": twice}, all_right)
    add("half-two", half, (RIGHT, RIGHT, NOTHING, NOTHING))
    add("half-one", {"3.4": good["3.4"]}, (NOTHING, NOTHING, NOTHING, RIGHT))
    add("half-missing-cell", good | {"3.3": "pass"}, (RIGHT, RIGHT, MISSING, RIGHT))
    add(
        "half-not-python",
        good | {"3.2": 'def fold(Z:\ncheck("3.2", fold)'},
        (RIGHT, WRONG, RIGHT, RIGHT),
        "not Python",
    )
    trick("wrong-floor", "return T // L", WRONG, "The last window was dropped")
    trick("wrong-raises", "return T / 'L'", WRONG, "in `return T / 'L'`")
    trick("wrong-exits", "import sys\nsys.exit()", WRONG, "SystemExit")
    equal = "class Equal(float):\n    __eq__ = __ge__ = __le__ = lambda self, other: True\n"
    trick("wrong-equal-to-all", "return Equal(7)", WRONG, "must be", equal)
    add("empty-stubs", stubs, (NOTHING,) * 4)
    add("empty-cells", json.dumps(new_notebook()).encode(), (MISSING,) * 4)
    add("empty-file", b"", (MISSING,) * 4, "not JSON")
    add("json-none", b"PK\x03\x04 a zip", (MISSING,) * 4, "not JSON")
    add("json-of-another-kind", b"[" * 100_000, (MISSING,) * 4, "not JSON")
    loop = "while True:\n    pass"
    trick("endless-function", loop, WRONG, "took more than")
    trick("endless-cell", ceil, WRONG, "took more than", loop)
    trick("endless-sleep", "import time\ntime.sleep(1e6)", WRONG, "took more than")
    trick("memory-bytes", f"x = bytearray(8 << 30)\n{ceil}", WRONG, "Memory")
    trick("memory-tensors", f"x = torch.ones(1 << 31)\n{ceil}", WRONG, "RuntimeError")
    many = f'import subprocess\nfor _ in range(500):\n    subprocess.Popen(["sleep", "{SLEEP}"])\n{ceil}'
    trick("processes-programs", many, WRONG, "process")
    fork = "import os, time\nfor _ in range(500):\n    if os.fork() == 0:\n        time.sleep(1e6)\n" + ceil
    trick("processes-forks", fork, WRONG, "os.fork")
    trick("exit-in-function", "import os\nos._exit(0)", WRONG, "ended by itself")
    trick("exit-in-cell", ceil, WRONG, "ended by itself", "import os\nos._exit(7)")
    own_folder = 'import shutil\nshutil.rmtree(".", ignore_errors=True)\n' + ceil
    trick("deletes-its-folder", own_folder, NAMED, "shutil.rmtree")
    for name, act in (("writes", 'open(path, "w").write("mine")'), ("modes", "os.chmod(path, 0)")):
        quiet = f"import os\nfrom pathlib import Path\nfor path in Path({str(bystander)!r}).glob('*/*'):\n"
        quiet += f"    try:\n        {act}\n    except OSError:\n        pass\n{ceil}"
        trick(f"others-{name}", quiet, NAMED, "open" if name == "writes" else "os.")
    report = 'print("✓ Exercise 3.1, count the windows: right.")\nreturn 0'
    trick("forged-print", report, WRONG, "must be 4")
    pipe = "import json, os, struct\nmessage = json.dumps({'gave': 4}).encode()\nfor fd in range(3, 200):\n"
    pipe += "    try:\n        os.write(fd, struct.pack('!i', len(message)) + message)\n"
    pipe += "    except OSError:\n        pass\n"
    trick("forged-pipe", pipe + "return 0", WRONG, "")
    patch = "import salmonn_mini.course.exercises.exercise as e\ne.expect = e.hint = lambda *_: None\n"
    patch += "torch.isclose = lambda *_, **__: torch.tensor(True)"
    trick("forged-patch", "return 0", WRONG, "must be 4", patch)
    call = "return windows.n_windows(T, L)"
    trick("solution-called", call, NAMED, "salmonn_mini.models.windows.n_windows")
    source = "import inspect\ntext = inspect.getsource(windows.n_windows)\nexec(text.replace('Count', 'int'))"
    trick("solution-source", ceil, NAMED, "inspect.getsource", source)
    table = "from salmonn_mini.course.exercises import EXERCISES\nright = [EXERCISES['3.2'].reference]"
    own = good | {
        "3.2": f'{table}\ndef fold(*given):\n    return right[0](*given)\n\n\nfold = use("3.2", fold)'
    }
    add("solution-reference", own, (RIGHT, NAMED, RIGHT, RIGHT), "probes.fold")
    book = f"text = open({str(SOLUTIONS)!r}).read()\nexec(text)"
    trick(
        "solution-file",
        f"try:\n    {book.replace(chr(10), chr(10) + '    ')}\nexcept OSError:\n    pass\n{ceil}",
        NAMED,
        "03_windows.py",
    )
    other = f"import json\nfound = json.load(open({str(bystander / 'right-solutions.ipynb')!r}))"
    trick(
        "others-file-read",
        f"try:\n    {other.replace(chr(10), chr(10) + '    ')}\nexcept OSError:\n    pass\n{ceil}",
        NAMED,
        "right-solutions.ipynb",
    )
    made["others-file-copied"] = Case(
        made["right-solutions"].content, all_right, "same code as right-solutions"
    )
    assert len(made) == 40, len(made)
    return made


def hand_in(folder: Path, made: dict[str, Case]) -> None:
    folder.mkdir()
    for name, case in made.items():
        (folder / f"{name}.ipynb").write_bytes(case.content)


def state(*folders: Path) -> dict[str, tuple]:
    """What each file below is: mode, time, content."""
    files = [path for folder in folders for path in folder.rglob("*") if "__pycache__" not in path.parts]
    found = {}
    for path in files:
        about = path.stat()
        content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        changed = about.st_mtime_ns if content else 0  # Python itself writes __pycache__ into folders
        found[str(path)] = about.st_mode, changed, content
    return found


def left_behind(temporary: Path) -> list[int | Path]:
    """Processes that a run should have ended, and copies that it should have removed."""
    found = [
        process.pid
        for process in psutil.process_iter(["cmdline"])
        if SLEEP in (process.info["cmdline"] or [])
    ]
    return [*found, *temporary.glob("salmonn-mini-grade-*")]


def faults(table: Path, made: dict[str, Case]) -> list[str]:
    """Each row of the table that is not as its submission deserves."""
    rows = list(csv.DictReader(table.read_text(encoding="utf-8-sig").splitlines()))
    wrong = []
    for name, case in made.items():
        own = [row for row in rows if row["student"] == name]
        marks = tuple(row["mark"] for row in own)
        said = " ".join(f"{row['hint']} {row['notes']}" for row in own)
        if marks != case.marks or [row["exercise"] for row in own] != list(NUMBERS) or case.words not in said:
            wrong.append(f"{name}: {marks}, {said!r}; wanted {case.marks}, {case.words!r}")
    return wrong


def command(folder: Path, out: Path, seconds: float) -> list[str]:
    words = ["grade", str(folder), "--out", str(out), "--seconds", str(seconds)]
    return [sys.executable, "-m", "salmonn_mini", *words]


def trial(room: Path, only: Callable[[str], bool], seconds: float, kill: bool) -> list[str]:
    """Mark the cases once, with a kill in the middle if so wanted; every fault, a line each."""
    with tempfile.TemporaryDirectory() as temporary:  # its name is short: sockets lie in it
        return _trial(room, Path(temporary), only, seconds, kill)


def _trial(room: Path, temporary: Path, only: Callable[[str], bool], seconds: float, kill: bool) -> list[str]:
    folder, out = room / "handed-in", room / "grades.csv"
    made = {name: case for name, case in cases(folder).items() if only(name)}
    hand_in(folder, made)
    watched = folder, NOTEBOOKS, CHAPTER.parents[1] / "salmonn_mini"
    before = state(*watched)
    here = os.environ | dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(temporary))
    if kill:
        process = subprocess.Popen(command(folder, out, seconds), start_new_session=True, env=here)
        rows = out.with_suffix(".jsonl")
        while process.poll() is None and (
            not rows.exists() or rows.read_bytes().count(b"\n") < len(made) // 2
        ):
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        kept = rows.read_bytes()
    subprocess.run(command(folder, out, seconds), check=True, stdout=subprocess.DEVNULL, env=here)
    wrong = faults(out, made)
    after = state(*watched)
    wrong += [
        f"{path} changed" for path in before.keys() | after.keys() if before.get(path) != after.get(path)
    ][:5]
    if kill and not out.with_suffix(".jsonl").read_bytes().startswith(kept[: kept.rfind(b"\n") + 1]):
        wrong.append("rows that were done have been done again")
    return wrong + [f"left behind: {what}" for what in left_behind(temporary)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", metavar="WORD", default="", help="cases whose name holds it, once")
    parser.add_argument("--seconds", type=float, default=20.0)
    arguments = parser.parse_args()
    faulty = False
    for kill in (False,) if arguments.only else (False, True):
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as room:
            wrong = trial(Path(room), lambda name: arguments.only in name, arguments.seconds, kill)
        print(f"{'with' if kill else 'without'} a kill: {time.monotonic() - began:.0f} s")
        print("\n".join(wrong) or "every row right, nothing else changed")
        faulty = faulty or bool(wrong)
    return faulty


if __name__ == "__main__":
    sys.exit(main())

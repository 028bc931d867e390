"""A submitted notebook: which cells run, what they answer, what they plainly reach for. Nothing runs here."""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from salmonn_mini.errors import SalmonnError

PACKAGE = Path(__file__).parents[2]
# What an exercise may call of the package: its text says so.
GIVEN = ("salmonn_mini.evaluation.metrics.words",)
# What shows or checks, and answers nothing.
SHOWS = tuple(
    f"salmonn_mini.course.{name}"
    for name in ("plots", "player", "diagrams", "explorer", "prediction", "card", "exercises.exercise")
)
CALLS = ("check", "use", "verdict", "predict", "compare", "card", "quiz")
NUMBER = re.compile(r"""\b(?:check|use)\(\s*["'](\d+\.\d+)["']""")
MAGIC = re.compile(r"^[ \t]*[%!].*$|^.*\?$", re.MULTILINE)
MODULES = {
    *("builtins", "ctypes", "dis", "gc", "importlib", "inspect", "io", "linecache", "multiprocessing", "os"),
    *(
        "pathlib",
        "pkgutil",
        "runpy",
        "shutil",
        "signal",
        "socket",
        "subprocess",
        "sys",
        "tempfile",
        "threading",
    ),
}
NAMES = {"open", "exec", "eval", "compile", "__import__", "globals", "__builtins__"}
ATTRIBUTES = {"__code__", "__globals__", "__closure__", "__subclasses__", "__loader__", "__builtins__"}
ATTRIBUTES |= {"f_back", "f_globals", "f_locals", "tb_frame", "gi_frame", "cr_frame", "ag_frame"}
DEFINITIONS = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


@dataclass
class Cell:
    """A cell as it will run.

    Attributes:
        name: the file name of its code, by which errors and the guard know it.
        body: of an exercise's cell all statements but the calls of `check` and `use`; of another cell imports,
            functions, classes and constants.
        answers: number of the exercise and what was to be checked.
        numbers: of the exercises that stand in it, also if it cannot be parsed.
        problem: why it cannot be parsed.
        reaches: for what no exercise needs, as far as one sees by reading.
    """

    name: str
    source: str
    body: list[ast.stmt] = field(default_factory=list)
    answers: list[tuple[str, ast.expr]] = field(default_factory=list)
    numbers: tuple[str, ...] = ()
    problem: str = ""
    reaches: list[str] = field(default_factory=list)


def read_cells(content: bytes) -> list[Cell]:
    """The code cells of a notebook; raises SalmonnError if it is none."""
    try:
        found = json.loads(content)
        code = [cell["source"] for cell in found["cells"] if cell["cell_type"] == "code"]
        sources = [source if isinstance(source, str) else "".join(source) for source in code]
    except (ValueError, RecursionError) as error:
        raise SalmonnError(f"this is not JSON ({error}): hand in the notebook itself") from error
    except (KeyError, TypeError, AttributeError) as error:
        raise SalmonnError("this is no notebook: it has no cells; hand in the notebook itself") from error
    cells = [_parse(place, source) for place, source in enumerate(sources, 1)]
    imported = dict(names for cell in cells for names in _imports(cell))
    written = {node.name for cell in cells if cell.numbers for node in cell.body if hasattr(node, "name")}
    for cell in cells:
        if cell.numbers:
            cell.reaches = list(dict.fromkeys(_reaches(cell, imported, written)))
    return cells


def chapter_of(cells: list[Cell]) -> str:
    """The chapter that most of the exercises are of; "" without any."""
    chapters = Counter(number.split(".")[0] for cell in cells for number in cell.numbers)
    return max(chapters, key=chapters.get) if chapters else ""


def fingerprint(cells: list[Cell]) -> str:
    """The code of all exercise cells, without comments and layout."""
    return "\n".join(ast.unparse(node) for cell in cells if cell.numbers for node in cell.body)


def _parse(place: int, source: str) -> Cell:
    cell = Cell(f"<cell {place}>", MAGIC.sub("", source), numbers=tuple(NUMBER.findall(source)))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(cell.source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        cell.problem = f"The cell is not Python: {error or type(error).__name__}."
        return cell
    cell.answers = [answer for node in tree.body if (answer := _answer(node))]
    cell.numbers = tuple(dict.fromkeys([*(number for number, _ in cell.answers), *cell.numbers]))
    cell.body = [node for node in tree.body if not _answer(node) and (cell.numbers or _is_definition(node))]
    return cell


def _answer(node: ast.stmt) -> tuple[str, ast.expr] | None:
    """Of `check("3.1", mine)` and `mine = use("3.1", mine)`: the number and what is to be checked."""
    call = node.value if isinstance(node, ast.Expr | ast.Assign) else None
    if not isinstance(call, ast.Call) or ast.unparse(call.func).split(".")[-1] not in ("check", "use"):
        return None
    given = [*call.args, *(keyword.value for keyword in call.keywords)]
    if len(given) != 2 or not isinstance(given[0], ast.Constant) or not isinstance(given[0].value, str):
        return None
    return given[0].value, given[1]


def _is_definition(node: ast.stmt) -> bool:
    if isinstance(node, ast.Assign):
        try:
            ast.literal_eval(node.value)
            return True
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            return False
    return isinstance(node, DEFINITIONS)


def _imports(cell: Cell) -> Iterator[tuple[str, str]]:
    """Each imported name, and what it means in full."""
    for node in (part for top in cell.body for part in ast.walk(top)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                name = alias.name if alias.asname else alias.name.split(".")[0]
                yield alias.asname or name, name
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield alias.asname or alias.name, f"{node.module}.{alias.name}"


def _reaches(cell: Cell, imported: dict[str, str], written: set[str]) -> Iterator[str]:
    """What an exercise's cell names of the package's functions and of Python's inside."""
    nodes = [part for top in [*cell.body, *(answer for _, answer in cell.answers)] for part in ast.walk(top)]
    own = written | {node.arg for node in nodes if isinstance(node, ast.arg)}
    own |= {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    inner = {id(node.value) for node in nodes if isinstance(node, ast.Attribute)}
    for node in nodes:
        if isinstance(node, ast.Attribute) and node.attr in ATTRIBUTES:
            yield node.attr
        if not isinstance(node, ast.Name | ast.Attribute) or id(node) in inner:
            continue
        root, *rest = ast.unparse(node).split(".")
        if root in own or not all(map(str.isidentifier, rest)):
            continue
        if root in NAMES:
            yield root
        full = ".".join([imported.get(root, ""), *rest])
        if root in imported and (full.split(".")[0] in MODULES or {"os", "sys", "inspect"} & set(rest)):
            yield full
        if full.startswith("salmonn_mini.") and _is_function(full):
            yield full


def _is_function(name: str) -> bool:
    """Whether it is written like one, is no module, and answers something."""
    *_, room, last = name.split(".")
    if name.startswith((*GIVEN, *SHOWS)) or (room == "exercises" and last in CALLS):
        return False
    if not last[:1].islower():
        return last == "EXERCISES"
    path = PACKAGE.joinpath(*name.split(".")[1:])
    return not path.is_dir() and not path.with_name(f"{path.name}.py").is_file()

"""The house's rules, read off the syntax trees: imports lead back, rooms stay small."""

import ast
import re
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "salmonn_mini"
# Sound walks through the package in this order, and every import points back. The longest name that fits counts.
ORDER = (
    ("errors", "files"),
    ("models.settings", "models.config"),
    ("audio",),
    ("models",),
    ("data",),
    ("pretrained",),
    ("evaluation.metrics",),
    ("toy.world", "toy.dataset", "toy.samples"),
    ("train",),
    ("toy",),
    ("evaluation",),
    ("tools",),
    ("course",),
    ("cli", "__main__"),
)
PLACE = {name: number for number, names in enumerate(ORDER) for name in names}
# Lines of Python; an issue that adds a capability may raise them by up to 500, with the reason in its commit.
CAPS = {"models": 2_244, "without toy and course": 12_693, "whole": 27_384}
ENTRIES = 16
FILES = {
    ".".join(file.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): file
    for file in PACKAGE.rglob("*.py")
}
TREES = {name: ast.parse(file.read_text(encoding="utf-8")) for name, file in FILES.items()}


def imports(name: str) -> set[str]:
    """Every module that `name` imports, also inside functions; the package's own without their prefix.

    What is imported for type checkers alone does not count.
    """
    found, typing = set(), set()
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            typing |= {*ast.walk(node)}
        if node in typing:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{name} line {node.lineno}: write imports in full, from salmonn_mini"
            deeper = {f"{node.module}.{alias.name}" for alias in node.names}
            own = {module for module in deeper if module.removeprefix("salmonn_mini.") in FILES}
            found |= own or {node.module}
    return {module.removeprefix("salmonn_mini.") for module in found}


def calls(name: str, function: str) -> list[ast.Call]:
    return [n for n in ast.walk(TREES[name]) if isinstance(n, ast.Call) and ast.unparse(n.func) == function]


def place(module: str) -> int:
    """Where a module stands in ORDER; the package itself stands first."""
    names = [".".join(module.split(".")[:n]) for n in range(len(module.split(".")), 0, -1)]
    return next((PLACE[name] for name in names if name in PLACE), -1 if module == "__init__" else 99)


@pytest.mark.parametrize("name", FILES)
def test_every_import_points_back(name: str) -> None:
    assert place(name) < 99, f"give {name} a place in ORDER"
    for module in imports(name) & set(FILES):
        assert place(module) <= place(name), f"{name} imports {module}, which comes after it"


def test_the_package_stays_small() -> None:
    lines = {name: file.read_text(encoding="utf-8").count("\n") for name, file in FILES.items()}
    of = lambda *tops: sum(n for name, n in lines.items() if name.split(".")[0] in tops)  # noqa: E731
    found = {"models": of("models"), "whole": sum(lines.values())}
    found["without toy and course"] = found["whole"] - of("toy", "course")
    for part, cap in CAPS.items():
        assert found[part] <= cap, f"{part} has {found[part]:,} lines, {cap:,} are allowed: what can go?"
    entries = [path.name for path in PACKAGE.iterdir() if path.name != "__pycache__"]
    assert len(entries) <= ENTRIES, f"{len(entries)} entries in salmonn_mini/: {', '.join(sorted(entries))}"


def test_imports_never_go_in_a_circle() -> None:
    TopologicalSorter({name: imports(name) & set(FILES) - {name} for name in FILES}).prepare()


@pytest.mark.parametrize("name", FILES)
def test_a_room_is_small_and_safe(name: str) -> None:
    text = FILES[name].read_text(encoding="utf-8")
    assert text.count("\n") <= 350, f"{name} is over 350 lines; is it one room?"
    assert "trust_remote_code" not in text
    # Of bytes alone: of texts it also splits at U+2028, U+0085 and more, which may stand in a line of JSON.
    assert not re.search(r"(?<!read_bytes\(\))(?<!read_bytes\(\)\))\.splitlines\(", text), (
        f"{name}: split at \\n"
    )
    assert name.startswith("audio.") or not any(re.match(r"torchaudio\b", module) for module in imports(name))
    assert "torch.load" not in imports(name), "write torch.load in full, with weights_only=True"
    for call in calls(name, "torch.load"):
        keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        assert keywords.get("weights_only") == "True", (
            f"{name} line {call.lineno}: torch.load needs weights_only=True"
        )


LIGHT = ["import salmonn_mini", "import salmonn_mini.course.plots"]
if "cli" in FILES:
    LIGHT.append("import salmonn_mini.cli\ntry: salmonn_mini.cli.main(['--help'])\nexcept SystemExit: pass")


@pytest.mark.parametrize("code", LIGHT)
def test_what_should_be_quick_does_not_import_torch(code: str) -> None:
    check = f"import sys\n{code}\nassert 'torch' not in sys.modules and 'transformers' not in sys.modules"
    subprocess.run([sys.executable, "-c", check], check=True, timeout=600, stdout=subprocess.DEVNULL)


def test_the_map_in_the_readme_names_every_entry() -> None:
    text = (PACKAGE.parent / "README.md").read_text(encoding="utf-8")
    entries = {name.split(".")[0] for name in FILES} - {"__init__", "__main__"}
    missing = [
        entry for entry in sorted(entries) if not re.search(rf"^  {entry}(\.py|/) ", text, re.MULTILINE)
    ]
    assert not missing, f"add {', '.join(missing)} to the README's map"

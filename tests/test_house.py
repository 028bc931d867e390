"""The house's rules, read off the syntax trees: imports lead down, and some things stand in one room only."""

import ast
import re
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "salmonn_mini"
FLOORS = [
    "errors files settings config audio tasks metrics plots diagrams",
    "world samples ears features beats whisper windows qformer blip2 connectors lora prompt splice data weights",
    "model",
    "checkpoint baselines",
    "train evaluate backbones",
    "bayes activation sweep ledger bench doctor",
    "widgets checks cli __main__",
]
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms.split()} | {"__init__": 0}
FILES = {
    ".".join(file.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): file
    for file in PACKAGE.rglob("*.py")
}
TREES = {name: ast.parse(file.read_text(encoding="utf-8")) for name, file in FILES.items()}


def imports(name: str) -> set[str]:
    """Every module that `name` imports, also inside functions; the package's own without their prefix."""
    found = set()
    for node in ast.walk(TREES[name]):
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


@pytest.mark.parametrize("name", FILES)
def test_every_room_has_a_floor_and_imports_nothing_from_above(name: str) -> None:
    here = name.split(".")[0]
    assert here in FLOOR, f"give {name} a floor in FLOORS"
    for module in imports(name) & set(FILES):
        there = module.split(".")[0]
        assert FLOOR[there] <= FLOOR[here], (
            f"{name} (floor {FLOOR[here]}) imports {module} (floor {FLOOR[there]})"
        )


def test_imports_never_go_in_a_circle() -> None:
    TopologicalSorter({name: imports(name) & set(FILES) - {name} for name in FILES}).prepare()


@pytest.mark.parametrize("name", FILES)
def test_a_room_is_small_and_safe(name: str) -> None:
    text = FILES[name].read_text(encoding="utf-8")
    assert text.count("\n") <= 350, f"{name} is over 350 lines; is it one room?"
    assert "trust_remote_code" not in text
    assert name == "audio" or not any(re.match(r"torchaudio\b", module) for module in imports(name))
    assert "torch.load" not in imports(name), "write torch.load in full, with weights_only=True"
    for call in calls(name, "torch.load"):
        keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        assert keywords.get("weights_only") == "True", (
            f"{name} line {call.lineno}: torch.load needs weights_only=True"
        )


LIGHT = ["import salmonn_mini", "import salmonn_mini.plots"]
if "cli" in FILES:
    LIGHT.append("import salmonn_mini.cli\ntry: salmonn_mini.cli.main(['--help'])\nexcept SystemExit: pass")


@pytest.mark.parametrize("code", LIGHT)
def test_what_should_be_quick_does_not_import_torch(code: str) -> None:
    check = f"import sys\n{code}\nassert 'torch' not in sys.modules and 'transformers' not in sys.modules"
    subprocess.run([sys.executable, "-c", check], check=True, timeout=60, stdout=subprocess.DEVNULL)


def test_the_map_in_the_readme_names_every_room() -> None:
    text = (PACKAGE.parent / "README.md").read_text(encoding="utf-8")
    rooms = {name.split(".")[0] for name in FILES} - {"__init__", "__main__"}
    missing = [room for room in sorted(rooms) if not re.search(rf"\b{room}(\.py|/) ", text)]
    assert not missing, f"add {', '.join(missing)} to the README's map"

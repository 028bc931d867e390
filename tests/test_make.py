"""tools/make.py, which `make` and Windows call: what it runs, and what it says when it cannot."""

import ast
import re
import sys
from pathlib import Path

import pytest

from tools import make

ROOT = Path(__file__).parents[1]
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """The commands of .venv's Python, noted and not run."""
    commands = []
    monkeypatch.setattr(make, "_run", lambda *arguments, **_: commands.append(arguments))
    monkeypatch.setattr(make, "env", lambda cpu: commands.append(("env", cpu)))
    return commands


@pytest.fixture
def venv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """An environment of this very Python, in a folder of its own; its commands are noted and not run."""
    commands = []
    monkeypatch.setattr(make, "VENV", tmp_path)
    monkeypatch.setattr(make, "STAMP", tmp_path / ".stamp")
    monkeypatch.setattr(make, "PYTHON", Path(sys.executable))
    monkeypatch.setattr(make, "_run", lambda *arguments, **_: commands.append(arguments))
    return commands


def test_it_needs_the_standard_library_alone() -> None:
    tree = ast.parse(Path(make.__file__).read_text(encoding="utf-8"))
    named = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    named |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.split(".")[0] for name in named} <= sys.stdlib_module_names


def test_an_environment_is_made_once_and_again_for_another_lock(
    venv: list, monkeypatch: pytest.MonkeyPatch
) -> None:
    make.env()
    assert len(venv) == 3 and str(ROOT / "requirements.lock") in venv[1]
    make.env()
    assert len(venv) == 3
    monkeypatch.setattr(make, "_digest", lambda: "another")
    make.env()
    assert len(venv) == 6


def test_an_environment_of_an_older_version_is_made_again(venv: list) -> None:
    make.STAMP.touch()
    make.env()
    assert len(venv) == 3


def test_what_broke_off_is_made_again(venv: list, monkeypatch: pytest.MonkeyPatch) -> None:
    make.env()

    def breaks(*arguments: str, **_: object) -> None:
        raise make.Failed(1)

    monkeypatch.setattr(make, "_digest", lambda: "another")
    monkeypatch.setattr(make, "_run", breaks)
    with pytest.raises(make.Failed):
        make.env()
    assert not make.STAMP.exists()


def test_an_environment_without_cuda_stays_one(venv: list, monkeypatch: pytest.MonkeyPatch) -> None:
    make.env(cpu=True)
    made = len(venv)
    make.env()
    assert len(venv) == made
    assert make.STAMP.read_text(encoding="utf-8").startswith("cpu ")


def test_without_cuda_all_the_rest_is_as_locked(venv: list) -> None:
    steps = make.env_steps("cpu", "linux")
    rest = (make.VENV / "requirements-cpu.lock").read_text(encoding="utf-8")
    names = {match[1] for match in re.finditer(r"(?m)^([\w.-]+)==", LOCK)}
    left = {match[1] for match in re.finditer(r"(?m)^([\w.-]+)==", rest)}
    gone = names - left
    assert {"torch", "torchaudio", "triton"} < gone
    assert all(re.match(r"(cuda|nvidia)-|(torch|torchaudio|triton)$", name) for name in gone)
    assert re.findall(r"(?m)^\w.*[^\\]$", rest) == [] and rest.count("--hash") > len(left)
    (install,) = [step for step in steps if "--torch-backend" in step]
    assert re.findall(r"(?m)^torch(?:audio)?==\S+", LOCK) == list(install[-2:])
    assert "--no-deps" in install


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_elsewhere_the_locked_torch_is_for_cpus_anyhow(venv: list, platform: str) -> None:
    assert make.env_steps("cpu", platform) == make.env_steps("locked", platform)


@pytest.mark.parametrize("kind", ["locked", "cpu"])
def test_the_environment_comes_with_its_bytecode(venv: list, kind: str) -> None:
    heavy = [step for step in make.env_steps(kind, "linux") if "sync" in step or "--torch-backend" in step]
    assert heavy and all("--compile-bytecode" in step for step in heavy)


def test_lab_takes_more_arguments(ran: list) -> None:
    assert make.main(["lab", "--no-browser", "--ip=0.0.0.0"]) == 0
    assert ran[0] == ("env", False)
    assert {"--no-browser", "--ServerApp.root_dir=notebooks"} < set(ran[1])
    assert [argument for argument in ran[1] if argument.startswith("--ip")] == ["--ip=0.0.0.0"]


def test_all_notebooks_are_tested_some_in_full(ran: list) -> None:
    assert make.main(["test"]) == 0
    *_, in_part, in_full = ran
    assert {f"notebooks/{name}" for name in make.STRICT} == {
        word for word in in_full if word.endswith(".ipynb")
    }
    everyone = {path.relative_to(ROOT).as_posix() for path in (ROOT / "notebooks").glob("*.ipynb")}
    everyone = {name for name in everyone if not name.removeprefix("notebooks/").startswith(make.RESTING)}
    assert {word for word in (*in_part, *in_full) if word.endswith(".ipynb")} == everyone
    assert "--nbval-lax" in in_part and "--nbval" in in_full


def test_one_notebook(ran: list) -> None:
    assert make.main(["test", "notebooks/03*"]) == 0
    assert [word for command in ran for word in map(str, command) if "notebooks" in word] == [
        "notebooks/03_windows.ipynb"
    ]


def test_a_notebook_that_is_not_there(ran: list, capsys: pytest.CaptureFixture[str]) -> None:
    assert make.main(["test", "notebooks/99*"]) == 2
    assert re.fullmatch(r"error: no notebook is named notebooks/99\*: .+\n", capsys.readouterr().err)


@pytest.mark.parametrize("version", [(3, 9, 1), (3, 15, 0)])
def test_another_python_is_refused_in_one_line(
    ran: list, version: tuple, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(make.sys, "version_info", version)
    assert make.main(["env"]) == 2 and ran == []
    assert re.fullmatch(r"error: this is Python 3\.\d+, .+ 3\.10 to 3\.14: .+\n", capsys.readouterr().err)


def test_a_failed_command_ends_it_with_its_status(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(make, "PYTHON", Path(sys.executable))
    monkeypatch.setattr(make, "env", lambda cpu: make._run("-c", "raise SystemExit(7)", silent=True))
    assert make.main(["env"]) == 7


def test_no_torch_for_cpus_says_what_else_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(make, "PYTHON", Path(sys.executable))
    with pytest.raises(make.Failed, match="make env"):
        make._run("-c", "raise SystemExit(2)", "--torch-backend", "cpu", silent=True)

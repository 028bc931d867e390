"""What `make env`, `make lab`, `make lint` and `make test` do, in one script of the standard library alone.

make lab                  # Linux and macOS: the Makefile calls this script
py tools/make.py lab      # Windows, where there is no make

… env --cpu               # Linux: torch without CUDA's libraries
… lab --no-browser        # more arguments for JupyterLab
… test notebooks/03*      # the unit tests, and some notebooks
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import venv
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
STAMP = VENV / ".stamp"  # which environment is there, complete: locked or cpu, and of which lock
INPUTS = ("pyproject.toml", "requirements.lock")
CUDA = ("cuda-", "nvidia-", "triton")  # on Linux, what PyPI's torch brings and a CPU has no use for
TORCH = ("torch", "torchaudio")

# Nothing in these depends on the machine: every output must come out as it is recorded.
STRICT = ("01_sound.ipynb", "05_lora.ipynb")
# Chapters 7 to 12 tell the story of the stages that the toy world before this one was trained in. They rest, as the
# claims do, until the stages and the claims of this one are there; they run, but their outputs are of the old one.
RESTING = ("07", "08", "09", "10", "11", "12")
NBVAL = ("-n", "2", "--dist", "loadscope", "--nbval-cell-timeout", "600")
NBVAL += ("--nbval-sanitize-with", "tests/nbval_sanitize.cfg")
PYTEST = ("-m", "pytest", "-n", "2", "--dist", "worksteal")
LINT = (
    ("-m", "ruff", "check"),
    ("-m", "ruff", "format", "--check"),
    ("-m", "mypy"),
    ("-m", "codespell_lib"),
)


class Failed(Exception):
    """What went wrong, in one line, and the exit status."""

    def __init__(self, status: int, text: str = "") -> None:
        super().__init__(text)
        self.status = status


def env(cpu: bool = False) -> None:
    """Bring .venv to what requirements.lock names. What is `cpu` stays so until .venv is removed."""
    kind, digest = "cpu" if cpu or _stamp()[0] == "cpu" else "locked", _digest()
    works = PYTHON.exists() and not subprocess.run([PYTHON, "-c", ""], capture_output=True).returncode
    if works and _stamp() == [kind, digest]:
        return
    if not works:
        shutil.rmtree(VENV, ignore_errors=True)
        venv.create(VENV, with_pip=True)
    STAMP.unlink(missing_ok=True)
    for step in env_steps(kind, sys.platform):
        _run(*step)
    STAMP.write_text(f"{kind} {digest}\n", encoding="utf-8")


def env_steps(kind: str, platform: str) -> list[tuple[str, ...]]:
    """The commands, each for .venv's Python, that fill an environment.

    "locked" is exactly what the lock names, checked by its hashes. "cpu" is that without torch and CUDA's libraries;
    then uv gets the same torch, built for CPUs, from where PyTorch keeps it. Only Linux has two such builds.
    """
    uv = ("-m", "uv", "pip")
    # Bytecode is compiled here: where Python may not write it, every start would compile torch again.
    sync, lock = (*uv, "sync", "--compile-bytecode"), ROOT / "requirements.lock"
    steps = [("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "uv")]
    if kind == "cpu" and platform == "linux":
        text = lock.read_text(encoding="utf-8")
        rest = VENV / "requirements-cpu.lock"
        rest.write_text(without(text, (*CUDA, *TORCH)), encoding="utf-8")
        steps.append((*sync, str(rest)))
        steps.append(
            (*uv, "install", "--compile-bytecode", "--no-deps", "--torch-backend", "cpu", *pins(text, TORCH))
        )
    else:
        steps.append((*sync, str(lock)))
    return [*steps, (*uv, "install", "--quiet", "--no-deps", "--no-build-isolation", "--editable", ".")]


def without(lock: str, names: Sequence[str]) -> str:
    """The lock without the packages of these names; a name that ends in "-" stands for all that begin so."""
    left_out = "|".join(re.escape(name) + ("" if name.endswith("-") else "==") for name in names)
    return "".join(part for part in re.split(r"(?m)^(?=\w)", lock) if not re.match(left_out, part))


def pins(lock: str, names: Sequence[str]) -> list[str]:
    """These packages with their versions, as the lock has them: "torch==2.11.0"."""
    return [re.search(rf"(?m)^{name}==\S+", lock)[0] for name in names]


def lab(arguments: Sequence[str]) -> None:
    """JupyterLab on notebooks/, at the tour, but for what the arguments say otherwise."""
    usual = [
        "--ip=127.0.0.1",
        "--ServerApp.root_dir=notebooks",
        "--LabApp.default_url=/lab/tree/00_tour.ipynb",
    ]
    if hasattr(os, "getuid") and os.getuid() == 0:
        usual.append("--allow-root")
    given = {argument.split("=")[0] for argument in arguments}
    _run(
        "-m", "jupyterlab", *[one for one in usual if one.split("=")[0] not in given], *arguments, silent=True
    )


def lint() -> None:
    """ruff, mypy and the spelling."""
    for arguments in LINT:
        _run(*arguments)


def test(notebooks: Sequence[str]) -> None:
    """Lint, unit tests, then the notebooks: those that the patterns name, or all but RESTING."""
    paths = sorted({path for pattern in notebooks or ["notebooks/*.ipynb"] for path in _matching(pattern)})
    paths = [path for path in paths if notebooks or not Path(path).name.startswith(RESTING)]
    in_full = [path for path in paths if Path(path).name in STRICT]
    in_part = [path for path in paths if path not in in_full]
    print("1/4 lint", flush=True)
    lint()
    print(
        "2/4 unit tests: some 2,800 on two processes, first collected, then counted up to 100 %", flush=True
    )
    _run(*PYTEST, silent=True)
    print(f"3/4 notebooks, their checked cells compared: {len(in_part)}", flush=True)
    if in_part:
        _run("-m", "pytest", *NBVAL, "--nbval-lax", *in_part)
    print(f"4/4 notebooks, every cell compared: {len(in_full)}", flush=True)
    if in_full:
        _run("-m", "pytest", *NBVAL, "--nbval", *in_full)
    print("All of it passed.")


def _matching(pattern: str) -> list[str]:
    found = [path.relative_to(ROOT).as_posix() for path in ROOT.glob(pattern)]
    if not found:
        raise Failed(
            2, f"no notebook is named {pattern}: write it from the repository's root, as notebooks/03*"
        )
    return found


def _stamp() -> list[str]:
    """The kind and the digest of the environment that is there; two empty words where there is none."""
    words = STAMP.read_text(encoding="utf-8").split() if STAMP.exists() else []
    return words if len(words) == 2 else ["", ""]


def _digest() -> str:
    return hashlib.sha256(b"".join((ROOT / name).read_bytes() for name in INPUTS)).hexdigest()


def _run(*arguments: str, silent: bool = False) -> None:
    """Run .venv's Python in the root; raises Failed with its exit status. Ctrl-C is the command's to answer."""
    if not silent:
        print(PYTHON.relative_to(ROOT).as_posix(), *arguments, flush=True)
    # Windows reads files and writes pipes in an encoding of its own, unless Python is told.
    surroundings = os.environ | {"PYTHONUTF8": "1", "VIRTUAL_ENV": str(VENV)}
    process = subprocess.Popen([PYTHON, *arguments], cwd=ROOT, env=surroundings)
    while True:
        try:
            status = process.wait()
            break
        except KeyboardInterrupt:
            continue
    if status and "--torch-backend" in arguments:
        raise Failed(
            status, "no torch for CPUs could be had: remove .venv, and `make env` takes the one with CUDA"
        )
    if status:
        raise Failed(status)


def _check_python() -> None:
    version = ".".join(map(str, sys.version_info[:2]))
    if not (3, 10) <= sys.version_info[:2] <= (3, 14):
        raise Failed(
            2,
            f"this is Python {version}, the course needs 3.10 to 3.14: try py -3.12 tools/make.py",
        )
    if not find_spec("ensurepip"):
        raise Failed(2, f"Python {version} has no ensurepip: install its venv package (Debian: python3-venv)")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="tools/make.py", description=__doc__.split("\n")[0], allow_abbrev=False
    )
    parser.add_argument("command", choices=("env", "lab", "lint", "test"))
    parser.add_argument("--cpu", action="store_true", help="env: torch without CUDA's libraries")
    asked, rest = parser.parse_known_args(arguments)
    try:
        _check_python()
        env(asked.cpu)
        if asked.command == "lab":
            lab(rest)
        elif asked.command == "lint":
            lint()
        elif asked.command == "test":
            test(rest)
    except Failed as failed:
        if str(failed):
            print(f"error: {failed}", file=sys.stderr)
        return failed.status
    return 0


if __name__ == "__main__":
    sys.exit(main())

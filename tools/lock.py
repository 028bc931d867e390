"""Resolve requirements.lock anew out of pyproject.toml, and write its versions into what repeats them.

    make lock                 # what the lock names already stays, where pyproject.toml still allows it
    make lock UPGRADE=1       # the newest of everything

environment.yml gets the versions of its own Python, .pre-commit-config.yaml the same ruff; `tests/test_setup.py`
holds all of it together.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
LOCK, CONDA, HOOKS = "requirements.lock", "environment.yml", ".pre-commit-config.yaml"
COMPILE = ("-m", "uv", "pip", "compile", "--quiet", "--universal", "--python-version", "3.10")
COMPILE += (
    "--no-emit-index-url",
    "--generate-hashes",
    "--group",
    "dev",
    "--extra",
    "web",
    "pyproject.toml",
    "--output-file",
    LOCK,
)


def direct(root: Path = ROOT) -> list[Requirement]:
    """What pyproject.toml asks for, in its order: to run, for the page, and to develop."""
    pyproject = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    project = pyproject["project"]
    lines = project["dependencies"] + project["optional-dependencies"]["web"]
    return [Requirement(line) for line in lines + pyproject["dependency-groups"]["dev"]]


def locked(name: str, lock: str, python: str, platform: str = "linux") -> list[str]:
    """The versions of a package that a lock gives to this Python on this platform: one, if the lock is sound."""
    place = {"python_version": python, "python_full_version": f"{python}.0", "sys_platform": platform}
    rows = [Requirement(line.rstrip(" \\")) for line in lock.split("\n") if re.match(r"\w", line)]
    return [
        str(row.specifier).removeprefix("==")
        for row in rows
        if canonicalize_name(row.name) == canonicalize_name(name)
        and (row.marker is None or row.marker.evaluate(place))
    ]


def repeat(root: Path = ROOT) -> None:
    """Write the lock's versions into environment.yml and .pre-commit-config.yaml."""
    lock = (root / LOCK).read_text(encoding="utf-8")
    conda = (root / CONDA).read_text(encoding="utf-8")
    python = re.search(r"- python=(\S+)", conda)[1]
    head, _ = conda.split("  - pip:\n")
    rows = "".join(f"      - {row.name}=={locked(row.name, lock, python)[0]}\n" for row in direct(root))
    (root / CONDA).write_text(f"{head}  - pip:\n{rows}", encoding="utf-8")
    hooks = (root / HOOKS).read_text(encoding="utf-8")
    hooks = re.sub(r"ruff==[^]\s]+", f"ruff=={locked('ruff', lock, python)[0]}", hooks)
    (root / HOOKS).write_text(hooks, encoding="utf-8")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--upgrade", action="store_true", help="the newest versions that pyproject.toml allows"
    )
    asked = parser.parse_args(arguments)
    status = subprocess.run([sys.executable, *COMPILE, *["--upgrade"] * asked.upgrade], cwd=ROOT).returncode
    if not status:
        repeat()
    return status


if __name__ == "__main__":
    sys.exit(main())

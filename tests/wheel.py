"""Build source distribution and wheel, install the wheel in a new environment, and use it from an empty folder.

python tests/wheel.py           # into dist/; the packages it needs come from the index, within pyproject.toml's ranges
python tests/wheel.py 3.12      # the same for another Python, by its version or its path
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from email.parser import HeaderParser
from pathlib import Path

from packaging.metadata import Metadata

ROOT = Path(__file__).resolve().parents[1]
DIST = ROOT / "dist"
CLIP = ROOT / "data_samples" / "form_8000_hz.wav"
LOAD = """
import pathlib, salmonn_mini
from salmonn_mini import load
assert pathlib.Path(salmonn_mini.__file__).is_relative_to({venv!r}), salmonn_mini.__file__
print(load("toy").answer({clip!r}, "Transcribe the speech."))
"""


def build(folder: Path) -> Path:
    """The wheel, built out of the source distribution; both lie in `folder`, which is made anew."""
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "uv", "build", "--out-dir", folder, ROOT], check=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


def faults(wheel: Path) -> list[str]:
    """What is wrong with a wheel: metadata that PyPI refuses, files too many or too few."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (own,) = [name for name in names if name.endswith(".dist-info/METADATA")]
        header = archive.read(own)
    Metadata.from_email(header, validate=True)
    found = [f"README is {kind}" for kind in [HeaderParser().parsestr(header.decode())["Description-Content-Type"]]
             if kind != "text/markdown"]  # fmt: skip
    tracked = {path.as_posix() for path in (ROOT / "salmonn_mini").rglob("*") if path.is_file()}
    expected = {Path(path).relative_to(ROOT).as_posix() for path in tracked if "__pycache__" not in path}
    inside = {name for name in names if ".dist-info/" not in name}
    return found + [f"missing: {name}" for name in sorted(expected - inside)] + [
        f"too much: {name}" for name in sorted(inside - expected)
    ]  # fmt: skip


def use(wheel: Path, python: str) -> None:
    """Install a wheel into an environment of its own and let it answer, from a folder that holds nothing."""
    with tempfile.TemporaryDirectory(prefix="wheel-") as temporary:
        venv, empty = Path(temporary).resolve() / "venv", Path(temporary).resolve() / "empty"
        empty.mkdir()
        uv = [sys.executable, "-m", "uv"]
        subprocess.run([*uv, "venv", "--quiet", "--python", python, venv], check=True)
        scripts = venv / ("Scripts" if os.name == "nt" else "bin")
        subprocess.run([*uv, "pip", "install", "--quiet", "--python", scripts / "python", wheel], check=True)
        quiet = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        quiet |= {"PYTHONUTF8": "1", "HF_HUB_OFFLINE": "1"}
        command = [scripts / "salmonn-mini", "answer", CLIP, "--prompt", "Transcribe the speech."]
        said = [
            subprocess.run(
                line, cwd=empty, env=quiet, check=True, stdout=subprocess.PIPE, encoding="utf-8"
            ).stdout
            for line in (command, [scripts / "python", "-c", LOAD.format(venv=str(venv), clip=str(CLIP))])
        ]
        size = sum(path.lstat().st_size for path in venv.rglob("*") if not path.is_symlink())
        print(
            f"{wheel.name}: {wheel.stat().st_size / 1e6:.0f} MB; with what it needs {size / 1e9:.1f} GB",
            *said,
            sep="\n",
        )


def main(python: str) -> int:
    wheel = build(DIST)
    found = faults(wheel)
    print(*found, sep="\n", end="\n" * bool(found))
    if not found:
        use(wheel, python)
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(*(sys.argv[1:] or [sys.executable])))

"""Python, the packages and their versions, and what they can do. Nothing heavy is imported before it is judged."""

from __future__ import annotations

import importlib
import importlib.metadata as metadata
import platform
from collections.abc import Iterator

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from salmonn_mini.tools.doctor.finding import FAIL, OK, Finding

PROJECT = "salmonn-mini"
PAIR = ("torch", "torchaudio")  # of one release, or neither works
FORMATS = ("WAV", "FLAC", "OGG", "MP3")
INSTALL = "run `make env`, or: uv pip sync requirements.lock"


def check_environment() -> Iterator[Finding]:
    """Python's version, the packages', and whether the imports and the sound library work."""
    try:
        project = metadata.distribution(PROJECT)
    except metadata.PackageNotFoundError:
        yield Finding(FAIL, f"{PROJECT} is not installed", "uv pip install --no-deps --editable .")
        return
    yield check_python(platform.python_version(), project.metadata["Requires-Python"])
    packages = list(check_packages([Requirement(line) for line in project.requires or ()]))
    yield from packages
    if all(finding.level == OK for finding in packages):
        yield from check_imports()


def check_python(version: str, accepted: str) -> Finding:
    """Python's own version against `requires-python`."""
    if version in SpecifierSet(accepted):
        return Finding(OK, f"python {version} on {platform.system()} {platform.machine()}")
    return Finding(
        FAIL, f"python {version}, but {accepted} is needed", "make the environment with another python"
    )


def check_packages(requirements: list[Requirement]) -> Iterator[Finding]:
    """Each requirement against what is installed; those within their ranges share a line."""
    wanted = {r.name: r for r in requirements if r.marker is None or r.marker.evaluate()}
    found = {name: installed(name) for name in wanted}
    fine = [
        name for name, version in found.items() if version and wanted[name].specifier.contains(version, True)
    ]
    if all(found.get(name) for name in PAIR):
        yield check_pair(*(found[name] for name in PAIR))
    for name in wanted:
        if not found[name]:
            yield Finding(FAIL, f"{name} is not installed, {wanted[name]} is needed", INSTALL)
        elif name not in fine:
            yield Finding(FAIL, f"{name} is {found[name]}, but {wanted[name]} is needed", INSTALL)
    if fine:
        listed = ", ".join(f"{name} {found[name]}" for name in fine)
        yield Finding(OK, f"{len(fine)} of {len(wanted)} packages are within their ranges: {listed}")


def check_pair(torch: str, torchaudio: str) -> Finding:
    """torch and torchaudio must be of one release: else `import torchaudio` fails, and transformers with it."""
    if Version(torch).release[:2] == Version(torchaudio).release[:2]:
        return Finding(OK, f"torch {torch} and torchaudio {torchaudio} are of one release")
    return Finding(
        FAIL,
        f"torch {torch} beside torchaudio {torchaudio}: they must be of one release, or importing torchaudio "
        f"fails and transformers with it",
        "pip install torch==2.11.0 torchaudio==2.11.0, then restart python (in a notebook: its kernel)",
    )


def check_imports() -> Iterator[Finding]:
    """Whether the heavy packages can be imported, and which sound can be read and made."""
    for module in ("salmonn_mini.audio", "transformers", "peft", "accelerate"):
        try:
            importlib.import_module(module)
        except Exception as problem:  # an ImportError mostly, but a binary that does not fit raises anything
            reason = f"{type(problem).__name__}: {problem}".splitlines()[0]
            yield Finding(FAIL, f"`import {module}` fails ({reason})", INSTALL)
            return
    import soundfile

    missing = [name for name in FORMATS if name not in soundfile.available_formats()]
    if missing:
        yield Finding(
            FAIL, f"libsndfile {soundfile.__libsndfile_version__} cannot read {', '.join(missing)}", INSTALL
        )
    else:
        yield Finding(OK, f"libsndfile {soundfile.__libsndfile_version__} reads {', '.join(FORMATS)}")
    yield check_voice()


def check_voice() -> Finding:
    """Whether espeak-ng, the toy world's voice, speaks."""
    from salmonn_mini.toy.world.voice import VOICES, Utterance, speak

    try:
        speak([Utterance("yes", next(iter(VOICES)))])
    except Exception as problem:  # of a process that cannot start, or a library that cannot be loaded
        reason = str(problem).splitlines()[0] if str(problem) else type(problem).__name__
        return Finding(FAIL, f"espeak-ng does not speak ({reason})", "reinstall espeakng-loader")
    return Finding(OK, f"espeak-ng speaks with {len(VOICES)} voices")


def installed(name: str) -> str | None:
    """The installed version of a package, None if there is none."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None

"""Python, the packages and their versions, and what they can do. Versions are checked before anything is imported."""

from __future__ import annotations

import importlib
import importlib.metadata as metadata
import platform
from collections.abc import Iterator

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from salmonn_mini.tools.doctor.finding import FAIL, OK, Finding

PROJECT = "salmonn-mini"
FORMATS = ("WAV", "FLAC", "OGG", "MP3")
INSTALL = "run `make env`, then restart Python (in a notebook: its kernel)"


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
    """Each requirement against what is installed: a line for each that fails, one for all others."""
    wanted = [r for r in requirements if r.marker is None or r.marker.evaluate()]
    failed = 0
    for requirement in wanted:
        found = installed(requirement.name)
        if not (found and requirement.specifier.contains(found, prereleases=True)):
            failed += 1
            yield Finding(
                FAIL, f"{requirement.name} is {found or 'not installed'}, {requirement} is needed", INSTALL
            )
    if len(wanted) > failed:
        yield Finding(OK, f"{len(wanted) - failed} packages OK")


def check_imports() -> Iterator[Finding]:
    """Whether the heavy packages can be imported, and which sound can be read and made."""
    for module in ("salmonn_mini.audio", "transformers", "peft", "accelerate"):
        try:
            importlib.import_module(module)
        except Exception as problem:  # an ImportError mostly, but a binary that does not fit raises anything
            reason = f"{type(problem).__name__}: {problem}".split("\n")[0]
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
        reason = str(problem).split("\n")[0] if str(problem) else type(problem).__name__
        return Finding(FAIL, f"espeak-ng does not speak ({reason})", "reinstall espeakng-loader")
    return Finding(OK, f"espeak-ng speaks with {len(VOICES)} voices")


def installed(name: str) -> str | None:
    """The installed version of a package, None if there is none."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None

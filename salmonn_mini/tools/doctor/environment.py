"""Python, the packages and their versions, and what they can do."""

from __future__ import annotations

import importlib
import importlib.metadata as metadata
import platform
from collections.abc import Iterator
from dataclasses import dataclass

from packaging.requirements import Requirement

OK, WARN, FAIL = "OK", "WARN", "FAIL"
PROJECT = "salmonn-mini"
MODULES = ("salmonn_mini.audio", "transformers", "peft", "accelerate", "salmonn_mini.toy.world.voice")
FORMATS = ("WAV", "FLAC", "OGG", "MP3")
INSTALL = "run `make env`, then restart Python (in a notebook: its kernel)"


@dataclass(frozen=True)
class Finding:
    """What a check finds: the value and the rule; the remedy where it is not OK."""

    level: str
    text: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"[{self.level}]".ljust(7) + self.text + (f": {self.remedy}" if self.remedy else "")


def check_environment() -> Iterator[Finding]:
    """Python's version, the packages', and whether the imports and the sound library work."""
    if installed(PROJECT) is None:
        yield Finding(FAIL, f"{PROJECT} is not installed", "uv pip install --no-deps --editable .")
        return
    needed = (f"python{metadata.metadata(PROJECT)['Requires-Python']}", *(metadata.requires(PROJECT) or ()))
    packages = list(check_packages([Requirement(line) for line in needed]))
    yield from packages
    if all(finding.level == OK for finding in packages):
        yield from check_imports()


def check_packages(requirements: list[Requirement]) -> Iterator[Finding]:
    """Each requirement against what is installed: a line for each that fails, one for all others."""
    fine = 0
    for requirement in requirements:
        found = installed(requirement.name)
        if requirement.marker and not requirement.marker.evaluate():
            continue
        if found and requirement.specifier.contains(found, prereleases=True):
            fine += 1
        else:
            text = f"{requirement.name} is {found or 'not installed'}, {requirement} is needed"
            yield Finding(FAIL, text, INSTALL)
    if fine:
        machine = f"{platform.system()} {platform.machine()}"
        yield Finding(OK, f"{fine} requirements met, python {platform.python_version()} on {machine}")


def check_imports() -> Iterator[Finding]:
    """Whether the heavy packages can be imported, which sound can be read, and whether the voice speaks."""
    for module in MODULES:
        try:
            importlib.import_module(module)
        except Exception as problem:  # an ImportError mostly, but a binary that does not fit raises anything
            yield Finding(FAIL, f"`import {module}` fails ({_reason(problem)})", INSTALL)
            return
    import soundfile

    from salmonn_mini.toy.world.voice import SPEAKERS, speak

    library = f"libsndfile {soundfile.__libsndfile_version__}"
    if missing := [name for name in FORMATS if name not in soundfile.available_formats()]:
        yield Finding(FAIL, f"{library} cannot read {', '.join(missing)}", INSTALL)
    else:
        yield Finding(OK, f"{library} reads {', '.join(FORMATS)}")
    try:
        speak("yes", next(iter(SPEAKERS)))
        yield Finding(OK, f"hibari-tts speaks as {len(SPEAKERS)} speakers")
    except Exception as problem:  # of a network that cannot be loaded, or has no durations
        yield Finding(FAIL, f"hibari-tts does not speak ({_reason(problem)})", INSTALL)


def installed(name: str) -> str | None:
    """The installed version of a package, or Python's; None if there is none."""
    try:
        return platform.python_version() if name == "python" else metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _reason(problem: Exception) -> str:
    return f"{type(problem).__name__}: {problem}".split("\n")[0]

"""Which model a name means: a preset, a folder, or a repository on the Hub. No torch here."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from salmonn_mini.errors import SalmonnError
from salmonn_mini.models.config import PRESETS, SalmonnConfig

ADAPTER_FILE = "adapter.safetensors"
HUB_ID = r"\w[\w.-]*/[\w.-]+"
TOY_VARIABLE = "SALMONN_MINI_TOY"  # an environment variable: where the toy lies, if not in the package


@dataclass(frozen=True)
class ModelSource:
    """Where a model comes from: `folder`; else, untrained or as released, the `preset`; else the Hub's `name`."""

    name: str
    stage: int | None = None  # of the toy, 0 before training
    preset: SalmonnConfig | None = None
    folder: Path | None = None
    revision: str | None = None

    def __str__(self) -> str:
        return self.name if self.stage is None else f"{self.name}, stage {self.stage}"


def resolve(
    name_or_path: str | os.PathLike[str], stage: int | None = None, revision: str | None = None
) -> ModelSource:
    """What `load` and every command understand by a model's name; the toy's newest stage if none is given.

    Raises:
        SalmonnError: neither a preset, a folder nor a Hub id; a stage that the toy lacks, or of another model; a
            revision of what is not on the Hub.
    """
    name = os.fspath(name_or_path)
    preset = PRESETS.get(name)
    folder = Path(name) if preset is None and Path(name).is_dir() else None
    if stage is not None and name != "toy":
        raise SalmonnError(f"stage {stage} of {name}: only toy has stages; leave the stage out")
    if revision is not None and (preset or folder):
        raise SalmonnError(f"revision {revision} of {name}: only Hub ids have revisions; leave it out")
    if name == "toy":
        stage = _toy_stage(stage)
        return ModelSource(name, stage, preset, toy_folder() / f"stage{stage}" if stage else None)
    if not (preset or folder or re.fullmatch(HUB_ID, name)):
        raise SalmonnError(
            f"there is no model {name!r}: give {', '.join(PRESETS)}, a folder with config.json and {ADAPTER_FILE}, "
            f"or a Hub id owner/name"
        )
    return ModelSource(name, None, preset, folder, revision)


def toy_folder() -> Path:
    """Where the toy's weights are: in the package, or in the folder that SALMONN_MINI_TOY names."""
    return Path(os.environ.get(TOY_VARIABLE) or Path(__file__).with_name("toy"))


def toy_stages() -> list[int]:
    """The toy's stages that are there, in order."""
    numbers = (path.name.removeprefix("stage") for path in toy_folder().glob("stage*"))
    return sorted(int(number) for number in numbers if number.isdigit())


def _toy_stage(stage: int | None) -> int:
    """A stage that is there, or 0, untrained; None: the newest."""
    stages = toy_stages()
    if stage is None and not stages:
        raise SalmonnError(
            f"no trained toy in {toy_folder()}: train it with `salmonn-mini train toy-stage1`, or choose stage 0, "
            f"untrained"
        )
    if stage not in (None, 0, *stages):
        found = ", ".join(map(str, [0, *stages]))
        raise SalmonnError(f"no stage {stage} of the toy in {toy_folder()}: choose {found} (0: untrained)")
    return stages[-1] if stage is None else stage

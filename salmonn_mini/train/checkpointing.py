"""A run on disk, written so that the run can be stopped at any moment and resumes as if nothing had happened.

    recipe.json                            the recipe
    train.jsonl                            the log, a row per step
    checkpoints/step-00000200-<digest>.pt  the two latest: trained weights, optimizer state, position

Each file is complete or absent. A checkpoint's name holds the first digits of its content's SHA-256, so the one
rename completes it and says what it must contain.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from salmonn_mini.errors import SalmonnError
from salmonn_mini.files import complete_lines, fsync, load_json, write_bytes, write_json
from salmonn_mini.pretrained.loading import ADAPTER_FILE
from salmonn_mini.train.recipe import Recipe

KEEP_LAST = 2  # checkpoints; if the latest is damaged, the run resumes from the one before
DIGITS = 16  # of a digest, hexadecimal
# Keys that change no weight.
RESUMABLE_KEYS = (
    *("output_dir", "cache_dir", "cache_limit", "save_every", "threads", "workers", "max_bad_share"),
    *("trackers", "eval_every", "eval_clips", "eval_manifest"),
)


class RunDirectory:
    """A recipe's output_dir. All processes read it; the main process alone writes."""

    def __init__(self, recipe: Recipe) -> None:
        self.path = Path(recipe.output_dir)
        self.log_path = self.path / "train.jsonl"
        self._checkpoints = self.path / "checkpoints"

    @contextmanager
    def lock(self) -> Iterator[None]:
        """No other process may train here meanwhile, else SalmonnError; a process that dies frees its lock."""
        try:
            self._checkpoints.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.path / ".lock", blocking=False).acquire()
        except OSError as error:
            fault = f"cannot be used as a directory ({error.strerror}):"
            if isinstance(error, Timeout):
                fault = "another run is training in this directory: wait for it, or"
            raise SalmonnError(f"{self.path}: {fault} choose another output_dir") from error
        with lock:
            yield

    def prepare(self, recipe: Recipe, *, fresh: bool = False) -> None:
        """Make the directory ready for this recipe; `fresh` deletes the run and the model that are in it.

        Raises SalmonnError if it has checkpoints of a run by another recipe.
        """
        for path in self._checkpoints.glob(".*"):  # what a killed run was writing
            shutil.rmtree(path, ignore_errors=True)
        if fresh:
            model = self.path / ADAPTER_FILE, self.path / "config.json"
            for path in (*self.checkpoints(), self.log_path, *model):
                path.unlink(missing_ok=True)
        elif self.checkpoints():
            self._check_recipe(recipe)
        write_json(self.path / "recipe.json", recipe.to_dict(), indent=2)

    def latest(self) -> Path | None:
        """The latest intact checkpoint, None at the beginning of a run; damaged later ones are deleted.

        Raises SalmonnError if all of them are damaged.
        """
        files = self.checkpoints()
        intact = next((file for file in reversed(files) if is_intact(file)), None)
        if files and intact is None:
            raise SalmonnError(f"{self._checkpoints}: every checkpoint is damaged; start over with --fresh")
        for file in files[files.index(intact) + 1 :] if intact else ():
            file.unlink()  # else it would count among the two latest
        return intact

    def save(self, state: dict[str, Any]) -> None:
        """Write a checkpoint; `step` in it counts the steps that are done. The log goes to the disk first."""
        fsync(self.log_path)
        content = BytesIO()
        torch.save(state, content)
        name = f"step-{state['step']:08d}-{_digest(content.getbuffer())}.pt"
        write_bytes(self._checkpoints / name, content.getbuffer())
        for old in self.checkpoints()[:-KEEP_LAST]:
            old.unlink()

    def checkpoints(self) -> list[Path]:
        """The checkpoints, the latest last."""
        return sorted(self._checkpoints.glob("step-*.pt"))

    def steps_done(self) -> int:
        """The steps that the latest checkpoint has."""
        return max((int(file.stem.split("-")[1]) for file in self.checkpoints()), default=0)

    def read_log(self) -> list[dict[str, Any]]:
        """The log, a row per step."""
        return [json.loads(line) for line in complete_lines(self.log_path)]

    def _check_recipe(self, recipe: Recipe) -> None:
        file = self.path / "recipe.json"
        remedy = "choose another output_dir, or start over with --fresh, which deletes that run"
        try:  # through Recipe, so that a key which is newer than that run has its default
            before = Recipe.from_dict(load_json(file)).to_dict()
        except SalmonnError as error:
            raise SalmonnError(f"{file} is of another version ({error}): {remedy}") from error
        now = recipe.to_dict()
        changed = [key for key in now if now[key] != before[key] and key not in RESUMABLE_KEYS]
        if changed:
            listed = ", ".join(f"{key} {before[key]!r} there, {now[key]!r} here" for key in changed)
            raise SalmonnError(f"{self.path} holds a run of another recipe ({listed}): {remedy}")


def read_checkpoint(file: Path) -> dict[str, Any]:
    """A checkpoint's state, on the CPU."""
    return torch.load(file, weights_only=True, map_location="cpu")


def is_intact(file: Path) -> bool:
    """Whether a checkpoint holds what its name says."""
    try:
        return _digest(file.read_bytes()) == file.stem.split("-")[-1]
    except OSError:
        return False


def _digest(content: bytes | memoryview) -> str:
    return hashlib.sha256(content).hexdigest()[:DIGITS]

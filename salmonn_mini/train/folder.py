"""What a run keeps on disk, so that it can be stopped at any moment and go on as if nothing had happened.

    recipe.json                    whose run this is
    train.jsonl                    a row a step
    checkpoints/step-00000200.pt   the two newest: trained weights, optimizer, position

A file is written beside its place, forced to the disk and renamed: it is there whole or not at all.
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import torch

from salmonn_mini.errors import SalmonnError
from salmonn_mini.train.recipe import Recipe

KEPT = 2  # checkpoints; should the newest be damaged, the run goes on from the one before
FREE = ("output_dir", "cache_dir", "save_every", "threads")  # keys that do not change what a run computes


class RunFolder:
    """The folder of one run. With several processes all read, and one alone prepares, saves and notes."""

    def __init__(self, recipe: Recipe) -> None:
        self.path = Path(recipe.output_dir)
        self.log_path = self.path / "train.jsonl"
        self._checkpoints = self.path / "checkpoints"

    def prepare(self, recipe: Recipe, *, fresh: bool = False) -> None:
        """Make the folder ready for this recipe; with `fresh` a run that is there is deleted.

        Raises:
            SalmonnError: it has checkpoints of a run by another recipe, or cannot be written.
        """
        try:
            self._checkpoints.mkdir(parents=True, exist_ok=True)
        except OSError as problem:
            raise SalmonnError(
                f"{self.path}: cannot be used as a folder ({problem.strerror}); choose another output_dir"
            ) from problem
        for file in self._checkpoints.iterdir():
            if fresh or file.suffix == ".new":  # what was being written when a run was killed
                file.unlink()
        if fresh:
            self.log_path.unlink(missing_ok=True)
        elif self._saved():
            self._check_recipe(recipe)
        write_whole(self.path / "recipe.json", lambda file: file.write(recipe.to_json().encode()))

    def load(self) -> dict[str, Any] | None:
        """The newest checkpoint that is sound; None at the beginning of a run.

        Raises:
            SalmonnError: there are checkpoints, and all of them are damaged.
        """
        files = self._saved()
        sound = next((file for file in reversed(files) if _is_sound(file)), None)
        if files and sound is None:
            raise SalmonnError(f"{self._checkpoints}: every checkpoint is damaged; start anew with --fresh")
        return torch.load(sound, weights_only=True, map_location="cpu") if sound else None

    def save(self, state: dict[str, Any]) -> None:
        """Keep a checkpoint; `step` in it counts the steps that are done."""
        write_whole(self._checkpoints / f"step-{state['step']:08d}.pt", lambda file: torch.save(state, file))
        for old in self._saved()[:-KEPT]:
            old.unlink()

    def note(self, row: dict[str, Any]) -> None:
        """Add a row to the log."""
        with self.log_path.open("a", encoding="utf-8") as log:
            log.write(json.dumps(row) + "\n")

    def cut_log(self, steps: int) -> None:
        """Keep the rows of the first `steps` steps: a killed run may have logged more than it saved."""
        if self.log_path.exists():
            rows = self.log_path.read_bytes().splitlines(keepends=True)[:steps]
            whole = [row for row in rows if row.endswith(b"\n")]
            write_whole(self.log_path, lambda file: file.writelines(whole))

    def _saved(self) -> list[Path]:
        return sorted(self._checkpoints.glob("step-*.pt"))

    def _check_recipe(self, recipe: Recipe) -> None:
        before = json.loads((self.path / "recipe.json").read_text(encoding="utf-8"))
        now = recipe.to_dict()
        other = [key for key in now if now[key] != before.get(key) and key not in FREE]
        if other:
            listed = ", ".join(f"{key} {before.get(key)!r} there, {now[key]!r} here" for key in other)
            raise SalmonnError(
                f"{self.path} holds a run of another recipe ({listed}): "
                f"choose another output_dir, or start anew with --fresh, which deletes that run"
            )


def write_whole(path: Path, write: Callable[[BinaryIO], Any]) -> None:
    """Write a file beside its place, force it to the disk, and rename it."""
    beside = path.with_name(f"{path.name}.new")
    with beside.open("wb") as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)


def _is_sound(file: Path) -> bool:
    """Whether every part of a checkpoint has the checksum that was written with it."""
    try:
        with zipfile.ZipFile(file) as parts:
            return parts.testzip() is None
    except (OSError, zipfile.BadZipFile):
        return False

"""What a run keeps on disk, so that it can be stopped at any moment and go on as if nothing had happened.

    recipe.json                            whose run this is
    train.jsonl                            a row a step
    checkpoints/step-00000200-<digest>.pt  the two newest: trained weights, optimizer, position

Each file is there whole or not at all. A checkpoint's name holds the first digits of its content's SHA-256, so the
one renaming completes it and says what it must contain.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import torch

from salmonn_mini.errors import SalmonnError
from salmonn_mini.files import force, write_whole
from salmonn_mini.train.recipe import Recipe

KEEP_LAST = 2  # checkpoints; should the newest be damaged, the run goes on from the one before
DIGITS = 16  # of a digest, hexadecimal
LOGGING_KEYS = ("trackers", "eval_every", "eval_clips", "eval_manifest")
# keys that change no weight
RESUMABLE_KEYS = (
    "output_dir",
    "cache_dir",
    "cache_limit",
    "save_every",
    "threads",
    "workers",
    "max_bad_share",
    *LOGGING_KEYS,
)


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
        elif self.saved():
            self._check_recipe(recipe)
        write_whole(self.path / "recipe.json", recipe.to_json().encode())

    def newest(self) -> Path | None:
        """The newest checkpoint that is sound, None at the beginning of a run; damaged newer ones are deleted.

        Raises:
            SalmonnError: there are checkpoints, and all of them are damaged.
        """
        files = self.saved()
        sound = next((file for file in reversed(files) if is_sound(file)), None)
        if files and sound is None:
            raise SalmonnError(f"{self._checkpoints}: every checkpoint is damaged; start anew with --fresh")
        for file in files[files.index(sound) + 1 :] if sound else ():
            file.unlink()  # else it would count among the two newest
        return sound

    def save(self, state: dict[str, Any]) -> None:
        """Keep a checkpoint; `step` in it counts the steps that are done. The log is forced to the disk first."""
        force(self.log_path)
        content = BytesIO()
        torch.save(state, content)
        name = f"step-{state['step']:08d}-{_digest(content.getbuffer())}.pt"
        write_whole(self._checkpoints / name, content.getbuffer())
        for old in self.saved()[:-KEEP_LAST]:
            old.unlink()

    def saved(self) -> list[Path]:
        """The checkpoints that are there, the newest last."""
        return sorted(self._checkpoints.glob("step-*.pt"))

    def note(self, row: dict[str, Any]) -> None:
        """Add a row to the log."""
        with self.log_path.open("a", encoding="utf-8") as log:
            log.write(json.dumps(row) + "\n")

    def rows(self) -> list[dict[str, Any]]:
        """The log, a row a step."""
        if not self.log_path.exists():
            return []
        return [json.loads(line) for line in self.log_path.read_text(encoding="utf-8").splitlines()]

    def cut_log(self, steps: int) -> None:
        """Keep the rows of the first `steps` steps: a killed run may have logged more than it saved."""
        if self.log_path.exists():
            rows = self.log_path.read_bytes().splitlines(keepends=True)[:steps]
            write_whole(self.log_path, b"".join(row for row in rows if row.endswith(b"\n")))

    def _check_recipe(self, recipe: Recipe) -> None:
        # Through Recipe, so that a key which is newer than that run has its default.
        before = Recipe.from_json((self.path / "recipe.json").read_text(encoding="utf-8")).to_dict()
        now = recipe.to_dict()
        other = [key for key in now if now[key] != before[key] and key not in RESUMABLE_KEYS]
        if other:
            listed = ", ".join(f"{key} {before[key]!r} there, {now[key]!r} here" for key in other)
            raise SalmonnError(
                f"{self.path} holds a run of another recipe ({listed}): "
                f"choose another output_dir, or start anew with --fresh, which deletes that run"
            )


def read_checkpoint(file: Path) -> dict[str, Any]:
    """A checkpoint's state, on the CPU."""
    return torch.load(file, weights_only=True, map_location="cpu")


def is_sound(file: Path) -> bool:
    """Whether a checkpoint holds what its name says; one without a digest, by its archive's own checksums."""
    _, _, digest = file.stem.removeprefix("step-").partition("-")
    try:
        if digest:
            return _digest(file.read_bytes()) == digest
        with zipfile.ZipFile(file) as parts:
            return parts.testzip() is None
    except (OSError, zipfile.BadZipFile):
        return False


def _digest(content: bytes | memoryview) -> str:
    return hashlib.sha256(content).hexdigest()[:DIGITS]

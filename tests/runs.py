"""Short runs of the tiny model on a dozen tones, for tests of training and for tests/kill.py."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from tiny import SENTENCES, tiny_config

from salmonn_mini.audio import save_wav
from salmonn_mini.data import ClipDataset, Example, Sample, pack
from salmonn_mini.train import Recipe
from salmonn_mini.train.checkpointing import RunDirectory
from salmonn_mini.train.loop import _Run
from salmonn_mini.train.sources import StreamingDataset


class Tones(ClipDataset):
    """Tones of three pitches and many lengths; each pitch has a sentence of its own."""

    def __init__(self, n: int = 12) -> None:
        self.examples = [
            Example(f"tone {i}", ("asr", "audio_caption")[i % 2], "Describe the audio.", SENTENCES[i % 3])
            for i in range(n)
        ]

    def waves(self, shard: range) -> list[torch.Tensor]:
        return [torch.sin(torch.arange(5000.0 + 700 * i) * (0.05 + 0.3 * (i % 3))) for i in shard]

    def key(self, shard: range) -> bytes:
        return repr(shard).encode()


def pack_tones(folder: Path) -> Path:
    """Two packed folders, speech (12 clips) and sounds (9), three clips a tar file."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, n in (("speech", 12), ("sounds", 9)):
        task, samples = "asr" if name == "speech" else "audio_caption", []
        for i, wave in enumerate(Tones(n).waves(range(n))):
            save_wav(folder / f"{name}-{i}.wav", wave)
            samples.append(Sample(folder / f"{name}-{i}.wav", SENTENCES[i % 3], task))
        pack(samples, folder / name, per_shard=3)
    return folder


def packed_recipe(folder: Path, packed: Path, **changes) -> Recipe:
    """As `recipe_for`, with the clips of `pack_tones`."""
    shares = {str(packed / "speech"): 2, str(packed / "sounds"): 1}
    return recipe_for(folder, **{"manifests": shares, "clips": None, "stream": True} | changes)


def streams_of(recipe: Recipe) -> StreamingDataset:
    return StreamingDataset(recipe.sources, tiny_config(), recipe.seed)


def recipe_for(folder: Path, **changes) -> Recipe:
    values = {"stage": 1, "steps": 8, "batch_size": 4, "clips": 12, "warmup": 2, "save_every": 3, "seed": 5}
    values |= {"connector_lr": 3e-3, "lora_lr": 3e-3, "output_dir": str(folder / "run"), "trackers": []}
    return Recipe(**values | {"cache_dir": str(folder / "cache")} | changes)


class Killed(Exception):
    pass


@contextmanager
def killed_after(steps: int) -> Iterator[None]:
    """The run within the block must come to `steps` steps, log the last of them, and die there."""
    record = _Run._record

    def die(run: _Run, row: dict) -> None:
        record(run, row)
        if run.done == steps:
            raise Killed

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        patch.setattr(_Run, "_record", die)
        yield


def rows(recipe: Recipe) -> list[dict]:
    return RunDirectory(recipe).read_log()


def losses(recipe: Recipe) -> list[float]:
    return [row["loss"] for row in rows(recipe)]


def weights(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def changed(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> set[str]:
    assert before.keys() == after.keys()
    return {name for name in before if not torch.equal(before[name], after[name])}

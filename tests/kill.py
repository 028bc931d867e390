"""Kill a training run at random moments, again and again, and prove that nothing of it is lost.

    python tests/kill.py --kills 50 --processes 1
    python tests/kill.py --kills 10 --stream --workers 2

After each SIGKILL every checkpoint that has its name must be sound, and none that was there may be gone; the rows of
the log must be those of a run that was never killed, bit for bit; and so must, at the end, the weights. Half of the
kills come at any moment, half while a checkpoint is being written. Of several processes one is killed first. With
--stream the clips come out of tar files; with --workers more processes, which nobody kills, decode their sound.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import together

STEPS, ALIGNMENT = 40, 15  # in all, and those on the connector alone
NUMBERS = ("phase", "loss", "gradient_norm", "tasks", "left_out")  # of a row, to be equal to the last bit


def session(folder: Path, processes: int, stream: bool, workers: int) -> None:
    """One process of a run, from wherever it was to its end."""
    from runs import Tones, packed_recipe, recipe_for, streams_of
    from tiny import tiny_config, tiny_salmonn

    from salmonn_mini.train import fit

    rank = os.environ.get("RANK", "0")
    sys.stderr = (folder / f"stderr-{rank}").open("a")  # a process whose fellow is killed says so at length
    # A token for two frames: the tones are short, and their sentences not.
    connector = tiny_config().connector.replace(window_seconds=0.04, token_scale=None)
    model = tiny_salmonn(config=tiny_config(connector=connector))
    recipe = packed_recipe(folder, folder.parent / "packed") if stream else recipe_for(folder)
    cache = str(folder.parent / "cache")
    recipe = recipe.replace(steps=STEPS - ALIGNMENT, alignment={"steps": ALIGNMENT, "batch_size": 4})
    recipe = recipe.replace(save_every=2, cache_dir=cache, workers=workers)
    took = fit(model, streams_of(recipe) if stream else Tones(), recipe)
    assert took["processes"] == processes, took
    digest = hashlib.sha256()
    for tensor in model.state_dict().values():
        digest.update(tensor.numpy().tobytes())
    (folder / f"weights-{rank}").write_text(digest.hexdigest())


@dataclass
class Run:
    """A run on the disk, and the processes that work on it."""

    folder: Path
    processes: int
    stream: bool
    workers: int

    def start(self) -> list[multiprocessing.Process]:
        given = self.folder, self.processes, self.stream, self.workers
        return together.start(session, self.processes, *given)

    def rows(self) -> list[dict]:
        """The log's whole rows, of what must be equal."""
        log = self.folder / "run" / "train.jsonl"
        lines = log.read_bytes().splitlines(keepends=True) if log.exists() else []
        rows = [json.loads(line) for line in lines if line.endswith(b"\n")]
        return [{name: row.get(name) for name in NUMBERS} for row in rows]

    def files(self, pattern: str = "*.pt") -> list[Path]:
        return sorted((self.folder / "run" / "checkpoints").glob(pattern))

    def newest(self) -> int:
        """The step of the newest checkpoint, 0 without one."""
        return max((int(file.name.split("-")[1]) for file in self.files()), default=0)

    def weights(self) -> list[str]:
        return [(self.folder / f"weights-{rank}").read_text() for rank in range(self.processes)]


def kill(started: list[multiprocessing.Process], rng: np.random.Generator) -> None:
    """SIGKILL to all processes: one chosen at random first, the others a little later."""
    for process in rng.permutation(np.array(started, dtype=object)):
        process.kill()  # SIGKILL
        time.sleep(float(rng.uniform(0, 0.05)) * (len(started) > 1))
    for process in started:
        process.join()


def moment(run: Run, started: list, rng: np.random.Generator, duration: float) -> Iterator[None]:
    """Waits, a little at a time, until it is time to kill."""
    if rng.random() < 0.5:
        until = time.monotonic() + float(rng.uniform(0, duration))
        while time.monotonic() < until:
            yield time.sleep(0.002)
    else:
        for _ in range(int(rng.integers(1, 6))):  # the n-th checkpoint from here
            while run.files(".*"):
                yield
            while not run.files(".*"):
                yield
    yield


def trial(
    folder: Path, kills: int, processes: int = 1, seed: int = 0, stream: bool = False, workers: int = 0
) -> Counter[str]:
    """Kill runs `kills` times in all; how often in which phase.

    The run that is never killed has no workers, so that these are put to the proof too.

    Raises:
        AssertionError: something was lost, or came out otherwise than without the kills.
    """
    rng = np.random.default_rng(seed)
    if stream:
        from runs import pack_tones

        pack_tones(folder / "packed")
    whole = Run(folder / "whole", processes, stream, 0)
    whole.folder.mkdir(parents=True)
    together.finish(whole.start())  # the first process waits for the imports of all
    shutil.rmtree(whole.folder)
    whole.folder.mkdir()
    began = time.monotonic()
    together.finish(whole.start())
    duration = time.monotonic() - began
    assert len(whole.rows()) == STEPS
    counts: Counter[str] = Counter()
    number = 0
    while counts["kills"] < kills:
        number += 1
        run = Run(folder / f"run-{number}", processes, stream, workers)
        run.folder.mkdir()
        while counts["kills"] < kills and one_kill(run, rng, duration, counts, whole.rows()):
            pass
        together.finish(run.start())
        assert run.rows() == whole.rows(), "the log differs from that of a run that was never killed"
        assert run.weights() == whole.weights(), "the weights differ"
        counts["runs"] += 1
        shutil.rmtree(run.folder)
    return counts


def one_kill(
    run: Run, rng: np.random.Generator, duration: float, counts: Counter[str], expected: list[dict]
) -> bool:
    """Start, wait for the moment, kill, look; False if the run came to its end before that."""
    from salmonn_mini.train.checkpointing import is_intact

    before = run.newest()
    started = run.start()
    for _ in moment(run, started, rng, duration):
        if not all(process.is_alive() for process in started):
            break
    assert all(process.exitcode in (None, 0) for process in started), "a process ended by itself"
    if not any(process.is_alive() for process in started):
        return False
    kill(started, rng)
    rows, files = run.rows(), run.files()
    assert rows == expected[: len(rows)], f"row {len(rows)} or one before it differs"
    assert all(is_intact(file) for file in files), f"a damaged checkpoint among {files}"
    assert run.newest() >= before, (
        f"step {before} had a checkpoint, the newest left is of step {run.newest()}"
    )
    saving, begun = bool(run.files(".*")), len(files) > 0
    counts["kills"] += 1
    counts["while saving" if saving else "between" if begun else "before the first checkpoint"] += 1
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--stream", action="store_true", help="clips out of tar files")
    parser.add_argument("--workers", type=int, default=0, help="that decode sound, for each process")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    os.environ |= {"OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1", "TOKENIZERS_PARALLELISM": "false"}
    with tempfile.TemporaryDirectory() as folder:
        counts = trial(Path(folder), **vars(arguments))
    told = ", ".join(f"{count} {name}" for name, count in counts.items())
    with_what = (
        f"{arguments.processes} process(es), {arguments.workers} workers{', stream' * arguments.stream}"
    )
    print(f"{with_what}, seed {arguments.seed}: {told}; every one resumed bit for bit")


if __name__ == "__main__":
    main()

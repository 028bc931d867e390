"""The toy's stage 1 by its own recipe, on tiny parts: plainly, by torchrun and by Accelerate it is the same run."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from runs import losses
from tiny import tiny_toy

from salmonn_mini import pretrained
from salmonn_mini.cli import main
from salmonn_mini.errors import SalmonnError
from salmonn_mini.train import load_recipe

CHANGES = [
    "steps=20",
    "clips=32",
    "batch_size=8",
    "dropout=0",
    "threads=1",
    "trackers=[]",
    "cache_dir=cache",
    "alignment=null",
]
TWO = {
    "torchrun": ["torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m"],
    "accelerate": [
        *("accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1"),
        *("--mixed_precision", "no", "--dynamo_backend", "no", "-m"),
    ],
}


def arguments(name: str) -> list[str]:
    """The command's words: a run in a folder of that name."""
    sets = [word for change in [*CHANGES, f"output_dir={name}"] for word in ("--set", change)]
    return ["train", "toy-stage1", *sets]


def outcome(folder: Path, name: str) -> tuple[list[float], dict]:
    """The losses of a run, and what it wrote down of itself."""
    recipe = load_recipe("toy-stage1", [*CHANGES, f"output_dir={folder / name}"])
    return losses(recipe), pretrained.read_info(folder / name)


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> tuple[Path, list[float]]:
    folder = tmp_path_factory.mktemp("launchers")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SALMONN_MINI_TOY", str(tiny_toy(folder / "toy")))
        patch.chdir(folder)
        assert main(arguments("plain")) == 0
    curve, info = outcome(folder, "plain")
    assert (info["processes"], info["wrapper"], len(curve)) == (1, "Salmonn", 20)
    assert curve[-1] < curve[0]
    return folder, curve


@pytest.mark.parametrize("launcher", TWO)
def test_two_processes_follow_the_losses_of_one(plain, launcher):
    folder, curve = plain
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    surroundings = os.environ | {"SALMONN_MINI_TOY": str(folder / "toy"), "MASTER_PORT": port}
    command = [sys.executable, "-m", *TWO[launcher], "salmonn_mini", *arguments(launcher)]
    subprocess.run(command, check=True, timeout=900, cwd=folder, env=surroundings)
    losses_of_two, info = outcome(folder, launcher)
    assert (info["processes"], info["wrapper"]) == (2, "DistributedDataParallel")
    assert losses_of_two == pytest.approx(curve, abs=1e-4)


def test_an_error_of_all_processes_is_told_once_and_one_of_a_single_process_too(
    tmp_path, monkeypatch, capsys
):
    assert main(["train", "toy-stage9"]) == 2 and "toy-stage9" in capsys.readouterr().err
    monkeypatch.setenv("RANK", "1")
    assert main(["train", "toy-stage9"]) == 2 and capsys.readouterr().err == ""

    def fail(*given, **named):
        error = SalmonnError("only here")
        error.on_one_rank = True
        raise error

    monkeypatch.setattr("salmonn_mini.train.recipe.load_recipe", fail)
    assert main(["train", "toy-stage1"]) == 2 and "only here" in capsys.readouterr().err

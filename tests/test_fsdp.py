"""Weights that are spread over two processes (FSDP2): the same run, whole checkpoints, an exact resume.

Accelerate has FSDP on GPUs alone; here its `prepare` is replaced by torch's own `fully_shard` over gloo, which leaves
everything that the loop does about spread weights under test.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import together
import torch
from runs import Tones, losses, recipe_for, rows
from tiny import tiny_config, tiny_salmonn

from salmonn_mini.train import fit
from salmonn_mini.train.checkpointing import read_checkpoint

STEPS, ALIGNMENT = 8, 3  # in all, and those on the connector alone


def still():
    connector = tiny_config(dropout=0).connector.replace(window_seconds=0.04, token_scale=None)
    return tiny_salmonn(config=tiny_config(dropout=0, connector=connector))


def recipe_in(folder: Path):
    alignment = {"steps": ALIGNMENT, "batch_size": 4}
    return recipe_for(folder, steps=STEPS - ALIGNMENT, alignment=alignment, eval_every=2, save_every=2)


def prepare(accelerator, model, optimizer):
    """What Accelerate does for FSDP2, in short."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh("cpu", (accelerator.num_processes,))
    names = {parameter: name for name, parameter in model.named_parameters()}
    for layer in model.llm.get_base_model().model.layers:
        fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh)
    now = dict(model.named_parameters())
    for group in optimizer.param_groups:
        group["params"] = [now[names[parameter]] for parameter in group["params"]]
    optimizer.state.clear()
    return model, optimizer


def session(folder: Path, stop: int) -> None:
    """One process's part of a run that ends by itself, or is broken off after `stop` steps."""
    from accelerate import Accelerator

    from salmonn_mini.train import loop

    Accelerator.prepare = prepare
    record = loop._Run._record

    def watch(run, row):
        spread = any("DTensor" in type(p).__name__ for p in run.phase.trained.values())
        assert spread == (run.done > ALIGNMENT)  # which needs no pass through the LLM
        record(run, row)
        if run.done == stop:
            try:
                run.accelerator.wait_for_everyone()
            finally:
                os._exit(0)

    loop._Run._record = watch
    model = still()
    took = fit(model, Tones(), recipe_in(folder), eval_dataset=Tones(2))
    assert (took["processes"], took["wrapper"]) == (2, "FSDPSalmonnModel")
    whole = {name: tensor.tolist() for name, tensor in model.trainable_state().items()}
    (folder / f"weights-{os.environ['RANK']}.json").write_text(json.dumps(whole))


def test_spread_weights_learn_as_whole_ones_and_resume_exactly(tmp_path):
    whole, recipe = still(), recipe_in(tmp_path / "one")
    fit(whole, Tones(), recipe, eval_dataset=Tones(2))
    for name, stop in (("spread", 0), ("broken", 2), ("broken", 5), ("broken", 0)):
        (tmp_path / name).mkdir(exist_ok=True)
        together.finish(together.start(session, 2, tmp_path / name, stop))
    spread, broken = recipe_in(tmp_path / "spread"), recipe_in(tmp_path / "broken")
    assert losses(spread) == pytest.approx(losses(recipe), abs=1e-4)
    assert losses(broken) == losses(spread)
    assert [row.get("wer") for row in rows(spread)] == [row.get("wer") for row in rows(recipe)]
    weights = [
        json.loads((tmp_path / name / f"weights-{rank}.json").read_text())
        for name in ("spread", "broken")
        for rank in range(2)
    ]
    assert all(other == weights[0] for other in weights[1:])
    for name, tensor in whole.trainable_state().items():
        assert torch.allclose(torch.tensor(weights[0][name]), tensor, atol=1e-3), name
    kept = read_checkpoint(max((tmp_path / "spread" / "run" / "checkpoints").glob("*.pt")))
    assert {name: tensor.tolist() for name, tensor in kept["trained"].items()} == weights[0]

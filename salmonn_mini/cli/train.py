"""Train from a recipe; an interrupted run resumes."""

from __future__ import annotations

import argparse
import os

from salmonn_mini.errors import counted


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("recipe", metavar="RECIPE", help="a recipe's name, such as toy-stage1, or its YAML file")
    add("--set", metavar="KEY=VALUE", action="append", default=[], help="change a key; repeatable")
    add("--fresh", action="store_true", help="delete the run that is in output_dir, and start over")


def run(arguments: argparse.Namespace) -> None:
    from salmonn_mini.train.recipe import load_recipe

    recipe = load_recipe(arguments.recipe, arguments.set)
    from salmonn_mini.train import train_recipe
    from salmonn_mini.train.checkpointing import RunDirectory

    run_directory, steps = RunDirectory(recipe), counted(recipe.total_steps, "step")
    complete = not arguments.fresh and run_directory.steps_done() == recipe.total_steps
    directory = train_recipe(recipe, fresh=arguments.fresh)
    if os.environ.get("RANK", "0") != "0":
        return
    if complete:
        print(f"Already complete ({recipe.total_steps} of {steps}); --fresh starts over.")
        return
    joint = [row for row in run_directory.read_log() if row.get("phase", "joint") == "joint"]
    losses = [row["loss"] for row in joint if row["loss"] is not None]
    change = f", loss {losses[0]:.3g} → {losses[-1]:.3g}" if losses else ""
    print(f"Trained {steps}{change}. Next: salmonn-mini answer CLIP --model {directory}")

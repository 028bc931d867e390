"""Train from a recipe; an interrupted run resumes."""

from __future__ import annotations

import argparse
import os


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "recipe", metavar="RECIPE", help="a recipe's name, such as toy-stage1, or its YAML file"
    )
    parser.add_argument(
        "--set",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        dest="changes",
        help="change a key of the recipe",
    )
    parser.add_argument(
        "--fresh", action="store_true", help="delete the run that is in output_dir, and start over"
    )


def run(arguments: argparse.Namespace) -> int:
    from salmonn_mini.train.recipe import load_recipe

    recipe = load_recipe(arguments.recipe, arguments.changes)
    from salmonn_mini.train import train_recipe
    from salmonn_mini.train.checkpointing import RunDirectory

    run_directory = RunDirectory(recipe)
    complete = not arguments.fresh and run_directory.steps_done() == recipe.steps
    directory = train_recipe(recipe, fresh=arguments.fresh)
    if os.environ.get("RANK", "0") != "0":
        return 0
    if complete:
        print(f"Already complete ({recipe.steps} of {recipe.steps} steps); --fresh starts over.")
        return 0
    losses = [row["loss"] for row in run_directory.read_log() if row["loss"] is not None]
    change = f", loss {losses[0]:.3g} → {losses[-1]:.3g}" if losses else ""
    print(f"Trained {recipe.steps:,} steps{change}. Next: salmonn-mini answer CLIP --model {directory}")
    return 0

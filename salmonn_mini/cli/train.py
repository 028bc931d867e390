"""Train by a recipe; a run that was stopped goes on where it was."""

from __future__ import annotations

import argparse


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
        "--fresh", action="store_true", help="delete the run that is in output_dir, and start anew"
    )


def run(arguments: argparse.Namespace) -> int:
    from salmonn_mini.train.recipe import load_recipe

    recipe = load_recipe(arguments.recipe, arguments.changes)
    from salmonn_mini.train import train_recipe

    folder = train_recipe(recipe, fresh=arguments.fresh)
    print(f"trained: {folder}")
    return 0

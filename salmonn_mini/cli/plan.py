"""Estimate a recipe's batch, epochs and hours, or GPU hours of all."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from salmonn_mini.cli.console import say
from salmonn_mini.cli.options import chosen, positive, refuse, whole

OF_A_RECIPE = ("set", "gpus", "per_device_batch_size", "samples_per_second", "clips")
OF_ALL = ("tflops", "price")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("recipe", metavar="RECIPE", nargs="?", help="a name, such as 13b-stage1, or a YAML file")
    add("--json", action="store_true", help="print JSON")
    add, count = parser.add_argument_group("with a recipe").add_argument, whole(1)
    add("--set", metavar="KEY=VALUE", action="append", help="change a key; repeatable")
    add("--gpus", metavar="N", type=count, help="GPUs in all (1)")
    add("--per-device-batch-size", metavar="N", type=count, help="clips that a GPU holds at once")
    add("--samples-per-second", metavar="X", type=positive, help="speed of one GPU, as `bench` measures it")
    add("--clips", metavar="N", type=count, help="clips in an epoch, if the recipe does not say")
    add = parser.add_argument_group("without: GPU hours of all stages of small, 7b and 13b").add_argument
    add("--tflops", metavar="X", type=positive, action="append", help="speed of a GPU; repeatable (200, 50)")
    add("--price", metavar="X", type=positive, help="price of a GPU hour, to show costs")


def run(arguments: argparse.Namespace) -> None:
    recipe = arguments.recipe
    wrong, remedy = (OF_ALL, "leave RECIPE out") if recipe else (OF_A_RECIPE, "name a RECIPE")
    refuse(arguments, wrong, f"does not apply here: leave it out, or {remedy}")
    if not recipe:
        say("estimating every recipe …")
    from salmonn_mini.tools import plan
    from salmonn_mini.train.recipe import load_recipe

    if recipe:
        settings = chosen(arguments, OF_A_RECIPE[2:])
        found = plan.make_plan(load_recipe(recipe, arguments.set or ()), arguments.gpus or 1, **settings)
        print(json.dumps(asdict(found)) if arguments.json else found.table())
    else:
        rows = plan.costs(arguments.tflops or plan.TFLOPS)
        print(json.dumps(rows) if arguments.json else plan.costs_table(rows, arguments.price))

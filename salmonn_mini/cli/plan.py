"""Tell what a recipe comes to on some GPUs: clips at once, samples, epochs, hours."""

from __future__ import annotations

import argparse
import json

from salmonn_mini.cli.options import positive, whole


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recipe", metavar="RECIPE", help="a recipe's name, such as 13b-stage1, or its file")
    parser.add_argument(
        "--set", metavar="KEY=VALUE", action="append", default=[], dest="changes", help="change a key of it"
    )
    parser.add_argument("--gpus", metavar="N", type=whole(1), default=1, help="GPUs in all (1)")
    parser.add_argument(
        "--at-once", metavar="N", type=whole(1), help="clips that a GPU can hold: tells the accumulation"
    )
    parser.add_argument(
        "--samples-per-second", metavar="X", type=positive, help="of one GPU, as `bench` measures it"
    )
    parser.add_argument("--clips", metavar="N", type=whole(1), help="of an epoch, where no recipe tells")
    parser.add_argument("--json", action="store_true", help="one line of JSON")


def run(arguments: argparse.Namespace) -> int:
    from salmonn_mini.train.plan import make_plan
    from salmonn_mini.train.recipe import load_recipe

    plan = make_plan(
        load_recipe(arguments.recipe, arguments.changes),
        arguments.gpus,
        at_once=arguments.at_once,
        samples_per_second=arguments.samples_per_second,
        clips=arguments.clips,
    )
    print(json.dumps(plan.to_dict()) if arguments.json else plan.table())
    return 0

"""Tell what a recipe comes to on some GPUs: clips at once, samples, epochs, hours. Without one: what all cost."""

from __future__ import annotations

import argparse
import json

from salmonn_mini.cli.options import positive, whole
from salmonn_mini.errors import SalmonnError

OF_A_RECIPE = ("changes", "gpus", "per_device_batch_size", "samples_per_second", "clips")
OF_ALL = ("tflops", "price")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "recipe",
        metavar="RECIPE",
        nargs="?",
        help="a recipe's name, such as 13b-stage1, or its file; left out: a table of estimated GPU hours for "
        "all stages of small, 7b and 13b",
    )
    parser.add_argument(
        "--set", metavar="KEY=VALUE", action="append", default=[], dest="changes", help="change a key of it"
    )
    parser.add_argument("--gpus", metavar="N", type=whole(1), help="GPUs in all (1)")
    parser.add_argument(
        "--per-device-batch-size",
        metavar="N",
        type=whole(1),
        help="clips that a GPU can hold at once; the accumulation follows",
    )
    parser.add_argument(
        "--samples-per-second", metavar="X", type=positive, help="of one GPU, as `bench` measures it"
    )
    parser.add_argument("--clips", metavar="N", type=whole(1), help="of an epoch, where no recipe tells")
    parser.add_argument(
        "--tflops",
        metavar="X",
        type=positive,
        action="append",
        help="of the table: TFLOP/s that a GPU is thought to reach; again for another column (200, 50)",
    )
    parser.add_argument("--price", metavar="X", type=positive, help="of the table: the price of a GPU hour")
    parser.add_argument("--json", action="store_true", help="JSON")


def run(arguments: argparse.Namespace) -> int:
    alone, wrong = ("a recipe", OF_ALL) if arguments.recipe else ("the table of all", OF_A_RECIPE)
    for name in wrong:
        if getattr(arguments, name):
            option = "--set" if name == "changes" else f"--{name.replace('_', '-')}"
            raise SalmonnError(f"{option} does not belong to {alone}: leave it out, or see --help")
    return _one(arguments) if arguments.recipe else _all(arguments)


def _one(arguments: argparse.Namespace) -> int:
    from salmonn_mini.tools.plan import make_plan
    from salmonn_mini.train.recipe import load_recipe

    plan = make_plan(
        load_recipe(arguments.recipe, arguments.changes),
        arguments.gpus or 1,
        per_device_batch_size=arguments.per_device_batch_size,
        samples_per_second=arguments.samples_per_second,
        clips=arguments.clips,
    )
    print(json.dumps(plan.to_dict()) if arguments.json else plan.table())
    return 0


def _all(arguments: argparse.Namespace) -> int:
    from salmonn_mini.tools.plan import TFLOPS, costs, costs_table

    rows = costs(arguments.tflops or TFLOPS)
    print(json.dumps(rows) if arguments.json else costs_table(rows, arguments.price))
    return 0

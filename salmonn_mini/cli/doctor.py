"""Check packages, accelerator, memory, weights; downloads nothing."""

from __future__ import annotations

import argparse

from salmonn_mini.cli import options
from salmonn_mini.cli.console import say
from salmonn_mini.errors import counted
from salmonn_mini.models.config import preset


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("recipe", metavar="RECIPE", nargs="?", help="list its data too: clips, hours, source, command")
    add("--preset", metavar="P", help="toy, small, 7b or 13b (default: the recipe's, else toy)")
    options.add_runtime(parser)
    options.add_parts(parser, without="by default each part is looked for where the preset has it")


def run(arguments: argparse.Namespace) -> int:
    """0 if nothing has failed, else 1."""
    of_recipe = list_data(arguments.recipe) if arguments.recipe else None
    name = arguments.preset or of_recipe or "toy"
    preset(name)  # refuse a wrong name first
    say("checking packages …")
    from salmonn_mini.tools.doctor import FAIL, examine

    failed = []
    parts, runtime = (options.chosen(arguments, names) for names in (options.PARTS, options.RUNTIME))
    for section, findings in examine(name, parts, **runtime):
        print(section, flush=True)
        for finding in findings:
            print(f"  {finding}", flush=True)
            failed += [finding] * (finding.level == FAIL)
    if failed:
        checks = counted(len(failed), "check")
        print(f"Preset {name} cannot run here: {checks} failed. Next: {failed[0].remedy}")
        return 1
    print(f"Preset {name} can run here.")
    return 0


def list_data(recipe: str) -> str | None:
    """Print where a recipe's data come from; returns the preset of its model."""
    from salmonn_mini.data.sources import listing
    from salmonn_mini.train.recipe import load_recipe

    found = load_recipe(recipe)
    manifests = found.manifests or dict.fromkeys(found.sources, 0)
    print("data")
    for line in listing(manifests) if manifests else ["the toy's own world; nothing to import"]:
        print(f"  {line}")
    return found.model

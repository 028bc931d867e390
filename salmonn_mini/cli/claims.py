"""Measure the paper's claims with the toy, with verdicts; resumes."""

from __future__ import annotations

import argparse
from pathlib import Path

from salmonn_mini.cli import options
from salmonn_mini.cli.console import say
from salmonn_mini.errors import SalmonnError
from salmonn_mini.files import load_json, write_json, write_text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--claim", metavar="N", type=options.whole(1), help="one claim alone (default: all)")
    add("--seed", metavar="N", type=options.whole(0), help="one seed alone (default: those of claims.yaml)")
    add("--samples", metavar="N", type=options.whole(1), default=200, help="clips a task (200)")
    add("--verify", action="store_true", help="measure nothing; check claims.json against the measured rows")
    add("--runs", metavar="FOLDER", default="runs/claims", help="trained models and caches (runs/claims)")
    add("--rows", metavar="FOLDER", help="measured rows, claims.json beside it (default: the package's own)")
    options.add_device(parser)  # the toy is trained and asked in float32
    add("--markdown", metavar="FILE", help="also write the table as Markdown")


def run(arguments: argparse.Namespace) -> int:
    say("scoring the measured answers …" if arguments.verify else "loading the claims …")
    from salmonn_mini.evaluation import claims

    rules = claims.read_claims()
    evidence = claims.Evidence(Path(arguments.rows)) if arguments.rows else claims.shipped()
    if not arguments.verify:
        chosen = rules.claims if arguments.claim is None else (rules[arguments.claim],)
        seeds = rules.seeds if arguments.seed is None else (arguments.seed,)
        from salmonn_mini.evaluation.claims.conditions import measure_claims
        from salmonn_mini.pretrained.devices import pick_device

        settings = {"n": arguments.samples, "device": str(pick_device(arguments.device))}
        say(f"running on {settings['device']} in float32")
        measure_claims(chosen, seeds, evidence, Path(arguments.runs), **settings)
    table = claims.claims_table(evidence, rules)
    target = evidence.folder.with_name("claims.json")
    if arguments.verify:
        written = load_json(target)["claims"]
        if wrong := [str(row["id"]) for row in table["claims"] if row not in written]:
            raise SalmonnError(
                f"{target}: claims {', '.join(wrong)} do not follow from their rows: run `salmonn-mini claims`"
            )
    else:
        write_json(target, table)
    if arguments.markdown:
        write_text(arguments.markdown, claims.markdown(table))
    print(claims.terminal_table(table))
    if arguments.verify:
        print(f"All {len(table['claims'])} verdicts agree with {target.name}.")
    return 0

"""Mark submitted notebooks, each apart and within limits; resumes."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from salmonn_mini.cli import options
from salmonn_mini.cli.console import say
from salmonn_mini.files import write_text

THREADS = {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add, count = parser.add_argument, options.whole(1)
    add("folder", metavar="FOLDER", type=Path, help="notebooks handed in: NAME.ipynb, or NAME/….ipynb")
    about = "table for a spreadsheet (grades.csv); FILE with .jsonl keeps what is done"
    add("--out", metavar="FILE", type=Path, default=Path("grades.csv"), help=about)
    add("--jobs", metavar="N", type=count, default=2, help="notebooks at a time (2)")
    add("--seconds", metavar="S", type=options.positive, default=20.0, help="an exercise may take (20)")
    about = "memory a notebook may take, beside Python and torch (2)"
    add("--gigabytes", metavar="G", type=options.positive, default=2.0, help=about)


def run(arguments: argparse.Namespace) -> None:
    from salmonn_mini.course.grading.limits import Limits

    os.environ |= THREADS
    limits = Limits(seconds=arguments.seconds, memory=int(arguments.gigabytes * 2**30))
    say("limits, no sandbox: notebooks of strangers belong in a container …")
    from salmonn_mini.course.grading import report
    from salmonn_mini.course.grading.run import grade

    rows = grade(arguments.folder, arguments.out.with_suffix(".jsonl"), limits, arguments.jobs, say)
    write_text(arguments.out, "\ufeff" + report.to_csv(rows))  # a BOM, for Excel
    print(report.table(rows))
    for missing in sorted({missing for row in rows for missing in row["missing"]}):
        say(f"not forbidden here: {missing}")
    say(f"written: {arguments.out}")

"""Open a page on this machine: speak, see and ask in the browser."""

from __future__ import annotations

import argparse
import signal
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from salmonn_mini.cli import options
from salmonn_mini.cli.console import say
from salmonn_mini.errors import SalmonnError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--model", metavar="M", action="append", default=[], help="one more model to offer; repeatable")
    add(
        "--samples", metavar="FOLDER", type=Path, default="data_samples", help="clips to offer (data_samples)"
    )
    port = options.number("from 0 to 65535", lambda value: 0 <= value <= 65_535, int)
    add("--port", metavar="N", type=port, default=0, help="(any free one)")
    options.add_runtime(parser)


def run(arguments: argparse.Namespace) -> None:
    if find_spec("gradio") is None:
        raise SalmonnError("the page needs gradio, which is not installed: pip install 'salmonn-mini[web]'")
    for name in {"SIGTERM", "SIGHUP"} & {*dir(signal)}:  # they end it as Ctrl-C does: what was uploaded goes
        if signal.getsignal(getattr(signal, name)) != signal.SIG_IGN:  # as under nohup
            signal.signal(getattr(signal, name), signal.default_int_handler)
    say("loading the page …")
    from salmonn_mini.course.web.answering import find_models, find_samples, private_folder

    with private_folder():
        from salmonn_mini.course.web.page import build
        from salmonn_mini.course.web.server import serve

        models = find_models(arguments.model, **options.pick_runtime(arguments))
        page = build(models, find_samples(arguments.samples))
        say("open this address in a browser; Ctrl-C ends it")
        serve(page, arguments.port, partial(print, flush=True))

"""The command `salmonn-mini`: one file a command, each imported in full only when it runs.

Exit status: 0 done; 1 something unexpected, or a doctor's [FAIL]; 2 a mistake of the user's, in one line; 130 stopped.
"""

from __future__ import annotations

import argparse
import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from functools import partial
from importlib import import_module

from salmonn_mini import __version__
from salmonn_mini.cli.console import say
from salmonn_mini.cli.parser import Parser
from salmonn_mini.errors import SalmonnError

PROGRAM = "salmonn-mini"
COMMANDS = ("answer", "serve", "train", "plan", "evaluate", "sweep", "activate")
COMMANDS += ("claims", "backbones", "data", "grade", "bench", "doctor")
EXAMPLES = """\
example:
  salmonn-mini answer data_samples/*.wav --prompt "Transcribe the speech."

`salmonn-mini COMMAND --help` lists the options of a command.
"""
QUIET = {  # the libraries' own settings, unless the user has set them
    "TRANSFORMERS_VERBOSITY": "error",
    "HF_HUB_VERBOSITY": "error",
    "TOKENIZERS_PARALLELISM": "false",
    "KMP_WARNINGS": "0",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status; mistakes cost one line on stderr."""
    argv = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in argv
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a terminal that knows no Chinese
    try:
        with warnings.catch_warnings():
            if not debug:  # the libraries' warnings stay unsaid
                warnings.simplefilter("ignore")
                for name, value in QUIET.items():
                    os.environ.setdefault(name, value)
            arguments = parser().parse_args([word for word in argv if word != "--debug"])
            return arguments.run(arguments) or 0
    except KeyboardInterrupt:
        return _fail("stopped", 130, debug=False)
    except BrokenPipeError:  # whoever read the output has seen enough, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except SalmonnError as problem:
        return _fail(f"error: {problem}", 2, debug, everywhere=getattr(problem, "on_one_rank", False))
    except Exception as problem:  # a fault of the program's: one line too
        said = f"unexpected {type(problem).__name__}{f': {problem}' if str(problem) else ''}"
        return _fail(f"error: {said}; --debug shows where", 1, debug, everywhere=True)


def parser() -> argparse.ArgumentParser:
    """All commands and their options, but for `--debug`, which may stand anywhere; without a command, the help."""
    root = Parser(
        prog=PROGRAM,
        description="SALMONN in miniature: a language model that listens.",
        epilog=EXAMPLES,
        formatter_class=partial(argparse.RawDescriptionHelpFormatter, max_help_position=16),
    )
    root.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    root.add_argument("--debug", action="store_true", help="show the traceback of an error")
    root.set_defaults(run=lambda arguments: print(root.format_help(), end=""))
    commands = root.add_subparsers(title="commands", metavar="COMMAND")
    for name in COMMANDS:
        module = import_module(f"salmonn_mini.cli.{name}")
        about = module.__doc__.split("\n\n")[0]
        command = commands.add_parser(name, help=about, description=about)
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return root


def _fail(text: str, status: int, debug: bool, everywhere: bool = False) -> int:
    if debug:
        traceback.print_exc()
    say(text, everywhere)
    return status

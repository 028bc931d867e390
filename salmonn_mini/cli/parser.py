"""The argument parser: each mistake is one line, and the line names what was meant."""

from __future__ import annotations

import argparse
import re
from typing import Any, NoReturn

from salmonn_mini.errors import SalmonnError, unknown


class Parser(argparse.ArgumentParser):
    """Mistakes become a SalmonnError: one line, like all others."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        """Raises SalmonnError instead of ending the process."""
        raise SalmonnError(f"{message}; see `{self.prog} --help`")

    def parse_known_args(self, args=None, namespace=None):
        namespace, extra = super().parse_known_args(args, namespace)
        if extra:
            name = extra[0].partition("=")[0]
            known = re.findall(r"--[a-z-]+", self.format_usage())
            is_option = name.startswith("-")
            self.error(str(unknown("option", name, known)) if is_option else f"unexpected argument {name!r}")
        return namespace, extra

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            kind = action.option_strings[0] if action.option_strings else "command"
            self.error(str(unknown(kind, value, action.choices)))

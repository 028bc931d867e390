"""What several commands share: checked numbers, and which model is meant."""

from __future__ import annotations

import argparse
import gc
import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from salmonn_mini.data.tasks import TASKS, get_task
from salmonn_mini.errors import SalmonnError

if TYPE_CHECKING:
    from salmonn_mini.models.salmonn import Salmonn

PARTS = ("whisper", "beats", "llm", "checkpoint")


def whole(minimum: int) -> Callable[[str], int]:
    """The type of a whole number of at least `minimum`."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = minimum - 1
        if value < minimum:
            raise argparse.ArgumentTypeError(f"{text!r} must be a whole number of at least {minimum}")
        return value

    return parse


def number(rule: str, holds: Callable[[float], bool]) -> Callable[[str], float]:
    """The type of a finite number that holds to a rule."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and holds(value)):
            raise argparse.ArgumentTypeError(f"{text!r} must be a number {rule}")
        return value

    return parse


positive = number("above 0", lambda value: value > 0)
share = number("above 0 and at most 1", lambda value: 0 < value <= 1)
finite = number("such as 4.0 or 0.5", lambda value: True)


def add_model(parser: argparse.ArgumentParser, *, scale: bool = True) -> None:
    """`--model`, `--stage`, and `--lora-scale` where one `scale` is used."""
    parser.add_argument(
        "--model", metavar="M", help="toy (the default), another preset, or a folder that a training has left"
    )
    parser.add_argument(
        "--stage",
        metavar="K",
        type=whole(0),
        help="of the toy: 1, 2, 3, the newest by default; 0 is untrained",
    )
    if scale:
        parser.add_argument(
            "--lora-scale",
            metavar="S",
            type=finite,
            help="s in W + s·BA: 4.0 as trained, 0 the language model alone",
        )


def task_names(given: list[str] | None) -> list[str]:
    """The tasks' names, also of `--tasks asr,gender`; each once.

    Raises:
        SalmonnError: a name that is not in the task table, or none at all.
    """
    names = [name for text in given or () for name in text.replace(",", " ").split()]
    if given is not None and not names:
        raise SalmonnError(f"--tasks names no task: give one of {', '.join(TASKS)}, or leave it out")
    return [get_task(name).name for name in dict.fromkeys(names)]


def add_decoding(parser: argparse.ArgumentParser, max_new_tokens: int) -> None:
    """How answers are searched for."""
    parser.add_argument(
        "--num-beams", metavar="N", type=whole(1), default=1, help="width of the beam search (1)"
    )
    parser.add_argument(
        "--max-new-tokens", metavar="N", type=whole(1), default=max_new_tokens,
        help=f"length of an answer at most ({max_new_tokens})",
    )  # fmt: skip
    parser.add_argument(
        "--repetition-penalty", metavar="P", type=positive, default=1.0, help="above 1 against loops (1.0)"
    )


def add_parts(parser: argparse.ArgumentParser, without: str) -> None:
    """`--whisper`, `--beats`, `--llm`, `--checkpoint`: weights that were published."""
    group = parser.add_argument_group("published weights", "files, folders, or names on the hub")
    group.add_argument("--whisper", metavar="PLACE", help="a Whisper of transformers")
    group.add_argument("--beats", metavar="PLACE", help=f"a BEATs of its authors; {without}")
    group.add_argument(
        "--llm", metavar="PLACE", help="a Llama of transformers with its tokenizer, such as Vicuna"
    )
    group.add_argument("--checkpoint", metavar="PLACE", help="what SALMONN's authors trained, salmonn_v1.pth")


def places(arguments: argparse.Namespace) -> dict[str, str]:
    """The parts that were named."""
    return {part: place for part in PARTS if (place := getattr(arguments, part)) is not None}


def newest_stage() -> int | None:
    """The toy's newest stage that is there."""
    from salmonn_mini.pretrained import toy_folder

    stages = [path.name.removeprefix("stage") for path in toy_folder().glob("stage*")]
    return max((int(stage) for stage in stages if stage.isdigit()), default=None)


def load_model(name: str | None, stage: int | None) -> tuple[Salmonn, int | None]:
    """The model that `--model` and `--stage` mean, and its stage; for the toy without one the newest.

    Raises:
        SalmonnError: no such model or stage, or a folder of another stage.
    """
    with without_collection():
        from salmonn_mini import pretrained

    name = name or "toy"
    if name != "toy" and Path(name).is_dir():
        found = pretrained.read_info(name).get("stage")
        if stage is not None and found not in (None, stage):
            raise SalmonnError(f"--stage is {stage}, but {name} was left by stage {found}: leave --stage out")
        return pretrained.load(name), stage if found is None else found
    if name == "toy" and stage is None:
        stage = newest_stage()
        if stage is None:
            raise SalmonnError(
                f"no trained toy in {pretrained.toy_folder()}: `salmonn-mini train toy-stage1` makes one, "
                f"--stage 0 is untrained"
            )
    return pretrained.load(name, stage or None), stage


@contextmanager
def without_collection() -> Iterator[None]:
    """For imports: what they make stays, and looking for garbage in it again and again is a fifth of their time.

    The first time it is also set aside for good: later collections, those at the end of the process too, pass it by.
    """
    first = "torch" not in sys.modules
    gc.disable()
    try:
        yield
    finally:
        if first:
            gc.freeze()
        gc.enable()

"""What several commands share: checked numbers, and which model runs where."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from salmonn_mini.cli.console import say
from salmonn_mini.errors import SalmonnError

if TYPE_CHECKING:
    from salmonn_mini.pretrained import Salmonn

PARTS = ("whisper", "beats", "llm", "checkpoint")
RUNTIME = ("device", "dtype", "bits")
DECODING = ("num_beams", "max_new_tokens", "repetition_penalty")


def number(rule: str, holds: Callable[[float], bool], kind: type = float) -> Callable[[str], Any]:
    """The type of a finite number, or with `kind` int a whole one, that holds to a rule."""

    def parse(text: str) -> Any:
        with suppress(ValueError):
            value = kind(text)
            if -math.inf < value < math.inf and holds(value):
                return value
        name = "whole number" if kind is int else "number"
        raise argparse.ArgumentTypeError(f"{text!r} must be a {name} {rule}")

    return parse


def whole(minimum: int) -> Callable[[str], int]:
    """The type of a whole number of at least `minimum`."""
    return number(f"of at least {minimum}", lambda value: value >= minimum, int)


positive = number("above 0", lambda value: value > 0)
share = number("above 0 and at most 1", lambda value: 0 < value <= 1)
finite = number("such as 4.0 or 0.5", lambda value: True)


def add_model(parser: argparse.ArgumentParser, *, scale: bool = True) -> None:
    """`--model`, `--stage`, `--revision`, and `--lora-scale` where one `scale` is used; with `add_runtime`."""
    add = parser.add_argument
    about = "toy (default), small, 7b, 13b, a folder that training left, or a Hub id owner/name"
    add("--model", metavar="M", help=about)
    about = "training stage of the toy (default: newest; 0: untrained)"
    add("--stage", metavar="K", type=whole(0), help=about)
    add("--revision", metavar="R", help="of a Hub id: a branch, a tag or a commit")
    add_runtime(parser)
    if scale:
        about = "s in W + s·BA: 4.0 as trained, 0 the language model alone"
        add("--lora-scale", metavar="S", type=finite, help=about)


def add_device(parser: argparse.ArgumentParser) -> None:
    """`--device`: where a model runs."""
    devices = ("auto", "cpu", "cuda", "mps")
    parser.add_argument("--device", choices=devices, default="auto", help="auto: the accelerator, if any")


def add_runtime(parser: argparse.ArgumentParser) -> None:
    """`--device`, `--dtype` and `--bits`: where a model runs and in what."""
    add_device(parser)
    add, dtypes = parser.add_argument, ("auto", "float32", "bfloat16", "float16")
    about = "of Whisper and the language model; auto: bfloat16 on a GPU that computes in it, else float32"
    add("--dtype", choices=dtypes, default="auto", help=about)
    about = "quantize the language model (a CUDA GPU and bitsandbytes)"
    add("--bits", type=int, choices=(8, 4), help=about)


def load_model(arguments: argparse.Namespace) -> Salmonn:
    """The model of `add_model`'s options; stderr tells which one before torch is imported, then where it runs."""
    from salmonn_mini import pretrained

    source = pretrained.resolve(arguments.model or "toy", arguments.stage, arguments.revision)
    say(f"loading {source} …")
    return pretrained.load(source.name, source.stage, revision=source.revision, **pick_runtime(arguments))


def pick_runtime(arguments: argparse.Namespace) -> dict[str, Any]:
    """`pretrained.load`'s device, dtype and bits by `add_runtime`'s options, told on stderr."""
    from salmonn_mini.pretrained import devices

    runtime = devices.pick_runtime(**chosen(arguments, RUNTIME))
    say(f"running {runtime}")
    return vars(runtime)


def task_names(given: list[str] | None) -> list[str]:
    """The tasks' names, also of `--tasks asr,gender`, each once; raises SalmonnError where none is given."""
    names = [name for text in given or () for name in text.replace(",", " ").split()]
    if given is not None and not names:
        raise SalmonnError("--tasks names no task: give at least one, or leave it out")
    return list(dict.fromkeys(names))


def add_decoding(parser: argparse.ArgumentParser, max_new_tokens: int) -> None:
    """How answers are searched for."""
    add, most = parser.add_argument, f"length of an answer at most ({max_new_tokens})"
    add("--num-beams", metavar="N", type=whole(1), default=1, help="width of the beam search (1)")
    add("--max-new-tokens", metavar="N", type=whole(1), default=max_new_tokens, help=most)
    add("--repetition-penalty", metavar="P", type=positive, default=1.0, help="above 1 against loops (1.0)")


def add_parts(parser: argparse.ArgumentParser, without: str) -> None:
    """`--whisper`, `--beats`, `--llm`, `--checkpoint`: weights that were published."""
    add = parser.add_argument_group("published weights", "files, folders, or Hub ids").add_argument
    add("--whisper", metavar="FOLDER", help="Whisper, in transformers' format")
    add("--beats", metavar="FILE", help=f"BEATs, as its authors publish it; {without}")
    add("--llm", metavar="FOLDER", help="a Llama with its tokenizer, such as Vicuna")
    add("--checkpoint", metavar="FILE", help="SALMONN's trained weights, salmonn_v1.pth")


def refuse(arguments: argparse.Namespace, names: Iterable[str], why: str) -> None:
    """Raises SalmonnError for the first of some options that was given; `why` ends the sentence."""
    for name in names:
        if getattr(arguments, name) is not None:
            raise SalmonnError(f"--{name.replace('_', '-')} {why}")


def chosen(arguments: argparse.Namespace, names: Iterable[str]) -> dict[str, Any]:
    """Those of some options that were given or have a default."""
    return {name: value for name in names if (value := getattr(arguments, name)) is not None}

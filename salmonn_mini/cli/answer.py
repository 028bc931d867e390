"""Ask a question about one or more clips."""

from __future__ import annotations

import argparse
import json
import os
from typing import TYPE_CHECKING

from salmonn_mini.cli import options
from salmonn_mini.cli.console import say
from salmonn_mini.errors import SalmonnError

if TYPE_CHECKING:
    from salmonn_mini.pretrained import Salmonn

PROMPT = "Transcribe the speech."
SAMPLING = ("temperature", "top_p", "seed")
REQUIRED = ("whisper", "llm", "checkpoint")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("clips", metavar="CLIP", nargs="+", help="an audio file: wav, flac, mp3, ogg, …")
    add("--prompt", metavar="TEXT", default=PROMPT, help=f'the question ("{PROMPT}")')
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--stream", action="store_true", help="print each answer as it is generated")
    row = "a line for each clip: clip, prompt, answer, token_ids, lora_scale, model"
    form.add_argument("--json", action="store_true", help=row)
    options.add_model(parser)
    options.add_decoding(parser, max_new_tokens=80)
    add("--do-sample", action="store_true", help="sample the answer")
    add("--temperature", metavar="T", type=options.positive, help="with --do-sample (1.0)")
    add("--top-p", metavar="P", type=options.share, help="with --do-sample (0.9)")
    add("--seed", metavar="N", type=options.whole(0), help="with --do-sample: the same answer again")
    options.add_parts(parser, without="leave it out for a model with Whisper alone")
    add("--heads", metavar="N", type=options.whole(1), help="the Q-Former's, if --checkpoint is not 768 wide")


def run(arguments: argparse.Namespace) -> int:
    """Answer clip by clip; a clip that cannot be answered costs its line and the status, not the others."""
    _check(arguments)
    model = _load(arguments)
    from salmonn_mini.models.lora import get_lora_scale, lora_scale

    scale = get_lora_scale(model.llm) if arguments.lora_scale is None else arguments.lora_scale
    status = 0
    with lora_scale(model.llm, scale):
        for clip in arguments.clips:
            try:
                _answer(model, clip, scale, arguments)
            except SalmonnError as problem:
                say(f"error: {problem}")
                status = 2
    return status


def _check(arguments: argparse.Namespace) -> None:
    """What can be refused before anything is loaded."""
    if not arguments.prompt.strip():
        raise SalmonnError(f'the prompt is {arguments.prompt!r}: ask something, such as --prompt "{PROMPT}"')
    if not any(os.path.lexists(clip) for clip in arguments.clips):
        raise SalmonnError(f"{', '.join(arguments.clips)}: no such file; check the path")
    if arguments.stream and arguments.num_beams > 1:
        raise SalmonnError("--stream shows one answer as it grows: leave out --num-beams or --stream")
    if not arguments.do_sample:
        options.refuse(arguments, SAMPLING, "changes nothing without --do-sample: add it")
    parts = options.chosen(arguments, options.PARTS)
    if not parts:
        options.refuse(arguments, ["heads"], "belongs to --checkpoint: leave it out")
    elif missing := [part for part in REQUIRED if part not in parts]:
        raise SalmonnError(
            f"published weights need --{', --'.join(REQUIRED)}; --{', --'.join(missing)} is missing: add it"
        )
    else:
        two = "and --checkpoint name two models: leave one of them out"
        options.refuse(arguments, ("model", "stage", "revision"), two)


def _load(arguments: argparse.Namespace) -> Salmonn:
    parts = options.chosen(arguments, options.PARTS)
    if not parts:
        return options.load_model(arguments)
    say(f"loading {arguments.checkpoint} …")
    from salmonn_mini.pretrained import Salmonn

    runtime = options.pick_runtime(arguments)
    return Salmonn.from_published(**{"beats": None} | parts, heads=arguments.heads, **runtime)


def _answer(model: Salmonn, clip: str, scale: float, arguments: argparse.Namespace) -> None:
    """Answer one clip and print it; what was changed of its sound is said."""
    notes: list[str] = []
    features = model.encode([model.load_waveform(clip, notes)])
    if notes:
        say(f"note: {clip}: {', '.join(notes)}")
    prompt = arguments.prompt
    try:
        model.check_context(features, prompt, arguments.max_new_tokens)
    except SalmonnError as problem:
        raise SalmonnError(f"{clip}: {problem}") from problem
    decoding = options.chosen(arguments, (*options.DECODING, "do_sample", *SAMPLING))
    name = f"{clip}: " if len(arguments.clips) > 1 else ""
    if arguments.stream:
        print(name, end="", flush=True)
        for piece in model.stream_generate(features, prompt, **decoding):
            print(piece, end="", flush=True)
        print(flush=True)
        return
    (answer,) = model.generate(features, [prompt], **decoding)
    if arguments.json:
        row = {"clip": clip, "prompt": prompt, "answer": answer.text, "token_ids": answer.token_ids}
        row |= {"lora_scale": scale, "model": arguments.checkpoint or arguments.model or "toy"}
        print(json.dumps(row, ensure_ascii=False), flush=True)
    else:
        print(f"{name}{answer.text}", flush=True)

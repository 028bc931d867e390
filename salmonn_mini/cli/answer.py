"""Ask one question about each of some clips."""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import TYPE_CHECKING

from salmonn_mini.cli import options
from salmonn_mini.errors import SalmonnError

if TYPE_CHECKING:
    from torch import Tensor

    from salmonn_mini.models.salmonn import Salmonn
    from salmonn_mini.models.splice import Answer

PROMPT = "Transcribe the speech."
SAMPLING = {"temperature": 1.0, "top_p": 0.9, "seed": None}
REQUIRED = ("whisper", "llm", "checkpoint")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("clips", metavar="CLIP", nargs="+", help="an audio file: wav, flac, mp3, ogg, …")
    parser.add_argument("--prompt", metavar="TEXT", default=PROMPT, help=f'the question ("{PROMPT}")')
    parser.add_argument(
        "--json",
        action="store_true",
        help="a line a clip: clip, prompt, answer, token_ids, lora_scale, model",
    )
    options.add_model(parser)
    options.add_decoding(parser, max_new_tokens=80)
    parser.add_argument("--do-sample", action="store_true", help="draw the answer at random")
    parser.add_argument("--temperature", metavar="T", type=options.positive, help="with --do-sample (1.0)")
    parser.add_argument("--top-p", metavar="P", type=options.share, help="with --do-sample (0.9)")
    parser.add_argument(
        "--seed", metavar="N", type=options.whole(0), help="with --do-sample: the same answer again"
    )
    options.add_parts(parser, without="left out, the model hears by Whisper alone")


def run(arguments: argparse.Namespace) -> int:
    """Answer clip by clip; a clip that cannot be answered costs its line and the status, not the others."""
    _check(arguments)
    model, name = _model(arguments)
    _check_room(model, arguments)
    import torch

    from salmonn_mini.models.lora import current_scale, lora_scale

    scale = current_scale(model.llm) if arguments.lora_scale is None else arguments.lora_scale
    status = 0
    with torch.no_grad(), lora_scale(model.llm, scale):
        for clip in arguments.clips:
            try:
                answer = _answer(model, clip, arguments)
            except SalmonnError as problem:
                print(f"error: {problem}", file=sys.stderr)
                status = 2
                continue
            _print(clip, answer, arguments, {"lora_scale": scale, "model": name})
    return status


def _check(arguments: argparse.Namespace) -> None:
    """What can be refused before anything is loaded."""
    if not arguments.prompt.strip():
        raise SalmonnError(f'the prompt is {arguments.prompt!r}: ask something, such as --prompt "{PROMPT}"')
    if not any(os.path.lexists(clip) for clip in arguments.clips):
        raise SalmonnError(f"{', '.join(arguments.clips)}: no such file; check the path")
    for name in SAMPLING:
        if getattr(arguments, name) is not None and not arguments.do_sample:
            raise SalmonnError(f"--{name.replace('_', '-')} changes nothing without --do-sample: add it")
    places = options.places(arguments)
    missing = [part for part in REQUIRED if part not in places]
    if places and missing:
        raise SalmonnError(
            f"published weights need --{', --'.join(REQUIRED)}; --{', --'.join(missing)} is missing: add it"
        )
    for name in ("model", "stage"):
        if places and getattr(arguments, name) is not None:
            raise SalmonnError(f"--{name} and --checkpoint name two models: leave one of them out")


def _model(arguments: argparse.Namespace) -> tuple[Salmonn, str]:
    places = options.places(arguments)
    if not places:
        return options.load_model(arguments.model, arguments.stage)[0], arguments.model or "toy"
    with options.without_collection():
        from salmonn_mini.pretrained import Salmonn

    return Salmonn.from_published(**{"beats": None} | places), places["checkpoint"]


def _check_room(model: Salmonn, arguments: argparse.Namespace, sound: int = 0) -> None:
    """The prompt, `sound` tokens of a clip, and the answer must fit into what the language model can read."""
    text = len(model.prompt.before) + len(model.prompt.after(arguments.prompt))
    context = model.llm.config.max_position_embeddings
    if text + sound + arguments.max_new_tokens > context:
        shorter = "cut the clip" if sound > text else "shorten the prompt"
        raise SalmonnError(
            f"the prompt takes {text:,} tokens, the sound {sound:,}, the answer up to {arguments.max_new_tokens:,}, "
            f"but the language model reads {context:,} in all: {shorter}, or lower --max-new-tokens"
        )


def _answer(model: Salmonn, clip: str, arguments: argparse.Namespace) -> Answer:
    features = model.encode([_load(model, clip)])
    try:
        _check_room(model, arguments, sound=int(model.get_audio_features(features)[1]))
    except SalmonnError as problem:
        raise SalmonnError(f"{clip}: {problem}") from problem
    drawn = {name: getattr(arguments, name) for name in SAMPLING if getattr(arguments, name) is not None}
    (answer,) = model.generate(
        features,
        [arguments.prompt],
        max_new_tokens=arguments.max_new_tokens,
        num_beams=arguments.num_beams,
        repetition_penalty=arguments.repetition_penalty,
        do_sample=arguments.do_sample,
        **drawn,
    )
    return answer


def _load(model: Salmonn, clip: str) -> Tensor:
    """The clip by the model's own rules; what was mended is said."""
    from salmonn_mini.audio import load_audio

    notes: list[str] = []
    rules = {name: getattr(model.config, name) for name in ("channels", "max_seconds", "min_seconds")}
    X = load_audio(clip, **rules, notes=notes)
    if notes:
        print(f"note: {clip}: {', '.join(notes)}", file=sys.stderr)
    return X


def _print(clip: str, answer: Answer, arguments: argparse.Namespace, state: dict[str, object]) -> None:
    if arguments.json:
        row = {"clip": clip, "prompt": arguments.prompt, "answer": answer.text, "token_ids": answer.token_ids}
        print(json.dumps(row | state, ensure_ascii=False), flush=True)
    else:
        several = len(arguments.clips) > 1
        print(f"{clip}: {answer.text}" if several else answer.text, flush=True)

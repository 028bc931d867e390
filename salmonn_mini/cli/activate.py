"""Generate the stage-3 data with the model itself, at a low LoRA scale."""

from __future__ import annotations

import argparse

from salmonn_mini.cli import options

DATA = ("story", "long_qa", "long_asr")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    options.add_model(parser)
    add = parser.add_argument
    add("--data", choices=DATA, default="story", help="what is asked for (story)")
    add("--samples", metavar="N", type=options.whole(1), default=12, help="answers to keep (12)")
    add("--seed", metavar="N", type=options.whole(0), default=0, help="another seed, other clips (0)")
    add("--out", metavar="FOLDER", required=True, help="gets the clips, manifest.json and prompts.json")


def run(arguments: argparse.Namespace) -> int:
    model = options.load_model(arguments)
    from salmonn_mini.evaluation.activation_tuning import save_examples, self_generated

    examples = self_generated(
        model, arguments.data, arguments.samples, arguments.seed, scale=arguments.lora_scale
    )
    manifest = save_examples(examples, arguments.out)
    for example in examples:
        print(f"- {example.answer}")
    print(f"written: {manifest}")
    return 0

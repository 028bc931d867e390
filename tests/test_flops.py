"""FLOPs by arithmetic against torch's own counter, on whole training steps of tiny models."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tiny import tiny_config

from salmonn_mini.audio import fbank
from salmonn_mini.models.config import AdapterConfig, preset
from salmonn_mini.tools.bench.ablations import Ablation, Step
from salmonn_mini.tools.bench.flops import counted, step_flops, tokens_of
from salmonn_mini.tools.bench.random_model import random_model

BASE = Ablation(answer_tokens=8)
WINDOW_SAMPLES = 160_000  # the tiny encoders take 10 s at once


def step(seconds: float, clips: int = 2, **changes: object) -> Step:
    return Step(random_model(tiny_config(**changes)), clips, seconds)


def check(step: Step, ablation: Ablation = BASE) -> None:
    expected = step_flops(step.config, replace(ablation, **step.sizes))["total"]
    with step.applied(ablation) as features:
        done = counted(lambda: step.train(ablation, features))
    assert done == expected + counted(lambda: spectra(step, ablation))


def spectra(step: Step, ablation: Ablation) -> None:
    """What precedes the encoders and is no part of the network: mel filters are products too."""
    windows = [window for wave in step.waves for window in wave.split(WINDOW_SAMPLES)]
    for window in windows if not ablation.cached else ():
        if step.model.whisper is not None:
            step.model.whisper._mel(window, ablation.pad_to_window)
        if step.model.beats is not None:
            fbank(window.double())


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"pad_to_window": True},
        {"cached": True},
        {"prompt_logits": True},
        {"eager": True},
        {"answer_tokens": 100},
    ],
    ids=str,
)
def test_a_step_under_each_ablation(changes: dict) -> None:
    check(step(2.0), replace(BASE, **changes))


@pytest.mark.parametrize("seconds", [0.5, 7.7, 20.0])
def test_clips_of_any_length(seconds: float) -> None:
    """Two windows of 10 s among them."""
    check(step(seconds, clips=1))


def test_other_sizes() -> None:
    """Several queries, overlapping windows, a dropped tail, LoRA on all matrices, grouped keys."""
    tiny = tiny_config()
    many = tiny.connector.replace(num_query_tokens=12, stride_seconds=0.1, tail="drop")
    lora = AdapterConfig(r=16, target_modules=("q_proj", "k_proj", "v_proj", "o_proj"))
    llm = tiny.llm.replace(
        num_attention_heads=4, num_key_value_heads=2, intermediate_size=200, vocab_size=900
    )
    beats = tiny.beats.replace(embed_dim=48, conv_pos=7)
    check(step(3.0, connector=many, lora=lora, llm=llm, beats=beats))


@pytest.mark.parametrize("name", ["whisper", "beats"])
def test_one_encoder(name: str) -> None:
    check(step(2.0, **{name: None}))


def test_at_full_scale_the_parts_are_of_the_known_size() -> None:
    """Whisper-large's encoder on 30 s: 2 · 637 M · 1500 and its attention; the LLM twice 2 · 13 G a token."""
    config = preset("13b")
    work = replace(BASE, seconds=30.0, pad_to_window=True)
    flops = step_flops(config, work)
    assert flops["whisper"] == pytest.approx(2 * 637e6 * 1500 + 32 * 4 * 1500**2 * 1280, rel=0.03)
    assert flops["llm"] == pytest.approx(2 * 2 * 12.7e9 * tokens_of(config, work), rel=0.03)
    assert tokens_of(config, work) == 89 + work.text_tokens + work.answer_tokens

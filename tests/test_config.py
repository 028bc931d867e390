"""config.py: what is refused and how, the way through JSON, and the presets."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys

import pytest

from salmonn_mini.errors import RENAMED, SalmonnError
from salmonn_mini.models.config import (
    FRAMES_PER_SECOND,
    PRESETS,
    AdapterConfig,
    BeatsEncoderConfig,
    ConnectorConfig,
    LlmConfig,
    SalmonnConfig,
    WhisperEncoderConfig,
    preset,
)


@pytest.mark.parametrize("name", PRESETS)
def test_there_and_back_through_json(name):
    assert SalmonnConfig.from_dict(json.loads(json.dumps(preset(name).to_dict()))) == preset(name)


def test_left_out_keys_take_their_defaults_and_parts_may_be_missing():
    config = SalmonnConfig.from_dict({"name": "x", "beats": None, "connector": {"num_query_tokens": 2}})
    assert config.beats is None and config.connector == ConnectorConfig(num_query_tokens=2)
    assert config.feature_width == config.whisper.d_model
    assert SalmonnConfig(name="x", whisper=None).feature_width == 768


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"name": "x", "conector": {}}, "unknown .*key 'conector': did you mean 'connector'"),
        ({}, "needs the key 'name'"),
        ({"name": "x", "connector": {"kind": "mlp"}}, "'mlp'.*one of window_qformer"),
        ({"name": "x", "connector": {"hidden_size": 100}}, "100.*divisible by num_attention_heads = 12"),
        ({"name": "x", "connector": {"hidden_size": "768"}}, "'768'.*type int"),
        ({"name": "x", "connector": {"window_seconds": 0.001}}, "0.001.*at least one frame"),
        ({"name": "x", "connector": {"stride_seconds": 0}}, "stride_seconds is 0.0"),
        ({"name": "x", "connector": {"dropout": 1}}, "dropout is 1.0"),
        ({"name": "x", "connector": []}, "must be of type ConnectorConfig"),
        ({"name": "x", "connector": {"ctc_labels": 1}}, "ctc_labels is 1"),
        ({"name": "x", "llm": {"num_key_value_heads": 7}}, "40.*divisible by num_key_value_heads = 7"),
        ({"name": "x", "llm": {"vocab_size": -1}}, "vocab_size is -1.*greater than 0"),
        ({"name": "x", "whisper": {"encoder_layers": 0}}, "encoder_layers is 0"),
        ({"name": "x", "beats": {"input_patch_size": 24}}, "24.*divisor of the 128"),
        ({"name": "x", "lora": {"r": True}}, "True.*type int"),
        ({"name": "x", "lora": {"target_modules": []}}, "one name or more"),
        ({"name": "x", "lora": {"target_modules": [1]}}, "list of names"),
        ({"name": "x", "whisper": None, "beats": None}, "at least one encoder"),
        ({"name": "x", "prompt_template": "USER:"}, "text with one {}"),
        ({"name": "x", "channels": "left"}, "one of mix, first"),
        ({"name": "x", "max_seconds": 0.1}, "max_seconds is 0.1"),
        ([], "must be a table"),
    ],
)
def test_refusals_name_value_rule_and_remedy(values, words):
    with pytest.raises(SalmonnError, match=words):
        SalmonnConfig.from_dict(values)


@pytest.mark.parametrize(
    "kind", [SalmonnConfig, WhisperEncoderConfig, BeatsEncoderConfig, LlmConfig, AdapterConfig]
)
def test_a_key_of_an_older_file_is_refused_with_its_new_name(kind):
    for old, new in RENAMED[f"{kind.__name__.removesuffix('Config').lower()} key"].items():
        assert new in {field.name for field in dataclasses.fields(kind)}
        with pytest.raises(SalmonnError, match=f"key '{old}' was renamed to '{new}'"):
            kind.from_dict({"name": "x"} | {old: 1} if kind is SalmonnConfig else {old: 1})


def test_unknown_presets_are_refused():
    with pytest.raises(SalmonnError, match="unknown preset '14b': did you mean '13b'"):
        preset("14b")


def test_a_configuration_cannot_be_changed_in_place():
    with pytest.raises(dataclasses.FrozenInstanceError):
        preset("toy").lora.r = 4
    assert preset("toy").replace(lora=AdapterConfig(r=4)).lora.r == 4


def test_constants_are_derived():
    assert FRAMES_PER_SECOND == 50
    assert WhisperEncoderConfig().window_seconds == 30 and preset("toy").whisper.window_seconds == 10
    assert BeatsEncoderConfig().bands == 8
    assert LlmConfig(add_pad_row=True).sizes()["vocab_size"] == 32_001


def test_the_published_front_end():
    config = preset("13b").as_published()
    assert (config.channels, config.min_seconds, config.max_seconds, config.connector.tail) == (
        "first",
        1,
        30,
        "drop",
    )
    assert config.replace(
        **{f: getattr(preset("13b"), f) for f in ("channels", "min_seconds", "max_seconds")}
    ) == (preset("13b").replace(connector=config.connector))


def test_importing_the_configuration_does_not_import_torch():
    code = "import sys, salmonn_mini.models.config; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=600).returncode == 0

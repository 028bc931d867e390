"""An LLM in 8 or 4 bits for training: what transformers is told, and what is said where it cannot be had."""

from __future__ import annotations

import pytest
import torch
from runs import Tones, recipe_for
from tiny import tiny_salmonn, tiny_toy

from salmonn_mini import pretrained
from salmonn_mini.cli import main
from salmonn_mini.errors import SalmonnError
from salmonn_mini.models.config import PRESETS
from salmonn_mini.pretrained import backbones, devices
from salmonn_mini.train import fit, load_recipe
from salmonn_mini.train.run import initial_model


@pytest.fixture
def as_if_there(monkeypatch):
    """As on a machine with a GPU and bitsandbytes, as far as we look."""
    monkeypatch.setattr(devices, "missing_for_quantization", lambda device: "")
    monkeypatch.setattr("importlib.metadata.version", lambda name: "0.49.0")
    monkeypatch.setenv("LOCAL_RANK", "3")


@pytest.mark.parametrize("bits", [8, 4])
def test_the_settings_are_those_of_the_papers(as_if_there, bits):
    given = devices.quantization_kwargs(bits, torch.bfloat16)
    config = given["quantization_config"]
    assert (config.load_in_8bit, config.load_in_4bit) == (bits == 8, bits == 4)
    assert config.llm_int8_skip_modules == ["lm_head"] and given["device_map"] == {"": 3}
    if bits == 4:
        assert config.bnb_4bit_quant_type == "nf4" and config.bnb_4bit_compute_dtype == torch.bfloat16
    assert devices.quantization_kwargs(None, torch.bfloat16) == {}


def test_a_recipe_hands_its_bits_to_the_loading_of_the_llm_alone(as_if_there, tmp_path, monkeypatch):
    monkeypatch.setenv("SALMONN_MINI_TOY", str(tiny_toy(tmp_path / "toy")))
    told = {}
    plain = backbones._load_model

    def watch(kind, place, **settings):
        told[kind.__name__] = settings
        few = {name: settings.pop(name) for name in ("quantization_config", "device_map") if name in settings}
        assert bool(few) == (kind.__name__ == "AutoModelForCausalLM")
        return plain(kind, place, **settings)

    monkeypatch.setattr(backbones, "_load_model", watch)
    monkeypatch.setattr(devices, "pick_device", lambda device, bits: torch.device("cpu"))
    monkeypatch.setattr(devices, "missing_for_quantization", lambda device: "")
    kept = {}
    monkeypatch.setattr(
        backbones,
        "quantization_kwargs",
        lambda bits, dtype: kept.update(bits=bits, dtype=dtype) or {"device_map": {"": 0}},
    )
    model = initial_model(load_recipe("toy-stage1", ["bits=4", "dtype=bfloat16"]))
    assert kept == {"bits": 4, "dtype": torch.bfloat16} and set(told) == {
        "WhisperModel",
        "AutoModelForCausalLM",
    }
    assert {p.dtype for p in model.trainable_state().values()} == {torch.float32}
    pretrained.save(model, tmp_path / "one")
    initial_model(
        load_recipe("toy-stage1", ["bits=8", f"init={tmp_path / 'one'}", "stage=2", "alignment=null"])
    )
    assert kept == {"bits": 8, "dtype": torch.float32}


def test_without_a_gpu_or_bitsandbytes_it_is_refused_in_words(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(devices, "find_spec", lambda name: None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("SALMONN_MINI_TOY", str(tiny_toy(tmp_path / "toy")))
    assert devices.missing_for_quantization(torch.device("cuda")) == "bitsandbytes"
    with pytest.raises(SalmonnError, match=r"in 8 bits needs a CUDA GPU and bitsandbytes.*leave bits out"):
        pretrained.build(PRESETS["toy"], bits=8)
    assert main(["train", "toy-stage1", "--set", "bits=4", "--set", f"output_dir={tmp_path}"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    with pytest.raises(SalmonnError, match=r"bits is 2, but it must be one of null, 8, 4"):
        load_recipe("toy-stage1", ["bits=2"])


def test_fsdp_and_few_bits_do_not_go_together(tmp_path, monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(SalmonnError, match=r"bits is 4, but FSDP.*ddp\.yaml"):
        fit(tiny_salmonn(), Tones(), recipe_for(tmp_path, bits=4))

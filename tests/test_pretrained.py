"""The toy's files: written whole, read whole, quietly; and every fault named."""

from __future__ import annotations

import functools
import importlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from huggingface_hub.errors import LocalEntryNotFoundError
from safetensors.torch import load_file, save_file
from tiny import DECODER, SENTENCES, tiny_config, tiny_salmonn
from transformers import LlamaConfig, LlamaForCausalLM, WhisperConfig, WhisperForConditionalGeneration

from salmonn_mini import pretrained
from salmonn_mini.audio import to_waveform
from salmonn_mini.errors import SalmonnError
from salmonn_mini.models.config import PRESETS, SalmonnConfig
from salmonn_mini.models.encoders.beats import Beats, BeatsConfig
from salmonn_mini.models.lora import get_lora_scale, lora_scale
from salmonn_mini.models.salmonn import SalmonnModel
from salmonn_mini.pretrained import backbones, devices
from salmonn_mini.toy.backbones.text import train_tokenizer
from salmonn_mini.toy.world.text_tasks import TextSample

TAGS = ("dog", "rain", "male")
REAL_TOY = pretrained.toy_folder()


@pytest.fixture(scope="module")
def parts() -> tuple:
    """Whisper, BEATs, tags, LLM and tokenizer, tiny, with random weights that float16 holds exactly."""
    config = tiny_config()
    tokenizer = train_tokenizer([TextSample("asr", text, "Write it down.", text) for text in SENTENCES])
    ids = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    torch.manual_seed(0)
    whisper = WhisperForConditionalGeneration(
        WhisperConfig(
            **config.whisper.sizes() | DECODER | {"vocab_size": len(tokenizer)},
            **ids,
            decoder_start_token_id=1,
            suppress_tokens=None,
            begin_suppress_tokens=None,
        )
    )
    tagger = {"finetuned_model": True, "predictor_class": len(TAGS)}
    beats = Beats(BeatsConfig.from_dict(config.beats.sizes() | tagger))
    sizes = config.llm.sizes() | {"vocab_size": len(tokenizer), "tie_word_embeddings": True}
    llm = LlamaForCausalLM(LlamaConfig(**sizes, **ids))
    for model in (whisper, beats, llm):
        for tensor in model.eval().state_dict().values():
            tensor.copy_(tensor.half())  # as the files keep them
    return whisper, beats, TAGS, llm, tokenizer


@pytest.fixture
def toy(parts: tuple, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A toy folder of tiny parts in the place of the shipped one."""
    pretrained.save_backbones(tmp_path / "toy", *parts)
    monkeypatch.setenv("SALMONN_MINI_TOY", str(tmp_path / "toy"))
    small = tiny_config(name="toy")
    monkeypatch.setitem(PRESETS, "toy", small)
    return tmp_path / "toy"


def waves() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(n, generator=generator) * 0.1 for n in (16_000, 24_000)]


# --- the toy ---------------------------------------------------------------------------------------------------------


def test_the_parts_come_back_as_they_were(toy: Path, parts: tuple) -> None:
    whisper, beats, tags, llm, tokenizer = parts
    model = pretrained.load("toy", 0)
    assert not model.training
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    own = model.llm.get_base_model().state_dict()
    for key, tensor in llm.state_dict().items():
        key = key if key in own else key.replace("_proj.", "_proj.base_layer.")
        assert torch.equal(own[key], tensor), key
    for key, tensor in whisper.model.encoder.state_dict().items():
        assert torch.equal(model.whisper.encoder.state_dict()[key], tensor), key
    for key, tensor in beats.state_dict().items():
        assert torch.equal(model.beats.state_dict()[key], tensor), key
    assert pretrained.beats_tags() == tags
    text = "USER: <Speech> Hello 你好\nASSISTANT:"
    assert model.prompt.ids(text) == tokenizer(text, add_special_tokens=False).input_ids
    again = pretrained.load_whisper_for_generation()
    assert all(torch.equal(again.state_dict()[key], tensor) for key, tensor in whisper.state_dict().items())
    assert load_file(toy / "llm" / "model.safetensors")["model.norm.weight"].dtype == torch.float16


def test_at_stage_0_the_connector_is_new_and_always_the_same(toy: Path) -> None:
    torch.manual_seed(3)
    drawn = torch.rand(1)
    torch.manual_seed(3)
    first, second = pretrained.load("toy", 0), pretrained.load("toy", stage=0)
    assert torch.equal(torch.rand(1), drawn)  # the caller's generator is left alone
    for one, other in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(one, other)
    other = pretrained.build(PRESETS["toy"], seed=1)
    assert not torch.equal(other.connector.queries, first.connector.queries)


def test_a_stage_goes_into_its_folder_and_comes_back(toy: Path) -> None:
    model = pretrained.build(PRESETS["toy"], seed=1)
    pretrained.save(model, toy / "stage2", info={"stage": 2, "recipe": "toy-stage2"})
    assert sorted(file.name for file in (toy / "stage2").iterdir()) == ["adapter.safetensors", "config.json"]
    trained = sum(tensor.numel() for tensor in model.trainable_state().values())
    assert (toy / "stage2" / "adapter.safetensors").stat().st_size < 4 * trained + 10_000
    for again in (pretrained.load("toy", stage=2), pretrained.load(toy / "stage2")):
        assert again.config == model.config
        encoded = again.encode(waves())
        torch.testing.assert_close(again.get_audio_features(encoded), model.get_audio_features(encoded))
    assert pretrained.read_info("toy", 2) == {"stage": 2, "recipe": "toy-stage2"}
    with pytest.raises(SalmonnError, match=r"no stage 3 of the toy in .*: choose 0, 2 \(0: untrained\)"):
        pretrained.load("toy", stage=3)


def test_another_connector_and_one_ear_come_back(toy: Path, tmp_path: Path) -> None:
    config = PRESETS["toy"]
    config = config.replace(whisper=None, connector=config.connector.replace(kind="stacking"))
    model = pretrained.build(config)
    pretrained.save(model, tmp_path / "mine")
    again = pretrained.load(tmp_path / "mine")
    assert again.whisper is None and again.config == config
    encoded = again.encode(waves())
    torch.testing.assert_close(again.get_audio_features(encoded), model.get_audio_features(encoded))


def test_a_model_of_the_hub_comes_back(toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = pretrained.build(PRESETS["toy"], seed=1)
    model.info = {"stage": 7}
    model.save_pretrained(tmp_path / "mine")
    asked = {}

    def download(name: str, **settings: object) -> str:
        asked.update(settings, name=name)
        return str(tmp_path / "mine")

    monkeypatch.setattr(backbones, "snapshot_download", download)
    for door in (pretrained.Salmonn.from_pretrained, pretrained.load):
        again = door("me/mine", revision="v1")
        assert (asked["name"], asked["revision"]) == ("me/mine", "v1")
        assert torch.equal(again.connector.queries, model.connector.queries) and again.info == {"stage": 7}


def test_pushed_to_the_hub_are_the_trained_parts(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uploaded = {}

    class Api:
        def __init__(self, **_: object) -> None: ...

        def create_repo(self, repo_id: str, **_: object) -> object:
            return type("Repo", (), {"repo_id": repo_id})

        def upload_folder(self, *, repo_id: str, folder_path: Path, **_: object) -> str:
            uploaded[repo_id] = sorted(file.name for file in Path(folder_path).iterdir())
            return "done"

    monkeypatch.setattr("huggingface_hub.hub_mixin.HfApi", Api)
    assert pretrained.load("toy", 0).push_to_hub("me/mine") == "done"
    assert uploaded == {"me/mine": ["README.md", "adapter.safetensors", "config.json"]}


def test_loading_and_saving_are_quiet(
    toy: Path, parts: tuple, tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    capfd.readouterr()
    model = pretrained.load("toy", 0)
    pretrained.save(model, tmp_path / "mine")
    pretrained.load(tmp_path / "mine")
    pretrained.load_whisper_for_generation()
    pretrained.save_backbones(tmp_path / "again", *parts)
    assert capfd.readouterr() == ("", "")


def test_the_folders_own_decoding_defaults_are_left_out(toy: Path) -> None:
    file = toy / "llm" / "generation_config.json"
    file.write_text(json.dumps({"repetition_penalty": 9.0, "do_sample": True, "temperature": 0.9}))
    model = pretrained.load("toy", 0)
    settings = model.llm.get_base_model().generation_config
    assert settings.repetition_penalty in (None, 1.0) and not settings.do_sample


# --- faults ----------------------------------------------------------------------------------------------------------


def change(file: Path, **changes: torch.Tensor | None) -> None:
    """Change, add or (None) remove tensors of a safetensors file."""
    tensors = load_file(file)
    for key, tensor in changes.items():
        tensors.pop(key, None)
        if tensor is not None:
            tensors[key] = tensor
    save_file(tensors, file, metadata={"format": "pt"})


@pytest.mark.parametrize(
    ("part", "missing", "wrong"),
    [
        ("whisper", "model.encoder.layer_norm.weight", "model.encoder.conv1.bias"),
        ("beats", "encoder.layer_norm.weight", "layer_norm.bias"),
        ("llm", "model.norm.weight", "model.layers.0.mlp.up_proj.weight"),
        ("stage1", "connector.queries", "ln_audio.weight"),
    ],
)
def test_every_key_that_does_not_fit_is_named(toy: Path, part: str, missing: str, wrong: str) -> None:
    pretrained.save(pretrained.load("toy", 0), toy / "stage1")
    file = toy / part / ("adapter" if part == "stage1" else "model")
    extra = "model.encoder.extra" if part == "whisper" else "model.extra"
    changes = {missing: None, wrong: torch.zeros(3, 5), extra: torch.zeros(2)}
    change(file.with_suffix(".safetensors"), **changes)
    with pytest.raises(SalmonnError) as problem:
        pretrained.load("toy", stage=1)
    message = str(problem.value).replace("model.", "")  # transformers leaves the prefix out now and then
    assert "\n" not in message and str(toy / part) in message
    missing, wrong, extra = (key.replace("model.", "") for key in (missing, wrong, extra))
    for words in (f"missing {missing}", f"unexpected {extra}", f"{wrong} has shape (3, 5)"):
        assert words in message


@pytest.mark.parametrize("part", ["whisper", "beats", "llm", "stage1"])
@pytest.mark.parametrize("fault", ["no folder", "no weights", "half the weights", "no config", "no JSON"])
def test_missing_and_damaged_files_are_named(toy: Path, part: str, fault: str) -> None:
    pretrained.save(pretrained.load("toy", 0), toy / "stage1")
    weights = toy / part / ("adapter.safetensors" if part == "stage1" else "model.safetensors")
    config = toy / part / "config.json"
    match fault:
        case "no folder":
            (toy / part).rename(toy / "away")
        case "no weights":
            weights.unlink()
        case "half the weights":
            weights.write_bytes(weights.read_bytes()[: weights.stat().st_size // 2])
        case "no config":
            config.unlink()
        case "no JSON":
            config.write_text("{ name:")
    with pytest.raises(SalmonnError) as problem:
        pretrained.load("toy", stage=1)
    assert str(toy) in str(problem.value) and "\n" not in str(problem.value)


def test_an_unknown_setting_is_named(toy: Path) -> None:
    pretrained.save(pretrained.load("toy", 0), toy / "stage1")
    file = toy / "stage1" / "config.json"
    file.write_text(file.read_text().replace('"channels"', '"channel"'))
    with pytest.raises(SalmonnError, match=r"stage1/config.json: .* key 'channel': did you mean 'channels'"):
        pretrained.load("toy", stage=1)


def test_what_is_not_there(toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> str:
        raise LocalEntryNotFoundError("cannot reach the Hub")

    monkeypatch.setattr(backbones, "snapshot_download", fail)
    for given, message in (
        (
            ("huge",),
            r"there is no model 'huge': give toy, small, 7b, 13b, a folder .*, or a Hub id owner/name",
        ),
        (("toy",), r"no trained toy in .*: train it with `salmonn-mini train toy-stage1`, or choose stage 0"),
        (("toy", 1), r"no stage 1 of the toy in .*: choose 0 \(0: untrained\)"),
        ((tmp_path, 1), r"stage 1 of .*: only toy has stages; leave the stage out"),
        (("13b", 0), r"stage 0 of 13b: only toy has stages"),
        (
            ("runs/gone",),
            r"runs/gone: not found locally or on the Hub \(cannot reach the Hub\); check the path",
        ),
    ):
        with pytest.raises(SalmonnError, match=message) as problem:
            pretrained.load(*given)
        assert "\n" not in str(problem.value)
    for name in ("toy", tmp_path):
        with pytest.raises(SalmonnError, match="only Hub ids have revisions"):
            pretrained.load(name, revision="v1")


def test_a_released_model_has_its_presets_name(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a recipe for the preset can start from it."""
    asked = {}
    untrained = pretrained.load("toy", 0)
    untrained.config = untrained.config.replace(name="published")
    monkeypatch.setattr(
        pretrained.Salmonn, "from_published", lambda **settings: asked.update(settings) or untrained
    )
    assert pretrained.load("13b", dtype="bfloat16").config.name == "13b"
    assert (asked["checkpoint"], asked["dtype"]) == ("tsinghua-ee/SALMONN", torch.bfloat16)


@pytest.mark.parametrize("door", [pretrained.load, pretrained.Salmonn.from_pretrained])
def test_an_unknown_argument_is_refused(door: Callable) -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'device_map'"):
        door("toy", device_map="auto")


# --- devices ---------------------------------------------------------------------------------------------------------


def test_auto_takes_the_accelerator_that_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    there = {"cuda": True, "mps": True}
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there["cuda"])
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: there["mps"])
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
    for kind, dtype in (("cuda", torch.bfloat16), ("mps", torch.float32), ("cpu", torch.float32)):
        device = devices.pick_device("auto")
        assert (device, devices.pick_dtype("auto", device)) == (torch.device(kind), dtype)
        there[kind] = False
    assert devices.pick_device(None) == torch.device("cpu")
    assert devices.pick_dtype("float16", device) == devices.pick_dtype(torch.float16, device) == torch.float16
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: False)
    assert devices.pick_dtype("auto", torch.device("cuda")) == torch.float32


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"device": "cuda"}, "device cuda: torch sees no CUDA GPU here; use cpu or auto"),
        (
            {"device": torch.device("mps")},
            r"device mps: torch sees no Apple GPU \(MPS\) here; use cpu or auto",
        ),
        ({"device": "tpu"}, "unknown device 'tpu': choose auto, cuda, mps, cpu"),
        ({"dtype": "float8"}, "unknown dtype 'float8': choose auto, float32, bfloat16, float16"),
        ({"bits": 3}, "bits is 3: choose 8 or 4, or leave it out"),
        (
            {"bits": 4, "device": "cpu"},
            "an LLM in 4 bits needs a CUDA GPU.*, not available on cpu: leave bits out",
        ),
        ({"bits": 4, "device": "auto"}, "an LLM in 4 bits needs a CUDA GPU"),
    ],
)
def test_what_cannot_be_had_is_refused(
    toy: Path, monkeypatch: pytest.MonkeyPatch, given: dict, message: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    for door in (pretrained.load, pretrained.Salmonn.from_pretrained):
        with pytest.raises(SalmonnError, match=message):
            door("toy", 0, **given)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_in_16_bits_beats_and_what_is_trained_stay_in_float32(toy: Path, dtype: str) -> None:
    model = pretrained.load("toy", 0, dtype=dtype)
    small = getattr(torch, dtype)
    assert model.llm.dtype == model.whisper.encoder.conv1.weight.dtype == small
    assert {p.dtype for p in [*model.beats.parameters(), *model.trainable_state().values()]} == {
        torch.float32
    }
    assert isinstance(model.answer(waves()[0], "what is it", max_new_tokens=3), str)


# --- questions -------------------------------------------------------------------------------------------------------


def test_a_file_an_array_and_a_waveform_get_the_same_answer(toy: Path, tmp_path: Path) -> None:
    model = pretrained.load("toy", 0)
    first, second = waves()
    soundfile.write(tmp_path / "clip.wav", first.numpy(), 16_000, subtype="FLOAT")
    (expected,) = model.generate(model.encode([first]), ["what is it"], max_new_tokens=6)
    ask = functools.partial(model.answer, prompt="what is it", max_new_tokens=6)
    clips = [
        tmp_path / "clip.wav",
        str(tmp_path / "clip.wav"),
        (first.numpy(), 16_000),
        {"array": first.numpy(), "sampling_rate": 16_000, "path": None},
        first,
        first.double(),
    ]
    for clip in clips:
        assert ask(clip) == expected.text
    assert ask([*clips, *clips, second]) == [expected.text] * 12 + [
        ask(second)
    ]  # more than are answered at once


def test_an_answer_at_another_lora_scale_leaves_the_model_as_it_was(toy: Path) -> None:
    model = pretrained.load("toy", 0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(generator=torch.Generator().manual_seed(0))
    clip, ask = waves()[0], {"prompt": "what is it", "max_new_tokens": 8}
    with lora_scale(model.llm, 0.0):
        expected = model.answer(clip, **ask)
    assert model.answer(clip, lora_scale=0, **ask) == expected != model.answer(clip, **ask)
    assert "".join(model.stream(clip, lora_scale=0, **ask)).strip() == expected
    features = model.encode([model.load_waveform(clip)])
    assert "".join(model.stream(features, lora_scale=0, **ask)).strip() == expected
    trained, streams = model.answer(clip, **ask), [model.stream(clip, lora_scale=s, **ask) for s in (0, 4)]
    begun = [next(stream) for stream in streams]  # both are under way
    assert model.answer(clip, **ask) == trained
    ended = ["".join((piece, *stream)).strip() for piece, stream in zip(begun, streams, strict=True)]
    assert ended == [expected, trained]
    assert get_lora_scale(model.llm) == model.config.lora.lora_alpha / model.config.lora.r


def test_a_decoder_of_datasets_is_audio(toy: Path) -> None:
    class Decoder:  # has these keys, and is no mapping
        def __getitem__(self, key: str) -> object:
            return {"array": waves()[0].numpy(), "sampling_rate": 16_000}[key]

    model = pretrained.load("toy", 0)
    assert torch.equal(model.load_waveform(Decoder()), waves()[0])


@pytest.mark.parametrize(
    "more", [{"num_return_sequences": 2, "num_beams": 2}, {"return_dict_in_generate": True}]
)
def test_more_than_one_answer_a_clip_is_refused(toy: Path, more: dict) -> None:
    with pytest.raises(SalmonnError, match="a clip has one answer: leave out num_return_sequences"):
        pretrained.load("toy", 0).answer(waves()[0], "what", **more)


def test_arrays_follow_the_rules_of_the_configuration_too(toy: Path) -> None:
    model = pretrained.load("toy", 0)
    model.config = model.config.as_published()  # the first channel, at least 1 s
    clip = waves()[0][:8_000]
    X = model.load_waveform((torch.stack([clip, torch.zeros(8_000)], 1), 16_000))
    assert torch.equal(X[:8_000], clip) and len(X) == 16_000


def test_integers_and_other_rates_are_brought_to_16_khz(toy: Path) -> None:
    wave = waves()[0].clamp(-0.9, 0.9)
    coded = (wave * 2**15).round().short().numpy()
    torch.testing.assert_close(to_waveform(coded, 16_000), wave, atol=2**-15, rtol=0)
    assert len(to_waveform(coded, 8_000)) == 2 * len(coded)


@pytest.mark.parametrize(
    ("audio", "prompt", "message"),
    [
        ((torch.zeros(2, 2, 800), 16_000), "what", r"of shape \(2, 2, 800\) is not an audio array"),
        (torch.zeros(0), "what", "no samples"),
        (torch.full((800,), float("nan")), "what", "800 of 800 samples are NaN"),
        ((np.zeros(800), 10), "what", "sampling_rate = 10; it must be 1,000 to 384,000 Hz"),
        (3, "what", r"int is not audio: give a path, samples at 16 kHz, or \(samples, sampling_rate\)"),
        ([0.1, 0.2], "what", "float is not audio"),
        (
            (16_000, np.zeros(800)),
            "what",
            r"int, ndarray is not audio: .*\(samples, sampling_rate\) in this order",
        ),
        (torch.zeros(3, 16_000), "what", r"shape \(3, 16000\) are \(S,\) for one clip: give a list"),
        (torch.zeros(8000), ["a", "b"], "the prompt is .*: ask something"),
        ("gone.wav", "what", "gone.wav: no such file"),
        (torch.zeros(8000), " \n", r"the prompt is ' \\n': ask something"),
        (
            torch.zeros(8000),
            "what " * 300,
            "exceed the language model's context of 256: cut the clip, shorten",
        ),
    ],
)
def test_what_cannot_be_answered_is_refused(toy: Path, audio: object, prompt: str, message: str) -> None:
    with pytest.raises(SalmonnError, match=message):
        pretrained.load("toy", 0).answer(audio, prompt)


# --- writing ---------------------------------------------------------------------------------------------------------


def test_nothing_half_written_is_left(toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Writing breaks off: what stood there before still stands."""
    pretrained.save(pretrained.load("toy", 0), tmp_path / "mine")
    before = {file.name: file.read_bytes() for file in (tmp_path / "mine").iterdir()}

    def break_off(tensors: dict, file: Path, **_: object) -> None:
        Path(file).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("salmonn_mini.models.state.save_file", break_off)
    with pytest.raises(
        SalmonnError, match=r"cannot write .*mine \(No space left on device\): check .* free space"
    ):
        pretrained.save(pretrained.build(PRESETS["toy"], seed=1), tmp_path / "mine")
    assert {file.name: file.read_bytes() for file in (tmp_path / "mine").iterdir()} == before


def test_a_model_that_did_not_come_from_files_is_saved_too(tmp_path: Path) -> None:
    model = tiny_salmonn()
    assert type(model) is SalmonnModel
    pretrained.save(model, tmp_path)
    values = json.loads((tmp_path / "config.json").read_text())
    assert values.pop("info") == {}
    assert SalmonnConfig.from_dict(values) == model.config


@pytest.mark.parametrize(
    "package", ["salmonn_mini", "salmonn_mini.data", "salmonn_mini.train", "salmonn_mini.pretrained"]
)
def test_exports_are_seen_and_can_be_had(package: str) -> None:
    module = importlib.import_module(package)
    assert set(module.__all__) == set(dir(module))
    assert all(hasattr(module, name) for name in module.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'nobody'"):
        _ = module.nobody


def test_dir_imports_no_torch() -> None:
    code = (
        "import sys, salmonn_mini\n"
        "assert set(dir(salmonn_mini)) == set(salmonn_mini.__all__) and 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=600)


# --- the shipped toy -------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not (REAL_TOY / "llm").is_dir(), reason="the toy's weights are not there yet")
def test_the_shipped_toy_is_of_the_presets_sizes() -> None:
    config, model = PRESETS["toy"], pretrained.load("toy", 0)
    assert len(model.tokenizer) == config.llm.vocab_size
    for name, size in config.llm.sizes().items():
        assert getattr(model.llm.config, name) == size, name
    for name, size in config.whisper.sizes().items():
        assert getattr(model.whisper.config, name) == size, name
    for name, size in config.beats.sizes().items():
        assert getattr(model.beats.config, name) == size, name


@pytest.mark.parametrize("stage", sorted(int(path.name[5:]) for path in REAL_TOY.glob("stage?")))
def test_the_shipped_stages_load(stage: int) -> None:
    model = pretrained.load("toy", stage=stage)
    assert pretrained.read_info("toy", stage)["stage"] == stage
    (answer,) = model.generate(model.encode(waves()[:1]), ["what is being said ?"], max_new_tokens=5)
    assert len(answer.token_ids) <= 5

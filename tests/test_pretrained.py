"""The toy's files: written whole, read whole, quietly; and every fault named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import SENTENCES, tiny_config, tiny_salmonn
from transformers import LlamaConfig, LlamaForCausalLM, WhisperConfig, WhisperForConditionalGeneration

from salmonn_mini import pretrained
from salmonn_mini.errors import SalmonnError
from salmonn_mini.models.config import PRESETS, SalmonnConfig
from salmonn_mini.models.encoders.beats import Beats, BeatsConfig
from salmonn_mini.models.salmonn import Salmonn
from salmonn_mini.pretrained import loading
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
            **config.whisper.sizes() | {"vocab_size": len(tokenizer)},
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
        model.half().float().eval()
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
    model = pretrained.load("toy")
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


def test_without_a_stage_the_connector_is_new_and_always_the_same(toy: Path) -> None:
    torch.manual_seed(3)
    drawn = torch.rand(1)
    torch.manual_seed(3)
    first, second = pretrained.load("toy"), pretrained.load()
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
    with pytest.raises(SalmonnError, match=r"the toy has no stage 3 in .*: shipped are 2, and None"):
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
    model = pretrained.load("toy")
    model.save_pretrained(tmp_path / "mine")
    asked = {}

    def download(name: str, **settings: object) -> str:
        asked.update(settings, name=name)
        return str(tmp_path / "mine")

    monkeypatch.setattr(loading, "snapshot_download", download)
    monkeypatch.setattr(
        "huggingface_hub.hub_mixin.hf_hub_download", lambda **_: tmp_path / "mine" / "config.json"
    )
    again = pretrained.Salmonn.from_pretrained("me/mine", revision="v1")
    assert (asked["name"], asked["revision"]) == ("me/mine", "v1")
    assert torch.equal(again.connector.queries, model.connector.queries)


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
    assert pretrained.load("toy").push_to_hub("me/mine") == "done"
    assert uploaded == {"me/mine": ["README.md", "adapter.safetensors", "config.json"]}


def test_loading_and_saving_are_quiet(
    toy: Path, parts: tuple, tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    capfd.readouterr()
    model = pretrained.load("toy")
    pretrained.save(model, tmp_path / "mine")
    pretrained.load(tmp_path / "mine")
    pretrained.load_whisper_for_generation()
    pretrained.save_backbones(tmp_path / "again", *parts)
    assert capfd.readouterr() == ("", "")


def test_the_folders_own_decoding_defaults_are_left_out(toy: Path) -> None:
    file = toy / "llm" / "generation_config.json"
    file.write_text(json.dumps({"repetition_penalty": 9.0, "do_sample": True, "temperature": 0.9}))
    model = pretrained.load("toy")
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
    pretrained.save(pretrained.load("toy"), toy / "stage1")
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
    pretrained.save(pretrained.load("toy"), toy / "stage1")
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
    pretrained.save(pretrained.load("toy"), toy / "stage1")
    file = toy / "stage1" / "config.json"
    file.write_text(file.read_text().replace('"channels"', '"channel"'))
    with pytest.raises(
        SalmonnError, match=r"stage1/config.json: .* no key 'channel': did you mean 'channels'"
    ):
        pretrained.load("toy", stage=1)


def test_what_is_not_there(toy: Path, tmp_path: Path) -> None:
    with pytest.raises(
        SalmonnError, match=r"there is no model 'huge': give toy, small, 7b, 13b, or a folder"
    ):
        pretrained.load("huge")
    with pytest.raises(SalmonnError, match=r"the toy has no stage 1 in .*: none is there"):
        pretrained.load("toy", stage=1)
    with pytest.raises(SalmonnError, match=r"only 'toy' has stages"):
        pretrained.load(tmp_path, stage=1)


def test_nothing_half_written_is_left(toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Writing breaks off: what stood there before still stands."""
    pretrained.save(pretrained.load("toy"), tmp_path / "mine")
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
    assert type(model) is Salmonn
    pretrained.save(model, tmp_path)
    values = json.loads((tmp_path / "config.json").read_text())
    assert values.pop("info") == {}
    assert SalmonnConfig.from_dict(values) == model.config


# --- the shipped toy -------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not (REAL_TOY / "llm").is_dir(), reason="the toy's weights are not there yet")
def test_the_shipped_toy_is_of_the_presets_sizes() -> None:
    config, model = PRESETS["toy"], pretrained.load("toy")
    assert len(model.tokenizer) == config.llm.vocab_size == config.whisper.vocab_size
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

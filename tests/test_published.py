"""The published SALMONN: its files are read as they are, and its code's numbers come out.

The numbers are in tests/golden/salmonn: small random weights in the official formats, and what the published code
made of them (float32, one thread). Run with -s to see the worst difference of each quantity.
"""

from __future__ import annotations

import json
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from huggingface_hub.errors import LocalEntryNotFoundError
from safetensors.torch import load_file
from torch import Tensor

from salmonn_mini import Salmonn
from salmonn_mini.data.manifest import load_clip, read_manifest, read_prompts
from salmonn_mini.errors import SalmonnError
from salmonn_mini.models.features import Features
from salmonn_mini.models.lora import get_lora_scale, lora_scale
from salmonn_mini.pretrained import backbones
from salmonn_mini.pretrained.published import published_name

GOLDEN = Path(__file__).parent / "golden" / "salmonn"
FILES = {
    "whisper": GOLDEN / "whisper",
    "beats": GOLDEN.parent / "beats" / "beats_tiny.pt",
    "llm": GOLDEN / "llama",
    "checkpoint": GOLDEN / "salmonn_tiny.pth",
}
GIVEN = FILES | {"heads": 4}  # which no weight tells
CASES = json.loads((GOLDEN / "salmonn_cases.json").read_text())
NUMBERS = load_file(GOLDEN / "salmonn_io.safetensors")
SAMPLES = read_manifest(GOLDEN / "annotation.json")
PROMPTS = {task: prompts[0] for task, prompts in read_prompts(GOLDEN / "prompts.json").items()}
SCALES = {"alpha32": 4.0, "alpha16": 2.0}
LOSSES = {  # case: the places of its samples in the annotation
    "s1": [0], "s1b": [1], "s1qa": [3], "s1_trunc5": [0], "s_acc": [1],
}  # fmt: skip
ENCODED = {"enc_a": 0, "enc_b": 1, "enc_short": 4, "enc_stereo": 5, "enc_expand": 6, "enc_long": 7}

torch.manual_seed(0)


@pytest.fixture(scope="module")
def close() -> Iterator[Callable]:
    """Compares, and in the end tells the worst difference of each quantity."""
    worst: dict[str, float] = defaultdict(float)

    def compare(quantity: str, ours: Tensor, theirs: Tensor | float, atol: float) -> None:
        theirs = torch.as_tensor(theirs)
        worst[quantity] = max(worst[quantity], (ours.detach() - theirs).abs().max().item())
        torch.testing.assert_close(ours.detach(), theirs, atol=atol, rtol=0, check_dtype=False)

    yield compare
    print("".join(f"\n{quantity:15} {difference:.1e}" for quantity, difference in worst.items()))


@pytest.fixture(scope="module")
def model() -> Salmonn:
    """The golden model, with the reference's own random row for [PAD]."""
    model = Salmonn.from_published(**GIVEN)
    core = model.llm.get_base_model()
    with torch.no_grad():
        core.get_input_embeddings().weight[-1] = NUMBERS["pad_row.embed_tokens"][0]
        core.lm_head.weight[-1] = NUMBERS["pad_row.lm_head"][0]
    return model


@pytest.fixture(scope="module")
def encoded(model: Salmonn) -> Callable[[int], Features]:
    """What the ears hear of a sample, computed once."""
    kept: dict[int, Features] = {}

    def hear(place: int) -> Features:
        if place not in kept:
            kept[place] = model.encode([load_clip(SAMPLES[place], model.config)])
        return kept[place]

    return hear


def prompt_of(place: int) -> str:
    return PROMPTS[SAMPLES[place].task].replace("{}", SAMPLES[place].Q)


def answer_of(case: str, place: int) -> str:
    return CASES[case].get("text_override", SAMPLES[place].text)


# --- tokens ----------------------------------------------------------------------------------------------------------


def test_a_folder_with_tokenizer_model_alone_gives_the_published_ids(model: Salmonn) -> None:
    assert not (GOLDEN / "llama" / "tokenizer.json").exists()
    for text, ids in CASES["token_ids"].items():
        assert model.prompt.ids(text) == ids, text
    special = CASES["special_ids"]
    tokenizer = model.tokenizer
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id, len(tokenizer)) == (
        special["bos"], special["eos"], special["pad"], special["len_tokenizer"],
    )  # fmt: skip


# --- from sound to tokens --------------------------------------------------------------------------------------------


def test_what_the_ears_hear(model: Salmonn, encoded: Callable, close: Callable) -> None:
    features = encoded(0)
    close("beats", features.beats, NUMBERS["s1.beats_features"], 2e-5)
    close("whisper", features.whisper[:, :400], NUMBERS["s1.whisper_last_hidden_first400"], 2e-5)
    close("whisper", features.whisper[:, -50:], NUMBERS["s1.whisper_last_hidden_last50"], 2e-5)


@pytest.mark.parametrize("case", ENCODED)
def test_speech_tokens(model: Salmonn, encoded: Callable, close: Callable, case: str) -> None:
    """Too short, stereo, several files in a row, too long: as the published loader has them."""
    place = ENCODED[case]
    clip, expected = load_clip(SAMPLES[place], model.config), CASES[case]
    assert len(clip) == expected["n_samples"]
    close("clip", clip.double().abs().sum(), expected["raw_wav_abs_sum"], 1e-2)
    with torch.no_grad():
        H, lengths = model.get_audio_features(encoded(place))
    assert lengths.tolist() == [88]
    close("speech tokens", H, NUMBERS[f"{case}.speech_tokens"], 1e-5)


# --- loss ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", LOSSES)
def test_embeddings_logits_and_loss(model: Salmonn, encoded: Callable, close: Callable, case: str) -> None:
    place, limit = LOSSES[case][0], 5 if case == "s1_trunc5" else None
    with torch.no_grad():
        spliced = model.splice(
            *model.get_audio_features(encoded(place)),
            [prompt_of(place)],
            [answer_of(case, place)],
            max_answer_tokens=limit,
        )
        assert torch.equal(spliced.labels, NUMBERS[f"{case}.labels"])
        if case != "s_acc":
            close("inputs_embeds", spliced.inputs_embeds, NUMBERS[f"{case}.inputs_embeds"], 2e-5)
        for alpha in SCALES.keys() & CASES[case].keys():
            with lora_scale(model, SCALES[alpha]):
                logits, targets, _ = model.answer_logits(spliced)
            if case != "s_acc":
                close("logits", logits, NUMBERS[f"{case}@{alpha}.target_logits"], 1e-4)
            expected = CASES[case][alpha]
            close("loss", torch.nn.functional.cross_entropy(logits, targets), expected["loss"], 2e-5)
            close(
                "loss", torch.nn.functional.cross_entropy(logits[:, :-1], targets), expected["loss_V"], 2e-5
            )
            right = int((logits.argmax(-1) == targets).sum())
            assert (right, len(targets)) == (expected["correct"], expected["total"])


def test_every_logit_of_a_row(model: Salmonn, encoded: Callable, close: Callable) -> None:
    with torch.no_grad():
        spliced = model.splice(*model.get_audio_features(encoded(0)), [prompt_of(0)], [SAMPLES[0].text])
        logits = model.llm(inputs_embeds=spliced.inputs_embeds, attention_mask=spliced.attention_mask).logits
    close("logits", logits, NUMBERS["s1@alpha32.logits"], 1e-4)


def test_forward_is_the_published_loss_and_log_prob_agrees(
    model: Salmonn, encoded: Callable, close: Callable
) -> None:
    with torch.no_grad():
        loss = model(encoded(0), [prompt_of(0)], [SAMPLES[0].text])
    close("loss", loss.mean, CASES["s1"]["alpha32"]["loss"], 2e-5)
    close("loss", -model.log_prob(encoded(0), [prompt_of(0)], [SAMPLES[0].text])[0], loss.total, 1e-4)


def test_a_batch_gives_each_sample_its_loss_alone(model: Salmonn, encoded: Callable, close: Callable) -> None:
    """The published code's own batches differ: padded BEATs frames reach its Q-Former, prompts are padded inside."""
    places = [0, 1, 3]
    batch = Features.stack([encoded(place) for place in places])
    with torch.no_grad():
        scores = model.log_prob(
            batch, [prompt_of(place) for place in places], [SAMPLES[place].text for place in places]
        )
    for score, case in zip(scores, ("s1", "s1b", "s1qa"), strict=True):
        expected = CASES[case]["alpha32"]
        close("loss", -score / expected["total"], expected["loss"], 2e-5)


def test_scale_0_is_the_published_model_without_lora(
    model: Salmonn, encoded: Callable, close: Callable
) -> None:
    with torch.no_grad(), lora_scale(model, 0.0):
        loss = model(encoded(0), [prompt_of(0)], [SAMPLES[0].text])
    close("loss", loss.mean, CASES["s1_nolora"]["loss"], 2e-5)


# --- gradients -------------------------------------------------------------------------------------------------------


def test_training_changes_what_the_published_code_trains(model: Salmonn) -> None:
    trained = {published_name(name) for name, p in model.named_parameters() if p.requires_grad}
    assert trained == set(CASES["trainable"])
    assert {published_name(name) for name in model.trainable_state()} == trained


def test_gradients(model: Salmonn, encoded: Callable, close: Callable) -> None:
    model.zero_grad()
    model(encoded(0), [prompt_of(0)], [SAMPLES[0].text]).mean.backward()
    gradients = {published_name(name): p.grad for name, p in model.named_parameters() if p.requires_grad}
    expected = load_file(GOLDEN / "grads_s1.safetensors")
    assert gradients.keys() == expected.keys()
    for key, gradient in gradients.items():
        close("gradients", gradient, expected[key], 5e-5)
    model.zero_grad()


# --- answers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in CASES["generate"] if "@" in name])
def test_generated_ids(model: Salmonn, encoded: Callable, name: str) -> None:
    expected = CASES["generate"][name]
    (place,) = expected["annotation_indices"]
    prompt = (
        expected["prompt"].removeprefix("USER: <Speech><SpeechHere></Speech> ").removesuffix("\nASSISTANT:")
    )
    alpha = name.partition("@")[2].partition(".")[0]
    with lora_scale(model, SCALES[alpha]):
        (answer,) = model.generate(
            encoded(place),
            [prompt],
            max_new_tokens=expected["max_new_tokens"],
            num_beams=expected["num_beams"],
            repetition_penalty=expected.get("repetition_penalty", 1.0),
            # the old generate counts the start symbol, which it put before the answer
            min_new_tokens=expected["min_length"] - 1 if "min_length" in expected else None,
        )
    assert list(answer.token_ids) == expected["ids"][1:]


def test_a_batch_is_answered_as_its_clips_alone(model: Salmonn, encoded: Callable) -> None:
    places = [0, 1]
    batch = Features.stack([encoded(place) for place in places])
    prompts = [PROMPTS["asr"], PROMPTS["audiocaption"]]
    answers = model.generate(batch, prompts, max_new_tokens=24)
    generated = CASES["generate"]
    assert list(answers[0].token_ids) == generated["g_a@alpha32.greedy"]["ids"][1:]
    assert list(answers[1].token_ids) == generated["g_b@alpha32.greedy"]["ids"][1:]
    assert answers[0].ended and not answers[1].ended


# --- Whisper on the clip's own frames --------------------------------------------------------------------------------


def test_short_audio_may_skip_the_silence(model: Salmonn, encoded: Callable, close: Callable) -> None:
    """`pad_to_window: false` works on published weights too, and the answers are others: the silence was heard.

    On these random weights, whose attention spreads over all 30 s, the tokens within a clip of 2.37 s move by 63 %
    of their norm, and the loss of its answer from 8.68 to 8.22. How far trained weights move is not known here.
    """
    trimmed = Salmonn.from_published(**GIVEN, pad_to_window=False)
    features = trimmed.encode([load_clip(SAMPLES[0], trimmed.config)])
    with torch.no_grad():
        (H, lengths), (whole, _) = model.get_audio_features(features), model.get_audio_features(encoded(0))
        loss = model(features, [prompt_of(0)], [SAMPLES[0].text]).mean
    assert features.whisper_lengths.tolist() == [119] and lengths.tolist() == [119 // 17]
    inside = whole[:, : int(lengths)]
    close("skipped silence", (H - inside).norm() / inside.norm(), 0.63, 0.01)
    close("skipped silence", loss, 8.22, 0.01)


# --- other checkpoints -----------------------------------------------------------------------------------------------


@pytest.fixture
def checkpoint() -> dict:
    return torch.load(FILES["checkpoint"], weights_only=True)


def saved(content: object, folder: Path) -> dict[str, Path]:
    torch.save(content, folder / "other.pth")
    return GIVEN | {"checkpoint": folder / "other.pth"}


def test_the_settings_of_a_training_run_are_obeyed(checkpoint: dict, tmp_path: Path) -> None:
    settings = {"lora_alpha": 16, "second_per_window": 0.25, "second_stride": 0.2, "end_sym": "</s>"}
    run = {"optimizer": {}, "config": {"model": settings}, "scaler": None, "epoch": 3}
    model = Salmonn.from_published(**saved(checkpoint | run, tmp_path))
    assert get_lora_scale(model) == 2.0
    assert (model.connector.L, model.connector.stride) == (12, 10)
    model = Salmonn.from_published(**saved(checkpoint | run, tmp_path), lora_alpha=8, window_seconds=1.0)
    assert get_lora_scale(model) == 1.0
    assert (model.connector.L, model.connector.stride) == (50, 10)


def test_a_segment_level_q_former(checkpoint: dict, tmp_path: Path) -> None:
    run = {"config": {"model": {"window_level_Qformer": False}}}
    model = Salmonn.from_published(**saved(checkpoint | run, tmp_path))
    assert model.get_audio_features(model.encode([torch.randn(20_000) * 0.1]))[1].tolist() == [1]


def test_rank_queries_and_heads(checkpoint: dict, tmp_path: Path) -> None:
    weights = checkpoint["model"]
    for key in weights:
        if ".lora_A." in key:
            weights[key] = weights[key][:4].clone()
        elif ".lora_B." in key:
            weights[key] = weights[key][:, :4].clone()
    weights["speech_query_tokens"] = torch.randn(1, 3, 48)
    model = Salmonn.from_published(**saved(checkpoint, tmp_path) | {"heads": 6})
    config = model.config
    assert (config.lora.r, config.lora.lora_alpha) == (4, 32)
    assert (config.connector.num_query_tokens, config.connector.num_attention_heads) == (3, 6)
    features = model.encode([torch.randn(20_000) * 0.1])
    assert model.get_audio_features(features)[1].tolist() == [88 * 3]


def test_heads_are_not_guessed() -> None:
    with pytest.raises(
        SalmonnError, match=r"heads of a Q-Former 48 wide \(at 768, as released, it has 12\): give heads"
    ):
        Salmonn.from_published(**FILES)


def test_without_beats(checkpoint: dict, tmp_path: Path) -> None:
    """A model trained without BEATs: its Q-Former is as wide as Whisper alone."""
    weights = {key: tensor for key, tensor in checkpoint["model"].items() if "ln_audio" not in key}
    for key in weights:
        if "crossattention.self.key.weight" in key or "crossattention.self.value.weight" in key:
            weights[key] = weights[key][:, :32].clone()
    model = Salmonn.from_published(**saved({"model": weights}, tmp_path) | {"beats": None})
    assert model.beats is None and model.ln_audio is None
    (answer,) = model.generate(model.encode([torch.randn(20_000) * 0.1]), ["Listen."], max_new_tokens=3)
    assert len(answer.token_ids) == 3


def test_without_lora(checkpoint: dict, tmp_path: Path, close: Callable) -> None:
    weights = {key: tensor for key, tensor in checkpoint["model"].items() if ".lora_" not in key}
    model = Salmonn.from_published(**saved({"model": weights}, tmp_path))
    spliced = model.splice(
        *model.get_audio_features(model.encode([load_clip(SAMPLES[0], model.config)])),
        [prompt_of(0)],
        [SAMPLES[0].text],
    )
    logits, targets, _ = model.answer_logits(spliced)
    loss = torch.nn.functional.cross_entropy(logits[:, :-1], targets)
    close("loss", loss, CASES["s1_nolora"]["loss_V"], 2e-5)


def test_in_bfloat16(encoded: Callable) -> None:
    """Whisper and the LLM; BEATs and what is trained stay in float32."""
    model = Salmonn.from_published(**GIVEN, dtype=torch.bfloat16)
    assert model.whisper.encoder.conv1.weight.dtype == torch.bfloat16
    assert {tensor.dtype for tensor in model.trainable_state().values()} == {torch.float32}
    features = model.encode([load_clip(SAMPLES[0], model.config)])
    assert features.beats.dtype == torch.float32
    assert abs(model(features, [prompt_of(0)], [SAMPLES[0].text]).mean.item() - 8.684) < 0.1
    (answer,) = model.generate(features, [prompt_of(0)], max_new_tokens=3)
    assert len(answer.token_ids) == 3


def test_every_key_that_does_not_fit_is_named(checkpoint: dict, tmp_path: Path) -> None:
    weights = checkpoint["model"]
    del weights["ln_speech.weight"], weights["speech_llama_proj.bias"]
    weights["ln_audio.bias"] = torch.zeros(7)
    weights["speech_llama_proj.scale"] = torch.zeros(3)
    with pytest.raises(SalmonnError) as problem:
        Salmonn.from_published(**saved(checkpoint, tmp_path))
    for part in (
        str(tmp_path / "other.pth"),
        "missing ln_speech.weight (32,)",
        "missing speech_llama_proj.bias (64,)",
        "ln_audio.bias has shape (7,), expected (48,)",
        "unexpected speech_llama_proj.scale (3,)",
    ):
        assert part in str(problem.value)


def test_a_checkpoint_with_beats_needs_beats() -> None:
    with pytest.raises(SalmonnError, match=r"unexpected ln_audio\.weight") as problem:
        Salmonn.from_published(**GIVEN | {"beats": None})
    assert "crossattention.self.key.weight has shape (48, 80), expected (48, 32)" in str(problem.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"state": {}}, r"other.pth holds state; a SALMONN checkpoint is"),
        ({"model": {"a": 1}}, r"other.pth holds model; a SALMONN checkpoint is"),
        ([1, 2], r"other.pth holds a list; a SALMONN checkpoint is"),
        ({"model": {"ln_speech.weight": torch.ones(3)}}, r"missing speech_query_tokens"),
    ],
)
def test_what_is_no_checkpoint(tmp_path: Path, content: object, message: str) -> None:
    with pytest.raises(SalmonnError, match=message):
        Salmonn.from_published(**saved(content, tmp_path))


@pytest.mark.parametrize("part", FILES)
def test_a_missing_file_is_named(tmp_path: Path, part: str) -> None:
    nowhere = tmp_path / "nowhere"
    with pytest.raises(SalmonnError, match=str(nowhere)):
        Salmonn.from_published(**GIVEN | {part: nowhere})


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.pth"
    damaged.write_bytes(FILES["checkpoint"].read_bytes()[:5000])
    with pytest.raises(SalmonnError, match=r"cannot read .*damaged.pth"):
        Salmonn.from_published(**GIVEN | {"checkpoint": damaged})


# --- places ----------------------------------------------------------------------------------------------------------


def test_a_folder_with_one_file_will_do(tmp_path: Path) -> None:
    shutil.copy(FILES["beats"], tmp_path / "beats.pt")
    assert backbones.find_torch_file(tmp_path) == tmp_path / "beats.pt"
    shutil.copy(FILES["checkpoint"], tmp_path / "other.pth")
    with pytest.raises(SalmonnError, match=r"holds beats.pt, other.pth; name one file"):
        backbones.find_torch_file(tmp_path)


def test_names_on_the_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shutil.copy(FILES["checkpoint"], tmp_path / "salmonn_v1.pth")
    asked = []

    def fetch(*args: object, **settings: object) -> str:
        asked.append(args)
        return str(tmp_path / args[1] if len(args) > 1 else tmp_path)

    monkeypatch.setattr(backbones, "snapshot_download", fetch)
    monkeypatch.setattr(backbones, "hf_hub_download", fetch)
    assert backbones.find_torch_file("owner/salmonn") == tmp_path / "salmonn_v1.pth"
    assert backbones.find_torch_file("owner/salmonn/salmonn_v1.pth") == tmp_path / "salmonn_v1.pth"
    assert asked == [("owner/salmonn",), ("owner/salmonn", "salmonn_v1.pth")]


def test_without_a_network_the_name_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **settings: object) -> str:
        raise LocalEntryNotFoundError("cannot reach the hub")

    monkeypatch.setattr(backbones, "snapshot_download", fail)
    with pytest.raises(
        SalmonnError, match=r"owner/salmonn: not found locally or on the Hub \(cannot reach the hub\)"
    ):
        backbones.find_torch_file("owner/salmonn")


# --- into the hub's format and back ----------------------------------------------------------------------------------


def test_saved_as_the_hub_has_it_and_loaded_again(model: Salmonn, encoded: Callable, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path / "mine")
    files = {file.name: file.stat().st_size for file in (tmp_path / "mine").iterdir()}
    assert files.keys() == {"config.json", "adapter.safetensors", "README.md"}
    trained = sum(tensor.numel() for tensor in model.trainable_state().values())
    assert files["adapter.safetensors"] < 4 * trained + 20_000  # what is frozen stays out
    again = Salmonn.from_pretrained(tmp_path / "mine")
    assert again.config == model.config
    with torch.no_grad():
        assert torch.equal(again.get_audio_features(encoded(0))[0], model.get_audio_features(encoded(0))[0])
    answers = [m.generate(encoded(0), [PROMPTS["asr"]], max_new_tokens=24)[0] for m in (model, again)]
    assert answers[0] == answers[1]

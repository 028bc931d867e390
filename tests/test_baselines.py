"""The two baselines on random weights: one ear; words in the place of the sound."""

from __future__ import annotations

import pytest
import torch
from tiny import DECODER, SENTENCES, tiny_config
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, WhisperConfig, WhisperForConditionalGeneration

from salmonn_mini.errors import SalmonnError
from salmonn_mini.evaluation import baselines
from salmonn_mini.evaluation.baselines import TOY_PHRASES, TOY_VOICES, Cascade, spectrogram_only
from salmonn_mini.evaluation.evaluate import evaluate
from salmonn_mini.models.config import PRESETS
from salmonn_mini.models.encoders.beats import Beats, BeatsConfig
from salmonn_mini.models.lora import lora_scale
from salmonn_mini.toy.backbones.sounds import TAGS
from salmonn_mini.toy.backbones.text import train_tokenizer
from salmonn_mini.toy.world.text_tasks import TextSample

NAMES = ("dog", "rain", "male")
PHRASES = {"dog": "a dog barks", "rain": "rain falls"}
INSTRUCTIONS = ["Write it down.", "What is it?"]


def noise(*seconds: float) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(round(s * 16_000), generator=generator) * 0.1 for s in seconds]


def cascade(**changes: object) -> Cascade:
    config = tiny_config(name="cascade")
    tokenizer = train_tokenizer([TextSample("asr", text, "Write it down.", text) for text in SENTENCES])
    ids = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    words = {"vocab_size": len(tokenizer)}
    torch.manual_seed(0)
    whisper = WhisperForConditionalGeneration(
        WhisperConfig(**config.whisper.sizes() | DECODER | words, **ids, decoder_start_token_id=1)
    )
    tagger = {"finetuned_model": True, "predictor_class": len(NAMES)}
    beats = Beats(BeatsConfig.from_dict(config.beats.sizes() | tagger)).eval()
    llm = LlamaForCausalLM(LlamaConfig(**config.llm.sizes() | words, **ids))
    settings = {"tags": NAMES, "phrases": PHRASES} | changes
    return Cascade(config, whisper, beats, llm, tokenizer, **settings)


def test_spectrogram_only_is_the_toy_without_whisper() -> None:
    config = spectrogram_only(PRESETS["toy"])
    assert config.whisper is None and config.feature_width == PRESETS["toy"].beats.encoder_embed_dim
    assert config.name == "toy-spectrogram"


@pytest.mark.parametrize("seconds", [1.0, 12.0])
def test_the_cascade_writes_as_whisper_does(seconds: float) -> None:
    """Against transformers' own decoding without a cache, window by window."""
    model = cascade()
    (wave,) = noise(seconds)
    encoded = model.encode([wave])
    expected = []
    for window in wave.split(160_000):
        states, _ = model.whisper([window], pad_to_window=False)
        ids = torch.tensor([[1]])
        while ids.shape[1] < 16 and (ids.shape[1] == 1 or ids[0, -1] != 2):
            best = model.writer(encoder_outputs=(states,), decoder_input_ids=ids).logits[:, -1].argmax(-1)
            ids = torch.cat([ids, best[:, None]], dim=1)
        expected.append(model.prompt.text(ids[0].tolist()))
    assert model.transcribe(encoded) == [text for text in expected if text]


def test_the_llm_is_told_words_and_tags(monkeypatch: pytest.MonkeyPatch) -> None:
    model = cascade(voices=("male",))
    encoded = model.encode(noise(1.0, 2.0))
    probabilities = torch.tensor([[0.6, 0.9, 0.2], [0.1, 0.7, 0.8]])
    monkeypatch.setattr(model, "probabilities", lambda features: probabilities)
    monkeypatch.setattr(model, "transcribe", lambda clip: ["anna sings"])
    assert model.words(encoded) == ["rain falls a dog barks", "anna sings rain falls"]
    H, lengths = model.get_audio_features(encoded)
    ids = [model.prompt.ids(text) for text in model.words(encoded)]
    assert lengths.tolist() == [len(row) for row in ids]
    table = model.llm.get_input_embeddings().weight
    assert torch.equal(H[1, : len(ids[1])], table[ids[1]])


def test_it_answers_as_its_llm_does_about_the_words(monkeypatch: pytest.MonkeyPatch) -> None:
    model = cascade()
    monkeypatch.setattr(model, "words", lambda features: ["anna sings", ""])
    encoded = model.encode(noise(1.0, 2.0))
    answers = model.generate(encoded, INSTRUCTIONS, max_new_tokens=5, min_new_tokens=5)
    prompt = model.prompt
    for answer, words, instruction in zip(answers, ("anna sings", ""), INSTRUCTIONS, strict=True):
        ids = torch.tensor([prompt.before + prompt.ids(words) + prompt.after(instruction)])
        with lora_scale(model, 0.0):
            for token in answer.token_ids:
                logits = model.llm(ids).logits[0, -1]
                logits[prompt.eos_token_id] = -torch.inf
                assert token == int(logits.argmax())
                ids = torch.cat([ids, torch.tensor([[token]])], dim=1)
    assert model.log_prob(encoded, INSTRUCTIONS, ["a", "b"]).isfinite().all()


def test_it_is_evaluated_as_any_model_and_knows_how_many_tokens_it_gives() -> None:
    model = cascade()
    encoded = model.encode(noise(1.0, 2.7))
    assert model.audio_token_count(encoded) == model.get_audio_features(encoded)[1].tolist()
    report = evaluate(model, ["asr"], 2, 0, max_new_tokens=2)
    assert report.tasks["asr"]["n"] == 2 and not report.skipped


def test_a_clip_does_not_notice_its_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baselines, "THRESHOLD", 0.0)
    model = cascade()
    clips = noise(1.0, 2.7)
    together = model.encode(clips)
    alone = [model.encode([clip]) for clip in clips]
    assert model.words(together) == [model.words(one)[0] for one in alone]
    for i, one in enumerate(alone):
        torch.testing.assert_close(model.probabilities(together)[i], model.probabilities(one)[0])


def test_tags_must_name_every_class() -> None:
    with pytest.raises(SalmonnError, match=r"3 classes, but there are 2 names"):
        cascade(tags=NAMES[:2])


def test_the_toys_phrases_are_about_the_toys_tags() -> None:
    assert TOY_PHRASES.keys() | set(TOY_VOICES) <= set(TAGS)
    assert not any(tag.startswith(("speaker", "mood")) for tag in TOY_PHRASES)

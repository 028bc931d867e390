"""generation.py: streamed answers, seeds of their own, and LLMs that scale their logits."""

from __future__ import annotations

import threading

import pytest
import torch
from tiny import tiny_salmonn
from torch.nn.functional import cross_entropy
from transformers import (
    CohereConfig,
    CohereForCausalLM,
    Gemma2Config,
    Gemma2ForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    GraniteConfig,
    GraniteForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    TextIteratorStreamer,
)

from salmonn_mini.errors import SalmonnError
from salmonn_mini.models.features import Features
from salmonn_mini.models.generation import check_logits, seeded, stream_text
from salmonn_mini.models.salmonn import SalmonnModel
from salmonn_mini.models.splice import IGNORE_INDEX

SIZES = {
    "hidden_size": 64,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "initializer_range": 0.2,
}


class Doubled(LlamaForCausalLM):
    def forward(self, *args, **kwargs):
        output = super().forward(*args, **kwargs)
        output.logits = 2 * output.logits
        return output


FAMILIES = {
    "llama": (LlamaForCausalLM, LlamaConfig, {}),
    "granite": (GraniteForCausalLM, GraniteConfig, {"logits_scaling": 4.0, "embedding_multiplier": 3.0}),
    "cohere": (CohereForCausalLM, CohereConfig, {"logit_scale": 0.25}),
    "gemma2": (Gemma2ForCausalLM, Gemma2Config, {"final_logit_softcapping": 2.0, "head_dim": 32}),
    "doubled": (Doubled, LlamaConfig, {}),
}


def llm_of(family: str) -> PreTrainedModel:
    kind, config, own = FAMILIES[family]
    torch.manual_seed(0)
    return kind(config(**SIZES, vocab_size=len(tiny_salmonn().tokenizer), **own)).eval()


def with_llm(llm: PreTrainedModel) -> SalmonnModel:
    parts = tiny_salmonn()
    return SalmonnModel(parts.config, parts.whisper, parts.beats, llm, parts.tokenizer)


@pytest.fixture(scope="module")
def model() -> SalmonnModel:
    return tiny_salmonn()


@pytest.fixture(scope="module")
def encoded(model: SalmonnModel) -> Features:
    return model.encode([torch.randn(16_000, generator=torch.Generator().manual_seed(1)) * 0.1])


# --- logits ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["llama", "granite", "cohere", "gemma2"])
def test_the_loss_is_the_llms_own(family: str, encoded: Features) -> None:
    model = with_llm(llm_of(family))
    loss = model(encoded, ["Write it down."], ["a dog barks"])
    spliced = model.splice(*model.get_audio_features(encoded), ["Write it down."], ["a dog barks"])
    logits = model.llm(inputs_embeds=spliced.inputs_embeds).logits[0, :-1].float()
    own = cross_entropy(logits, spliced.labels[0, 1:], ignore_index=IGNORE_INDEX, reduction="sum")
    torch.testing.assert_close(loss.total, own, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("family", ["llama", "granite", "cohere", "gemma2"])
def test_half_precision_does_not_look_like_a_scaling(family: str, dtype: torch.dtype) -> None:
    check_logits(llm_of(family).to(dtype))


def test_an_llm_that_changes_its_logits_otherwise_is_refused() -> None:
    llm = llm_of("doubled")
    with pytest.raises(SalmonnError, match=r"Doubled changes its logits .*use a Llama"):
        with_llm(llm)
    assert "forward" not in llm.model.__dict__  # the check leaves nothing behind


def test_an_llm_of_another_layout_is_refused() -> None:
    llm = GPT2LMHeadModel(GPT2Config(n_embd=64, n_layer=1, n_head=2, vocab_size=600))
    with pytest.raises(SalmonnError, match=r"a GPT2LMHeadModel, .*must have \.model and \.lm_head"):
        with_llm(llm)


def test_weights_that_are_not_there_yet_are_not_compared() -> None:
    with torch.device("meta"):
        check_logits(LlamaForCausalLM(LlamaConfig(**SIZES, vocab_size=100)))


# --- streams ---------------------------------------------------------------------------------------------------------


def test_the_pieces_are_the_text(model: SalmonnModel) -> None:
    def generate(streamer: TextIteratorStreamer) -> None:
        streamer.put(torch.zeros(1, 0, dtype=torch.long))  # the prompt, as embeddings, has no ids
        for token in [*model.prompt.ids("a dog barks , then a bell rings"), model.prompt.eos_token_id]:
            streamer.put(torch.tensor([token]))
        streamer.end()

    pieces = list(stream_text(generate, model.tokenizer))
    assert "".join(pieces).strip() == "a dog barks , then a bell rings"
    assert len(pieces) > 5 and all(pieces)


def test_a_model_streams_what_it_generates(model: SalmonnModel, encoded: Features) -> None:
    """But for bytes that are no text, which random weights write."""
    (answer,) = model.generate(encoded, ["Write it down."], max_new_tokens=20)
    pieces = list(model.stream_generate(encoded, "Write it down.", max_new_tokens=20))
    plain = lambda text: [character for character in text.strip() if character.isascii()]  # noqa: E731
    assert plain("".join(pieces)) == plain(answer.text) and len(pieces) > 1


def test_what_generation_raises_comes_through(model: SalmonnModel, encoded: Features) -> None:
    two = Features.stack([encoded, encoded])
    with pytest.raises(SalmonnError, match="follows one clip without beam search, not 2 clips and 1 beams"):
        next(model.stream_generate(two, "Write it down."))
    with pytest.raises(SalmonnError, match="not 1 clips and 4 beams"):
        list(model.stream_generate(encoded, "Write it down.", num_beams=4))
    with pytest.raises(TypeError, match="nonsense"):
        list(model.stream_generate(encoded, "Write it down.", nonsense=1))


def test_a_reader_who_leaves_ends_the_generation(
    model: SalmonnModel, encoded: Features, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps, decoder = [], model.llm.get_base_model().model
    counted = decoder.register_forward_hook(lambda *_: steps.append(1))
    before = threading.active_count()
    pieces = model.stream_generate(encoded, "Write it down.", max_new_tokens=10_000, min_new_tokens=10_000)
    next(pieces)
    pieces.close()
    counted.remove()
    assert threading.active_count() == before
    assert len(steps) < 5_000


# --- seeds -----------------------------------------------------------------------------------------------------------


def test_a_seed_touches_the_cpu_and_the_models_device_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    refuse = lambda *_, **__: pytest.fail("reaches every accelerator")  # noqa: E731
    monkeypatch.setattr(torch, "manual_seed", refuse)
    monkeypatch.setattr(torch.random, "fork_rng", refuse)
    before = torch.get_rng_state()
    draws = []
    for _ in range(2):
        with seeded(7, torch.device("cpu")):
            draws.append(torch.rand(2))
    assert torch.equal(*draws) and torch.equal(torch.get_rng_state(), before)
    with pytest.raises(KeyError), seeded(7, torch.device("cpu")):
        raise KeyError
    assert torch.equal(torch.get_rng_state(), before)


def test_a_seed_works_on_mps(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[object] = []
    monkeypatch.setattr(torch.mps, "get_rng_state", lambda: "before")
    monkeypatch.setattr(torch.mps, "manual_seed", calls.append)
    monkeypatch.setattr(torch.mps, "set_rng_state", calls.append)
    with seeded(7, torch.device("mps")):
        calls.append("drawn")
    assert calls == [7, "drawn", "before"]

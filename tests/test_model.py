"""SalmonnModel on random weights: what stands where, what is trained, what a batch does, what is refused."""

from __future__ import annotations

import pytest
import torch
from tiny import tiny_config, tiny_salmonn
from torch import Tensor
from torch.nn.functional import cross_entropy

from salmonn_mini.errors import SalmonnError
from salmonn_mini.models.config import CONNECTORS, ConnectorConfig
from salmonn_mini.models.features import Features
from salmonn_mini.models.lora import lora_scale
from salmonn_mini.models.salmonn import SalmonnModel
from salmonn_mini.models.splice import IGNORE_INDEX, Prompt, Spliced

INSTRUCTIONS = ["Write it down.", "Please tell me: what is in the {garden}?", ""]
ANSWERS = ["a dog barks", "the farmer buys a red apple", "anna"]


def waves(*seconds: float) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(round(s * 16_000), generator=generator) * 0.1 for s in seconds]


@pytest.fixture(scope="module")
def model() -> SalmonnModel:
    return tiny_salmonn()


@pytest.fixture(scope="module")
def encoded(model: SalmonnModel) -> Features:
    return model.encode(waves(1.0, 2.3, 0.5))


def of_kind(kind: str) -> SalmonnModel:
    connector = ConnectorConfig.from_dict(tiny_config().connector.to_dict() | {"kind": kind})
    return tiny_salmonn(config=tiny_config(connector=connector))


# --- the splice ------------------------------------------------------------------------------------------------------


def picture(model: SalmonnModel, spliced: Spliced, H: Tensor) -> list[str]:
    """Two lines a clip: what stands at each place, and under it ^ where the loss looks."""
    table = model.llm.get_input_embeddings().weight
    lines = []
    for embeddings, mask, labels, tokens in zip(
        spliced.inputs_embeds, spliced.attention_mask, spliced.labels, H, strict=True
    ):
        signs = []
        for embedding, own in zip(embeddings, mask, strict=True):
            if not own:
                signs.append(".")
            elif (tokens == embedding).all(-1).any():
                signs.append("#")
            else:
                (place,) = (table == embedding).all(-1).nonzero()[:, 0].tolist()
                signs.append({model.prompt.eos_token_id: "e", model.prompt.before[0]: "s"}.get(place, "t"))
        lines += ["".join(signs), "".join(" ^"[int(label != IGNORE_INDEX)] for label in labels)]
    return lines


def test_what_stands_where_and_where_the_loss_looks(model: SalmonnModel) -> None:
    """s start, t text, # audio token, e end symbol, . padding; the loss looks at ^ alone."""
    H, lengths = torch.randn(2, 3, model.llm.config.hidden_size), torch.tensor([2, 3])
    before = "s" + "t" * (len(model.prompt.before) - 1)
    after = ["t" * len(model.prompt.after(text)) for text in INSTRUCTIONS[:2]]
    answer = ["t" * (len(model.prompt.answer(text)) - 1) + "e" for text in ANSWERS[:2]]
    rows = [before + "##" + after[0], before + "###" + after[1]]
    marks = [" " * len(row) + "^" * len(own) for row, own in zip(rows, answer, strict=True)]
    full = [row + own for row, own in zip(rows, answer, strict=True)]
    width = max(map(len, full))
    expected = [
        full[0].ljust(width, "."),
        marks[0].ljust(width),
        full[1].ljust(width, "."),
        marks[1].ljust(width),
    ]
    spliced = model.splice(H, lengths, INSTRUCTIONS[:2], ANSWERS[:2])
    assert picture(model, spliced, H) == expected
    assert spliced.labels[0][spliced.labels[0] != IGNORE_INDEX].tolist() == model.prompt.answer(ANSWERS[0])
    assert spliced.position_ids[1].tolist() == list(range(width))

    width = max(map(len, rows))  # for generation: padded on the left, positions counted from the start symbol
    spliced = model.splice(H, lengths, INSTRUCTIONS[:2])
    assert picture(model, spliced, H)[::2] == [row.rjust(width, ".") for row in rows]
    assert spliced.position_ids[0, -len(rows[0]) :].tolist() == list(range(len(rows[0])))


def test_the_prompt_is_laid_out_as_published(model: SalmonnModel) -> None:
    prompt = model.prompt
    text = prompt.tokenizer.decode(prompt.before + prompt.after("Which {word}?"))
    assert text.replace(" ", "") == "<s>USER:<Speech></Speech>Which{word}?\nASSISTANT:"
    other = Prompt(model.tokenizer, "{} and so:", "</s>")
    assert other.before == [1, *other.ids("<Speech>")]
    assert other.after("I") == other.ids("</Speech> I and so:")
    with pytest.raises(SalmonnError, match=r"no symbol '<end>': .* '</s>' perhaps"):
        Prompt(model.tokenizer, "{}", "<end>")


def test_the_end_may_be_cut_off(model: SalmonnModel) -> None:
    H, lengths = torch.randn(1, 3, model.llm.config.hidden_size), torch.tensor([3])
    spliced = model.splice(H, lengths, ["I"], ["the farmer buys a red apple"], max_answer_tokens=2)
    kept = spliced.labels[spliced.labels != IGNORE_INDEX].tolist()
    assert kept == model.prompt.answer("the farmer buys a red apple")[:2]


# --- loss and probability --------------------------------------------------------------------------------------------


def test_the_loss_is_the_whole_models_on_the_answer_alone(model: SalmonnModel, encoded: Features) -> None:
    """Against transformers' own forward over the whole row, clip by clip."""
    total, tokens = 0.0, 0
    for features, instruction, answer in zip(encoded.clips(), INSTRUCTIONS, ANSWERS, strict=True):
        spliced = model.splice(*model.get_audio_features(features), [instruction], [answer])
        logits = model.llm(inputs_embeds=spliced.inputs_embeds).logits[0, :-1]
        total += cross_entropy(
            logits, spliced.labels[0, 1:], ignore_index=IGNORE_INDEX, reduction="sum"
        ).item()
        tokens += len(model.prompt.answer(answer))
    loss = model(encoded, INSTRUCTIONS, ANSWERS)
    assert loss.tokens == tokens
    assert abs(loss.total.item() - total) < 1e-3
    torch.testing.assert_close(loss.mean, loss.total / tokens)
    torch.testing.assert_close(-model.log_prob(encoded, INSTRUCTIONS, ANSWERS).sum(), loss.total.detach())


def test_log_prob_is_the_sum_of_generations_own_scores(
    model: SalmonnModel, encoded: Features, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = model.generate(encoded, INSTRUCTIONS, max_new_tokens=6)
    ids = [[*answer.token_ids[:5], model.prompt.eos_token_id] for answer in answers]
    spliced = model.splice(*model.get_audio_features(encoded), INSTRUCTIONS)
    expected = []
    for i, own in enumerate(ids):
        places = spliced.attention_mask[i].nonzero()[:, 0]
        embeddings = spliced.inputs_embeds[i, places][None]
        for token in own:
            log_probs = model.llm(inputs_embeds=embeddings).logits[0, -1].log_softmax(-1)
            expected.append((i, log_probs[token].item()))
            embeddings = torch.cat([embeddings, model.llm.get_input_embeddings()(torch.tensor([[token]]))], 1)
    sums = [sum(score for j, score in expected if j == i) for i in range(3)]
    by_text = dict(zip(ANSWERS, ids, strict=True))
    monkeypatch.setattr(model.prompt, "answer", by_text.__getitem__)
    torch.testing.assert_close(
        model.log_prob(encoded, INSTRUCTIONS, ANSWERS), torch.tensor(sums), atol=1e-4, rtol=0
    )


def learned(model: SalmonnModel, encoded: Features) -> tuple[Tensor, Tensor, dict[str, Tensor], list[Tensor]]:
    """Loss, by row too, and gradients of a training step with dropout; and what the LLM's layers and the loss kept."""
    kept: list[Tensor] = []
    H, lengths = model.get_audio_features(encoded)
    spliced = model.splice(H, lengths, INSTRUCTIONS, ANSWERS)
    model.train()
    model.zero_grad()
    with torch.random.fork_rng():
        torch.manual_seed(3)
        with torch.autograd.graph.saved_tensors_hooks(lambda x: (kept.append(x), x)[1], lambda x: x):
            states, targets, _ = model.answer_hidden_states(spliced)
            each = model._cross_entropy(states, targets)
            total = each.sum()
        total.backward()
    model.eval()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    return total.detach(), each.detach(), gradients, kept


@pytest.mark.filterwarnings("error::FutureWarning")
def test_gradient_checkpointing_keeps_less_and_changes_no_bit(encoded: Features) -> None:
    model = tiny_salmonn()
    total, each, gradients, kept = learned(model, encoded)
    model.gradient_checkpointing_enable()
    again = learned(model, encoded)
    assert torch.equal(again[0], total) and torch.equal(again[1], each)
    assert all(torch.equal(again[2][name], gradient) for name, gradient in gradients.items())
    assert sum(x.nbytes for x in again[3]) < 0.5 * sum(x.nbytes for x in kept)
    assert not any(layer.training for layer in model.llm.get_base_model().model.layers)  # in evaluation
    model.gradient_checkpointing_disable()
    assert len(learned(model, encoded)[3]) == len(kept)


def test_logits_in_pieces_are_not_kept_and_give_the_same_loss(encoded: Features) -> None:
    model = tiny_salmonn()
    total, each, gradients, kept = learned(model, encoded)
    V = model.llm.config.vocab_size
    assert any(x.shape == (len(each), V) for x in kept)
    model.max_logits = 4 * V
    again = learned(model, encoded)
    assert not any(x.shape[-1:] == (V,) and x.numel() > V for x in again[3])
    torch.testing.assert_close(again[0], total)
    torch.testing.assert_close(again[1], each)
    for name, gradient in gradients.items():
        torch.testing.assert_close(again[2][name], gradient, atol=1e-5, rtol=1e-3, msg=name)
    scores = model.log_prob(encoded, INSTRUCTIONS, ANSWERS)
    torch.testing.assert_close(-scores.sum(), model(encoded, INSTRUCTIONS, ANSWERS).total.detach())


# --- batches ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", CONNECTORS)
def test_a_clip_does_not_notice_its_batch(kind: str) -> None:
    model = of_kind(kind)
    clips = waves(0.4, 3.1, 1.7)
    batch = model.encode(clips)
    H, lengths = model.get_audio_features(batch)
    scores = model.log_prob(batch, INSTRUCTIONS, ANSWERS)
    answers = model.generate(batch, INSTRUCTIONS, max_new_tokens=12)
    beams = model.generate(batch, INSTRUCTIONS, max_new_tokens=6, num_beams=3)
    for i, clip in enumerate(clips):
        alone, text = model.encode([clip]), [INSTRUCTIONS[i]]
        tokens, length = model.get_audio_features(alone)
        counted = model.audio_token_count(alone)[0]
        assert length == lengths[i] and (length <= counted if kind == "ctc" else length == counted)
        torch.testing.assert_close(H[i, :length], tokens[0], atol=1e-4, rtol=0)
        assert not H[i, length:].any()
        torch.testing.assert_close(
            scores[i], model.log_prob(alone, text, [ANSWERS[i]])[0], atol=1e-4, rtol=1e-5
        )
        assert model.generate(alone, text, max_new_tokens=12) == [answers[i]]
        assert model.generate(alone, text, max_new_tokens=6, num_beams=3) == [beams[i]]


def test_features_are_stacked_and_taken_apart(encoded: Features) -> None:
    again = Features.stack(encoded.clips())
    assert torch.equal(again.whisper, encoded.whisper) and torch.equal(again.beats, encoded.beats)
    assert torch.equal(again.whisper_lengths, encoded.whisper_lengths)
    half = encoded.to(torch.float16)
    assert half.beats.dtype == torch.float16 and half.beats_lengths.dtype == torch.int64


@pytest.mark.parametrize(
    "target", [("meta",), (torch.device("meta"), torch.float16), ("meta", torch.bfloat16)]
)
def test_features_move_as_tensors_do(encoded: Features, target: tuple) -> None:
    moved = encoded.to(*target)
    for name, (frames, lengths) in moved.streams().items():
        assert frames.device.type == lengths.device.type == "meta" and lengths.dtype == torch.int64, name
        assert frames.dtype == getattr(encoded, name).to(*target).dtype
    assert encoded.to(dtype=torch.float64).beats.dtype == torch.float64


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_features_may_be_of_another_type(model: SalmonnModel, encoded: Features, dtype: torch.dtype) -> None:
    H, _ = model.get_audio_features(encoded)
    other, _ = model.get_audio_features(encoded.to(dtype))
    assert other.dtype == torch.float32
    torch.testing.assert_close(other, H, atol=5e-2 if dtype == torch.bfloat16 else 5e-3, rtol=0)


@pytest.mark.parametrize("kind", CONNECTORS)
@pytest.mark.parametrize(("dtype", "atol"), [(torch.float16, 0.2), (torch.bfloat16, 1.0)])
def test_a_model_in_half_precision(kind: str, dtype: torch.dtype, atol: float) -> None:
    model = of_kind(kind)
    clips = waves(1.0, 2.3, 0.5)
    expected, tokens = model.log_prob(model.encode(clips), INSTRUCTIONS, ANSWERS), model.encode(clips)
    half = of_kind(kind).to(dtype)
    features = half.encode(clips)
    assert {name: x.dtype for name, (x, _) in features.streams().items()} == {
        "whisper": dtype,
        "beats": torch.float32,
    }
    assert torch.equal(features.beats, tokens.beats)
    assert half.get_audio_features(features)[0].dtype == dtype
    torch.testing.assert_close(half.log_prob(features, INSTRUCTIONS, ANSWERS), expected, atol=atol, rtol=0.02)
    assert len(half.generate(features, INSTRUCTIONS, max_new_tokens=3)) == 3


def test_layer_norms_do_not_overflow_in_float16(model: SalmonnModel) -> None:
    half = tiny_salmonn().to(torch.float16)
    loud = Features(whisper=torch.randn(1, 50, 16) * 1e6, whisper_lengths=torch.tensor([50]))
    expected = model.ln_speech(loud.whisper)
    torch.testing.assert_close(half.fuse(loud)[0].float(), expected, atol=5e-3, rtol=0)


# --- what is trained -------------------------------------------------------------------------------------------------


def test_frozen_means_frozen(model: SalmonnModel) -> None:
    model = tiny_salmonn()
    model.train()
    training = {name for name, module in model.named_modules() if module.training}
    assert {name.split(".")[0] for name in training} <= {"", "ln_speech", "ln_audio", "connector", "llm"}
    assert all(".lora_dropout" in name for name in training if name.startswith("llm"))
    before = {name: p.clone() for name, p in model.named_parameters()}
    encoded = model.encode(waves(1.0))
    for _ in range(2):  # LoRA's A has no gradient while B is zero
        model(encoded, INSTRUCTIONS[:1], ANSWERS[:1]).total.backward()
        with torch.no_grad():
            for p in model.parameters():
                assert p.requires_grad or p.grad is None
                p -= 0.1 * (0 if p.grad is None else p.grad)
    moved = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    assert moved <= model.trainable_state().keys()
    still = model.trainable_state().keys() - moved
    # a single query attends to itself alone: its self-attention has nothing to choose
    assert all(".attention.self." in name for name in still)


def test_trainable_state_goes_into_another_model(model: SalmonnModel, encoded: Features) -> None:
    other = tiny_salmonn(seed=1)
    for parameter in other.connector.parameters():  # as in a stage that trains LoRA alone
        parameter.requires_grad_(False)
    assert other.trainable_state().keys() == model.trainable_state().keys()
    other.load_trainable({name: tensor.clone() for name, tensor in model.trainable_state().items()})
    own = model.fuse(encoded)
    torch.testing.assert_close(other.connector(*own)[0], model.connector(*own)[0])
    state = model.trainable_state()
    state["ln_audio.bias"] = torch.zeros(3)
    state["extra"] = state.pop("ln_audio.weight")
    with pytest.raises(SalmonnError) as problem:
        other.load_trainable(state, "adapter.safetensors")
    for part in ("adapter.safetensors does not fit", "missing ln_audio.weight", "unexpected extra", "(3,)"):
        assert part in str(problem.value)


# --- one encoder ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoder", ["whisper", "beats"])
def test_one_encoder_is_enough(encoder: str) -> None:
    absent = "beats" if encoder == "whisper" else "whisper"
    model = tiny_salmonn(config=tiny_config(**{absent: None}))
    encoded = model.encode(waves(1.0, 0.5))
    assert getattr(encoded, absent) is None and len(encoded) == 2
    assert model.fuse(encoded)[0].shape[-1] == 16
    assert len(Features.stack(encoded.clips())) == 2
    model(encoded, INSTRUCTIONS[:2], ANSWERS[:2]).total.backward()
    assert len(model.generate(encoded, INSTRUCTIONS[:2], max_new_tokens=4)) == 2


# --- answers ---------------------------------------------------------------------------------------------------------


def test_sampling_follows_its_seed_and_leaves_the_callers_alone(
    model: SalmonnModel, encoded: Features
) -> None:
    settings = {"max_new_tokens": 8, "do_sample": True, "temperature": 2.0, "top_p": 1.0}
    torch.manual_seed(5)
    first = model.generate(encoded, INSTRUCTIONS, seed=7, **settings)
    drawn = torch.rand(1)
    assert first == model.generate(encoded, INSTRUCTIONS, seed=7, **settings)
    assert first != model.generate(encoded, INSTRUCTIONS, seed=8, **settings)
    torch.manual_seed(5)
    assert torch.equal(drawn, torch.rand(1))


def test_an_answer_ends_with_its_end_symbol_or_says_that_it_does_not(
    model: SalmonnModel, encoded: Features, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = model.generate(encoded, INSTRUCTIONS, max_new_tokens=3, min_new_tokens=3)[0]
    assert len(answer.token_ids) == 3 and not answer.ended
    monkeypatch.setattr(model.prompt, "eos_token_id", answer.token_ids[1])
    again = model.generate(encoded, INSTRUCTIONS, max_new_tokens=3)[0]
    assert again.token_ids == answer.token_ids[:2] and again.ended


def test_the_lora_scale_changes_the_answer_and_comes_back(model: SalmonnModel, encoded: Features) -> None:
    model = tiny_salmonn()
    with torch.no_grad():
        for name, p in model.named_parameters():
            if ".lora_B." in name:
                p.normal_(std=0.3)
    scores = [model.log_prob(encoded, INSTRUCTIONS, ANSWERS)]
    for s in (0.0, 2.0):
        with lora_scale(model, s):
            scores.append(model.log_prob(encoded, INSTRUCTIONS, ANSWERS))
    assert not torch.allclose(scores[0], scores[1]) and not torch.allclose(scores[0], scores[2])
    torch.testing.assert_close(model.log_prob(encoded, INSTRUCTIONS, ANSWERS), scores[0])


# --- what is refused -------------------------------------------------------------------------------------------------


def test_texts_that_do_not_match_the_clips(model: SalmonnModel, encoded: Features) -> None:
    with pytest.raises(SalmonnError, match="instructions: 1 for 3 clips"):
        model.generate(encoded, ["Listen."])
    with pytest.raises(SalmonnError, match="answers: 2 for 3 clips"):
        model(encoded, INSTRUCTIONS, ANSWERS[:2])
    with pytest.raises(SalmonnError, match="instructions: a single text for 3 clips"):
        model.generate(encoded, "abc")


def test_clips_that_cannot_be_encoded(model: SalmonnModel) -> None:
    with pytest.raises(SalmonnError, match="no clips to encode"):
        model.encode([])
    with pytest.raises(SalmonnError, match=r"a clip of shape \(0,\)"):
        model.encode([torch.zeros(0)])
    with pytest.raises(SalmonnError, match=r"a clip of shape \(2, 100\)"):
        model.encode([torch.zeros(2, 100)])


def test_a_dropped_tail_needs_a_whole_window() -> None:
    connector = tiny_config().connector.replace(tail="drop", window_seconds=1.0)
    model = tiny_salmonn(config=tiny_config(connector=connector))
    with pytest.raises(SalmonnError, match=r"shorter than a window of 50"):
        model.get_audio_features(model.encode(waves(0.5)))

"""The loop that trains the toy's backbones, and what it feeds them."""

import json
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
import torch

from salmonn_mini.toy.backbones import random_words, soft, sounds, speech, text
from salmonn_mini.toy.backbones.loop import Place, Schedule, train
from salmonn_mini.toy.world import grammar
from salmonn_mini.toy.world.clips import ClipPlan, Music
from salmonn_mini.toy.world.lexicon import NUMBERS
from salmonn_mini.toy.world.text_tasks import TEXT_TASKS, draw_samples, draw_tasks
from salmonn_mini.toy.world.voice import Utterance

TASKS = [task for task in TEXT_TASKS for _ in range(40)]


@pytest.fixture(scope="module")
def samples():
    return draw_samples(TASKS, np.random.default_rng(0), "train")


@pytest.fixture(scope="module")
def tokenizer(samples):
    return text.train_tokenizer(samples)


def test_a_stopped_run_goes_on_bit_for_bit(tmp_path):
    def run(folder, stops):
        torch.manual_seed(0)
        for steps in stops:
            net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Linear(8, 1))
            if steps == stops[0]:
                first = {k: v.clone() for k, v in net.state_dict().items()}
            net.load_state_dict(first if not (folder / "net.pt").exists() else net.state_dict())
            try:
                train(
                    net,
                    _stopping(steps),
                    partial(_noisy_loss, net),
                    Schedule(10, 1e-2, warmup=2),
                    Place(folder, "net", save_every=3),
                    seed=7,
                )
            except KeyboardInterrupt:
                continue
        return net.state_dict()

    whole = run(tmp_path / "whole", [None])
    torn = run(tmp_path / "torn", [5, 8, None])
    assert all(torch.equal(whole[name], torn[name]) for name in whole)
    for folder in ("whole", "torn"):
        logged = [
            json.loads(line)["step"] for line in (tmp_path / folder / "net.jsonl").read_text().splitlines()
        ]
        assert logged == list(range(10))


def _stopping(at):
    def batch_of(step):
        if step == at:
            raise KeyboardInterrupt
        return [float(step + i) for i in range(5)]

    return batch_of


def _noisy_loss(net, items, number):
    noise = torch.rand(len(items), 4, generator=torch.Generator().manual_seed(number))
    return (net(noise).square() * torch.tensor(items)[:, None]).mean()


@pytest.mark.parametrize(
    "words",
    [
        "room 101",
        "it's",
        "50 %",
        "今天气温",
        "café",
        "cafe\u0301",
        "Hello,  World!",
        "“Zürich” 🐟",
        "x\u2028y",
    ],
)
def test_what_the_tokenizer_never_saw_comes_back(tokenizer, words):
    ids = tokenizer(words, add_special_tokens=False).input_ids
    assert tokenizer.decode([*ids, tokenizer.eos_token_id], skip_special_tokens=True).strip() == words


def test_the_tokenizer_keeps_words_whole_and_loses_nothing(tokenizer, samples):
    for sample in samples[::37]:
        for words in (sample.context, sample.prompt, sample.answer):
            assert tokenizer.decode(tokenizer(words, add_special_tokens=False).input_ids) == words
    assert tokenizer.tokenize("The farmer sells") == ["▁The", "▁farmer", "▁sells"]
    assert tokenizer.tokenize("Wake me up, Tom.")[-3:] == [",", "▁Tom", "."]
    assert tokenizer.tokenize("那个") == ["▁", "那", "个"]
    assert len(tokenizer) <= text.MAX_VOCABULARY
    assert not any(token in tokenizer.all_special_tokens for token in ("<0xC3>", "▁the"))


def test_every_spoken_word_is_one_token():
    """A window's audio token can then stand for a word."""
    rng = np.random.default_rng(0)
    own = text.train_tokenizer(draw_samples(text.draw_tasks(6000, rng), rng, "train"))
    split = [word for word in grammar.spoken_words() if len(own.tokenize(word)) > 1]
    assert split == ["o'clock"]


def test_labels_stand_on_the_answers_alone(tokenizer, samples):
    batch = text.Layout(tokenizer).batch(samples[:8])
    for row, sample in enumerate(samples[:8]):
        labels = batch.labels[row][batch.labels[row] != -100]
        assert tokenizer.decode(labels[:-1]) == sample.answer
        assert labels[-1] == tokenizer.eos_token_id
        assert tokenizer.decode(batch.ids[row][batch.context[row]]) == sample.context


def test_only_softened_contexts_are_turned_and_all_have_one_norm(tokenizer, samples):
    layout, rng = text.Layout(tokenizer), np.random.default_rng(1)
    batch = layout.batch(samples[:16], rng)
    assert batch.soft.any() and not batch.soft.all()
    where = batch.context & batch.soft[:, None]
    embed = torch.nn.Embedding(len(tokenizer), 64)
    clear, softened = embed(batch.ids), soft.soften(embed, batch.ids, batch.others, where)
    changed = (softened != clear).any(-1)
    assert not changed[~where].any() and changed[where].all()
    norms, cosines = softened[where].norm(dim=-1), torch.cosine_similarity(softened, clear, dim=-1)[where]
    assert torch.allclose(norms, embed.weight.norm(dim=-1).mean().expand_as(norms))
    assert 0.7 < cosines.mean() < 0.95 and cosines.min() > soft.LOWEST_COSINE - 0.2


def test_a_stretched_context_keeps_its_words_in_order():
    words, stops = list(range(10, 40)), {12, 13}
    for seed in range(20):
        stretched = soft.stretch(words, 0, stops, np.random.default_rng(seed))
        kept = [token for i, token in enumerate(stretched) if token and token not in stretched[:i]]
        assert [token for token in kept if token not in stops] == [
            word for word in words if word not in stops
        ]
        assert max(stretched.count(word) for word in words) <= 2


def test_a_word_is_mistaken_for_words_that_sound_alike(tokenizer):
    def spell(ids):
        return {tokenizer.decode([int(i)]).strip() for i in ids}

    alike = soft.sound_alikes(tokenizer)
    assert alike.shape == (len(tokenizer), soft.ALIKE)
    (monday,) = tokenizer("Monday", add_special_tokens=False).input_ids
    assert "Sunday" in spell(alike[monday]) and "Monday" not in spell(alike[monday])
    what, capital = (tokenizer(word, add_special_tokens=False).input_ids[0] for word in ("what", "What"))
    assert what != capital and torch.equal(alike[what], alike[capital])
    pad = tokenizer.pad_token_id
    assert (alike[pad] == pad).all()


def test_batches_of_text_are_a_function_of_seed_and_step(samples, tokenizer):
    pool, again = (text.TextPool(samples, text.Layout(tokenizer), 3) for _ in range(2))
    for step in (11, 40, 12):  # of one group of batches and of another
        assert pool.rows(step) == again.rows(step)
    other = text.TextPool(samples, text.Layout(tokenizer), 4)
    assert pool.rows(11) != pool.rows(12) and pool.rows(11) != other.rows(11)
    later = text.TextPool(samples, text.Layout(tokenizer), 3, before=40)
    assert later.rows(0) == pool.rows(40)


def test_the_second_part_has_no_exercises() -> None:
    first, second = (set(draw_tasks(5000, np.random.default_rng(0), part)) for part in (0, 1))
    assert first == {*TEXT_TASKS}
    assert first - second == {"next_word", "previous_word", "reverse"}


def test_random_words_come_first(samples, tokenizer):
    pool = text.TextPool(samples, text.Layout(tokenizer), 3)
    known = {sample.answer for sample in samples}
    answers = lambda step: [  # noqa: E731
        tokenizer.decode(row.parts[3], skip_special_tokens=True) for row in pool.rows(step)
    ]
    assert sum(answer in known for answer in answers(0)) < text.BATCH / 2  # numbers, and yes and no
    assert sum(answer in known for answer in answers(2 * text.RANDOM_STEPS)) > text.BATCH / 2
    assert not any(row.softened for step in (0, text.SOFT_STEPS[0]) for row in pool.rows(step))
    assert any(row.softened for row in pool.rows(text.SOFT_STEPS[1]))


def test_tasks_on_random_words_are_right(tokenizer):
    words, rng = random_words.words_of(tokenizer), np.random.default_rng(0)
    assert {"the", "farmer", "Monday"} <= {*words}
    drawn = [random_words.draw(rng, words) for _ in range(800)]
    assert {sample.task for sample in drawn} == {*random_words.SHARES} == {*random_words.LENGTHS}
    for sample in drawn:
        listed = sample.task in random_words.LISTS
        said = sample.context.split(", " if listed else None)
        assert random_words.LENGTHS[sample.task][0] <= len(said) <= random_words.LENGTHS[sample.task][1]
        assert sample.answer in right_answers(sample, said)
        ids = tokenizer(sample.context, add_special_tokens=False).input_ids
        assert tokenizer.decode(ids) == sample.context


def right_answers(sample, said: list[str]) -> list[str]:
    """What may be answered to a task on random words, found by looking at its context and its prompt alone."""
    neighbors = [*pairwise(said)]
    if sample.task in ("next_word", "previous_word"):
        pairs = neighbors if sample.task == "next_word" else [pair[::-1] for pair in neighbors]
        return [answer for word, answer in pairs if sample.prompt.rstrip("?.").endswith(f" {word}")]
    return {
        "asr": [sample.context],
        "phone_copy": [sample.context],
        "reverse": [", ".join(reversed(said))],
        "first_word": said[:1],
        "last_word": said[-1:],
        "count_words": [f"{dict(enumerate(NUMBERS, 1)).get(len(said), '').capitalize()}."],
    }[sample.task]


def test_batches_of_text_hold_little_padding(samples, tokenizer):
    layout = text.Layout(tokenizer)
    pool = text.TextPool(samples, layout, 3)
    masks = [layout.pad(pool.rows(text.RANDOM_STEPS + step)).mask for step in range(pool.GROUP)]
    assert sum(mask.sum().item() for mask in masks) > 0.85 * sum(mask.numel() for mask in masks)


def test_whisper_overfits_one_batch(tokenizer):
    torch.manual_seed(0)
    spoken = speech.speak_all(["The dog sees a cake.", "Which day follows Monday?"], np.random.default_rng(0))
    model = speech.WhisperWithCtc(tokenizer)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for _ in range(60):
        optimizer.zero_grad()
        model.loss(spoken).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    assert model.eval().transcribe([one.wave for one in spoken]) == [one.text for one in spoken]


def test_tags_name_all_that_a_plan_holds():
    names = lambda plan: {t for t, on in zip(sounds.TAGS, sounds.tags_of(plan), strict=True) if on}  # noqa: E731
    assert names(ClipPlan(0, events=("dog", "rain"))) == {"dog", "rain"}
    assert names(ClipPlan(0, music=Music("piano", "slow", "sad"))) == {"piano", "tempo slow", "mode sad"}
    assert names(ClipPlan(0, (Utterance("x", "alice", "happy"),))) == {
        "mood happy",
        "female",
        "speaker alice",
    }

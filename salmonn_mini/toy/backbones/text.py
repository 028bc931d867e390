"""The toy LLM: a tokenizer and a Llama that learn to follow instructions over text alone.

The words between `<Speech>` and `</Speech>` stand where SALMONN will put its audio tokens. In half of the samples
they are softened in training (soft.py).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from salmonn_mini.models.config import PRESETS
from salmonn_mini.models.splice import Prompt
from salmonn_mini.toy.backbones import soft
from salmonn_mini.toy.backbones.loop import Place, Schedule, train
from salmonn_mini.toy.world.practice import PRACTICE
from salmonn_mini.toy.world.text_tasks import MAKERS, TextSample, draw_samples

SCHEDULE = Schedule(steps=4000, lr=2e-3)
FINISH = Schedule(steps=7600, lr=1.2e-3, warmup=50)  # with practice on what is hardest, once all is known
PRACTICE_SHARES = {
    "repeat": 0.2, "slot_filling": 0.05, "phone_recognition": 0.12, "spoken_query_qa": 0.18, "co_reasoning": 0.1,
    "tags": 0.03,
}  # fmt: skip
BATCH = 64
BARE_SHARE = 0.1  # samples without an instruction: they teach P(Y|X)
# Long answers and large tables need more samples than the rest.
_WEIGHTS = {
    "translation_zh": 2.0, "translation_de": 2.5, "translation_ja": 2.5, "phone_recognition": 2.5, "story": 2.0,
    "spoken_query_qa": 2.5, "slot_filling": 1.5, "co_reasoning": 1.5, "detail": 1.5, "speech_qa": 1.5, "spelling": 1.5,
    "asr": 0.6, "audio_caption": 0.3, "music_caption": 0.3, "emotion": 0.3, "gender": 0.3,
    "overlapped_speech": 0.3, "speaker_verification": 0.3,
    "repeat": 0.0,  # it comes at the end, as practice
}  # fmt: skip


# --- tokenizer -------------------------------------------------------------------------------------------------------


def train_tokenizer(samples: Sequence[TextSample]) -> PreTrainedTokenizerFast:
    """A BPE in lower case with byte fallback, as Llama's; Chinese and Japanese go character by character."""
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    characters = Regex(r"\n|[\p{Han}\p{Hiragana}\p{Katakana}ー]")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(characters, "isolated"),
            pre_tokenizers.Punctuation("isolated"),
            pre_tokenizers.Metaspace("▁", prepend_scheme="first"),
        ]
    )
    tokenizer.decoder = decoders.Sequence(
        [decoders.ByteFallback(), decoders.Metaspace("▁", prepend_scheme="first")]
    )
    special = ["<pad>", "<s>", "</s>", "<unk>"]
    trainer = trainers.BpeTrainer(
        vocab_size=4096,
        special_tokens=special + [f"<0x{byte:02X}>" for byte in range(256)],
        show_progress=False,
    )
    prompt = PRESETS["toy"].prompt_template
    corpus = [prompt.format(f"<Speech> {s.context} </Speech> {s.prompt}") + f" {s.answer}" for s in samples]
    tokenizer.train_from_iterator(corpus, trainer)
    # The trainer knows one way to reserve the bytes: as special tokens, which decoding would then leave out.
    state = json.loads(tokenizer.to_str())
    state["added_tokens"] = [token for token in state["added_tokens"] if token["content"] in special]
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(state)),
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
    )


# --- batches ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TextBatch:
    """Token ids (B, S), attention mask (B, S), labels (B, S; -100 outside the answers), context mask (B, S)."""

    ids: Tensor
    others: Tensor  # (B, S): for which tokens they may be taken
    mask: Tensor
    labels: Tensor
    context: Tensor
    soft: Tensor  # (B,) bool: whose context is softened


class Layout:
    """Lays samples out as SALMONN's prompts, with words in the place of the sound."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self.prompt = Prompt(tokenizer, PRESETS["toy"].prompt_template, PRESETS["toy"].eos_token)

    def batch(self, samples: Sequence[TextSample], rng: np.random.Generator | None = None) -> TextBatch:
        """A padded batch; with an rng, contexts are softened and instructions left out at random."""
        rows, softened = [], []
        for sample in samples:
            context = self.prompt.ids(sample.context)
            soften = rng is not None and rng.random() < soft.SHARE and sample.task not in soft.CRISP
            if soften:
                context = soft.stretch(context, self.prompt.tokenizer.unk_token_id, rng)
            softened.append(soften)
            after, answer = self.prompt.after(sample.prompt), self.prompt.answer(sample.answer)
            rows.append((self.prompt.before, context, after, answer))
        batch = _pad(rows, softened, self.prompt.tokenizer.pad_token_id)
        if rng is None:
            return batch
        which = torch.from_numpy(rng.integers(soft.ALIKE, size=tuple(batch.ids.shape)))
        return replace(batch, others=self.alike[batch.ids, which])

    @cached_property
    def alike(self) -> Tensor:
        """(V, ALIKE): see soft.sound_alikes."""
        return soft.sound_alikes(self.prompt.tokenizer)


def _pad(rows: list[tuple[list[int], ...]], softened: list[bool], pad: int) -> TextBatch:
    width = max(sum(map(len, row)) for row in rows)
    ids = torch.full((len(rows), width), pad)
    mask, context = torch.zeros(2, len(rows), width, dtype=torch.bool)
    labels = torch.full((len(rows), width), -100)
    for i, row in enumerate(rows):
        starts = np.cumsum([0, *map(len, row)])
        ids[i, : starts[-1]] = torch.tensor([token for part in row for token in part])
        mask[i, : starts[-1]] = True
        context[i, starts[1] : starts[2]] = True
        labels[i, starts[3] : starts[4]] = torch.tensor(row[3])
    return TextBatch(ids, ids, mask, labels, context, torch.tensor(softened))


# --- training --------------------------------------------------------------------------------------------------------


def draw_tasks(n: int, rng: np.random.Generator) -> list[str]:
    """The tasks of n training samples."""
    names = list(MAKERS)
    weights = np.array([_WEIGHTS.get(name, 1.0) for name in names])
    return [names[i] for i in rng.choice(len(names), size=n, p=weights / weights.sum())]


def build(tokenizer: PreTrainedTokenizerFast, seed: int) -> LlamaForCausalLM:
    """The toy's Llama with random weights."""
    torch.manual_seed(seed)
    return LlamaForCausalLM(
        LlamaConfig(
            **PRESETS["toy"].llm.sizes() | {"vocab_size": len(tokenizer)},
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            attn_implementation="eager",  # the fastest on a CPU at these lengths
        )
    )


def answer_loss(llm: LlamaForCausalLM, batch: TextBatch) -> Tensor:
    """Mean cross-entropy of the answers' tokens; logits only there."""
    where = batch.context & batch.soft[:, None]
    embeddings = soft.soften(llm.get_input_embeddings(), batch.ids, batch.others, where)
    states = llm.model(inputs_embeds=embeddings, attention_mask=batch.mask, use_cache=False).last_hidden_state
    targets = batch.labels[:, 1:]
    asked = targets != -100
    return nn.functional.cross_entropy(llm.lm_head(states[:, :-1][asked]).float(), targets[asked])


class TextPool:
    """Draws batches of samples of like length: a group of batches is drawn at once, sorted and cut."""

    GROUP = 8

    def __init__(self, samples: Sequence[TextSample], seed: int) -> None:
        self.samples, self.seed = samples, seed

    def batch(self, step: int) -> list[TextSample]:
        """The samples of a step, a function of (seed, step)."""
        rng = np.random.default_rng((self.seed, step // self.GROUP))
        drawn = [self.samples[i] for i in rng.integers(len(self.samples), size=self.GROUP * BATCH)]
        drawn.sort(key=lambda s: len(s.context) + len(s.prompt) + len(s.answer))
        place = BATCH * int(rng.permutation(self.GROUP)[step % self.GROUP])
        return [
            replace(sample, prompt="") if rng.random() < BARE_SHARE else sample
            for sample in drawn[place : place + BATCH]
        ]


def train_llm(
    place: Place, schedule: Schedule = SCHEDULE, finish: Schedule = FINISH, seed: int = 0
) -> tuple[LlamaForCausalLM, PreTrainedTokenizerFast, dict]:
    """The toy's LLM and tokenizer trained from scratch, with the steps and seconds that it took."""
    rng = np.random.default_rng(seed)
    samples = draw_samples(draw_tasks(schedule.steps * BATCH, rng), rng, "train")
    tokenizer = train_tokenizer(samples[:40_000])
    llm = build(tokenizer, seed)
    took = [train(llm, loss_of_step(llm, tokenizer, samples, seed), schedule, place, seed=seed)]
    took.append(finish_llm(llm, tokenizer, replace(place, name=f"{place.name}-finish"), finish, seed))
    return llm, tokenizer, {key: sum(part[key] for part in took) for key in took[0]}


def finish_llm(
    llm: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    place: Place,
    schedule: Schedule = FINISH,
    seed: int = 0,
) -> dict:
    """The last steps, in part on freer material for the tasks that are hardest; what they took."""
    rng = np.random.default_rng((seed, 2))
    n = schedule.steps * BATCH
    practiced = [task for task, share in PRACTICE_SHARES.items() for _ in range(int(share * n))]
    samples = draw_samples(draw_tasks(n - len(practiced), rng), rng, "train")
    samples += draw_samples(practiced, rng, "train", makers=MAKERS | PRACTICE)
    return train(llm, loss_of_step(llm, tokenizer, samples, seed + 1), schedule, place, seed=seed + 1)


def loss_of_step(
    llm: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, samples: Sequence[TextSample], seed: int
) -> Callable[[int], Tensor]:
    """The loss of a step's batch, a function of (seed, step)."""
    layout, pool = Layout(tokenizer), TextPool(samples, seed)
    return lambda step: answer_loss(
        llm, layout.batch(pool.batch(step), np.random.default_rng((seed, step, 1)))
    )

"""The toy LLM: a tokenizer and a Llama that learn to follow instructions over text alone.

The words between `<Speech>` and `</Speech>` stand where SALMONN will put its audio tokens. In half of the samples
they are softened in training (soft.py).
"""

from __future__ import annotations

import string
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np
import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from salmonn_mini.models.config import PRESETS
from salmonn_mini.models.splice import Prompt
from salmonn_mini.toy.backbones import random_words, soft
from salmonn_mini.toy.backbones.loop import Place, Schedule, train
from salmonn_mini.toy.world.text_tasks import TextSample, draw_samples, draw_tasks
from salmonn_mini.toy.world.wordings import add_affixes

# Two parts, of other shares of the tasks: some 100 and 30 minutes on two cores with bfloat16.
SCHEDULES = (Schedule(steps=12_000, lr=2e-3, warmup=300), Schedule(steps=3500, lr=6e-4, warmup=100))
RANDOM_STEPS, RANDOM_SHARE = 2000, 0.1  # the first steps have random words alone, the later ones so many
SOFT_STEPS = (5000, 7000)  # between these the share of softened contexts grows from 0 to soft.SHARE
BATCH = 64
AFFIX_SHARE = 0.15  # samples whose instruction stands between an opening and an ending
MAX_VOCABULARY = 2000
POOL, CORPUS = 400_000, 20_000  # samples to draw from, and those that the tokenizer is made from
STOPS = ".,?"


# --- tokenizer -------------------------------------------------------------------------------------------------------


def train_tokenizer(samples: Sequence[TextSample]) -> PreTrainedTokenizerFast:
    """A unigram tokenizer with byte fallback, as SentencePiece's: the samples' words, whole, and single characters.

    A word with a capital has a token of its own. Chinese and Japanese go character by character. Words beyond
    MAX_VOCABULARY, the rarest, are spelled; what was never seen becomes bytes. No text is lost.
    """
    characters = Regex(r"\n|[\p{Han}\p{Hiragana}\p{Katakana}ー。]")
    pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(characters, "isolated"),
            pre_tokenizers.Punctuation("isolated"),
            pre_tokenizers.Metaspace("▁", prepend_scheme="first"),
        ]
    )
    layout = "".join(PRESETS["toy"].prompt_template.partition("{}")[::2])
    texts = [text for sample in samples for text in (sample.context, sample.prompt, sample.answer)]
    pieces = lambda text: [piece for piece, _ in pre_tokenizer.pre_tokenize_str(text)]  # noqa: E731
    counts = Counter(piece for text in texts for piece in pieces(text) if not _is_spelled(piece))
    counts.update(dict.fromkeys(pieces(f"{layout} <Speech> </Speech>"), len(samples)))
    seen = sorted({*"".join(texts), *string.printable.strip(), "▁", "\n"})
    vocabulary = [("<pad>", 0.0), ("<s>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    vocabulary += [(f"<0x{byte:02X}>", 0.0) for byte in range(256)]
    vocabulary += [(character, -20.0) for character in seen]  # far less likely than any word
    words = [(piece, float(np.log(n / counts.total()))) for piece, n in counts.items() if len(piece) > 1]
    words.sort(key=lambda word: (-word[1], word[0]))
    vocabulary += words[: MAX_VOCABULARY - len(vocabulary)]
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=3, byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.Sequence(
        [decoders.ByteFallback(), decoders.Metaspace("▁", prepend_scheme="first")]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        clean_up_tokenization_spaces=False,
    )


def _is_spelled(piece: str) -> bool:
    """Whether a piece has no token of its own: Chinese and Japanese after a space, and words in capitals."""
    return max(piece) >= "\u3000" or (len(piece) > 2 and piece[1:].isupper())


# --- batches ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """A sample's token ids: what stands before the context, the context, what stands after it, the answer."""

    parts: tuple[list[int], list[int], list[int], list[int]]
    softened: bool

    def __len__(self) -> int:
        return sum(map(len, self.parts))


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

    @cached_property
    def stops(self) -> set[int]:
        """Token ids of STOPS."""
        return set(self.prompt.tokenizer.convert_tokens_to_ids(list(STOPS)))

    def context(self, sample: TextSample, rng: np.random.Generator | None = None) -> list[int]:
        """The context's token ids; with an rng as soft.stretch has them."""
        ids = self.prompt.ids(sample.context)
        return ids if rng is None else soft.stretch(ids, self.prompt.tokenizer.unk_token_id, self.stops, rng)

    def others(self, ids: Tensor, rng: np.random.Generator) -> Tensor:
        """For each token one that sounds like it."""
        return self.alike[ids, torch.from_numpy(rng.integers(soft.ALIKE, size=tuple(ids.shape)))]

    def row(
        self, sample: TextSample, rng: np.random.Generator | None = None, share: float = soft.SHARE
    ) -> Row:
        """One sample's token ids; with an rng, its context is softened in a share of the cases."""
        softened = rng is not None and rng.random() < share and sample.task not in soft.CRISP
        context = self.context(sample, rng if softened else None)
        after, answer = self.prompt.after(sample.prompt), self.prompt.answer(sample.answer)
        return Row((self.prompt.before, context, after, answer), softened)

    def batch(self, samples: Sequence[TextSample], rng: np.random.Generator | None = None) -> TextBatch:
        """A padded batch; with an rng, half of the contexts are softened."""
        return self.pad([self.row(sample, rng) for sample in samples], rng)

    def pad(self, rows: Sequence[Row], rng: np.random.Generator | None = None) -> TextBatch:
        """The batch of rows of token ids."""
        batch = _pad(rows, self.prompt.tokenizer.pad_token_id)
        return batch if rng is None else replace(batch, others=self.others(batch.ids, rng))

    @cached_property
    def alike(self) -> Tensor:
        """(V, ALIKE): see soft.sound_alikes."""
        return soft.sound_alikes(self.prompt.tokenizer)


def _pad(rows: Sequence[Row], pad: int) -> TextBatch:
    width = max(map(len, rows))
    ids = torch.full((len(rows), width), pad)
    mask, context = torch.zeros(2, len(rows), width, dtype=torch.bool)
    labels = torch.full((len(rows), width), -100)
    for i, row in enumerate(rows):
        starts = np.cumsum([0, *map(len, row.parts)])
        ids[i, : starts[-1]] = torch.tensor([token for part in row.parts for token in part])
        mask[i, : starts[-1]] = True
        context[i, starts[1] : starts[2]] = True
        labels[i, starts[3] : starts[4]] = torch.tensor(row.parts[3])
    return TextBatch(ids, ids, mask, labels, context, torch.tensor([row.softened for row in rows]))


# --- training --------------------------------------------------------------------------------------------------------


def build(tokenizer: PreTrainedTokenizerFast, seed: int) -> LlamaForCausalLM:
    """The toy's Llama with random weights; what a layer adds begins small, by 1 / √(2 · layers), as in GPT-2."""
    torch.manual_seed(seed)
    llm = LlamaForCausalLM(
        LlamaConfig(
            **PRESETS["toy"].llm.sizes() | {"vocab_size": len(tokenizer)},
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            initializer_range=0.06,  # 0.02, the default, is for far wider models: attention would come slowly
            attn_implementation="eager",  # the fastest on a CPU at these lengths
        )
    )
    for layer in llm.model.layers:
        for last in (layer.self_attn.o_proj, layer.mlp.down_proj):
            last.weight.data *= (2 * len(llm.model.layers)) ** -0.5
    return llm


def answer_loss(llm: LlamaForCausalLM, batch: TextBatch, generator: torch.Generator | None = None) -> Tensor:
    """Cross-entropy of the answers' tokens, each weighted by 1 / √n in an answer of n; logits only there.

    A plain mean over tokens would hardly count the answers of one word.
    """
    where = batch.context & batch.soft[:, None]
    embeddings = soft.soften(llm.get_input_embeddings(), batch.ids, batch.others, where, generator)
    states = llm.model(inputs_embeds=embeddings, attention_mask=batch.mask, use_cache=False).last_hidden_state
    targets = batch.labels[:, 1:]
    asked = targets != -100
    losses = nn.functional.cross_entropy(
        llm.lm_head(states[:, :-1][asked]).float(), targets[asked], reduction="none"
    )
    weights = asked.sum(1, keepdim=True).expand_as(asked)[asked] ** -0.5
    return (losses * weights).sum() / weights.sum()


class TextPool:
    """Draws batches of rows of like length: a group of batches is drawn at once, sorted and cut.

    `before` is the number of the steps of earlier pools: the shares of random words and of softened contexts go on.
    """

    GROUP = 16

    def __init__(self, samples: Sequence[TextSample], layout: Layout, seed: int, before: int = 0) -> None:
        self.samples, self.layout, self.seed, self.before = samples, layout, seed, before
        self._words = random_words.words_of(layout.prompt.tokenizer)
        self._group = lru_cache(maxsize=1)(self._draw)

    def rows(self, step: int) -> list[Row]:
        """The rows of a step's batch, a function of (seed, step)."""
        group, place = divmod(self.before + step, self.GROUP)
        order = np.random.default_rng((self.seed, group)).permutation(self.GROUP)
        start = BATCH * int(order[place])
        return self._group(group)[start : start + BATCH]

    def _draw(self, group: int) -> list[Row]:
        rng = np.random.default_rng((self.seed, group, 2))
        step = group * self.GROUP
        random = RANDOM_SHARE if step >= RANDOM_STEPS else 1.0
        softened = soft.SHARE * float(np.interp(step, SOFT_STEPS, (0, 1)))
        return sorted((self._row(rng, random, softened) for _ in range(self.GROUP * BATCH)), key=len)

    def _row(self, rng: np.random.Generator, random: float, softened: float) -> Row:
        if rng.random() < random:
            return self.layout.row(_with_affixes(random_words.draw(rng, self._words), rng))
        sample = self.samples[int(rng.integers(len(self.samples)))]
        return self.layout.row(_with_affixes(sample, rng), rng, softened)


def _with_affixes(sample: TextSample, rng: np.random.Generator) -> TextSample:
    return replace(sample, prompt=add_affixes(rng, sample.prompt)) if rng.random() < AFFIX_SHARE else sample


def train_llm(
    place: Place, schedules: Sequence[Schedule] = SCHEDULES, seed: int = 0
) -> tuple[LlamaForCausalLM, PreTrainedTokenizerFast, dict]:
    """The toy's LLM and tokenizer trained from scratch, with the steps and seconds that it took."""
    samples = _draw(schedules[0], seed, 0)
    tokenizer = train_tokenizer(samples[:CORPUS])
    llm = build(tokenizer, seed)
    layout, stats, before = Layout(tokenizer), [], 0

    def loss_of(rows: Sequence[Row], number: int) -> Tensor:
        batch = layout.pad(rows, np.random.default_rng(number))
        return answer_loss(llm, batch, torch.Generator().manual_seed(number))

    for part, schedule in enumerate(schedules):
        samples = samples if part == 0 else _draw(schedule, seed + part, part)
        pool = TextPool(samples, layout, seed + part, before)
        own = replace(place, name=f"{place.name}-{part + 1}")
        stats.append(train(llm, pool.rows, loss_of, schedule, own, seed=seed + part))
        before += schedule.steps
    return llm, tokenizer, {name: sum(part[name] for part in stats) for name in ("steps", "seconds")}


def _draw(schedule: Schedule, seed: int, part: int) -> list[TextSample]:
    """The samples of a part of the training."""
    rng = np.random.default_rng(seed)
    return draw_samples(draw_tasks(min(POOL, schedule.steps * BATCH), rng, part), rng, "train")

"""The toy Whisper: sequence to sequence, as Whisper is trained, on the toy world's speech.

Small data make the decoder's attention slow to find the words. A CTC loss over phones on the encoder shows it the
way; its head is thrown away afterwards. Clips are not padded to a window: the encoder sees the frames there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerFast, WhisperConfig, WhisperForConditionalGeneration

from salmonn_mini.models.config import GAP_SECONDS, PRESETS, SAMPLE_RATE
from salmonn_mini.models.encoders.whisper import WhisperEncoder
from salmonn_mini.toy.backbones.loop import Place, Schedule, train
from salmonn_mini.toy.world import acoustics, grammar
from salmonn_mini.toy.world.clips import BACKGROUND_SNR, LEAD_SECONDS, TAIL_SECONDS, draw_utterance
from salmonn_mini.toy.world.events import EVENTS, synthesize
from salmonn_mini.toy.world.grammar import pick
from salmonn_mini.toy.world.pronunciation import PHONES
from salmonn_mini.toy.world.voice import GENDERS, new_speaker, speak

SCHEDULE = Schedule(steps=3600, lr=1.5e-3, warmup=300)
UTTERANCES = 10_000
BATCH = 32
NEIGHBORS = 400  # a batch is drawn from so many utterances of like length
CTC_WEIGHT = 0.5
NEW_SPEAKERS = 0.5  # utterances by speakers that are heard once
_KINDS = (
    (grammar.draw_statement,) * 5 + (grammar.draw_question,) * 2 + (grammar.draw_command,) * 2
    + (grammar.draw_free_question,) * 2 + (grammar.draw_word_list,)
)  # fmt: skip


@dataclass(frozen=True)
class Spoken:
    """An utterance: its words, phones and samples (S,)."""

    text: str
    phones: tuple[str, ...]
    wave: np.ndarray


def draw_texts(n: int, rng: np.random.Generator, split: str) -> list[str]:
    """n texts: statements, questions, commands, lists of words, and questions about sounds."""
    texts = []
    for _ in range(n):
        if rng.random() < 0.1:
            texts.append(pick(rng, grammar.facts.SOUND_QUESTIONS))
        else:
            texts.append(grammar.draw(pick(rng, _KINDS), rng, split).text)
    return texts


def speak_all(texts: Sequence[str], rng: np.random.Generator) -> list[Spoken]:
    """Every text in a random mood and tempo, by a speaker of the training split or a new one of its ranges."""
    spoken = []
    for text in texts:
        how = vars(draw_utterance(text, rng))
        if rng.random() < NEW_SPEAKERS:
            how |= {"speaker": new_speaker("new", pick(rng, GENDERS), "train", rng.random(6))}
        said = speak(**how)
        spoken.append(Spoken(text, said.phones, said.wave))
    return spoken


class SpeechPool:
    """Utterances sorted by length; draws noisy batches of like length, and now and then pairs of speakers."""

    def __init__(self, spoken: Sequence[Spoken], backgrounds: Sequence[np.ndarray]) -> None:
        self.spoken = sorted(spoken, key=lambda one: len(one.wave))
        self.backgrounds = backgrounds

    def batch(self, rng: np.random.Generator) -> list[Spoken]:
        if rng.random() < 0.12:
            return [self._pair(rng) for _ in range(BATCH // 2)]
        start = int(rng.integers(max(1, len(self.spoken) - NEIGHBORS)))
        chosen = [self.spoken[start + i] for i in rng.integers(min(NEIGHBORS, len(self.spoken)), size=BATCH)]
        return [Spoken(one.text, one.phones, self._disturb(one.wave, rng)) for one in chosen]

    def _pair(self, rng: np.random.Generator) -> Spoken:
        first, second = (self.spoken[int(i)] for i in rng.integers(len(self.spoken), size=2))
        if rng.random() < 0.5:
            wave = acoustics.join([first.wave, second.wave], GAP_SECONDS)
        else:
            delay = rng.uniform(0.6, 0.95) * len(first.wave) / SAMPLE_RATE
            wave = acoustics.overlap(first.wave, second.wave, delay=delay)
        return Spoken(f"{first.text} {second.text}", first.phones + second.phones, self._disturb(wave, rng))

    def _disturb(self, wave: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        if rng.random() < 0.25:
            around = rng.uniform(0, LEAD_SECONDS[1]), rng.uniform(0, TAIL_SECONDS[1])
            wave = acoustics.mix(wave, pick(rng, self.backgrounds), rng.uniform(*BACKGROUND_SNR), *around)
        if rng.random() < 0.15:
            wave = acoustics.reverberate(wave, rng)
        if rng.random() < 0.6:
            wave = acoustics.add_noise(wave, rng, rng.uniform(12.0, 40.0))
        return (wave * rng.uniform(0.5, 1.0)).astype(np.float32)


def draw_backgrounds(rng: np.random.Generator, each: int = 12) -> list[np.ndarray]:
    """Some seconds of every sound event, several times."""
    return [synthesize(name, rng, 3.0) for name in EVENTS for _ in range(each)]


class WhisperWithCtc(nn.Module):
    """transformers' Whisper, its encoder shared with `WhisperEncoder`, and the CTC head for training."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        super().__init__()
        self.whisper = WhisperForConditionalGeneration(toy_config(tokenizer))
        self.whisper.set_attn_implementation("eager")  # the fastest on a CPU at these lengths
        self.ctc = nn.Linear(self.whisper.config.d_model, len(PHONES) + 1)
        wrapper = WhisperEncoder(self.whisper.config)
        wrapper.encoder = self.whisper.model.encoder
        self._encode = wrapper.forward  # a method, so that the encoder is not registered twice
        self.tokenizer = tokenizer

    def encode(self, waves: Sequence[np.ndarray]) -> tuple[Tensor, Tensor]:
        """Features (B, T, D) at 50 Hz and lengths (B,)."""
        return self._encode([torch.from_numpy(wave) for wave in waves], pad_to_window=False)

    def loss(self, batch: Sequence[Spoken]) -> Tensor:
        """Cross-entropy of the words, plus the CTC loss of the phones."""
        states, lengths = self.encode([one.wave for one in batch])
        decoded = self.whisper(encoder_outputs=(states,), labels=self._labels([one.text for one in batch]))
        return decoded.loss.float() + CTC_WEIGHT * self._ctc_loss(
            states, lengths, [one.phones for one in batch]
        )

    def _labels(self, texts: Sequence[str]) -> Tensor:
        rows = [
            [*self.tokenizer(text, add_special_tokens=False).input_ids, self.tokenizer.eos_token_id]
            for text in texts
        ]
        labels = torch.full((len(rows), max(map(len, rows))), -100)
        for i, row in enumerate(rows):
            labels[i, : len(row)] = torch.tensor(row)
        return labels

    def _ctc_loss(self, states: Tensor, lengths: Tensor, phones: Sequence[tuple[str, ...]]) -> Tensor:
        number = {phone: i + 1 for i, phone in enumerate(PHONES)}
        targets = torch.tensor([number[phone] for row in phones for phone in row])
        log_probs = self.ctc(states).float().log_softmax(-1).transpose(0, 1)
        sizes = torch.tensor([len(row) for row in phones])
        return nn.functional.ctc_loss(log_probs, targets, lengths, sizes, zero_infinity=True)

    @torch.no_grad()
    def transcribe(self, waves: Sequence[np.ndarray], longest: int = 40) -> list[str]:
        """Greedy transcripts, decoded together."""
        states, _ = self.encode(waves)
        ids = torch.full((len(waves), 1), self.whisper.config.decoder_start_token_id)
        ended = torch.zeros(len(waves), dtype=torch.bool)
        while ids.shape[1] <= longest and not ended.all():
            logits = self.whisper(encoder_outputs=(states,), decoder_input_ids=ids).logits[:, -1]
            best = logits.argmax(-1).masked_fill(ended, self.tokenizer.pad_token_id)
            ended |= best == self.tokenizer.eos_token_id
            ids = torch.cat([ids, best[:, None]], dim=1)
        return [text.strip() for text in self.tokenizer.batch_decode(ids, skip_special_tokens=True)]


def toy_config(tokenizer: PreTrainedTokenizerFast) -> WhisperConfig:
    """The toy's Whisper, reading and writing with the toy LLM's tokenizer."""
    return WhisperConfig(
        **PRESETS["toy"].whisper.sizes(),
        decoder_layers=2,
        decoder_attention_heads=4,
        decoder_ffn_dim=640,
        max_target_positions=64,
        vocab_size=len(tokenizer),
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        decoder_start_token_id=tokenizer.bos_token_id,
        suppress_tokens=None,
        begin_suppress_tokens=None,
    )


def train_whisper(
    tokenizer: PreTrainedTokenizerFast, place: Place, schedule: Schedule = SCHEDULE, seed: int = 0
) -> tuple[WhisperWithCtc, dict]:
    """The toy's Whisper trained from scratch, with the steps and seconds that it took."""
    rng = np.random.default_rng((seed, 1))
    pool = SpeechPool(speak_all(draw_texts(UTTERANCES, rng, "train"), rng), draw_backgrounds(rng))
    torch.manual_seed(seed)
    model = WhisperWithCtc(tokenizer)
    batch_of = lambda step: pool.batch(np.random.default_rng((seed, 2, step)))  # noqa: E731
    loss_of = lambda batch, _: model.loss(batch)  # noqa: E731
    return model, train(model, batch_of, loss_of, schedule, place, seed=seed)

"""The toy BEATs: the real architecture, small, trained to tag clips, as BEATs is fine-tuned on AudioSet.

Its tags are the toy world's sound events, music, and what AudioSet says of voices and more: gender, mood, speaker.
Transcripts are not among them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from salmonn_mini.audio import fbank
from salmonn_mini.models.config import PRESETS, SAMPLE_RATE
from salmonn_mini.models.encoders.beats import Beats, BeatsConfig
from salmonn_mini.models.features import length_mask
from salmonn_mini.toy.backbones.loop import Place, Schedule, train
from salmonn_mini.toy.world import acoustics
from salmonn_mini.toy.world.audio_tasks import draw_examples
from salmonn_mini.toy.world.clips import ClipPlan, render
from salmonn_mini.toy.world.events import EVENTS
from salmonn_mini.toy.world.grammar import pick
from salmonn_mini.toy.world.music import MODES, MUSIC, TEMPI
from salmonn_mini.toy.world.voice import MOODS, SPEAKERS, speakers_of

SCHEDULE = Schedule(steps=1650, lr=1e-3, warmup=200)
BATCH = 32
# Rendered clips of each kind, by the task that draws them.
POOL = {"audio_caption": 4500, "music_caption": 1500, "emotion": 3000, "co_reasoning": 600}
SECONDS = (1.6, 2.0, 2.4, 2.8, 3.2, 3.6)  # of a batch's clips; longer ones are cropped at random
TAGS: tuple[str, ...] = (
    *EVENTS,
    *MUSIC,
    *(f"tempo {tempo}" for tempo in TEMPI),
    *(f"mode {mode}" for mode in MODES),
    *(f"mood {mood}" for mood in MOODS),
    "male",
    "female",
    "child",
    *(f"speaker {name}" for name in speakers_of("train")),
)


@dataclass(frozen=True)
class Tagged:
    """A clip's samples (S,) and its tags (len(TAGS),), 1 or 0."""

    wave: np.ndarray
    tags: np.ndarray


def tags_of(plan: ClipPlan) -> np.ndarray:
    """The tags of what a plan contains, float32 (len(TAGS),)."""
    names = set(plan.events)
    if plan.music is not None:
        names |= {plan.music.style, f"tempo {plan.music.tempo}", f"mode {plan.music.mode}"}
    for utterance in plan.utterances:
        speaker = utterance.speaker
        names |= {f"mood {utterance.mood}", SPEAKERS[speaker].gender, f"speaker {speaker}"}
    return np.array([tag in names for tag in TAGS], dtype=np.float32)


def draw_pool(sizes: dict[str, int], rng: np.random.Generator, split: str) -> list[Tagged]:
    """Rendered clips of every kind; half of the scenes hold one event, half two."""
    tasks = [task for task, n in sizes.items() for _ in range(n)]
    plans = [example.plan for example in draw_examples(tasks, rng, split)]
    return [Tagged(wave, tags_of(plan)) for wave, plan in zip(render(plans), plans, strict=True)]


class SoundPool:
    """Draws batches of disturbed clips."""

    def __init__(self, clips: Sequence[Tagged]) -> None:
        self.clips = clips

    def batch(self, rng: np.random.Generator) -> list[Tagged]:
        samples = int(pick(rng, SECONDS) * SAMPLE_RATE)
        chosen = rng.integers(len(self.clips), size=BATCH)
        return [self._disturb(self.clips[i], samples, rng) for i in chosen]

    def _disturb(self, clip: Tagged, samples: int, rng: np.random.Generator) -> Tagged:
        wave = clip.wave
        if len(wave) > samples * 1.3 and clip.tags[: len(EVENTS)].sum() > 1:
            samples = len(wave)  # both events of a scene must stay
        start = int(rng.integers(max(1, len(wave) - samples)))
        wave = wave[start : start + samples]
        if rng.random() < 0.5:
            wave = acoustics.add_noise(wave, rng, rng.uniform(12.0, 40.0))
        return replace(clip, wave=(wave * rng.uniform(0.4, 1.0)).astype(np.float32))


def build(seed: int) -> Beats:
    """The toy's BEATs with random weights and a head for TAGS."""
    torch.manual_seed(seed)
    sizes = PRESETS["toy"].beats.sizes()
    extra = {"finetuned_model": True, "predictor_class": len(TAGS)}
    return Beats(BeatsConfig.from_dict(sizes | extra))


def tag_logits(beats: Beats, waves: Sequence[np.ndarray]) -> Tensor:
    """Logits (B, len(TAGS)) of clips of unequal length."""
    features, lengths = beats.encode_fbanks([fbank(torch.from_numpy(wave)) for wave in waves])
    return beats.class_logits(features, ~length_mask(lengths, features.shape[1]))


def tag_loss(beats: Beats, batch: Sequence[Tagged]) -> Tensor:
    """Binary cross-entropy of every tag, summed over the tags."""
    targets = torch.from_numpy(np.stack([clip.tags for clip in batch]))
    logits = tag_logits(beats, [clip.wave for clip in batch]).float()
    return nn.functional.binary_cross_entropy_with_logits(logits, targets, reduction="none").sum(1).mean()


def train_beats(place: Place, schedule: Schedule = SCHEDULE, seed: int = 0) -> tuple[Beats, dict]:
    """The toy's BEATs trained from scratch, with the steps and seconds that it took."""
    pool = SoundPool(draw_pool(POOL, np.random.default_rng((seed, 3)), "train"))
    beats = build(seed)
    batch_of = lambda step: pool.batch(np.random.default_rng((seed, 4, step)))  # noqa: E731
    loss_of = lambda batch, _: tag_loss(beats, batch)  # noqa: E731
    return beats, train(beats, batch_of, loss_of, schedule, place, seed=seed)

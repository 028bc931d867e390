"""What the toy's backbones can do before they are joined: the scores of the model card, on unseen data."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

import numpy as np
import torch
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from salmonn_mini.evaluation.metrics import bootstrap
from salmonn_mini.evaluation.metrics.bootstrap import Counts
from salmonn_mini.evaluation.metrics.following import STORY_WORDS
from salmonn_mini.evaluation.metrics.words import basic, phone_errors, ratio, word_errors
from salmonn_mini.models.encoders.beats import Beats
from salmonn_mini.models.splice import Answer, Prompt
from salmonn_mini.toy.backbones import soft
from salmonn_mini.toy.backbones.sounds import TAGS, Tagged, tag_logits, tags_of
from salmonn_mini.toy.backbones.speech import WhisperWithCtc, draw_texts
from salmonn_mini.toy.backbones.text import Layout
from salmonn_mini.toy.world import story
from salmonn_mini.toy.world.audio_tasks import draw_examples
from salmonn_mini.toy.world.clips import ClipPlan, draw_seed, draw_utterance, render
from salmonn_mini.toy.world.events import EVENTS
from salmonn_mini.toy.world.music import MODES, MUSIC, TEMPI
from salmonn_mini.toy.world.text_tasks import TEXT_TASKS, TextSample, draw_samples
from salmonn_mini.toy.world.voice import MOODS, speakers_of

BATCH = 32
COPIES = {"asr": ("1 - WER", word_errors), "phone_copy": ("1 - PER", phone_errors)}
MAX_NEW_TOKENS = 100
# Tags of which a clip has exactly one, and the task that draws such clips.
ONE_OF: dict[str, tuple[str, tuple[str, ...]]] = {
    "instrument": ("music_caption", tuple(MUSIC)),
    "tempo": ("music_caption", tuple(f"tempo {tempo}" for tempo in TEMPI)),
    "mode": ("music_caption", tuple(f"mode {mode}" for mode in MODES)),
    "mood": ("emotion", tuple(f"mood {mood}" for mood in MOODS)),
    "gender": ("emotion", ("male", "female", "child")),
}


def backbone_scores(
    whisper: WhisperWithCtc,
    beats: Beats,
    llm: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    *,
    n: int = 200,
    seed: int = 0,
    split: str = "test",
) -> dict[str, dict]:
    """The model card's figures: `{"whisper": …, "beats": …, "llm": …}`, rates as fractions.

    Args:
        n: samples of each text task, of each kind of sound event, and of speech in all.
    """
    return {
        "whisper": whisper_scores(whisper, -(-n // len(speakers_of(split))), seed, split),
        "beats": beats_scores(beats, n, seed, split),
        "llm": llm_scores(llm, tokenizer, n, seed, split),
    }


def _score(counts: Counts) -> dict:
    """A rate, its 95 % interval and the number of samples."""
    span = bootstrap.interval(counts, ratio)
    return {"value": bootstrap.total(counts, ratio), "interval": list(span), "n": len(counts)}


def _share(right: Iterable[bool]) -> dict:
    return _score([(int(one), 1) for one in right])


def _in_batches(n: int) -> Iterable[slice]:
    return (slice(start, start + BATCH) for start in range(0, n, BATCH))


# --- Whisper ---------------------------------------------------------------------------------------------------------


def whisper_scores(whisper: WhisperWithCtc, n: int, seed: int, split: str = "test") -> dict:
    """WER over the split's speakers and for each: n sentences a speaker, all moods, the tasks' noise and rooms."""
    rng = np.random.default_rng((seed, 11))
    speakers = [name for name in speakers_of(split) for _ in range(n)]
    texts = draw_texts(len(speakers), rng, split)
    plans = [
        ClipPlan(draw_seed(rng), (draw_utterance(text, rng, speaker=speaker),))
        for text, speaker in zip(texts, speakers, strict=True)
    ]
    errors = [word_errors(*pair) for pair in zip(texts, transcribe_all(whisper, render(plans)), strict=True)]
    by_speaker = {
        name: ratio(
            np.sum([own for own, speaker in zip(errors, speakers, strict=True) if speaker == name], 0)
        )
        for name in speakers_of(split)
    }
    return {"metric": "wer", **_score(errors), "speakers": by_speaker}


def transcribe_all(whisper: WhisperWithCtc, waves: Sequence[np.ndarray]) -> list[str]:
    """Greedy transcripts of clips of (S,) samples at 16 kHz, in batches of like length, in the clips' order."""
    order = sorted(range(len(waves)), key=lambda i: len(waves[i]))
    texts: dict[int, str] = {}
    for part in _in_batches(len(order)):
        texts |= zip(order[part], whisper.transcribe([waves[i] for i in order[part]]), strict=True)
    return [texts[i] for i in range(len(waves))]


# --- BEATs -----------------------------------------------------------------------------------------------------------


def beats_scores(beats: Beats, n: int, seed: int, split: str = "test") -> dict:
    """Top-1 accuracy on clips of one sound event, n of each, and of music's and voices' tags, n clips each."""
    rng = np.random.default_rng((seed, 12))
    single = _tagged([ClipPlan(draw_seed(rng), events=(name,)) for name in EVENTS for _ in range(n)])
    right = _top1(beats, single, tuple(EVENTS))
    events = {name: float(np.mean(right[i * n : (i + 1) * n])) for i, name in enumerate(EVENTS)}
    clips = {
        task: _tagged([example.plan for example in draw_examples([task] * n, rng, split)])
        for task in dict.fromkeys(task for task, _ in ONE_OF.values())
    }
    others = {name: _share(_top1(beats, clips[task], tags)) for name, (task, tags) in ONE_OF.items()}
    return {"metric": "accuracy", **_share(right), "events": events, "tags": others}


def _tagged(plans: Sequence[ClipPlan]) -> list[Tagged]:
    return [Tagged(wave, tags_of(plan)) for wave, plan in zip(render(plans), plans, strict=True)]


@torch.no_grad()
def _top1(beats: Beats, clips: Sequence[Tagged], tags: tuple[str, ...]) -> list[bool]:
    """Whether the likeliest of `tags` is the one that each clip has."""
    columns = [TAGS.index(tag) for tag in tags]
    right: list[bool] = []
    for part in _in_batches(len(clips)):
        logits = tag_logits(beats, [clip.wave for clip in clips[part]])[:, columns].numpy()
        right += [
            bool(clip.tags[columns[best]]) for clip, best in zip(clips[part], logits.argmax(1), strict=True)
        ]
    return right


# --- LLM -------------------------------------------------------------------------------------------------------------


def llm_scores(
    llm: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, n: int, seed: int, split: str = "test"
) -> dict[str, dict]:
    """Accuracy on every text task: n unseen sentences each.

    Every answer is right or wrong, save copies, which have up to fifty words or phones, scored one by one: 1 - WER.
    `held_out` is the accuracy in held-out wordings of the instructions, `noisy` the one on contexts as soft.py has
    them, both on n / 4 sentences.
    """
    scores = {}
    for number, task in enumerate(task for task, row in TEXT_TASKS.items() if row.weights[1]):
        score = partial(_task_score, llm, tokenizer, task, seed=(seed, 13, number), split=split)
        few = -(-n // 4)
        others = {"held_out": score(few, held_out=True), "noisy": score(few, noisy=True)}
        scores[task] = score(n) | {name: row["value"] for name, row in others.items()}
    return scores


def _task_score(
    llm: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    task: str,
    n: int,
    *,
    seed: tuple[int, ...],
    split: str,
    held_out: bool = False,
    noisy: bool = False,
) -> dict:
    rng = np.random.default_rng(seed)
    samples = draw_samples([task] * n, rng, split, held_out=held_out)
    answers = answer_texts(llm, tokenizer, samples, noise=rng if noisy else None)
    if task in COPIES:
        metric, count = COPIES[task]
        errors = (count(one.answer, answer.text) for one, answer in zip(samples, answers, strict=True))
        return {"metric": metric} | _score([(units - wrong, units) for wrong, units in errors])
    return {"metric": "accuracy"} | _share(map(is_right, samples, answers))


@torch.no_grad()
def answer_texts(
    llm: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    samples: Sequence[TextSample],
    *,
    max_new_tokens: int = MAX_NEW_TOKENS,
    noise: np.random.Generator | None = None,
) -> list[Answer]:
    """Greedy answers to instructions over text: the words stand where SALMONN puts its audio tokens.

    Args:
        noise: contexts are softened as in training.
    """
    layout, embed = Layout(tokenizer), llm.get_input_embeddings()
    prompt, answers = layout.prompt, []
    for part in _in_batches(len(samples)):
        soft_rngs = [None if one.task in soft.CRISP else noise for one in samples[part]]
        pairs = zip(samples[part], soft_rngs, strict=True)
        rows = [(prompt.before, layout.context(one, rng), prompt.after(one.prompt)) for one, rng in pairs]
        ids, mask, context = _pad_left(rows, tokenizer.pad_token_id)
        embeddings = embed(ids.to(llm.device))
        if any(soft_rngs):
            with torch.random.fork_rng():
                torch.manual_seed(int(noise.integers(2**31)))
                embeddings = soft.soften(embed, ids, layout.others(ids, noise), context)
        generated = llm.generate(
            inputs_embeds=embeddings,
            attention_mask=mask.to(llm.device),
            max_new_tokens=max_new_tokens,
            do_sample=False,
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=prompt.eos_token_id,
        )
        answers += [_answer(row, prompt) for row in generated.tolist()]
    return answers


def _pad_left(
    rows: Sequence[Sequence[list[int]]], pad: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Token ids (B, S), their mask (B, S), and where the contexts, the second parts, are (B, S)."""
    width = max(sum(map(len, row)) for row in rows)
    ids = torch.full((len(rows), width), pad)
    mask, context = torch.zeros(2, len(rows), width, dtype=torch.bool)
    for i, row in enumerate(rows):
        starts = width - sum(map(len, row)) + np.cumsum([0, *map(len, row)])
        ids[i, starts[0] :] = torch.tensor([token for part in row for token in part])
        mask[i, starts[0] :] = True
        context[i, starts[1] : starts[2]] = True
    return ids, mask, context


def _answer(ids: list[int], prompt: Prompt) -> Answer:
    ended = prompt.eos_token_id in ids
    own = ids[: ids.index(prompt.eos_token_id) + 1] if ended else ids
    return Answer(prompt.text(own), tuple(own), ended)


def is_right(sample: TextSample, answer: Answer) -> bool:
    """The only right answer, whitespace folded; a story by its form, for there are many. It must end, too."""
    if sample.task == "story":
        return answer.ended and is_story(sample.context, answer.text)
    return answer.ended and answer.text.split() == sample.answer.split()


def is_story(context: str, answer: str) -> bool:
    """A story opens as stories do, names what it is about, has 20 words or more, ends with a stop."""
    words = basic(answer).split()
    finished = len(words) >= STORY_WORDS and answer.rstrip().endswith(".")
    return finished and answer.lstrip().startswith(story.OPENING) and story.is_faithful(context, answer)

"""Sets of clips with their prompts and answers, and what becomes of clips that cannot be used.

What is random here is a function of a seed.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import accumulate
from pathlib import Path

import numpy as np
from torch import Tensor

from salmonn_mini.data.manifest import BadClip, Sample, try_clip, unicode_fault
from salmonn_mini.data.tasks import TASKS
from salmonn_mini.errors import SalmonnError
from salmonn_mini.files import write_text
from salmonn_mini.models.config import SalmonnConfig

SHARD = 250  # clips that are made, and later encoded, together
PROMPTS = {name: task.prompts for name, task in TASKS.items()}
QUARANTINE = "quarantine.jsonl"
MAX_BAD_SHARE = 0.05


@dataclass(frozen=True)
class Example:
    """What is asked of a clip, and the answer to it. `clip` names the clip in logs, `group` its part in a mixture.

    `description` is all that there is to hear in the clip, in the order in which it begins; "" if nobody knows.
    """

    clip: str
    task: str
    prompt: str
    answer: str
    group: str = ""
    description: str = ""


class ClipDataset(ABC):
    """Clips in a fixed order: their questions are known at once, their sound is made shard by shard.

    Attributes:
        shares: what each group of questions takes of an epoch; empty where every clip comes once.
    """

    examples: Sequence[Example]
    shares: Mapping[str, float] = {}

    def __len__(self) -> int:
        return len(self.examples)

    def shards(self) -> list[range]:
        """The clips' numbers, cut into shards. Other shards would give other samples."""
        return [range(len(self))[start : start + SHARD] for start in range(0, len(self), SHARD)]

    @abstractmethod
    def waves(self, shard: range) -> Sequence[Tensor | BadClip]:
        """The sound X (S,) of each clip of a shard, 16 kHz; Bad where there is none."""

    @abstractmethod
    def key(self, shard: range) -> bytes:
        """Equal for equal sound, without making it; for caches."""


class ManifestDataset(ClipDataset):
    """The clips of a manifest, each with one of its task's prompts, drawn once.

    Args:
        prompts: for each task; the task table's own by default.

    Raises:
        SalmonnError: as `draw_prompt`.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        config: SalmonnConfig,
        seed: int,
        prompts: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        prompts = PROMPTS if prompts is None else prompts
        rng = np.random.default_rng((seed, 6))
        self.samples, self.config = samples, config
        self.examples = [Example(s.clip, s.task, draw_prompt(s, prompts, rng), s.text) for s in samples]

    def waves(self, shard: range) -> list[Tensor | BadClip]:
        return [try_clip(self.samples[i], self.config) for i in shard]

    def key(self, shard: range) -> bytes:
        digest = hashlib.sha256(rules_of(self.config))
        for i in shard:
            digest.update(content_of(self.samples[i]) + b"|")
        return digest.digest()


class MixtureDataset(ClipDataset):
    """Several sets of clips as one, each group of clips in a share of its own.

    Args:
        parts: by name.
        part_shares, task_shares: what each part, or each task, takes of an epoch; not both. Without any,
            every clip comes once.

    Raises:
        SalmonnError: shares that leave a part or a task out, or name one that is not there.
    """

    def __init__(
        self,
        parts: Mapping[str, ClipDataset],
        part_shares: Mapping[str, float] | None = None,
        task_shares: Mapping[str, float] | None = None,
    ) -> None:
        self.parts = list(parts.values())
        self.starts = list(accumulate(map(len, self.parts), initial=0))
        self.examples = [
            replace(example, group=example.task if task_shares else name)
            for name, part in parts.items()
            for example in part.examples
        ]
        self.shares = dict(task_shares or part_shares or {})
        groups = {example.group for example in self.examples}
        if self.shares and (left_out := sorted(groups - self.shares.keys())):
            raise SalmonnError(
                f"the shares name {', '.join(self.shares)}, but the clips have {', '.join(left_out)} too: "
                f"give each a share; 0 leaves it out"
            )
        if without := sorted(name for name, share in self.shares.items() if share > 0 and name not in groups):
            raise SalmonnError(f"no clip of {', '.join(without)} is there: take it out of the shares")

    def shards(self) -> list[range]:
        """The parts' own shards, one part after the other."""
        return [
            range(start + shard.start, start + shard.stop)
            for start, part in zip(self.starts, self.parts, strict=False)
            for shard in part.shards()
        ]

    def waves(self, shard: range) -> Sequence[Tensor | BadClip]:
        part, own = self._own(shard)
        return part.waves(own)

    def key(self, shard: range) -> bytes:
        part, own = self._own(shard)
        return part.key(own)

    def _own(self, shard: range) -> tuple[ClipDataset, range]:
        """The part that a shard belongs to, and the shard in the part's own numbers."""
        which = bisect_right(self.starts, shard.start) - 1
        start = self.starts[which]
        return self.parts[which], range(shard.start - start, shard.stop - start)


def question_faults(sample: Sample, prompts: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Why a run refuses a sample's question, by the faults of an audit; empty texts where it does not."""
    gap = next((prompt for prompt in prompts.get(sample.task, ()) if "{}" in prompt), None)
    no_prompts = f"its task {sample.task!r} has no prompts; correct it, or give a prompt file that has it"
    no_q = f"the prompt {gap!r} of its task {sample.task!r} has a gap; give the sample a Q to fill it"
    return {
        "not_unicode": unicode_fault(sample),
        "unknown_task": no_prompts if sample.task not in prompts else "",
        "missing_Q": no_q if gap and not sample.Q else "",
    }


def draw_prompt(sample: Sample, prompts: Mapping[str, Sequence[str]], rng: np.random.Generator) -> str:
    """One of the prompts of a sample's task, filled from its Q.

    Raises:
        SalmonnError: as `question_faults`: no Unicode, a task without prompts, a gap in one of them and no Q.
    """
    for fault in filter(None, question_faults(sample, prompts).values()):
        raise SalmonnError(f"{sample.place}: {fault}")
    prompt = prompts[sample.task][int(rng.integers(len(prompts[sample.task])))]
    return prompt.replace("{}", sample.Q)


def content_of(sample: Sample) -> bytes:
    """Equal for equal files and segments."""
    return b"".join(map(digest_of, sample.files)) + f"{sample.begin} {sample.end}".encode()


def rules_of(config: SalmonnConfig) -> bytes:
    """What a model's rules for channels and length make of a file, for caches."""
    return repr((config.channels, config.min_seconds, config.max_seconds)).encode()


def digest_of(path: Path) -> bytes:
    """A digest of a file's content; where it cannot be read, of why."""
    try:
        if path.is_file():
            state = path.stat()
            return _digest(path, state.st_ino, state.st_size, state.st_mtime_ns)
        reason = f"not a file: {path.exists()}"
    except OSError as problem:
        reason = f"cannot be read: {problem.strerror}"
    return hashlib.sha256(reason.encode()).digest()


@lru_cache(maxsize=64)  # a file of many segments is read once
def _digest(path: Path, *state: int) -> bytes:
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(2**20):
            digest.update(block)
    return digest.digest()


def usable(results: Sequence[object]) -> list[int]:
    """The numbers of the clips that are not Bad."""
    return [i for i, result in enumerate(results) if not isinstance(result, BadClip)]


def write_quarantine(examples: Sequence[Example], results: Sequence[object], folder: Path) -> None:
    """Write `quarantine.jsonl`, a line `{"clip", "task", "reason"}` for each Bad result; none, no file."""
    rows = [
        {"clip": example.clip, "task": example.task, "reason": result.reason}
        for example, result in zip(examples, results, strict=True)
        if isinstance(result, BadClip)
    ]
    if rows:
        write_text(folder / QUARANTINE, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    else:
        (folder / QUARANTINE).unlink(missing_ok=True)


def check_bad_share(
    examples: Sequence[Example], results: Sequence[object], max_bad_share: float, folder: Path
) -> str | None:
    """What there is to say of bad clips, in a line; None where all are good.

    Raises:
        SalmonnError: more than `max_bad_share` of the clips are bad.
    """
    bad = [i for i, result in enumerate(results) if isinstance(result, BadClip)]
    if not bad:
        return None
    said = (
        f"{len(bad):,} of {len(results):,} clips cannot be used and are put aside: see {folder / QUARANTINE}"
    )
    if len(bad) > max_bad_share * len(results):
        raise SalmonnError(
            f"{said}; that is more than max_bad_share = {max_bad_share:g}; the first is "
            f"{examples[bad[0]].clip} ({results[bad[0]].reason}): fix the files or their paths, or raise "
            f"max_bad_share"
        )
    return said

"""What a run is made of: the stages as rows of one table, and recipes, a YAML file a run."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from salmonn_mini.data.tasks import get_task, tasks_of
from salmonn_mini.errors import SalmonnError, unknown
from salmonn_mini.models.config import preset
from salmonn_mini.models.settings import Settings

RECIPES = Path(__file__).parents[1] / "recipes"
PARTS = ("connector", "lora")  # what can be trained; the two LayerNorms go with the connector
DTYPES = ("float32", "bfloat16")
BITS = (8, 4)
SCRATCH = "scratch"


@dataclass(frozen=True)
class Stage:
    """A row of the table: a stage's tasks with their shares, and the parts of the model that it trains."""

    name: str
    tasks: dict[str, float]
    trainable: tuple[str, ...] = PARTS


STAGES: dict[int, Stage] = {
    1: Stage("pre-training", {task.name: 1.0 for task in tasks_of(stage=1)}),
    2: Stage("instruction tuning", {task.name: 1.0 for task in tasks_of(stage=2)}),
    3: Stage("activation tuning", {"story": 1.0}),
}


@dataclass(frozen=True)
class Recipe(Settings):
    """A run, whole: equal recipes give equal runs.

    Attributes:
        stage: the row of STAGES; `tasks` (with their shares) and `trainable` (PARTS) may change it. With a manifest,
            `tasks` are the shares of its tasks in an epoch; without them every clip comes once.
        model: the name of a preset; its ears and LLM stay as they are.
        init: "scratch" for a random connector and LoRA, or what they start as: "stage1" and so on for the
            model's own, or a folder that a run has left.
        config: changes to the preset, such as {"connector": {"kind": "segment_qformer"}}; from scratch only.
        output_dir: gets the log `train.jsonl`, the checkpoints and, at the end, the model.
        clips: how many clips of the toy world are drawn; or all those of `manifest`; or a mixture, `manifests`: files,
            each with its share of an epoch, such as its number of clips.
        prompts: a prompt file with other wordings than the task table's, for all clips of a manifest.
        paraphrase_prob: of the toy world's clips of those tasks that `prompts` names, the share that is asked in its
            words.
        affix_prob: of all the toy world's clips, the share whose prompt stands between an opening and an ending, as in
            "Now: Describe the audio. Thank you."
        stream: the manifests are packed folders, whose clips are read and heard at each step, and not kept: for more
            than memory holds.
        workers: processes that read and decode sound, for each process that trains; 0: it does so itself.
        max_bad_share: more clips than this share that cannot be read end the run; fewer are put aside.
        steps, batch_size: batch_size clips a step, over all processes.
        gradient_accumulation_steps: the parts, one after the other, in which a process computes its share of a
            step: more parts, less memory, the same loss.
        gradient_checkpointing: the LLM's layers compute their inner values twice instead of keeping them.
        connector_lr, lora_lr: the peaks, reached after `warmup` steps; from there a cosine down to `min_lr_ratio`
            of them at the last step.
        weight_decay: on matrices; biases and norms have none.
        dropout: in the connector and in LoRA; the model's own if left out.
        dtype: of the frozen Whisper and LLM, and of what is computed; what is trained stays in float32.
        bits: 8 or 4 for a frozen LLM whose matrices take less memory; needs a GPU and bitsandbytes.
        compile: the layers of ears and LLM run as torch.compile makes them: a slow start, faster steps on a GPU.
        cache_dir: keeps what the frozen ears heard. It may be deleted at any time.
        cache_limit: in GB; at the end of a run the files there that were used longest ago make room.
        trackers: names of Accelerate's, such as tensorboard or wandb; one whose package is missing is left out.
        eval_every: after so many steps the same `eval_clips` clips are transcribed, and their WER is logged: of the
            toy world's validation split, or of `eval_manifest`. Null: never.
    """

    stage: int
    output_dir: str
    steps: int
    connector_lr: float
    lora_lr: float
    model: str = "toy"
    init: str = SCRATCH
    config: dict = field(default_factory=dict)
    tasks: dict = field(default_factory=dict)
    trainable: tuple[str, ...] = ()
    clips: int | None = None
    manifest: str | None = None
    manifests: dict = field(default_factory=dict)
    prompts: str | None = None
    paraphrase_prob: float = 0.0
    affix_prob: float = 0.0
    stream: bool = False
    workers: int = 0
    max_bad_share: float = 0.05
    batch_size: int = 32
    gradient_accumulation_steps: int = 1
    gradient_checkpointing: bool = False
    warmup: int = 100
    min_lr_ratio: float = 0.05
    weight_decay: float = 0.05
    beta1: float = 0.9
    beta2: float = 0.999
    max_grad_norm: float = 1.0
    dropout: float | None = None
    dtype: str = "float32"
    bits: int | None = None
    compile: bool = False
    seed: int = 0
    threads: int | None = None
    save_every: int = 100
    cache_dir: str = "runs/features"
    cache_limit: float = 20.0
    trackers: tuple[str, ...] = ("tensorboard",)
    eval_every: int | None = None
    eval_clips: int = 32
    eval_manifest: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        row = STAGES[self.stage]
        object.__setattr__(self, "trainable", self.trainable or row.trainable)
        if not self.sources:
            object.__setattr__(self, "tasks", dict(self.tasks or row.tasks))

    def _check(self) -> None:
        self._rule(self.stage in STAGES, "stage", f"one of {', '.join(map(str, STAGES))}", "choose one")
        self._positive(
            "steps", "batch_size", "gradient_accumulation_steps", "max_grad_norm", "save_every", "eval_clips"
        )
        self._rule(self.cache_limit >= 0, "cache_limit", "at least 0", "20 is usual")
        self._rule(
            self.gradient_accumulation_steps <= self.batch_size,
            "gradient_accumulation_steps",
            f"at most batch_size = {self.batch_size}",
            "lower it",
        )
        preset(self.model)
        self._rule(
            self.init == SCRATCH or not self.config, "config", "left out unless init is scratch", "do so"
        )
        self._check_data()
        self._rule(0 <= self.max_bad_share < 1, "max_bad_share", "at least 0 and below 1", "0.05 is usual")
        self._check_watch()
        for name in ("connector_lr", "lora_lr"):
            self._rule(0 < getattr(self, name) <= 1, name, "above 0 and at most 1", "1e-3 is a start")
        for name, usual in (("min_lr_ratio", 0.05), ("beta1", 0.9), ("beta2", 0.999)):
            self._rule(0 <= getattr(self, name) < 1, name, "at least 0 and below 1", f"{usual} is usual")
        for name in ("warmup", "weight_decay", "workers"):
            self._rule(getattr(self, name) >= 0, name, "at least 0", "0 turns it off")
        self._rule(
            self.dropout is None or 0 <= self.dropout < 1, "dropout", "at least 0 and below 1", "try 0.1"
        )
        self._rule(self.dtype in DTYPES, "dtype", f"one of {', '.join(DTYPES)}", "choose one")
        known = self.bits is None or self.bits in BITS
        self._rule(known, "bits", f"one of {', '.join(map(str, BITS))}, or left out", "choose one")
        self._rule(set(self.trainable) <= set(PARTS), "trainable", f"among {', '.join(PARTS)}", "choose some")
        self._rule(0 <= self.seed < 2**31, "seed", "at least 0 and below 2^31", "choose another")
        self._rule(self.threads is None or self.threads > 0, "threads", "greater than 0", "leave it out")
        self._rule(bool(self.output_dir.strip()), "output_dir", "the name of a folder", "name one")

    def _check_data(self) -> None:
        if self.sources:
            self._check_sources()
        else:
            self._rule(self.clips is not None, "clips", "given where there is no manifest", "say how many")
            self._rule(
                self.clips >= self.batch_size,
                "clips",
                f"at least batch_size = {self.batch_size}",
                "draw more",
            )
            self._rule(not self.stream, "stream", "false without a manifest", "leave it out")
            for name in ("paraphrase_prob", "affix_prob"):
                self._rule(0 <= getattr(self, name) <= 1, name, "from 0 to 1", "0.5 is half of the clips")
            used = self.prompts is None or self.paraphrase_prob > 0
            self._rule(
                used, "paraphrase_prob", "above 0 for prompts to be used", "raise it, or leave prompts out"
            )
        for name, share in self.tasks.items():
            get_task(name)
            self._rule(_is_share(share), "tasks", "shares of at least 0", f"change {name}")
        self._rule(not self.tasks or sum(self.tasks.values()) > 0, "tasks", "of some share", "raise one")

    def _check_sources(self) -> None:
        every = "left out with a manifest: all its clips are used"
        self._rule(self.clips is None, "clips", every, "leave it out")
        self._rule(not (self.stream and self.tasks), "tasks", "left out with stream", "leave it out")
        one = not self.tasks or not self.manifests
        self._rule(one, "tasks", "left out with manifests: they have shares of their own", "leave it out")
        self._rule(
            self.manifest is None or not self.manifests,
            "manifest",
            "left out beside manifests",
            "put it among them",
        )
        for name, share in self.manifests.items():
            self._rule(_is_share(share) and share > 0, "manifests", "shares above 0", f"change {name}")

    def _check_watch(self) -> None:
        if self.eval_every is None:
            return
        self._positive("eval_every")
        known = self.eval_manifest is not None or not self.sources
        self._rule(known, "eval_manifest", "given for eval_every", "name one that is not trained on")

    @property
    def sources(self) -> dict[str, float]:
        """Manifests with their shares of an epoch; empty for the toy world."""
        return dict(self.manifests) if self.manifest is None else {self.manifest: 1.0}

    def factor(self, step: int) -> float:
        """The factor on the learning rates at a step, counted from 0: up in a line, down in a cosine."""
        if step < self.warmup:
            return (step + 1) / self.warmup
        progress = (step - self.warmup) / (self.steps - self.warmup)
        return self.min_lr_ratio + (1 - self.min_lr_ratio) * 0.5 * (1 + math.cos(math.pi * progress))


def _is_share(value: object) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and math.isfinite(value) and value >= 0


def recipe_names() -> list[str]:
    """The recipes that come with the package."""
    return sorted(path.stem for path in RECIPES.glob("*.yaml"))


def load_recipe(name: str | os.PathLike, overrides: Sequence[str] = ()) -> Recipe:
    """A recipe by its name or file; each override is `key=value`, or `tasks.NAME=value`, the value in YAML.

    Raises:
        SalmonnError: no such recipe, a file that is not YAML, an unknown key, a wrong or impossible value.
    """
    path = _find(name)
    values = _yaml(path.read_text(encoding="utf-8"), str(path))
    if not isinstance(values, dict):
        raise SalmonnError(f"{path}: a recipe is made of lines `key: value`; write it so")
    for key in ("manifest", "prompts"):
        beside = path.parent / str(values.get(key))
        if beside.is_file() and not Path(values[key]).exists():
            values[key] = str(beside)  # a recipe's own data lie where the recipe lies
    for override in overrides:
        _override(values, override)
    return Recipe.from_dict(values)


def _find(name: str | os.PathLike) -> Path:
    for path in (Path(name), RECIPES.parent / name, RECIPES / f"{name}.yaml"):
        if path.is_file():
            return path
    raise unknown("recipe", str(name), recipe_names())


def _override(values: dict, override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key.strip():
        raise SalmonnError(f"{override!r} does not change a recipe: write key=value, such as steps=200")
    *tables, key = key.strip().split(".")
    for table in tables:
        values = values.setdefault(table, {})
        if not isinstance(values, dict):
            raise SalmonnError(f"{override!r}: {table} is {values!r}, not a table: write {table}=value")
    values[key] = _yaml(text, repr(override))


class _Loader(yaml.SafeLoader):
    """YAML 1.1 reads 1e-3 as a text; here it is the number that is meant."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def _yaml(text: str, where: str) -> object:
    try:
        return yaml.load(text, _Loader)  # _Loader is safe: plain values alone
    except yaml.YAMLError as problem:
        mark = getattr(problem, "problem_mark", None)
        line = f" at line {mark.line + 1}" if mark else ""
        what = getattr(problem, "problem", None) or "unreadable"
        raise SalmonnError(f"{where}: not YAML ({what}{line}); correct it there") from problem

"""The three stages as rows of one table, and recipes: a YAML file per run."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import yaml

from salmonn_mini.data.tasks import get_task, tasks_of
from salmonn_mini.errors import SalmonnError, unknown
from salmonn_mini.models.config import preset
from salmonn_mini.models.settings import Settings

RECIPES = Path(__file__).parents[1] / "recipes"
PARTS = ("connector", "lora")  # that can be trained; the two LayerNorms belong to the connector
DTYPES = ("float32", "bfloat16")
BITS = (8, 4)
SCRATCH = "scratch"
STAGE = re.compile(r"stage(\d+)")  # of `init`
# Of keys: the condition, in words, and the remedy; null is always allowed where the type allows it.
RANGES: tuple[tuple[tuple[str, ...], Callable[[float], bool], str, str], ...] = (
    (
        ("steps", "batch_size", "gradient_accumulation_steps", "max_grad_norm", "save_every", "eval_every"),
        *(lambda v: v > 0, "greater than 0", "give a positive number"),
    ),
    (("eval_clips", "threads"), lambda v: v > 0, "greater than 0", "omit it for the default"),
    (("warmup", "weight_decay", "workers", "cache_limit"), lambda v: v >= 0, "at least 0", "0 turns it off"),
    (
        ("min_lr_ratio", "beta1", "beta2", "dropout", "max_bad_share"),
        *(lambda v: 0 <= v < 1, "at least 0 and below 1", "omit it for the default"),
    ),
    (("connector_lr", "lora_lr"), lambda v: 0 < v <= 1, "above 0 and at most 1", "1e-3 is a start"),
    (("paraphrase_prob", "affix_prob"), lambda v: 0 <= v <= 1, "from 0 to 1", "0.5 is half of the clips"),
    (("seed",), lambda v: 0 <= v < 2**31, "at least 0 and below 2^31", "choose another"),
)


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
    """Everything that determines a run: equal recipes give equal runs.

    Attributes:
        stage: the row of STAGES, which `tasks` (with their shares) and `trainable` (PARTS) may override. With a
            manifest, `tasks` are the shares of its tasks in an epoch; without them every clip comes once.
        model: a preset, whose frozen encoders and LLM are used; or null, where `init` brings its own.
        init: "scratch" for a random connector and LoRA; "stage1" and so on for the preset's own; or another model
            of the preset's widths, frozen parts included: a preset with released weights such as "13b", a name on
            the hub, or a directory, such as one that `Salmonn.from_published(…).save_pretrained(…)` wrote.
        config: overrides of the preset, such as {"connector": {"kind": "segment_qformer"}}; from scratch only.
        output_dir: for the log `train.jsonl`, the checkpoints and, at the end, the model.
        clips: how many clips of the toy world are drawn, unless there is a `manifest`, or a mixture, `manifests`:
            files, each with its share of an epoch, such as its number of clips.
        prompts: a prompt file that replaces the task table's prompts, for all clips of a manifest.
        paraphrase_prob: the share of the toy world's clips of those tasks that `prompts` has, to be asked by it.
        affix_prob: the share of all the toy world's clips whose prompt stands between a prefix and a suffix, as in
            "Now: Describe the audio. Thank you."
        stream: the manifests are packed directories, whose clips are read and encoded at each step instead of being
            cached: for more than memory holds.
        workers: processes that read and decode sound, for each process that trains; 0: it does so itself.
        max_bad_share: the largest share of clips that cannot be used and are set aside; more end the run.
        batch_size: clips per step, over all processes.
        gradient_accumulation_steps: the parts, one after the other, in which a process computes its clips of a
            step: more parts, less memory, the same loss.
        gradient_checkpointing: the LLM's layers recompute their activations instead of keeping them.
        connector_lr, lora_lr: the peaks of a cosine schedule with `warmup` steps, down to `min_lr_ratio` of them.
        weight_decay: on matrices; biases and norms have none.
        dropout: in the connector and in LoRA; the model's own by default.
        dtype: of the frozen Whisper and LLM, and of the computation; trained weights stay in float32.
        bits: 8 or 4 for a quantized frozen LLM; needs a GPU and bitsandbytes.
        compile: torch.compile for the layers of the encoders and the LLM: a slow start, faster steps on a GPU.
        cache_dir: for the frozen encoders' features; may be deleted at any time.
        cache_limit: in GB; at the end of a run the least recently used files there are deleted.
        trackers: names of Accelerate's, such as tensorboard or wandb; one whose package is missing is skipped.
        eval_every: after so many steps the same `eval_clips` clips are transcribed, and their WER is logged: of the
            toy world's validation split, or of `eval_manifest`. Null: never.
    """

    stage: int
    output_dir: str
    steps: int
    connector_lr: float
    lora_lr: float
    model: str | None = "toy"
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
        for names, holds, rule, remedy in RANGES:
            for name in names:
                value = getattr(self, name)
                self._rule(value is None or holds(value), name, rule, remedy)
        for name, known in (("stage", STAGES), ("dtype", DTYPES), ("bits", (None, *BITS))):
            words = ", ".join("null" if value is None else str(value) for value in known)
            self._rule(getattr(self, name) in known, name, f"one of {words}", "choose one")
        if self.model is not None:
            preset(self.model)
        rule, most = self._rule, f"at most batch_size = {self.batch_size}"
        parts = self.gradient_accumulation_steps
        rule(parts <= self.batch_size, "gradient_accumulation_steps", most, "lower it")
        rule(self.init == SCRATCH or not self.config, "config", "omitted unless init is scratch", "remove it")
        rule(set(self.trainable) <= set(PARTS), "trainable", f"among {', '.join(PARTS)}", "choose some")
        own_parts = self.init != SCRATCH and not STAGE.fullmatch(self.init)
        rule(self.model or own_parts, "model", f"a preset where init is {self.init}", "name one")
        rule(bool(self.output_dir.strip()), "output_dir", "the name of a directory", "name one")
        self._check_sources() if self.sources else self._check_toy()
        for name, share in self.tasks.items():
            get_task(name)
            rule(_is_share(share), "tasks", "shares of at least 0", f"change {name}")
        rule(not self.tasks or sum(self.tasks.values()) > 0, "tasks", "of some share", "raise one")
        known = self.eval_every is None or self.eval_manifest is not None or not self.sources
        rule(known, "eval_manifest", "given for eval_every", "name one that is not trained on")

    def _check_toy(self) -> None:
        rule, least = self._rule, f"at least batch_size = {self.batch_size}"
        rule(self.clips is not None, "clips", "given where there is no manifest", "say how many")
        rule(self.clips >= self.batch_size, "clips", least, "draw more")
        rule(not self.stream, "stream", "false without a manifest", "remove it")
        used = self.prompts is None or self.paraphrase_prob > 0
        rule(used, "paraphrase_prob", "above 0 for prompts to be used", "raise it, or remove prompts")

    def _check_sources(self) -> None:
        rule, shares = self._rule, "omitted with manifests: they have shares of their own"
        rule(self.clips is None, "clips", "omitted with a manifest: all its clips are used", "remove it")
        rule(not (self.stream and self.tasks), "tasks", "omitted with stream", "remove it")
        rule(not (self.tasks and self.manifests), "tasks", shares, "remove it")
        rule(not (self.manifest and self.manifests), "manifest", "omitted with manifests", "add it to them")
        for name, share in self.manifests.items():
            rule(_is_share(share) and share > 0, "manifests", "shares above 0", f"change {name}")

    @property
    def sources(self) -> dict[str, float]:
        """Manifests with their shares of an epoch; empty for the toy world."""
        return dict(self.manifests) if self.manifest is None else {self.manifest: 1.0}

    def factor(self, step: int) -> float:
        """The factor on the learning rates at a step, counted from 0."""
        return lr_factor(step, self.steps, self.warmup, self.min_lr_ratio)


def lr_factor(step: int, steps: int, warmup: int, min_lr_ratio: float) -> float:
    """Cosine with warmup: linearly up to 1, then down to `min_lr_ratio`; steps are counted from 0."""
    if step < warmup:
        return (step + 1) / warmup
    progress = (step - warmup) / (steps - warmup)
    return min_lr_ratio + (1 - min_lr_ratio) * 0.5 * (1 + math.cos(math.pi * progress))


def _is_share(value: object) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and math.isfinite(value) and value >= 0


def recipe_names() -> list[str]:
    """The names of the package's recipes."""
    return sorted(path.stem for path in RECIPES.glob("*.yaml"))


def load_recipe(name: str | os.PathLike, overrides: Sequence[str] = ()) -> Recipe:
    """A recipe by its name or file; each override is `key=value`, or `tasks.NAME=value`, the value in YAML.

    Raises:
        SalmonnError: no such recipe, a file that is not YAML, an unknown key, a wrong or impossible value.
    """
    path = _find(name)
    values = _yaml(path.read_text(encoding="utf-8"), str(path))
    if not isinstance(values, dict):
        raise SalmonnError(f"{path}: a recipe consists of lines `key: value`; use this form")
    for key in ("manifest", "prompts"):
        file = path.parent / str(values.get(key))
        if file.is_file() and not Path(values[key]).exists():
            values[key] = str(file)  # relative to the recipe
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
    """Numbers as in YAML 1.2: 1e-3 is one, 0100 is 100 and not 64, 1:30 is a text and not 90."""

    yaml_implicit_resolvers: ClassVar = {
        sign: [pair for pair in pairs if not pair[0].endswith((":int", ":float"))]
        for sign, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


_INT, _FLOAT = "tag:yaml.org,2002:int", "tag:yaml.org,2002:float"
_Loader.add_implicit_resolver(_INT, re.compile(r"[-+]?[0-9]+$"), list("-+0123456789"))
_Loader.add_implicit_resolver(
    _FLOAT,
    re.compile(r"[-+]?((\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|\.inf)$|\.nan$"),
    list("-+.0123456789"),
)
_Loader.add_constructor(_INT, lambda loader, node: int(loader.construct_scalar(node)))


def _yaml(text: str, where: str) -> object:
    try:
        return yaml.load(text, _Loader)  # _Loader is safe
    except yaml.YAMLError as problem:
        mark = getattr(problem, "problem_mark", None)
        line = f" at line {mark.line + 1}" if mark else ""
        what = getattr(problem, "problem", None) or "unreadable"
        raise SalmonnError(f"{where}: not YAML ({what}{line}); correct it there") from problem

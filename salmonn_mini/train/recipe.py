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
SCRATCH = "scratch"
STAGE = re.compile(r"stage(\d+)")  # of `init`
# Of keys: the condition, in words, and the remedy; null is always allowed where the type allows it.
RANGES: tuple[tuple[str, Callable[[float], bool], str, str], ...] = (
    ("stage", lambda v: v in STAGES, "one of 1, 2, 3", "choose one"),
    ("dtype", lambda v: v in ("float32", "bfloat16"), "one of float32, bfloat16", "choose one"),
    ("bits", lambda v: v in (8, 4), "one of null, 8, 4", "choose one"),
    ("seed", lambda v: 0 <= v < 2**31, "at least 0 and below 2^31", "choose another"),
    ("connector_lr lora_lr lr", lambda v: 0 < v <= 1, "above 0 and at most 1", "1e-3 is a start"),
    ("paraphrase_prob affix_prob", lambda v: 0 <= v <= 1, "from 0 to 1", "0.5 is half of the clips"),
    ("warmup weight_decay workers cache_limit", lambda v: v >= 0, "at least 0", "0 turns it off"),
    ("min_lr_ratio beta1 beta2", lambda v: 0 <= v < 1, "at least 0 and below 1", "omit it for the default"),
    ("dropout max_bad_share", lambda v: 0 <= v < 1, "at least 0 and below 1", "omit it for the default"),
    ("steps batch_size gradient_accumulation_steps", lambda v: v > 0, "greater than 0", "1 is the least"),
    ("save_every eval_every eval_clips threads", lambda v: v > 0, "greater than 0", "1 is the least"),
    ("max_grad_norm temperature", lambda v: v > 0, "greater than 0", "omit it for the default"),
)


# Tasks with their shares: pre-training, instruction tuning, activation tuning.
STAGES = {stage: {task.name: 1.0 for task in tasks_of(stage=stage)} for stage in (1, 2)} | {3: {"story": 1.0}}


def _check_ranges(settings: Settings) -> None:
    for names, holds, rule, remedy in RANGES:
        for name in names.split():
            value = getattr(settings, name, None)
            settings._rule(value is None or holds(value), name, rule, remedy)


@dataclass(frozen=True)
class Alignment(Settings):
    """The connector's warm-up by CTC, before the joint training; see `alignment.py`."""

    steps: int
    lr: float = 1.5e-3  # the peak of the schedule, which has the recipe's `warmup` and `min_lr_ratio`
    batch_size: int = 32  # clips per step, over all processes
    temperature: float = 0.1  # of the cosines
    tasks: tuple[str, ...] = ("asr", "audio_caption", "music_caption")  # their answers tell what is in a clip

    def _check(self) -> None:
        _check_ranges(self)
        for name in self.tasks:
            get_task(name)
        self._rule(len(self.tasks) > 0, "tasks", "one task or more", "omit it for the default")


@dataclass(frozen=True)
class Recipe(Settings):
    """Everything that determines a run: equal recipes give equal runs. Keys without a default must be given."""

    stage: int  # of STAGES, whose tasks `tasks` may replace
    output_dir: str  # for the log `train.jsonl`, the checkpoints and, at the end, the model
    steps: int
    connector_lr: float  # the peaks of a cosine schedule, see `warmup` and `min_lr_ratio`
    lora_lr: float
    model: str | None = "toy"  # a preset: its frozen encoders and LLM; null where `init` brings its own
    # "scratch" for a random connector and LoRA; "stage1" and so on for the preset's own; or another model of the
    # preset's widths, frozen parts included: a preset with released weights such as "13b", a name on the hub, or a
    # directory, such as one that `Salmonn.from_published(…).save_pretrained(…)` wrote.
    init: str = SCRATCH
    config: dict = field(default_factory=dict)  # from scratch: overrides, {"connector": {"tail": …}}
    tasks: dict = field(default_factory=dict)  # shares; of a manifest in an epoch, else each clip comes once
    trainable: tuple[str, ...] = ()  # some of PARTS; by default all of them
    alignment: Alignment | None = None  # steps before the others, on the connector alone
    clips: int | None = None  # of the toy world, unless there is a manifest, or
    manifest: str | None = None
    manifests: dict = field(default_factory=dict)  # a mixture: files, each with its share of an epoch
    prompts: str | None = None  # a prompt file instead of the task table's: for a manifest,
    paraphrase_prob: float = 0.0  # or for this share of the toy world's clips
    affix_prob: float = 0.0  # share of the toy world's clips whose prompt has a prefix and a suffix
    stream: bool = False  # packed directories, read and encoded at each step: more than memory holds
    workers: int = 0  # processes that decode sound, for each process that trains; 0: it does so itself
    max_bad_share: float = 0.05  # of clips that cannot be used and are set aside; more end the run
    batch_size: int = 32  # clips per step, over all processes
    gradient_accumulation_steps: int = 1  # parts of a process's clips of a step, to save memory
    gradient_checkpointing: bool = False  # the LLM's layers recompute their activations
    warmup: int = 100  # steps
    min_lr_ratio: float = 0.05
    weight_decay: float = 0.05  # on matrices; biases and norms have none
    beta1: float = 0.9
    beta2: float = 0.999
    max_grad_norm: float = 1.0
    dropout: float | None = None  # in the connector and in LoRA; null: the model's own
    dtype: str = "float32"  # of the frozen Whisper and LLM, and of the computation; trained weights: float32
    bits: int | None = None  # 8 or 4 for a quantized frozen LLM; needs a GPU and bitsandbytes
    compile: bool = False  # torch.compile for encoders and LLM: a slow start, faster steps on a GPU
    seed: int = 0
    threads: int | None = None
    save_every: int = 100  # steps
    cache_dir: str = "runs/features"  # of the frozen encoders; may be deleted at any time
    cache_limit: float = 20.0  # GB; at a run's end the least recently used files beyond it are deleted
    trackers: tuple[str, ...] = ("tensorboard",)  # names of Accelerate's; without its package one is skipped
    eval_every: int | None = None  # steps until the WER of `eval_clips` clips is logged; null: never
    eval_clips: int = 32  # of the toy world's validation split, or of
    eval_manifest: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "trainable", self.trainable or PARTS)
        if not self.sources:
            object.__setattr__(self, "tasks", dict(self.tasks or STAGES[self.stage]))

    def _check(self) -> None:
        _check_ranges(self)
        if self.model is not None:
            preset(self.model)
        rule, batch = self._rule, self.batch_size
        parts = self.gradient_accumulation_steps
        rule(parts <= batch, "gradient_accumulation_steps", f"at most batch_size = {batch}", "lower it")
        rule(self.init == SCRATCH or not self.config, "config", "omitted unless init is scratch", "remove it")
        rule(set(self.trainable) <= set(PARTS), "trainable", f"among {', '.join(PARTS)}", "choose some")
        needs_preset = self.init == SCRATCH or STAGE.fullmatch(self.init)
        rule(self.model or not needs_preset, "model", f"a preset where init is {self.init}", "name one")
        rule(self.output_dir.strip(), "output_dir", "the name of a directory", "name one")
        self._check_sources() if self.sources else self._check_toy()
        for name, share in self.tasks.items():
            get_task(name)
            rule(_is_share(share), "tasks", "shares of at least 0", f"change {name}")
        rule(not self.tasks or sum(self.tasks.values()) > 0, "tasks", "of some share", "raise one")
        known = self.eval_every is None or self.eval_manifest or not self.sources
        rule(known, "eval_manifest", "given for eval_every", "name one that is not trained on")
        if self.alignment is not None:
            rule(self.init == SCRATCH, "alignment", "omitted unless init is scratch", "remove it")
            trained = "connector" in (self.trainable or PARTS)
            rule(trained, "alignment", "omitted unless the connector is trained", "add it to trainable")
            self.of_alignment()

    def _check_toy(self) -> None:
        rule, least = self._rule, f"at least batch_size = {self.batch_size}"
        rule(self.clips is not None, "clips", "given where there is no manifest", "say how many")
        rule(self.clips >= self.batch_size, "clips", least, "draw more")
        rule(not self.stream, "stream", "false without a manifest", "remove it")
        used = self.prompts is None or self.paraphrase_prob > 0
        rule(used, "paraphrase_prob", "above 0 for prompts to be used", "raise it, or remove prompts")

    def _check_sources(self) -> None:
        rule, own = self._rule, "omitted with manifests and with stream"
        rule(self.clips is None, "clips", "omitted with a manifest: all its clips are used", "remove it")
        rule(not self.tasks or not (self.stream or self.manifests), "tasks", own, "remove it")
        rule(not (self.manifest and self.manifests), "manifest", "omitted with manifests", "add it to them")
        for name, share in self.manifests.items():
            rule(_is_share(share) and share > 0, "manifests", "shares above 0", f"change {name}")

    @property
    def sources(self) -> dict[str, float]:
        """Manifests with their shares of an epoch; empty for the toy world."""
        return dict(self.manifests) if self.manifest is None else {self.manifest: 1.0}

    @property
    def total_steps(self) -> int:
        """The steps of the alignment, if there is one, and of the joint training."""
        return self.steps + (self.alignment.steps if self.alignment else 0)

    def of_alignment(self) -> Recipe:
        """This recipe with the alignment's values in the place of its own."""
        own = self.alignment
        values = {"steps": own.steps, "batch_size": own.batch_size, "connector_lr": own.lr}
        return self.replace(**values, trainable=("connector",), alignment=None)

    def factor(self, step: int) -> float:
        """The factor on the learning rates at a step, from 0."""
        return lr_factor(step, self.steps, self.warmup, self.min_lr_ratio)


def lr_factor(step: int, steps: int, warmup: int, min_lr_ratio: float) -> float:
    """Cosine with warmup: linearly up to 1, then down to `min_lr_ratio`; steps are counted from 0."""
    if step < warmup:
        return (step + 1) / warmup
    progress = (step - warmup) / (steps - warmup)
    return min_lr_ratio + (1 - min_lr_ratio) * 0.5 * (1 + math.cos(math.pi * progress))


def _is_share(value: object) -> bool:
    return type(value) in (int, float) and 0 <= value < math.inf


def recipe_names() -> list[str]:
    """The names of the package's recipes."""
    return sorted(path.stem for path in RECIPES.glob("*.yaml"))


def load_recipe(name: str | os.PathLike, overrides: Sequence[str] = ()) -> Recipe:
    """A recipe by its name or file; each override is `key=value`, or `tasks.NAME=value`, the value in YAML.

    In Python, `load_recipe(name).replace(key=value)` changes it as well.

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


_INT = re.compile(r"[-+]?[0-9]+$")
_FLOAT = re.compile(r"[-+]?((\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|\.inf)$|\.nan$")
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", _INT, list("-+0123456789"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+.0123456789"))
_Loader.add_constructor("tag:yaml.org,2002:int", lambda loader, node: int(loader.construct_scalar(node)))


def _yaml(text: str, where: str) -> object:
    try:
        return yaml.load(text, _Loader)  # _Loader is safe
    except yaml.YAMLError as problem:
        mark = getattr(problem, "problem_mark", None)
        line = f" at line {mark.line + 1}" if mark else ""
        what = getattr(problem, "problem", None) or "unreadable"
        raise SalmonnError(f"{where}: not YAML ({what}{line}); correct it there") from problem

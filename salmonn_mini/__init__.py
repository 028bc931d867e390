"""SALMONN, built from scratch at toy scale: a language model that listens (arXiv 2310.13289).

    model = salmonn_mini.load("toy")
    model.answer("clip.wav", "Transcribe the speech.")

Importing this package is cheap: its exports, and torch with them, are imported when they are asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from salmonn_mini.evaluation.evaluate import evaluate
    from salmonn_mini.models.config import SalmonnConfig
    from salmonn_mini.models.lora import get_lora_scale, lora_scale
    from salmonn_mini.pretrained.loading import Salmonn, load
    from salmonn_mini.train.recipe import load_recipe
    from salmonn_mini.train.run import train_recipe

__version__ = "0.1.0"
__all__ = [
    "Salmonn",
    "SalmonnConfig",
    "__version__",
    "evaluate",
    "get_lora_scale",
    "load",
    "load_recipe",
    "lora_scale",
    "train_recipe",
]


def lazy_exports(
    package: str, exports: Mapping[str, Sequence[str]]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """`__getattr__` and `__dir__` of a package (PEP 562); `exports` maps its modules to the names they hold."""
    home = {name: module for module, names in exports.items() for name in names}

    def get(name: str) -> Any:
        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f"{package}.{home[name]}"), name)

    return get, lambda: sorted(import_module(package).__all__)


__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "evaluation.evaluate": ["evaluate"],
        "models.config": ["SalmonnConfig"],
        "models.lora": ["get_lora_scale", "lora_scale"],
        "pretrained.loading": ["Salmonn", "load"],
        "train.recipe": ["load_recipe"],
        "train.run": ["train_recipe"],
    },
)

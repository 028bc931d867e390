"""Training in three stages: recipes, and one loop for all of them.

`train_recipe` follows a recipe to the trained model; `fit` trains any model on any clips.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from salmonn_mini.train.recipe import STAGES, Recipe, load_recipe, recipe_names

__all__ = ["STAGES", "Recipe", "fit", "load_recipe", "recipe_names", "train_recipe"]

_LATE = {
    "fit": "loop",
    "train_recipe": "run",
}  # torch takes seconds to import; a wrong recipe is told at once


def __getattr__(name: str) -> Any:
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_LATE[name]}"), name)

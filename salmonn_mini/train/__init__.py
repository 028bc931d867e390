"""Training in three stages: recipes, and one loop for all of them.

`train_recipe` follows a recipe to the trained model; `fit` trains any model on any clips.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from salmonn_mini import lazy_exports
from salmonn_mini.train.recipe import STAGES, Recipe, load_recipe, recipe_names

if TYPE_CHECKING:
    from salmonn_mini.train.loop import fit
    from salmonn_mini.train.run import train_recipe

__all__ = ["STAGES", "Recipe", "fit", "load_recipe", "recipe_names", "train_recipe"]
__getattr__, __dir__ = lazy_exports(__name__, {"loop": ["fit"], "run": ["train_recipe"]})

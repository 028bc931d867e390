"""Training in three stages: recipes, and one loop for all of them."""

from salmonn_mini.train.loop import fit
from salmonn_mini.train.recipe import STAGES, Recipe, load_recipe, recipe_names

__all__ = ["STAGES", "Recipe", "fit", "load_recipe", "recipe_names"]

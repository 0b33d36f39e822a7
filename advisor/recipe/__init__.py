"""What to paste: the chosen option as command lines, manifests, scripts and alerts.

plan.py says what runs where; each other file writes one kind of text from it. `folder.py` puts a recipe
together.
"""

from advisor.recipe.archive import zip_of
from advisor.recipe.folder import Recipe, recipe_of, write_recipe
from advisor.recipe.plan import Places

__all__ = ["Places", "Recipe", "recipe_of", "write_recipe", "zip_of"]

"""One file per recipe; ``named_recipes()`` finds them by itself."""

from __future__ import annotations

import importlib
import inspect
import pkgutil

from estimlab.errors import EstimlabError, closest
from estimlab.training.recipes.recipe import Recipe

__all__ = ["Recipe", "find_recipe", "named_recipes"]


def named_recipes() -> dict[str, type[Recipe]]:
    """Every final recipe of this package, by name.

    >>> from estimlab.training.recipes import named_recipes
    >>> list(named_recipes())
    ['cifar10_psa', 'cifar10_vgg', 'digits', 'fashion', 'mnist_vae']
    """
    found: dict[str, type[Recipe]] = {}
    for module in pkgutil.iter_modules(__path__, __name__ + "."):
        for value in vars(importlib.import_module(module.name)).values():
            if inspect.isclass(value) and issubclass(value, Recipe) and "name" in vars(value):
                found[value.name] = value
    return dict(sorted(found.items()))


def find_recipe(name: str) -> type[Recipe]:
    """The recipe of a name.

    Raises:
        EstimlabError: an unknown name.

    >>> from estimlab.training.recipes import find_recipe
    >>> find_recipe("digits")(widths=(20,)).epochs
    30
    """
    known = named_recipes()
    if name not in known:
        raise EstimlabError(f"There is no recipe {name!r}.{closest(name, known)} Recipes: {', '.join(known)}.")
    return known[name]

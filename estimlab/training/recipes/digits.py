"""scikit-learn's digits: two layers of binary units, seconds on a CPU, any estimator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

from estimlab.training.recipes.linear import LinearRecipe


@final
@dataclass(frozen=True)
class Digits(LinearRecipe):
    """Two layers of binary units on 8x8 images of ten digits: the smallest recipe.

    >>> from estimlab.training.recipes import find_recipe
    >>> digits = find_recipe("digits")()
    >>> digits.widths, digits.epochs, digits.mode
    ((100, 100), 30, 'mean')
    """

    name: ClassVar[str] = "digits"
    summary: ClassVar[str] = "scikit-learn's 8x8 digits, 64-100-100-10, any estimator; seconds on a CPU"
    data: ClassVar[str] = "digits"

    epochs: int = 30
    batch_size: int = 50
    learning_rate: float = 5e-3

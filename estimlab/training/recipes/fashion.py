"""Fashion-MNIST: two layers of binary units, minutes on a CPU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

from estimlab.training.recipes.linear import LinearRecipe


@final
@dataclass(frozen=True)
class Fashion(LinearRecipe):
    """Two layers of binary units on 28x28 images of ten kinds of clothes.

    >>> from estimlab.training.recipes import find_recipe
    >>> fashion = find_recipe("fashion")()
    >>> fashion.widths, fashion.epochs, fashion.source()
    ((256, 256), 8, 'fashion_mnist')
    """

    name: ClassVar[str] = "fashion"
    summary: ClassVar[str] = "Fashion-MNIST, 784-256-256-10, any estimator; minutes on a CPU"
    data: ClassVar[str] = "fashion_mnist"

    epochs: int = 8
    batch_size: int = 100
    learning_rate: float = 2e-3
    widths: tuple[int, ...] = (256, 256)

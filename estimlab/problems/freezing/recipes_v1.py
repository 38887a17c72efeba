"""Recipes of v1: data, initial networks and training of every problem, all from fixed seeds.

*Late* is where the exact objective stops improving appreciably: over the last tenth of the steps it fell by less than
one percent of its value before training. *Early* is a tenth of the way there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np

from estimlab.problems.toys import toy_points

Data = tuple[np.ndarray, np.ndarray]
LEARNING_RATE = 0.02


@dataclass(frozen=True)
class Recipe:
    """How one problem is made.

    Attributes:
        task: beginning of the summary sentence.
        stages: modules as data, see ``estimlab.problems.architecture``.
        head: the head as data.
        objective: name and fields.
        data: returns inputs and targets to train on; None for a network without input.
        law: name and scale of the noise.
        coding: values of the low and the high state.
        seed: of the initial parameters.
        steps: number of steps of Adam.
        stage: what the number of steps amounts to.
        kept: number of examples of each class that the problem holds; all where it is None.
        source: where the data come from, if they are not made here.
    """

    task: str
    stages: tuple[Any, ...]
    head: tuple[Any, ...]
    objective: tuple[str, dict[str, Any]]
    data: Callable[[], Data] | None
    law: tuple[str, float] = ("Logistic", 1.0)
    coding: tuple[float, float] = (-1.0, 1.0)
    seed: int = 0
    steps: int = 0
    stage: str = "fixed"
    kept: int | None = None
    source: dict[str, str] = field(default_factory=dict)


def clouds() -> Data:
    """Three overlapping Gaussian clouds in the plane, 30 points each."""
    rng, angle = np.random.default_rng(31), 2 * np.pi * np.arange(3) / 3
    centres = 1.5 * np.column_stack((np.cos(angle), np.sin(angle)))
    targets = np.repeat(np.arange(3), 30)
    return centres[targets] + 0.7 * rng.standard_normal((90, 2)), targets


def bars() -> Data:
    """Images of 4 x 4 pixels: a row (class 0), a column (1) or a broken diagonal (2) of +1 on -1, and pixel noise."""
    rng, targets = np.random.default_rng(41), np.repeat(np.arange(3), 20)
    images = np.full((60, 1, 4, 4), -1.0)
    for image, target, shift in zip(images, targets, rng.integers(0, 4, 60), strict=True):
        along = np.arange(4)
        rows, columns = ((shift, along), (along, shift), (along, (along + shift) % 4))[target]
        image[0, rows, columns] = 1.0
    return images + 0.5 * rng.standard_normal(images.shape), targets


def digits() -> Data:
    """The first 20 digits of each class, 8 x 8 pixels from -1 to +1; every class's own examples in a row."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    first = np.concatenate([np.flatnonzero(bunch.target == digit)[:20] for digit in range(10)])
    return bunch.data[first] / 8 - 1, bunch.target[first]


def random_terms() -> list[list[Any]]:
    """Twelve products of one to four of eight units, coefficients U(-1, 1)."""
    rng = np.random.default_rng(51)
    picks = [rng.permutation(8)[: 1 + number % 4] for number in range(12)]
    return [[2 * rng.random() - 1, sorted(int(unit) for unit in pick)] for pick in picks]


def random_quadratic() -> dict[str, Any]:
    """A symmetric matrix and a linear term for eight units, entries U(-1, 1)."""
    rng = np.random.default_rng(61)
    matrix = 2 * rng.random((8, 8)) - 1
    return {"matrix": ((matrix + matrix.T) / 2).tolist(), "linear": (2 * rng.random(8) - 1).tolist()}


def linear_stages(*widths: int) -> tuple[Any, ...]:
    """Linear stages of these widths, the first the input's."""
    return tuple(("Linear", below, above) for below, above in pairwise(widths))


LOGISTIC: tuple[str, dict[str, Any]] = ("LogisticLoss", {})
ENTROPY: tuple[str, dict[str, Any]] = ("CrossEntropy", {})
DIGITS_SOURCE = {
    "title": "Optical Recognition of Handwritten Digits, as bundled with scikit-learn",
    "authors": "E. Alpaydin, C. Kaynak",
    "year": "1998",
    "publisher": "UCI Machine Learning Repository",
    "doi": "10.24432/C50P49",
    "license": "CC BY 4.0",
    "changes": "four images of each digit, pixels divided by 8, minus 1",
}

TOY = Recipe(
    "Points above or below a cosine, 2-5-5-5-1, 0/1 coding, logistic noise",
    linear_stages(2, 5, 5, 5), ("Linear", 5, 1), LOGISTIC, lambda: toy_points(11, 200), coding=(0.0, 1.0), seed=12,
)  # fmt: skip
DIGITS = Recipe(
    "Handwritten digits of 8 x 8 pixels, 64-10-10 and ten classes, -1/+1 coding, logistic noise",
    linear_stages(64, 10, 10), ("Linear", 10, 10), ENTROPY, digits, seed=22, kept=4, source=DIGITS_SOURCE,
)  # fmt: skip
GAUSSIAN = Recipe(
    "Points above or below a cosine, 2-6-6-1, -1/+1 coding, Gaussian noise",
    linear_stages(2, 6, 6), ("Linear", 6, 1), LOGISTIC, lambda: toy_points(71, 100), ("Gaussian", 1.0), seed=72,
)  # fmt: skip
UNIFORM = Recipe(
    "Three Gaussian clouds, 2-6-6 and three classes, -1/+1 coding, uniform noise on [-1, 1]",
    linear_stages(2, 6, 6), ("Linear", 6, 3), ENTROPY, clouds, ("Uniform", 1.0), seed=32,
)  # fmt: skip
DEEP = Recipe(
    "Points above or below a cosine, eight layers of six units, -1/+1 coding, logistic noise",
    linear_stages(2, *(6,) * 8), ("Linear", 6, 1), LOGISTIC, lambda: toy_points(81, 100), seed=82,
)  # fmt: skip
CONV = Recipe(
    "Noisy bars in images of 4 x 4 pixels, a convolution to two channels of 2 x 2 units, then four units and three "
    "classes, 0/1 coding, logistic noise",
    (("Conv2d", 1, 2, 3), ("Sequential", ("Flatten",), ("Linear", 8, 4))), ("Linear", 4, 3), ENTROPY, bars,
    coding=(0.0, 1.0), seed=42,
)  # fmt: skip

RECIPES = {
    "toy-init": replace(TOY, stage="init"),
    "toy-early": replace(TOY, stage="early", steps=200),
    "toy-late": replace(TOY, stage="late", steps=2000),
    "digits-init": replace(DIGITS, stage="init"),
    "digits-early": replace(DIGITS, stage="early", steps=40),
    "digits-late": replace(DIGITS, stage="late", steps=400),
    "gaussian-late": replace(GAUSSIAN, stage="late", steps=1500),
    "uniform-late": replace(UNIFORM, stage="late", steps=2000),
    "deep-late": replace(DEEP, stage="late", steps=1000),
    "conv-late": replace(CONV, stage="late", steps=2000),
    "polynomial": Recipe(
        "The cube of |mean - 0.45| of ten units without input, 0/1 coding, logistic noise",
        (("Logits", 10),), ("Identity",), ("Polynomial", {"power": 3.0, "center": 0.45, "weights": None}), None,
        coding=(0.0, 1.0), seed=91,
    ),
    "multilinear": Recipe(
        "Twelve products of one to four of eight units without input, -1/+1 coding, logistic noise",
        (("Logits", 8),), ("Identity",), ("Multilinear", {"terms": random_terms()}), None, seed=52,
    ),
    "quadratic": Recipe(
        "A quadratic form of eight units without input, -1/+1 coding, logistic noise",
        (("Logits", 8),), ("Identity",), ("Quadratic", random_quadratic()), None, seed=62,
    ),
}  # fmt: skip

"""A covering set: each pair of values of two dimensions occurs at least once, also among problems of one unit.

Weights, which all examples share, are tried beside it.
"""

from __future__ import annotations

from estimlab.checks.problems.settings import PLAIN, Setting

COVERING: tuple[Setting, ...] = (
    PLAIN,
    # layers, law, scale, coding, batch, tail, target, objective, head
    Setting((1,), "Logistic", 1.0, (0.0, 1.0), 3, True, False, "100 f", False),
    Setting((1,), "Logistic", 0.5, (0.0, 1.0), 1, False, True, "100 f", True),
    Setting((1,), "Logistic", 0.5, (-1.0, 1.0), 1, True, False, "f", True),
    Setting((1,), "Logistic", 2.0, (-0.5, 2.0), 3, False, False, "f + 100", True),
    Setting((1,), "Gaussian", 1.0, (0.0, 1.0), 1, False, True, "f", False),
    Setting((1,), "Gaussian", 0.5, (-0.5, 2.0), 3, True, False, "f + 100", False),
    Setting((1,), "Gaussian", 2.0, (-0.5, 2.0), 3, True, False, "f", False),
    Setting((1,), "Gaussian", 2.0, (-1.0, 1.0), 1, True, False, "100 f", True),
    Setting((1,), "Uniform", 1.0, (-0.5, 2.0), 3, False, False, "f", True),
    Setting((1,), "Uniform", 0.5, (-1.0, 1.0), 1, False, False, "f + 100", False),
    Setting((1,), "Uniform", 0.5, (-0.5, 2.0), 3, True, False, "100 f", True),
    Setting((1,), "Uniform", 2.0, (0.0, 1.0), 3, False, True, "f + 100", True),
    Setting((1,), "Triangular", 1.0, (-1.0, 1.0), 3, True, True, "f + 100", True),
    Setting((1,), "Triangular", 0.5, (0.0, 1.0), 1, True, False, "100 f", False),
    Setting((1,), "Triangular", 2.0, (-0.5, 2.0), 1, False, True, "f", True),
    Setting((2,), "Logistic", 1.0, (-1.0, 1.0), 3, True, False, "f", False),
    Setting((2,), "Gaussian", 2.0, (0.0, 1.0), 1, False, True, "100 f", True),
    Setting((2,), "Uniform", 0.5, (-0.5, 2.0), 1, False, True, "f + 100", False),
    Setting((2,), "Triangular", 1.0, (-0.5, 2.0), 3, True, True, "f", True),
    Setting(((2, 2),), "Logistic", 0.5, (-1.0, 1.0), 3, False, False, "100 f", True),
    Setting(((2, 2),), "Gaussian", 2.0, (-0.5, 2.0), 1, True, False, "f + 100", True),
    Setting(((2, 2),), "Uniform", 1.0, (-0.5, 2.0), 3, False, True, "f", False),
    Setting(((2, 2),), "Triangular", 1.0, (0.0, 1.0), 3, False, True, "f", False),
    Setting((6,), "Logistic", 2.0, (-0.5, 2.0), 3, True, False, "100 f", False),
    Setting((6,), "Gaussian", 2.0, (-1.0, 1.0), 3, True, False, "f + 100", True),
    Setting((6,), "Uniform", 1.0, (-1.0, 1.0), 1, False, False, "f + 100", True),
    Setting((6,), "Triangular", 0.5, (0.0, 1.0), 1, False, True, "f", True),
    Setting((2, 2), "Logistic", 1.0, (-0.5, 2.0), 3, True, True, "f + 100", True),
    Setting((2, 2), "Gaussian", 0.5, (-0.5, 2.0), 3, False, True, "100 f", True),
    Setting((2, 2), "Uniform", 0.5, (0.0, 1.0), 3, True, True, "f", True),
    Setting((2, 2), "Triangular", 2.0, (-1.0, 1.0), 1, False, False, "100 f", False),
    Setting((5, 1), "Logistic", 0.5, (-1.0, 1.0), 3, False, True, "f + 100", False),
    Setting((5, 1), "Gaussian", 2.0, (-0.5, 2.0), 3, False, True, "100 f", False),
    Setting((5, 1), "Uniform", 1.0, (0.0, 1.0), 1, True, False, "f", True),
    Setting((5, 1), "Triangular", 1.0, (0.0, 1.0), 1, True, False, "f + 100", True),
    Setting((1, 2, 1), "Logistic", 1.0, (-0.5, 2.0), 1, True, False, "f", True),
    Setting((1, 2, 1), "Gaussian", 0.5, (0.0, 1.0), 1, True, True, "f + 100", False),
    Setting((1, 2, 1), "Uniform", 2.0, (0.0, 1.0), 3, False, False, "f + 100", True),
    Setting((1, 2, 1), "Triangular", 2.0, (-1.0, 1.0), 3, False, False, "100 f", True),
    Setting((2,), "Logistic", 1.0, (-1.0, 1.0), 3, target=True, shared=True),
    Setting((2,), "Gaussian", 0.5, (0.0, 1.0), 3, head=True, shared=True),
)
"""Smallest first; one unit alone, as few integrals reach more where a draw is smooth in its noise."""

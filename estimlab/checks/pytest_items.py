"""Checks as test items of pytest, in the manner of scikit-learn."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from estimlab.checks.report import Row
from estimlab.checks.suite import CHECKS, Check, instance
from estimlab.errors import EstimlabError
from estimlab.estimators.base import Estimator


@dataclass(frozen=True)
class CheckItem:
    """A check to be called with an estimator inside a test."""

    check: Check

    def __call__(self, estimator: Estimator) -> Row:
        """The row; fails where the claim is refuted, skips where it is undecided or turns out not to be made."""
        import pytest

        row = self.check.row(estimator)
        if row.verdict == "refuted":
            pytest.fail(f"{estimator!r}: {row.claim} is refuted. {row.detail}\n\n{row.snippet}", pytrace=False)
        if row.verdict != "holds":
            pytest.skip(f"{row.verdict}: {row.detail}")
        return row


def parametrize_with_checks(estimators: Iterable[Estimator | type[Estimator]]) -> Callable[[Any], Any]:
    """A pytest decorator: one test item for each estimator and each claim that it makes.

    ::

        @el.parametrize_with_checks([MyEstimator(), MyEstimator(width=3.0)])
        def test_my_estimator(estimator, check):
            check(estimator)

    Items are named after both, as in ``MyEstimator(width=3.0)-exact within one layer, degree 1``. A refuted claim
    fails with a program that shows it, an undecided one is skipped with what would have been seen.

    Args:
        estimators: instances, or classes that need no arguments.

    Errors:
        EstimlabError: pytest is not installed.
    """
    try:
        import pytest
    except ImportError as error:
        raise EstimlabError("parametrize_with_checks needs pytest: pip install pytest.") from error
    items = [
        pytest.param(one, CheckItem(check), id=f"{one!r}-{check.claim}")
        for one in map(instance, estimators)
        for check in CHECKS
        if check.claimed(one)
    ]
    return pytest.mark.parametrize(("estimator", "check"), items)

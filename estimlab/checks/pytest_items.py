"""Checks as test items of pytest, in the manner of scikit-learn."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

from estimlab.checks.report import Row
from estimlab.checks.suite import CHECKS, Check, first_fault, instance
from estimlab.errors import EstimlabError
from estimlab.estimators.base import Estimator


@dataclass(frozen=True)
class CheckItem:
    """A check to be called with an estimator inside a test.

    Attributes:
        check: the check.
        fault: of the estimator, the refuted check after which nothing is judged.
    """

    check: Check
    fault: Callable[[], Row | None]

    def __call__(self, estimator: Estimator) -> Row:
        """The row; fails where the claim is refuted, skips where it is undecided, not made, or hidden by a fault."""
        import pytest

        fault = self.fault()
        if fault is not None and self.check.claim != fault.claim:
            pytest.skip(f"not judged: {fault.claim} is refuted")
        row = self.check.row(estimator) if fault is None else fault
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
    fails with a program that shows it, an undecided one is skipped with what would have been seen; a fault
    (a crash, a NaN, state between calls, ...) fails alone, and the items of what it makes meaningless are skipped.

    Args:
        estimators: instances, or classes that need no arguments.

    Errors:
        EstimlabError: pytest is not installed.
    """
    try:
        import pytest
    except ImportError as error:
        raise EstimlabError("parametrize_with_checks needs pytest: pip install pytest.") from error
    items = [item for one in map(instance, estimators) for item in _items(one)]
    return pytest.mark.parametrize(("estimator", "check"), items)


def _items(estimator: Estimator) -> list[Any]:
    import pytest

    fault = cache(lambda: first_fault(estimator))
    claimed = [check for check in CHECKS if check.claimed(estimator)]
    return [pytest.param(estimator, CheckItem(check, fault), id=f"{estimator!r}-{check.claim}") for check in claimed]

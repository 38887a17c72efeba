"""Checks as test items of pytest, in the manner of scikit-learn."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from estimlab.checks.given import expectations, instances, require_seed
from estimlab.checks.judge import CHECKS, CLAIMS, Check, chosen_checks, judged
from estimlab.checks.report import Row
from estimlab.errors import EstimlabError
from estimlab.estimators.base import Estimator

Expected = Callable[[Estimator], Mapping[str, str] | None] | Mapping[str, str] | None


@dataclass(frozen=True)
class CheckItem:
    """A check to be called with an estimator inside a test.

    Attributes:
        check: the check.
        faults: verdicts on all faults of the estimator, by claim.
        seed: of everything that is drawn.
    """

    check: Check
    faults: Callable[[], Mapping[str, Row]]
    seed: int = 0

    def __call__(self, estimator: Estimator) -> Row:
        """The row; fails where the claim is refuted, skips where it is undecided, not made, or behind a fault."""
        import pytest

        row = self._row(estimator)
        if row.verdict == "refuted":
            remedy = f" Remedy: {row.remedy}." if row.remedy else ""
            said = f"{estimator!r}: {row.claim} is refuted. {row.detail}{remedy}"
            pytest.fail(f"{said}\n\n{row.snippet}", pytrace=False)
        if row.verdict != "holds":
            pytest.skip(f"{row.verdict}: {row.detail}")
        return row

    def _row(self, estimator: Estimator) -> Row:
        faults = self.faults()
        if self.check.claim in faults:
            return faults[self.check.claim]
        refuted = [claim for claim, row in faults.items() if row.verdict == "refuted"]
        return self.check.row(estimator, self.seed, refuted)


def parametrize_with_checks(
    estimators: Iterable[Estimator | type[Estimator] | str],
    *,
    claims: str | Iterable[str] | None = None,
    expected_failed_checks: Expected = None,
    seed: int = 0,
) -> Callable[[Any], Any]:
    """A pytest decorator: one test item for each estimator and each claim that it makes.

    ::

        @el.parametrize_with_checks([MyEstimator(), MyEstimator(width=3.0)])
        def test_my_estimator(estimator, check):
            check(estimator)

    Items are named after both, as in ``MyEstimator(width=3.0)-exact within one layer, degree 1``. A refuted claim
    fails with a program that shows it, an undecided one is skipped with what would have been seen; what a fault
    (a crash, a NaN, state between calls, ...) makes meaningless is skipped, and all else is judged.

    Args:
        estimators: instances, classes that need no arguments, or names of the catalogue.
        claims: these only: names of claims, or the words that names begin with.
        expected_failed_checks: reasons why claims fail, by claim, or a function that returns them for an estimator:
            these items are marked as strict xfail.
        seed: of everything that is drawn.

    Errors:
        EstimlabError: not estimators, an unknown claim, or pytest is not installed.

    >>> import estimlab as el
    >>> mark = el.parametrize_with_checks([el.ZGR(), el.ARM()], claims="is a value")
    >>> [item.id for item in mark.args[1]]
    ['ZGR()-is a value', "ARM(tails='independent')-is a value"]
    """
    try:
        import pytest
    except ImportError as error:
        raise EstimlabError("parametrize_with_checks needs pytest: pip install pytest.") from error
    require_seed(seed)
    chosen = chosen_checks(claims)
    items = [item for one in instances(estimators) for item in _items(one, chosen, expected_failed_checks, seed)]
    return pytest.mark.parametrize(("estimator", "check"), items)


def _items(estimator: Estimator, checks: tuple[Check, ...], expected: Expected, seed: int) -> list[Any]:
    reasons = expectations(expected(estimator) if callable(expected) else expected, CLAIMS)
    faults = cache(lambda: _faults(estimator, seed))
    claimed = [check for check in checks if check.claimed(estimator)]
    return [_item(estimator, CheckItem(check, faults, seed), reasons.get(check.claim)) for check in claimed]


def _item(estimator: Estimator, item: CheckItem, reason: str | None) -> Any:
    import pytest

    marks = [pytest.mark.xfail(reason=reason, strict=True)] if reason else []
    return pytest.param(estimator, item, id=f"{estimator!r}-{item.check.claim}", marks=marks)


def _faults(estimator: Estimator, seed: int) -> dict[str, Row]:
    checks = [check for check in CHECKS if check.fault]
    return {row.claim: row for row in judged(estimator, checks, seed=seed)}

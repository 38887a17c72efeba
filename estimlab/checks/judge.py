"""All checks in order, and the judge that runs them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

from estimlab.checks.claims import contract, expectation, faults, identities, moments, null_extension, precision
from estimlab.checks.given import chosen_claims, expectations, instance, one_of, require_seed
from estimlab.checks.remedies import with_remedy
from estimlab.checks.report import CheckFailedWarning, CheckReport, Refuted, Row, Undecided, Unused
from estimlab.checks.single_draws import crash
from estimlab.checks.torch_state import kept
from estimlab.declared import checked
from estimlab.errors import EstimlabError
from estimlab.estimators.base import Estimator, HardForward

Judge = Callable[[Estimator, int], str]
OnFail = Literal["raise", "warn"] | None

RUNS = ("runs",)
DRAWS = (*RUNS, "one value per example", "finite", "no global randomness", "no state between calls")
FAULTS = (
    *DRAWS,
    "type of the network",
    "changes nothing",
    "draw i depends on noise i only",
    "draws can be mapped",
    "noise is declared as it is used",
)
"""What makes expectations meaningless; the first few make all comparisons of draws so."""
MAPPED = (*DRAWS, "draws can be mapped")


def _always(estimator: Estimator) -> bool:
    return True


def _nothing(estimator: Estimator, seed: int) -> str:
    return ""


@dataclass(frozen=True)
class Check:
    """One claim and how it is judged.

    Attributes:
        claim: its name.
        judge: returns what holds of an estimator, or raises ``Refuted``, ``Undecided`` or ``Unused``; any other error
            refutes. Given the seed of all that is drawn.
        claimed: whether an estimator claims it.
        otherwise: what is said where it does not.
        needs: claims without which it cannot be judged: where one of them is refuted, this one is undecided.

    >>> import estimlab as el
    >>> from estimlab.checks import CHECKS
    >>> runs = CHECKS[0]
    >>> runs.row(el.ZGR()).verdict, runs.fault
    ('holds', True)
    """

    claim: str
    judge: Judge
    claimed: Callable[[Estimator], bool] = _always
    otherwise: Judge = _nothing
    needs: tuple[str, ...] = FAULTS

    @property
    def fault(self) -> bool:
        """Whether other checks need it."""
        return self.claim in FAULTS

    def row(self, estimator: Estimator, seed: int = 0, refuted: Collection[str] = ()) -> Row:
        """The verdict, where some claims are refuted already."""
        stops = next((claim for claim in self.needs if claim in refuted), "")
        with kept():  # an estimator that changes torch's settings must not spoil what is judged next
            return with_remedy(self._judged(estimator, seed, stops))

    def _judged(self, estimator: Estimator, seed: int, stops: str) -> Row:
        try:
            if not self.claimed(estimator):
                return Row(self.claim, "not claimed", "" if stops else self.otherwise(estimator, seed))
            if stops:
                return Row(self.claim, "undecided", f"not judged: {stops!r} is refuted")
            return Row(self.claim, "holds", self.judge(estimator, seed))
        except Unused as found:
            return found.row(self.claim, "not claimed")
        except Undecided as found:
            return found.row(self.claim, "undecided")
        except Refuted as found:
            return found.row(self.claim, "refuted")
        except Exception as error:
            return Row(self.claim, "refuted", crash(error, estimator))


def _draws_states(estimator: Estimator) -> bool:
    return estimator.claims().draws_states


def _degree(degree: int) -> Check:
    return Check(
        f"exact within one layer, degree {degree}",
        expectation.EXACT[degree],
        lambda estimator: estimator.claims().exact_degree >= degree,
        partial(expectation.described, degree),
    )


def _unbiased(where: str) -> Check:
    return Check(
        f"unbiased in {'all layers' if where == 'all layers' else 'the last layer'}",
        partial(expectation.unbiased, where),
        lambda estimator: estimator.claims().unbiased == where,
    )


CHECKS: tuple[Check, ...] = (
    Check("runs", faults.runs, needs=()),
    Check("one value per example", faults.shape, needs=RUNS),
    Check("type of the network", faults.dtype, needs=RUNS),
    Check("finite", faults.finite, needs=RUNS),
    Check("no global randomness", faults.own_noise, needs=RUNS),
    Check("no state between calls", faults.stateless, needs=(*RUNS, "no global randomness")),
    Check("changes nothing", faults.unchanged, needs=RUNS),
    Check("draw i depends on noise i only", faults.independent, needs=DRAWS),
    Check("draws can be mapped", faults.mappable, needs=DRAWS),
    Check("noise is declared as it is used", moments.declared_noise, needs=FAULTS[:-1]),
    Check("finite where units are certain", contract.saturation, needs=MAPPED),
    Check("visits the network's states", contract.states, _draws_states, needs=DRAWS),
    Check("gradient of a batch = mean over its examples", identities.batch, needs=MAPPED),
    Check("every layer and target counts", identities.counts, needs=MAPPED),
    Check("float32 = float64 to rounding", precision.precision, needs=MAPPED),
    Check("declared cost = counted cost", contract.cost, needs=RUNS),
    Check("is a value", contract.value, needs=()),
    Check(
        "reads values only",
        contract.values_only,
        lambda estimator: not estimator.claims().reads_extension,
        needs=MAPPED,
    ),
    Check("exact at the head", expectation.head_exact, _draws_states),
    *(_degree(degree) for degree in (1, 2, 3, 4)),
    _unbiased("last layer"),
    _unbiased("all layers"),
    Check(
        "unmoved by the null extension",
        null_extension.unmoved,
        lambda estimator: not estimator.claims().reads_extension or estimator.claims().exact_degree >= 2,
        null_extension.movement,
    ),
    Check("exact moments", moments.exact, lambda estimator: isinstance(estimator, HardForward)),
)
"""In the order of a report: faults first."""


@checked
def check_estimator(
    estimator: Estimator | type[Estimator] | str,
    *,
    claims: str | Iterable[str] | None = None,
    expected_failed_checks: Mapping[str, str] | None = None,
    on_fail: OnFail = "raise",
    callback: Callable[[Estimator, Row], None] | None = None,
    seed: int = 0,
) -> CheckReport:
    """Check the contract and the claims of an estimator.

    Faults come first (it crashes, keeps state, uses global randomness, mixes draws, ...); what a fault makes
    meaningless is undecided, and all else is judged. Claims are judged by quadrature over the noise, to 1e-10; where
    that does not reach, by sampling, which refutes or leaves undecided: not to be rejected is not to be unbiased.

    >>> report = check_estimator("zgr", claims="is a value")
    >>> report.verdict
    'holds'

    Args:
        estimator: an instance; a class that needs no arguments, or a name of the catalogue, may be given too.
        claims: judge these only: names of claims, or the words that names begin with, in either case. All by default.
        expected_failed_checks: reasons why claims fail, by claim, as in scikit-learn: a refuted one then does not
            count, and one that holds does.
        on_fail: where a claim fails, ``"raise"`` an error once all are judged, ``"warn"`` for each
            (``CheckFailedWarning``), or None: the report alone says so.
        callback: called with the estimator and the row of every claim as it is judged.
        seed: of everything that is drawn; a non-negative integer.

    Errors:
        EstimlabError: not an estimator, an unknown claim, or a failed claim, named with what was found.
    """
    one = instance(estimator)
    expected, checks = expectations(expected_failed_checks, CLAIMS), chosen_checks(claims)
    one_of("on_fail", on_fail, ("raise", "warn", None))
    require_seed(seed)
    rows = []
    for row in judged(one, checks, expected, seed):
        rows.append(row)
        if callback is not None:
            callback(one, row)
    report = CheckReport(one, tuple(rows), seed)
    _tell(report, on_fail)
    return report


CLAIMS = tuple(check.claim for check in CHECKS)


def chosen_checks(claims: str | Iterable[str] | None) -> tuple[Check, ...]:
    """The checks of the claims that are named; all of them for None."""
    chosen = chosen_claims(claims, CLAIMS)
    return tuple(check for check in CHECKS if check.claim in chosen)


def judged(
    estimator: Estimator,
    checks: Iterable[Check] = CHECKS,
    expected: Mapping[str, str] | None = None,
    seed: int = 0,
    refuted: Iterable[str] = (),
) -> Iterator[Row]:
    """Rows in the order of the checks; a refuted claim leaves undecided what needs it.

    Args:
        estimator: an instance.
        checks: in the order of ``CHECKS``.
        expected: reasons why claims are expected to fail.
        seed: of everything that is drawn.
        refuted: claims that are known to be refuted.
    """
    found = list(refuted)
    for check in checks:
        row = check.row(estimator, seed, found)
        if row.verdict == "refuted":
            found.append(row.claim)
        yield replace(row, expected=(expected or {}).get(row.claim, ""))


def _tell(report: CheckReport, on_fail: OnFail) -> None:
    failures = [row.failure for row in report.rows if row.failed]
    if failures and on_fail == "raise":
        raise EstimlabError(f"{report.estimator!r} does not do what it claims. {'; '.join(failures)}")
    if on_fail == "warn":
        for failure in failures:
            warnings.warn(f"{report.estimator!r}: {failure}", CheckFailedWarning, stacklevel=3)

"""All checks in order, and the judge that runs them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from estimlab.checks import contract, expectation, faults, moments, null_extension
from estimlab.checks.draws import crash
from estimlab.checks.report import CheckReport, Refuted, Row, Undecided, Unused
from estimlab.errors import EstimlabError
from estimlab.estimators.base import Estimator, HardForward

Judge = Callable[[Estimator, int], str]


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
        fault: whether its failure makes all later checks meaningless.
    """

    claim: str
    judge: Judge
    claimed: Callable[[Estimator], bool] = _always
    otherwise: Judge = _nothing
    fault: bool = False

    def row(self, estimator: Estimator, seed: int = 0) -> Row:
        """The verdict."""
        try:
            if not self.claimed(estimator):
                return Row(self.claim, "not claimed", self.otherwise(estimator, seed))
            return Row(self.claim, "holds", self.judge(estimator, seed))
        except Unused as found:
            return found.row(self.claim, "not claimed")
        except Undecided as found:
            return found.row(self.claim, "undecided")
        except Refuted as found:
            return found.row(self.claim, "refuted")
        except Exception as error:
            return Row(self.claim, "refuted", crash(error, estimator))


def _degree(degree: int) -> Check:
    return Check(
        f"exact within one layer, degree {degree}",
        expectation.EXACT[degree],
        lambda estimator: estimator.exact_degree >= degree,
        partial(expectation.described, degree),
    )


def _unbiased(where: str) -> Check:
    return Check(
        f"unbiased in {'all layers' if where == 'all layers' else 'the last layer'}",
        partial(expectation.unbiased, where),
        lambda estimator: estimator.unbiased == where,
    )


CHECKS: tuple[Check, ...] = (
    Check("runs", faults.runs, fault=True),
    Check("one value per example", faults.shape, fault=True),
    Check("type of the network", faults.dtype, fault=True),
    Check("finite", faults.finite, fault=True),
    Check("no global randomness", faults.own_noise, fault=True),
    Check("no state between calls", faults.stateless, fault=True),
    Check("changes nothing", faults.unchanged, fault=True),
    Check("draw i depends on noise i only", faults.independent, fault=True),
    Check("draws can be mapped", faults.mappable, fault=True),
    Check("noise is declared as it is used", moments.declared_noise, fault=True),
    Check("finite where units are certain", contract.saturation),
    Check("visits the network's states", contract.states, lambda estimator: estimator.draws_states),
    Check("declared cost = counted cost", contract.cost),
    Check("is a value", contract.value),
    Check("reads values only", contract.values_only, lambda estimator: not estimator.reads_extension),
    Check("exact at the head", expectation.head_exact, lambda estimator: estimator.draws_states),
    *(_degree(degree) for degree in (1, 2, 3, 4)),
    _unbiased("last layer"),
    _unbiased("all layers"),
    Check(
        "unmoved by the null extension",
        null_extension.unmoved,
        lambda estimator: not estimator.reads_extension or estimator.exact_degree >= 2,
        null_extension.movement,
    ),
    Check("exact moments", moments.exact, lambda estimator: isinstance(estimator, HardForward)),
)
"""In the order of a report; the first fault ends it."""


def check_estimator(estimator: Estimator | type[Estimator], strict: bool = True, seed: int = 0) -> CheckReport:
    """Check the contract and the claims of an estimator, in a few seconds.

    Faults come first (it crashes, keeps state, uses global randomness, mixes draws, ...), and the first one ends the
    report. Claims are then judged by quadrature over the noise, to 1e-10; where that does not reach, by sampling, which
    refutes or leaves undecided: not to be rejected is not to be unbiased.

    Args:
        estimator: an instance; a class that needs no arguments may be given too.
        strict: raise where a claim is refuted; otherwise the report says so.
        seed: of everything that is drawn; a non-negative integer.

    Errors:
        EstimlabError: not an estimator, or a refuted claim, named with what was found.
    """
    one = instance(estimator)
    report = CheckReport(one, tuple(_rows(one, seed)))
    if strict and not report.passed:
        refuted = "; ".join(f"{row.claim}: {row.detail}" for row in report.of("refuted"))
        raise EstimlabError(f"{one!r} does not do what it claims. {refuted}")
    return report


def instance(estimator: Estimator | type[Estimator]) -> Estimator:
    """The estimator, built where a class was given."""
    one = estimator
    if isinstance(estimator, type) and issubclass(estimator, Estimator):
        try:
            one = estimator()
        except TypeError as error:
            raise EstimlabError(f"{estimator.__name__} cannot be built: {error}. Give an instance.") from error
    if not isinstance(one, Estimator):
        raise EstimlabError(f"{one!r} is not an estimator: derive it from el.HardForward, or from el.Estimator.")
    return one


def _rows(estimator: Estimator, seed: int) -> Iterator[Row]:
    for check in CHECKS:
        row = check.row(estimator, seed)
        yield row
        if check.fault and row.verdict == "refuted":
            return


def first_fault(estimator: Estimator) -> Row | None:
    """The refuted check that makes all after it meaningless; None where there is none."""
    rows = (check.row(estimator) for check in CHECKS if check.fault)
    return next((row for row in rows if row.verdict == "refuted"), None)

"""What a check found: one row per claim, and the report made of them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

from estimlab.checks import reading
from estimlab.estimators.base import Estimator

if TYPE_CHECKING:
    import pandas as pd

Verdict = Literal["holds", "refuted", "undecided", "not claimed"]
Cause = Literal[
    "", "batch", "law", "coding", "tail", "layer", "width", "target", "precision", "state", "generator", "objective"
]


class CheckFailedWarning(UserWarning):
    """A claim is refuted, or holds though it was expected to fail.

    >>> import warnings
    >>> import estimlab as el
    >>> reasons = {"is a value": "says so, though it is one"}
    >>> with warnings.catch_warnings(record=True, action="always") as caught:
    ...     report = el.check_estimator("zgr", claims="is a value", expected_failed_checks=reasons, on_fail="warn")
    >>> print(caught[0].category.__name__, caught[0].message)
    CheckFailedWarning ZGR(): is a value: holds, though expected to fail (says so, though it is one)
    """


@dataclass(frozen=True)
class Row:
    """The verdict on one claim.

    Attributes:
        claim: what was checked.
        verdict: ``"holds"``: shown without sampling (only how noise is declared is compared with draws);
            ``"refuted"``; ``"undecided"``: nothing was found, and sampling is all that reaches it, or nothing does, or
            a fault stands before it;
            ``"not claimed"``: what was found is in the detail.
        detail: what was found.
        z: the test statistic behind a verdict by sampling, in standard errors.
        effect: size of what was found, relative to the true gradient.
        snippet: Python that shows a refutation on the smallest problem that has it.
        cause: where a refutation comes from, in a word (see ``Cause``); empty where none is known.
        remedy: what to write instead, where the fault is a common one.
        expected: why the claim is expected to fail; empty where it is not.

    >>> from estimlab.checks import Row
    >>> known = Row("exact moments", "refuted", detail="another variance", expected="its factor draws again")
    >>> known.failed, known.stale
    (False, False)
    """

    claim: str
    verdict: Verdict
    detail: str = ""
    z: float | None = None
    effect: float | None = None
    snippet: str = ""
    cause: Cause = ""
    remedy: str = ""
    expected: str = ""

    @property
    def stale(self) -> bool:
        """Whether the claim is expected to fail, and is not refuted: the expectation should go."""
        return bool(self.expected) and self.verdict in ("holds", "not claimed")

    @property
    def failed(self) -> bool:
        """Whether the claim is refuted, or holds where it is expected to fail."""
        return self.stale or (self.verdict == "refuted" and not self.expected)

    @property
    def failure(self) -> str:
        """What failed, in a sentence."""
        if self.stale:
            return f"{self.claim}: {self.verdict}, though expected to fail ({self.expected})"
        return f"{self.claim}: {self.detail}"

    def as_dict(self) -> dict[str, Any]:
        """All fields, for JSON; a number that is not finite is None."""
        return {name: _finite(value) for name, value in vars(self).items()}


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


@dataclass(frozen=True, repr=False)
class CheckReport:
    """What was checked of an estimator, in this order.

    Printed, it says the verdict first and last, and between them what does not hold; passing claims are counted. Its
    repr is a matrix of verdicts.

    Attributes:
        estimator: what was judged.
        rows: a verdict for each claim.
        seed: of everything that was drawn.

    >>> import estimlab as el
    >>> report = el.check_estimator("straight_through", claims=["is a value", "exact moments"])
    >>> [(row.claim, row.verdict) for row in report.rows], report.exit_code
    ([('is a value', 'holds'), ('exact moments', 'holds')], 0)
    """

    estimator: Estimator
    rows: tuple[Row, ...]
    seed: int = 0

    @property
    def passed(self) -> bool:
        """True where nothing is refuted but what was expected to be, and all of that is."""
        return not any(row.failed for row in self.rows)

    @property
    def verdict(self) -> Verdict:
        """Refuted where one claim is (or holds against expectation), else undecided where one is, else holds."""
        if not self.passed:
            return "refuted"
        return "undecided" if self.of("undecided") else "holds"

    @property
    def exit_code(self) -> int:
        """Of ``estimlab check``.

        0: every claim holds, or fails as expected; 1: a claim is refuted, or holds though it was expected to fail;
        2: neither, but one is undecided; 3 is left to the command line: nothing was judged, as the input is wrong.
        """
        return {"holds": 0, "refuted": 1}.get(self.verdict, 2)

    def of(self, verdict: Verdict) -> tuple[Row, ...]:
        """The rows of a verdict."""
        return tuple(row for row in self.rows if row.verdict == verdict)

    def as_dict(self) -> dict[str, Any]:
        """Everything, for JSON; every row has every key."""
        return {
            "estimator": repr(self.estimator),
            "seed": self.seed,
            "passed": self.passed,
            "verdict": self.verdict,
            "exit_code": self.exit_code,
            "claims": [row.as_dict() for row in self.rows],
        }

    def lines(self, verbose: bool = False, width: int = reading.WIDTH) -> list[reading.Line]:
        """What is printed, line by line; ``verbose`` unfolds passing claims and all programs."""
        return reading.lines(self, verbose, width)

    def full(self) -> str:
        """All claims and all programs, as text."""
        return _joined(self.lines(verbose=True))

    def __str__(self) -> str:
        return _joined(self.lines())

    def __repr__(self) -> str:
        return f"{reading.headline(self)}\n{self.summary().to_string(max_colwidth=None)}"

    def _repr_html_(self) -> str:
        return f"{self.summary().to_html()}{reading.html(self)}"

    def summary(self) -> pd.DataFrame:
        """A row per verdict: how many claims, and which; of those that hold the first."""
        import pandas as pd

        found = {verdict: self.of(verdict) for verdict in get_args(Verdict)}
        lines = {verdict: (len(rows), _listed(rows, verdict)) for verdict, rows in found.items() if rows}
        table = pd.DataFrame.from_dict(lines, orient="index", columns=["number", "claims"])
        table.index.name = "verdict"
        return table


def _listed(rows: tuple[Row, ...], verdict: Verdict) -> str:
    """Names of claims, all where they do not hold."""
    names = [row.claim for row in rows]
    most = len(names) if verdict in ("refuted", "undecided") else 2
    more = f"; and {len(names) - most} more" if len(names) > most else ""
    return "; ".join(names[:most]) + more


def _joined(lines: list[reading.Line]) -> str:
    return "\n".join(line.text for line in lines)


@dataclass
class Found(Exception):
    """Raised by a check that does not end in ``holds``; turned into a row."""

    detail: str
    z: float | None = None
    effect: float | None = None
    snippet: str = field(default="", repr=False)
    cause: Cause = ""
    remedy: str = ""

    def row(self, claim: str, verdict: Verdict) -> Row:
        """The verdict on a claim."""
        return Row(claim, verdict, self.detail, self.z, self.effect, self.snippet, self.cause, self.remedy)


class Refuted(Found):
    """The claim fails."""


class Unused(Found):
    """Nothing that the estimator declares is used here, so there is nothing to hold."""


class Undecided(Found):
    """The check does not reach the claim, or sampling found nothing against it."""

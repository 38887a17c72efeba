"""What a check found: one row per claim, and the report made of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from estimlab.estimators.base import Estimator

Verdict = Literal["holds", "refuted", "undecided", "not claimed"]
Cause = Literal["", "batch", "law", "coding", "tail", "layer", "width", "target", "precision", "state", "generator"]


@dataclass(frozen=True)
class Row:
    """The verdict on one claim.

    Attributes:
        claim: what was checked.
        verdict: ``"holds"``: shown without sampling (only how noise is declared is compared with draws);
            ``"refuted"``; ``"undecided"``: nothing was found, and sampling is all that reaches it, or nothing does;
            ``"not claimed"``: what was found is in the detail.
        detail: what was found.
        z: the test statistic behind a verdict by sampling, in standard errors.
        effect: size of what was found, relative to the true gradient.
        snippet: Python that shows a refutation on the smallest problem that has it.
        cause: where a refutation comes from, in a word (see ``Cause``); empty where none is known.
        remedy: what to write instead, where the fault is a common one.
    """

    claim: str
    verdict: Verdict
    detail: str = ""
    z: float | None = None
    effect: float | None = None
    snippet: str = ""
    cause: Cause = ""
    remedy: str = ""


@dataclass(frozen=True)
class CheckReport:
    """What was checked of an estimator, in this order."""

    estimator: Estimator
    rows: tuple[Row, ...]

    @property
    def passed(self) -> bool:
        """True where nothing is refuted."""
        return not self.of("refuted")

    @property
    def verdict(self) -> Verdict:
        """Refuted where one claim is, else undecided where one is, else holds."""
        return next((verdict for verdict in ("refuted", "undecided") if self.of(verdict)), "holds")

    @property
    def exit_code(self) -> int:
        """0: every claim holds; 1: a claim is refuted; 2: none is, but one is undecided."""
        return {"holds": 0, "refuted": 1}.get(self.verdict, 2)

    def of(self, verdict: Verdict) -> tuple[Row, ...]:
        """The rows of a verdict."""
        return tuple(row for row in self.rows if row.verdict == verdict)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        claims = [
            {name: value for name, value in vars(row).items() if value not in (None, "") or name == "detail"}
            for row in self.rows
        ]
        return {"estimator": repr(self.estimator), "passed": self.passed, "verdict": self.verdict, "claims": claims}


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

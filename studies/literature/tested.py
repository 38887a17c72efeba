"""A claim, what it predicts, and the quantity that tests it: one row of the table each."""

from __future__ import annotations

import abc
import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, final

from estimlab.results.study import Cell

ERRORS = 3.0
"""Standard errors within which a value may lie."""
Verdict = Literal["holds", "refuted", "undecided", "not covered"]
Origin = Literal["published", "derived", "ours"]


@final
@dataclass(frozen=True)
class Source:
    """Who says it.

    Attributes:
        citation: authors, year, arXiv number.
        origin: ``published``: a publication states it; ``derived``: we work out a number or a case of what a
            publication states or defines; ``ours``: no publication that we know of says so.
    """

    citation: str
    origin: Origin = "published"

    @property
    def derived(self) -> Source:
        """Of what we derive from it."""
        return Source(self.citation, "derived")


ST21 = Source("Shekhovtsov & Yanush 2021, arXiv 2006.06880")
TRADEOFFS = Source("Shekhovtsov 2021, arXiv 2110.03549")
COLD = Source("Shekhovtsov 2023, GCPR")
RAO = Source("Paulus et al. 2021, arXiv 2010.04838")
PSA = Source("Shekhovtsov et al. 2020, arXiv 2006.03143")
MVE = Source("Hooper & Shekhovtsov 2026, AISTATS")
OURS = Source("our derivation", "ours")


@final
@dataclass(frozen=True)
class Claim:
    """One checkable statement about the literature's estimators.

    Attributes:
        number: of the claim, with a letter for the statement.
        statement: in words.
        source: who says it.
    """

    number: str
    statement: str
    source: Source


@final
@dataclass(frozen=True)
class Predicted:
    """The values that a claim allows: from ``low`` to ``high``, None where there is no end on that side.

    Attributes:
        published: the number as it is printed or predicted.
        low: least value allowed.
        high: largest value allowed.
        bound: ``stated`` where the ends follow from the statement, to rounding; ``ours`` where it names none.
    """

    published: float
    low: float | None = None
    high: float | None = None
    bound: Literal["stated", "ours"] = "stated"

    def __post_init__(self) -> None:
        ends = [end for end in (self.low, self.high) if end is not None]
        if not ends or (len(ends) == 1 and ends[0] <= 0):
            raise ValueError(f"{self}: two ends, or one positive bound, in whose units deviations are counted")

    @property
    def of_our_choice(self) -> Predicted:
        """The same where the statement names no such bound, and we chose it."""
        return replace(self, bound="ours")

    def verdict(self, value: float, stderr: float = 0.0) -> Verdict:
        """Holds where all values within three standard errors are allowed, is refuted where none of them is."""
        if math.isnan(value):
            return "not covered"
        lower, upper = value - ERRORS * stderr, value + ERRORS * stderr
        if (self.low is None or lower >= self.low) and (self.high is None or upper <= self.high):
            return "holds"
        outside = (self.low is not None and upper < self.low) or (self.high is not None and lower > self.high)
        return "refuted" if outside else "undecided"

    def deviation(self, value: float) -> float:
        """Distance over the distance that is allowed: at most 1 where the value is allowed.

        From the middle of an interval with two ends; with one end, ``value / high`` or ``low / value``.
        """
        if self.low is not None and self.high is not None:
            return abs(2 * value - self.low - self.high) / (self.high - self.low)
        if self.high is not None:
            return value / self.high
        assert self.low is not None
        return self.low / value if not value <= 0 else float("inf")


def about(published: float, tolerance: float) -> Predicted:
    """The published number within a tolerance."""
    return Predicted(published, published - tolerance, published + tolerance)


def within(low: float, high: float) -> Predicted:
    """Between two published numbers."""
    return Predicted((low + high) / 2, low, high)


def at_least(low: float) -> Predicted:
    """Not below a bound."""
    return Predicted(low, low=low)


def at_most(high: float) -> Predicted:
    """Not above a bound."""
    return Predicted(high, high=high)


@dataclass(frozen=True)
class Quantity(abc.ABC):
    """A number that a claim is about."""

    @property
    @abc.abstractmethod
    def name(self) -> str:
        """What it is, in words."""

    @property
    def setting(self) -> dict[str, str | float]:
        """On what it is measured, in the table's columns: ``problem`` at least, and ``stage`` where there is one."""
        return {"problem": ""}

    @property
    def temperatures(self) -> tuple[float, ...]:
        """At which it is measured."""
        return ()

    @abc.abstractmethod
    def measure(self) -> tuple[float, float]:
        """Value and standard error, which is zero where the value is exact; NaN where data are missing."""


@final
@dataclass(frozen=True)
class Tested(Cell):
    """A claim beside the quantity that tests it."""

    revision: ClassVar[int] = 2

    claim: Claim
    quantity: Quantity
    predicted: Predicted

    @property
    def title(self) -> str:
        """Number and quantity."""
        return f"{self.claim.number} {' '.join(map(str, self.quantity.setting.values()))}: {self.quantity.name}"

    def run(self) -> list[dict[str, Any]]:
        """One row."""
        value, stderr = self.quantity.measure()
        claim, allowed = self.claim, self.predicted
        return [
            {
                "claim": claim.number,
                "statement": claim.statement,
                "origin": claim.source.origin,
                "citation": claim.source.citation,
                "stage": "",
                "seed": None,
                **self.quantity.setting,
                "temperatures": ", ".join(f"{tau:.2g}" for tau in self.quantity.temperatures),
                "quantity": self.quantity.name,
                "value": value,
                "stderr": stderr,
                "published": allowed.published,
                "allowed_low": allowed.low,
                "allowed_high": allowed.high,
                "bound": allowed.bound,
                "deviation": allowed.deviation(value),
                "verdict": allowed.verdict(value, stderr),
            }
        ]


ZERO = about(0.0, 1e-10)
NOT_ZERO = at_least(1e-3).of_our_choice


def tests(number: str, statement: str, source: Source, *pairs: tuple[Quantity, Predicted]) -> list[Tested]:
    """The cells of one statement."""
    claim = Claim(number, statement, source)
    return [Tested(claim, quantity, predicted) for quantity, predicted in pairs]

"""How a report reads: the verdict first and last, what does not hold between them, passing claims counted."""

from __future__ import annotations

import html as markup
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from estimlab.checks.report import CheckReport, Row

WIDTH = 80
COLOURS = {"holds": "green", "refuted": "red", "undecided": "yellow", "not claimed": "dim"}
UNFOLD = "to unfold: --verbose, or report.full()"
LABEL = 11  # columns before a claim: the longest word that stands there, and a space


@dataclass(frozen=True)
class Line:
    """A line of a report.

    Attributes:
        text: without markup.
        style: of rich; empty: plain.
    """

    text: str
    style: str = ""


def lines(report: CheckReport, verbose: bool, width: int) -> list[Line]:
    """A report, at most ``width`` columns wide but for its programs and long names."""
    verdict = Line(headline(report), f"bold {COLOURS[report.verdict]}")
    shown = [row for row in report.rows if verbose or _notable(row)]
    body = [line for row in shown for line in _row(row, width)]
    gap = [Line("")] if body and not verbose else []
    folded = [] if verbose else _folded(report)
    return [verdict, Line(""), *body, *gap, *folded, *_programs(report, verbose), Line(""), verdict]


def headline(report: CheckReport) -> str:
    """The verdict in a sentence."""
    name, total = repr(report.estimator), len(report.rows) - len(report.of("not claimed"))
    failed = sum(row.failed for row in report.rows)
    undecided = len(report.of("undecided"))
    if report.verdict == "refuted":
        return f"refuted: {failed} of {_claims(total)} of {name}"
    if report.verdict == "undecided":
        return f"undecided: {undecided} of {_claims(total)} of {name}; none is refuted"
    expected = sum(row.verdict == "refuted" for row in report.rows)
    but = f", {expected} fail as expected" if expected else ""
    return f"holds: {total - expected} of {_claims(total)} of {name}{but}"


def _claims(number: int) -> str:
    return f"{number} claim{'' if number == 1 else 's'}"


def _notable(row: Row) -> bool:
    return row.verdict in ("refuted", "undecided") or row.stale


def _row(row: Row, width: int) -> Iterator[Line]:
    """The claim, then what was found, its cause and its remedy, indented."""
    yield _heading(row)
    yield from _indented("", row.detail, width)
    if row.cause:
        yield from _indented("cause: ", row.cause, width)
    if row.remedy:
        yield from _indented("remedy: ", row.remedy, width)
    if row.stale:
        yield from _indented("", f"{row.verdict}, though expected to fail: {row.expected}", width)
    elif row.expected:
        yield from _indented("expected to fail: ", row.expected, width)


def _heading(row: Row) -> Line:
    if row.stale:
        return Line(f"{'unexpected':{LABEL}} {row.claim}", "red")
    if row.expected and row.verdict == "refuted":
        return Line(f"{'expected':{LABEL}} {row.claim}", "dim")
    return Line(f"{row.verdict:{LABEL}} {row.claim}", COLOURS[row.verdict])


def _indented(title: str, text: str, width: int) -> Iterator[Line]:
    indent = " " * (LABEL + 1)
    wrapped = textwrap.wrap(
        f"{title}{text}",
        width,
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return (Line(line) for line in wrapped)


def _folded(report: CheckReport) -> list[Line]:
    """How many rows are not shown."""
    folded = [row.verdict for row in report.rows if not _notable(row)]
    holding, unclaimed = folded.count("holds"), folded.count("not claimed")
    hold = f"{_claims(holding)} hold{'s' if holding == 1 else ''}" if holding else ""
    rest = f"{unclaimed} {'is' if unclaimed == 1 else 'are'} not claimed" if unclaimed else ""
    said = ", ".join(filter(None, (hold, rest)))
    return [Line(f"{said} ({UNFOLD})", "dim")] if said else []


def _programs(report: CheckReport, verbose: bool) -> Iterator[Line]:
    """A program for the first refutation; for all of them where all is shown."""
    having = [row for row in report.rows if row.snippet and not row.expected]
    for row in having if verbose else having[:1]:
        yield Line("")
        yield Line(f"# {row.claim}: {row.verdict}. This shows it:", "bold")
        yield from map(Line, row.snippet.strip("\n").split("\n"))
    more = len(having) - 1
    if more > 0 and not verbose:
        yield Line("")
        yield Line(f"# {more} more program{'' if more == 1 else 's'} ({UNFOLD})", "dim")


def html(report: CheckReport) -> str:
    """For a notebook: what is printed, in colour, with all claims to unfold."""
    short, every = (_pre(report.lines(verbose)) for verbose in (False, True))
    return f"<pre>{short}</pre><details><summary>all claims</summary><pre>{every}</pre></details>"


def _pre(shown: list[Line]) -> str:
    return "\n".join(_span(line) for line in shown)


def _span(line: Line) -> str:
    text = markup.escape(line.text)
    if not line.style:
        return text
    weight = "font-weight:bold;" if "bold" in line.style else ""
    colour = line.style.rpartition(" ")[2].replace("dim", "gray").replace("yellow", "darkgoldenrod")
    return f'<span style="{weight}{"" if colour == "bold" else f"color:{colour}"}">{text}</span>'

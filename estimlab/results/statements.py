"""Sentences whose numbers and rankings are computed from tables: they cannot say what their table does not.

A statement is a sentence with placeholders and a rule. The rule reads the tables and returns, by name, the texts that
fill the placeholders, and truth values: what must hold for the sentence to be true, named in words.

    def rule(table):
        st, zgr = one(table, estimator="straight_through"), one(table, estimator="zgr")
        return {"st": f"{st:.2f}", "zgr": f"{zgr:.2f}", "ZGR's bias is the smaller": zgr < st}

    Statement("ST has a bias of {st}, ZGR one of {zgr}.", ("toy",), rule, rests_on="One network.")

A study's ``answer`` is a tuple of statements and of plain sentences; it is worded when the table is written. A page
(README) holds the words of a statement as they are read; they are found by the sentence, wherever it stands.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from estimlab.errors import EstimlabError

Rule = Callable[..., Mapping[str, str | bool]]
Tables = Callable[[str], Any]
_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_LONGEST = 60  # letters that a placeholder may stand for


@dataclass(frozen=True)
class Statement:
    """A sentence, or a few that belong together, with the rule that computes it.

    Attributes:
        text: the sentence; ``{name}`` stands for what the rule returns under this name; words at both ends.
        tables: what the rule reads, in this order: names of studies, or paths of JSON files in the repository.
        rule: from tables to texts and truth values, by name.
        rests_on: on how many networks and seeds it rests, with placeholders; empty: on what the one before rests on.
        given: numbers in the text that are no results: settings, names, the problem's sizes.

    >>> def rule(table):
    ...     return {"bias": f"{table['bias']:.2f}", "ST is biased": table["bias"] > 0}
    >>> statement = Statement("ST has a bias of {bias} here.", ("toy",), rule, rests_on="One network.")
    >>> statement.judged({"toy": {"bias": 0.3}}.get).text
    'ST has a bias of 0.30 here.'
    """

    text: str
    tables: tuple[str, ...]
    rule: Rule
    rests_on: str
    given: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.text.startswith("{") or self.text.endswith("}"):
            raise EstimlabError(f"{self.text!r} must begin and end with a word, as its words find it in a page.")

    def judged(self, tables: Tables) -> Worded:
        """The sentence and what it rests on, as the tables have it."""
        found = self.rule(*map(tables, self.tables))
        texts = {name: value for name, value in found.items() if isinstance(value, str)}
        false = tuple(name for name, value in found.items() if not isinstance(value, str) and not value)
        return Worded(_filled(self.text, texts), _filled(self.rests_on, texts), false)

    @property
    def pattern(self) -> re.Pattern[str]:
        """Finds the sentence in a page: placeholders stand for anything short, a space also for a line's end."""
        parts = _PLACEHOLDER.split(self.text)
        words = [r"\s+".join(re.escape(word) for word in re.split(r"\s+", part)) for part in parts[::2]]
        joined = words[0]
        for following in words[1:]:
            joined += rf"(.{{1,{_LONGEST}}}?)" + following
        return re.compile(joined + r"(?![\w%])", flags=re.DOTALL)


@dataclass(frozen=True)
class Worded:
    """A statement or an answer in words, on what it rests, and what of it its tables contradict.

    >>> statement = Statement("ST is unbiased here.", ("toy",), lambda toy: {"ST is unbiased": toy["bias"] == 0}, "")
    >>> statement.judged({"toy": {"bias": 0.3}}.get).contradicted
    ('ST is unbiased',)
    """

    text: str
    rests_on: str
    contradicted: tuple[str, ...]


def worded(answer: str | tuple[str | Statement, ...], tables: Tables) -> Worded:
    """The answer of a study, computed. What is contradicted, or cannot be computed, is said in the text itself.

    >>> statement = Statement("ST has no bias.", ("toy",), lambda toy: {"no bias": toy == 0}, rests_on="One network.")
    >>> worded(("Yes.", statement), {"toy": 0.3}.get).text
    'Yes. ST has no bias. [Contradicted by the table: no bias.]'
    """
    if isinstance(answer, str):
        return Worded(answer, "", ())
    judged = [Worded(one, "", ()) if isinstance(one, str) else _attempted(one, tables) for one in answer]
    false = tuple(name for one in judged for name in one.contradicted)
    warning = [f"[Contradicted by the table: {'; '.join(false)}.]"] if false else []
    rests = dict.fromkeys(one.rests_on for one in judged if one.rests_on)
    return Worded(" ".join([*(one.text for one in judged), *warning]), " ".join(rests), false)


def _attempted(statement: Statement, tables: Tables) -> Worded:
    """A rule that fails must not cost the table that was just computed."""
    try:
        return statement.judged(tables)
    except Exception as error:
        return Worded(statement.text, statement.rests_on, (f"no rule ({type(error).__name__}: {error})",))


def tables_of(folder: Path, known: Mapping[str, Any] | None = None) -> Tables:
    """Reads tables of the studies in a folder, and JSON files by their path from the folder above it.

    Args:
        folder: of the studies.
        known: tables that are at hand.
    """
    kept: dict[str, Any] = dict(known or {})

    def read(name: str) -> Any:
        if name not in kept:
            is_json = name.endswith(".json")
            kept[name] = json.loads((folder.parent / name).read_text()) if is_json else _table(folder, name)
        return kept[name]

    return read


def rewritten(page: str, statements: Iterable[Statement], tables: Tables) -> str:
    """A page with the words of every statement as its tables have them.

    Raises:
        EstimlabError: a statement that the page does not hold exactly once, or that its tables contradict.
    """
    for statement in statements:
        judged = statement.judged(tables)
        if judged.contradicted:
            raise EstimlabError(f"{judged.text!r} is contradicted by {statement.tables}: {judged.contradicted}.")
        found = list(statement.pattern.finditer(page))
        if len(found) != 1:
            raise EstimlabError(f"The sentence {statement.text!r} stands {len(found)} times in the page, not once.")
        page = _replaced(page, found[0], statement.pattern.fullmatch(judged.text))
    return page


def _replaced(page: str, old: re.Match[str], new: re.Match[str] | None) -> str:
    """Only the placeholders' texts, so that lines break where they did."""
    assert new is not None
    for group in range(old.re.groups, 0, -1):
        start, end = old.span(group)
        if page[start:end].split() != new[group].split():
            page = page[:start] + new[group] + page[end:]
    return page


def _table(folder: Path, name: str) -> Any:
    from estimlab.results.table import read_table  # not before it is needed: it loads pandas

    return read_table(folder / "tables" / f"{name}.csv")


def _filled(text: str, texts: Mapping[str, str]) -> str:
    unknown = set(_PLACEHOLDER.findall(text)) - texts.keys()
    if unknown:
        raise EstimlabError(f"The rule of {text!r} returns no text {', '.join(sorted(unknown))}.")
    return _PLACEHOLDER.sub(lambda match: texts[match[1]], text)

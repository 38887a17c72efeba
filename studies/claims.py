"""Claims of the literature and what we derive from them, each beside the number that tests it.

Claims 1 to 12 of the catalogue, each split into statements that a number can decide, with their origin: published,
derived from a publication, or ours; those on spiking networks (13 and 14) need networks that this study does not have
and are left out. Claim 12 is about a published network, which is read from ESTIMLAB_DATA; its rows say so where it is
not there. The verdict follows from the number and the interval
that the claim allows, by one rule: it holds where all values within three standard errors of the measured one are
allowed, is refuted where none is, and is undecided between. Where a statement is tested on several problems it is
universal only if it holds on all of them.
"""

from __future__ import annotations

import pandas as pd
from literature import networks, one_layer
from statements.claims import ANSWER

from estimlab.results.columns import Column
from estimlab.results.study import Study


def summary(table: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """One line per statement, what publications state apart from what we derive: measured, predicted, on how much."""
    published = table[table["origin"] == "published"]
    others = table[table["origin"] != "published"]
    found = []
    if len(published):
        found.append(("Claims of the literature", statements(published).drop(columns="origin")))
    if len(others):
        found.append(("What we derive or observe", statements(others)))
    return found


def statements(table: pd.DataFrame) -> pd.DataFrame:
    """One line per statement."""
    return pd.DataFrame([statement_row(rows) for _, rows in table.groupby("claim", sort=False)])


def statement_row(rows: pd.DataFrame) -> dict[str, str]:
    """A statement on all its problems: refuted in general where one problem refutes it."""
    first, verdicts = rows.iloc[0], rows["verdict"].tolist()
    held = verdicts.count("holds")
    worst = next((v for v in ("refuted", "undecided", "not covered") if v in verdicts), "holds")
    mixed = f"{worst} in general: holds {held} times of {len(rows)}"
    return {
        "claim": first["claim"],
        "statement": first["statement"],
        "origin": first["origin"],
        "measured": _span(rows["value"]),
        "predicted": ", ".join(dict.fromkeys(predicted(row) for _, row in rows.iterrows())),
        "on": rests_on(rows),
        "verdict": worst if held in (0, len(rows)) else mixed,
    }


def rests_on(rows: pd.DataFrame) -> str:
    """Number of problems, each with one draw of its parameters, and of temperatures."""
    problems = len(rows[["problem", "stage"]].drop_duplicates())
    taus = {tau for text in rows["temperatures"].dropna() for tau in text.split(", ") if tau}
    counts = [(problems, "problem"), *([(len(taus), "temperature")] if taus else [])]
    return ", ".join(f"{count} {word}{'s' * (count > 1)}" for count, word in counts)


def predicted(row: pd.Series) -> str:
    """The number, or the bound where the claim is one; with its tolerance where that is ours."""
    ours = " (ours)" if row["bound"] == "ours" else ""
    if pd.isna(row["allowed_low"]):
        return f"≤ {row['allowed_high']:.3g}{ours}"
    if pd.isna(row["allowed_high"]):
        return f"≥ {row['allowed_low']:.3g}{ours}"
    half = (row["allowed_high"] - row["allowed_low"]) / 2
    if ours:
        return f"{row['published']:.4g} ± {half:.2g}{ours}"
    wide = half > abs(row["published"]) / 2 > 0
    return f"{row['allowed_low']:.3g} to {row['allowed_high']:.3g}" if wide else f"{row['published']:.4g}"


def _span(values: pd.Series) -> str:
    """All numbers, or the one that they are; 0 for less than 1e-10."""
    texts = [f"{0.0 if abs(value) < 1e-10 else value:.4g}" for value in values]
    return texts[0] if len(set(texts)) == 1 else ", ".join(texts)


CELLS = (
    *one_layer.straight_through(),
    *networks.deep(),
    *one_layer.gumbel_softmax(),
    *one_layer.st_gumbel_softmax(),
    *networks.vanishing(),
    *one_layer.gumbel_rao(),
    *networks.gumbel_rao(),
    *networks.domination(),
    *networks.binary_weights(),
    *one_layer.foust(),
    *networks.psa(),
    *one_layer.importance_weights(),
    *networks.zgr_for_st(),
)

STUDY = Study(
    question="Which claims of the literature on binary gradient estimators do exact numbers bear out?",
    answer=ANSWER,
    shows=summary,
    cells=CELLS,
    smoke=(*one_layer.foust(), *one_layer.importance_weights()),
    columns=(
        Column("claim", r"claim", "", "number of the claim and letter of the statement"),
        Column("statement", r"statement", "", "what is claimed"),
        Column(
            *("origin", r"origin", ""),
            "published: a publication states it; derived: a number or case of what it states or defines, worked out by "
            "us; ours: our own derivation or observation",
        ),
        Column("citation", r"source", "", "who claims it, or what it is derived from: authors, year, arXiv number"),
        Column("quantity", r"quantity", "", "what the value is"),
        Column(
            "allowed_low", r"low", "that of the value", "least value that the claim allows; empty where there is none"
        ),
        Column("allowed_high", r"high", "that of the value", "largest value that the claim allows; empty where none"),
        Column(
            *("deviation", r"$\Delta$", "1"),
            "distance from the middle of the allowed interval over half its width; with one end value over upper end, "
            "or lower end over value: at most 1 where the value is allowed",
        ),
        Column(
            *("bound", r"bound", ""),
            "stated: the interval follows from the statement, to rounding; ours: the statement names none, we chose it",
        ),
        Column("temperatures", r"$\tau$", "", "all temperatures that the value rests on"),
        Column(
            *("verdict", r"verdict", ""),
            "holds, refuted or undecided, from value, stderr and the allowed interval; not covered: the network is not "
            "at hand",
        ),
    ),
)

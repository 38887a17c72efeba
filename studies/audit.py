"""Public packages that sample binary units: does each function, called as documented, do what it says?

The claims are in ``audit.toml``, one paragraph each: a call, what it is said to do and where, and how to test it.
"""

from __future__ import annotations

import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Any

from statements.audit import ANSWER

from estimlab.cells.auditing.claim import Claim
from estimlab.cells.auditing.kinds import BackwardFormula, MeanGradient, Number
from estimlab.results.columns import Column
from estimlab.results.matrix import Matrix
from estimlab.results.study import Study

KINDS: dict[str, type[Claim]] = {"gradient": MeanGradient, "formula": BackwardFormula, "number": Number}


def claims() -> tuple[Claim, ...]:
    """Those of the file, in its order."""
    entries = tomllib.loads(Path(__file__).with_suffix(".toml").read_text())["claim"]
    return tuple(_claim(entry) for entry in entries)


def _claim(entry: dict[str, Any]) -> Claim:
    cls = KINDS[entry["test"]]
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in entry.items()}
    return cls(**{field.name: values[field.name] for field in fields(cls) if field.name in values})


CLAIMS = claims()
_TEXTS = {
    "package": "name on the package index",
    "version": "that was audited; empty where it is not installed",
    "function": "what is called",
    "claim": "what it is said to do",
    "stated_in": "where it is said",
    "kind": "stated, implied by a formula or a cited method, or a control of ours",
    "conditions": "unit and objective, or points",
    "note": "what else to know",
    "call": "the code of the call",
    "snippet": "a script that shows what does not hold; needs torch and the package only",
    "verdict": "holds; another scale: a constant factor parts the rule from the documented one; refuted; undecided; "
    "not covered (not installed)",
}
COLUMNS = (
    *(Column(name, name, "", meaning) for name, meaning in _TEXTS.items()),
    Column("ratio", "measured / claimed", "1", "what was measured over what the claim says"),
    Column("effect", "effect", "1", "relative deviation; the largest one where there are several points"),
    Column("z", "$z$", "1", "effect over its standard error; empty where the measurement is exact"),
)

STUDY = Study(
    question="Do public packages' functions for binary units do what their documentation says?",
    answer=ANSWER,
    shows=Matrix(("package",), ("verdict",)),
    cells=CLAIMS,
    smoke=tuple(claim for claim in CLAIMS if claim.package == "torch"),
    columns=COLUMNS,
)

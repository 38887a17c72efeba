"""Public packages that sample binary units: does each function, called as documented, do what it says?

The claims are in ``audit.toml``, one paragraph each: a call, what it is said to do and where, and how to test it.
"""

from __future__ import annotations

import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Any

from estimlab.auditing.base import Claim
from estimlab.auditing.kinds import BackwardFormula, MeanGradient, Number
from estimlab.results.columns import Column
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
    answer="Not all: of 52 claims about nine packages 35 hold and 17 are refuted. Torch, ReinMax, Pyro, pydrobert "
    "and SpikingJelly do what they say. Norse's stochastic logistic_fn and circ_dist_fn have backward rules "
    "that are 2/k and 2 alpha times the derivative, and super_fn ignores its slope; snnTorch's LSO cannot be "
    "called and its sigmoid is NaN in float32 below -3.5; two samplers of relaxit share one random number "
    "among all units; on one unit storchastic's REBAR has 1.43 times the gradient as its mean, RELAX 1.03, "
    "DisARM 0, the moving-average baseline 0.95 and Infer 1.24 times. The scale of a surrogate is a "
    "convention: a refuted formula says that the rule is not the derivative of the function that is "
    "documented, not that it trains worse.",
    cells=CLAIMS,
    smoke=tuple(claim for claim in CLAIMS if claim.package == "torch"),
    columns=COLUMNS,
)

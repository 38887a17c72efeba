"""Statements of the study proxy."""

from __future__ import annotations

import pandas as pd

from estimlab.results.statements import Statement
from statements.reading import rows, significant, span

LAYERS = ("0", "1", "2")
CLOSE = 0.1  # of the gradient


def _wide(table: pd.DataFrame, stage: str, statistic: str) -> pd.DataFrame:
    """Rows: law and layer; columns: proxies."""
    chosen = rows(table, stage=stage, statistic=statistic, layer=LAYERS)
    return chosen.pivot(index=["law", "layer"], columns="proxy", values="value")


def early(table: pd.DataFrame) -> dict[str, str | bool]:
    """How often the density has the smallest bias, and what other proxies cost."""
    bias, cosine = _wide(table, "early", "relative_bias"), _wide(table, "early", "cosine")
    least = bias.min(axis=1)
    triangular = next(law for law in table["law"].unique() if law.startswith("Triangular"))
    own, tanh = (cosine.loc[(triangular, "0"), name] for name in ("derived", "tanh"))
    return {
        "smallest": str(int((bias["derived"] <= least * (1 + 1e-9)).sum())),
        "pairs": str(len(bias)),
        "identity": span(bias["identity"], 1),
        "sign_swish": span(bias["sign_swish"], 1),
        "own": f"{own:.2f}",
        "tanh": f"{tanh:.2f}",
        "networks": str(int(table["networks"].max())),
        "within a tenth everywhere": bool((bias["derived"] - least <= CLOSE).all()),
        "tanh has the better direction": bool(tanh > own),
    }


def late(table: pd.DataFrame) -> dict[str, str | bool]:
    """Late in training."""
    bias = _wide(table, "late", "relative_bias")
    uniform = next(law for law in table["law"].unique() if law.startswith("Uniform"))
    usual = bias["derived"].drop((uniform, "2"))
    cosine = _wide(table, "late", "cosine").drop(columns="derived")
    derived = _wide(table, "late", "cosine")["derived"]
    first = [(law, "0") for law in table["law"].unique() if law.startswith(("Logistic", "Gaussian"))]
    return {
        "density": span(usual),
        "third": f"{bias.loc[(uniform, '2'), 'derived']:.2f}",
        "identity": f"{significant(bias['identity'].min(), 1)} to {significant(bias['identity'].max(), 2)}",
        "cosine_identity": " and ".join(f"{cosine.loc[place, 'identity']:.2f}" for place in first),
        "cosine_density": " and ".join(f"{derived[place]:.2f}" for place in first),
        "no proxy has less than two thirds of the gradient, but in that layer": bool(
            bias.drop((uniform, "2")).min(axis=None) > 2 / 3
        ),
        "the identity has the best direction there": all(
            cosine.loc[place].idxmax() == "identity" and cosine.loc[place].max() > derived[place] for place in first
        ),
    }


ANSWER = (
    Statement(
        "Early in training the density itself has the smallest bias in {smallest} of {pairs} pairs of layer and law, "
        "and is within 0.1 of the smallest in all; the identity has {identity} times the gradient, SignSwish "
        "{sign_swish} times. Its direction is not always the best: under triangular noise the first layer has cosine "
        "{own}, with tanh {tanh}.",
        ("proxy",),
        early,
        "Medians over {networks} networks of three layers of five units per law and stage.",
        ("0.1", "first", "three"),
    ),
    Statement(
        "Late in training no proxy helps, matched or not: the bias is about the gradient itself ({density} with the "
        "density; only the third layer under uniform noise has less, {third}), and with the identity {identity} times "
        "as large. The identity's direction, though, is then the best in the first layer under logistic and Gaussian "
        "noise: cosine {cosine_identity} against {cosine_density}.",
        ("proxy",),
        late,
        "",
    ),
)


def gallery(table: pd.DataFrame) -> dict[str, str | bool]:
    """The gallery's line."""
    found = early(table)
    kept = {name: str(found[name]) for name in ("smallest", "pairs", "networks")}
    return kept | {name: bool(value) for name, value in late(table).items() if name.startswith("no proxy")}


README = (
    Statement(
        "early in training the noise's own density has the smallest bias in {smallest} of {pairs} pairs of layer and "
        "law (medians over {networks} networks), late no proxy helps.",
        ("proxy",),
        gallery,
        "{networks} networks.",
    ),
)

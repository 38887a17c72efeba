"""Every column and every statistic of a table: name, symbol, unit, meaning. They are defined here and only here.

Notation: g is one draw of an estimate of the gradient, m = E g its mean, g* the true gradient; norms and sums run over
the coordinates that a row joins (a layer or a block).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from estimlab.errors import EstimlabError, closest


@dataclass(frozen=True)
class Column:
    """What a column, or a value of the column ``statistic``, means.

    Attributes:
        name: its name in the table.
        symbol: LaTeX, for axes and headers.
        unit: what one of it is; "1" for a pure number, "" for text.
        meaning: the definition.

    >>> from estimlab.results import COLUMNS, STATISTICS
    >>> COLUMNS["draws"].symbol, STATISTICS["mse"].unit
    ('$N$', '(objective per parameter)^2')
    """

    name: str
    symbol: str
    unit: str
    meaning: str


def _by_name(*columns: Column) -> dict[str, Column]:
    return {column.name: column for column in columns}


COLUMNS = _by_name(
    Column("problem", r"problem", "", "name and version of the problem, as estimlab.problems.load takes it"),
    Column("stage", r"stage", "", "stage of training at which the problem's parameters were taken"),
    Column("reference", r"reference", "", "how the true gradient was computed"),
    Column("draws", r"$N$", "draws", "number of draws of the estimator; empty where the moments are exact"),
    Column("averaged", r"$n$", "draws", "number of independent draws whose mean the value is about; 1: one draw"),
    Column("seed", r"seed", "", "seed of the random streams"),
    Column("device", r"device", "", "device on which the cell ran"),
    Column("dtype", r"dtype", "", "floating point type in which the network was evaluated"),
    Column("estimator", r"estimator", "", "the estimator: its class in snake case"),
    Column("parameters", r"parameters", "", "the estimator's fields and their values, for example temperature=0.5"),
    Column("method", r"method", "", "exact or quadrature (no sampling), or monte_carlo"),
    Column(
        "layer",
        r"layer",
        "",
        "what receives the gradient: a stage, weight and bias joined (0, 1, .., head), or network",
    ),
    Column("block", r"block", "", "parameter tensor that receives the gradient"),
    Column("source", r"source", "", "layer of units whose local rule causes this part of the bias; all: their sum"),
    Column("statistic", r"statistic", "", "what the value is; defined under statistics"),
    Column("recipe", r"recipe", "", "recipe of a training run, as estimlab train takes it"),
    Column("epoch", r"epoch", "epochs", "passes through the training set that were done"),
    Column("value", r"value", "that of the statistic", "value of the statistic"),
    Column("stderr", r"$\pm$", "that of the statistic", "standard error of the value; 0 where it is exact"),
    Column(
        "low",
        r"low",
        "that of the statistic",
        "lower end of a 95 % interval of the value; where it is given, stderr makes none",
    ),
    Column("high", r"high", "that of the statistic", "upper end of a 95 % interval of the value"),
    Column("networks", r"networks", "networks", "networks, alike but for their seed, whose median the value is"),
    Column("published", r"published", "that of the statistic", "number that the literature gives"),
    Column("law", r"law", "", "noise law of the units, as it is written in Python"),
    Column("objective", r"objective", "", "name of the objective"),
)

FIELDS = _by_name(
    Column("temperature", r"$\tau$", "scale of the noise", "temperature of a relaxation"),
    Column("proxy", r"proxy", "", "what the straight-through estimator puts in the place of the noise's density"),
    Column("samples", r"$K$", "", "relaxed samples, or draws, that one draw of the estimate joins"),
    Column("pairs", r"pairs", "", "antithetic pairs that one draw joins"),
    Column("tails", r"tails", "", "whether forked passes share the noise of later layers"),
    Column("baseline", r"$b$", "objective", "constant that REINFORCE takes off the objective"),
    Column("t", r"$t$", "1", "weight of the bias against the variance for which MVE is best"),
    Column("p1", r"$p_1$", "", "rule of the importance weight of the high state"),
    Column("mix", r"mix", "1", "share of ZGR in a mix of ST and ZGR"),
    Column("xbar", r"$\bar x$", "1", "point at which DARN takes the derivative, or mean"),
    Column("gap", r"gap", "1", "distance between the two logits that gapped ST takes, or probability"),
    Column("importance_weighted", r"weighted", "", "whether FouST weighs its samples"),
    Column("coupling", r"coupling", "", "whether the conditional relaxation has noise of its own"),
    Column("eta", r"$\eta$", "1", "factor of the control variate"),
    Column("hidden", r"hidden", "", "triples (outer, inner, offset), one per hidden unit of a control variate"),
    Column("shape", r"shape", "", "shape of the surrogate gradient"),
    Column("slope", r"slope", "1 / scale of the noise", "steepness of the surrogate gradient"),
    Column("estimator_estimator", r"estimator", "", "the estimator whose draws are averaged"),
    Column("estimator_draws", r"$K$", "draws", "draws of another estimator that one draw of the average joins"),
)
"""Fields of the catalogue's estimators, each a column; empty where an estimator has none of this name. Fields of other
people's estimators become columns by themselves (``describe``)."""

STATISTICS = _by_name(
    Column("reference_norm", r"$\|g^*\|$", "objective per parameter", "norm of the true gradient"),
    Column(
        "squared_bias",
        r"$\|m - g^*\|^2$",
        "(objective per parameter)^2",
        "squared norm of the bias, debiased for the finite number of draws and for the error of the reference; "
        "an estimate may be negative and is never clipped",
    ),
    Column(
        "relative_bias",
        r"$\|m - g^*\| / \|g^*\|$",
        "1",
        "norm of the bias over the norm of the true gradient: sign(squared_bias) sqrt|squared_bias| / reference_norm",
    ),
    Column(
        "variance",
        r"$\mathrm{E}\|g - m\|^2$",
        "(objective per parameter)^2",
        "trace of the covariance of one draw; a draw is a full-batch gradient, noise independent between examples",
    ),
    Column(
        "relative_std", r"$\mathrm{std}/\|g^*\|$", "1", "square root of the variance over the norm of the true gradient"
    ),
    Column(
        "mse",
        r"$\mathrm{E}\|g - g^*\|^2$",
        "(objective per parameter)^2",
        "mean squared error of one draw: squared_bias + variance",
    ),
    Column(
        "relative_rmse", r"$\mathrm{RMSE}/\|g^*\|$", "1", "square root of the mse over the norm of the true gradient"
    ),
    Column(
        "relative_rmse_of_mean",
        r"$\mathrm{RMSE}(\bar g_n)/\|g^*\|$",
        "1",
        "relative_rmse of the mean of n independent draws, n in the column averaged: "
        "sqrt(squared_bias + variance / n) / reference_norm",
    ),
    Column("cosine", r"$\cos(m, g^*)$", "1", "cosine of the angle between the mean and the true gradient"),
    Column(
        "mean_cosine",
        r"$\mathrm{E}\cos(g, g^*)$",
        "1",
        "mean over draws of the cosine between one draw and the true gradient; Monte Carlo only",
    ),
    Column(
        "descent_efficiency",
        r"$(\mathrm{E}\, g \cdot g^*)^2 / (\|g^*\|^2\, \mathrm{E}\|g\|^2)$",
        "1",
        "best decrease of an isotropic quadratic model by one step along a draw, relative to a step along the true "
        "gradient",
    ),
    Column(
        "sign_correct",
        r"$P(\mathrm{sign}\, g = \mathrm{sign}\, g^*)$",
        "1",
        "mean over draws of the share of coordinates in which one draw has the true sign; Monte Carlo only",
    ),
    Column(
        "scale_invariant_bias",
        r"$\|m/\|m\| - g^*/\|g^*\|\|$",
        "1",
        "relative bias after the mean is rescaled to the true norm: sqrt(2 - 2 cosine)",
    ),
    Column(
        "scale_invariant_std",
        r"$\mathrm{std}/\|m\|$",
        "1",
        "relative standard deviation after the mean is rescaled to the true norm: sqrt(variance) / norm of the mean",
    ),
    Column("train_loss", r"training loss", "nats", "mean objective of the draws that were trained on in the epoch"),
    Column("test_loss", r"test loss", "nats", "mean objective on the test set, every unit at its mean"),
    Column("accuracy", r"accuracy", "1", "share of test examples answered correctly, every unit at its mean"),
    Column("accuracy_of_draw", r"accuracy (draw)", "1", "share of test examples answered correctly by one drawn pass"),
    Column(
        "training_std",
        r"$\mathrm{std}/\|\bar g\|$",
        "1",
        "standard deviation of one draw of the whole gradient over the norm of its mean, on a training batch; "
        "variances and squared norms are added up over the epochs",
    ),
    Column("stopped", r"stopped", "1", "1 where training stopped at a NaN, 0 where it came to its end"),
    Column(
        "heavy_tailed",
        r"heavy tails",
        "1",
        "1 where one of 64 groups of draws holds more than a tenth of the variance: standard errors promise too much; "
        "left out elsewhere",
    ),
    Column("forward_passes", r"forward", "layer passes", "evaluations of one layer, forward, that one draw costs"),
    Column("backward_passes", r"backward", "layer passes", "evaluations of one layer, backward, that one draw costs"),
    Column(
        "bias_share",
        r"$c_s \cdot (m - g^*) / \|m - g^*\|^2$",
        "1",
        "signed share of the bias caused by the source layer, c_s its contribution; the shares sum to one",
    ),
    Column(
        "bias_contribution",
        r"$\|c_s\| / \|g^*\|$",
        "1",
        "norm of the source layer's contribution to the bias over the norm of the true gradient",
    ),
    Column(
        "cancellation",
        r"$\sum_s \|c_s\| / \|\sum_s c_s\|$",
        "1",
        "sum of the norms of the contributions over the norm of their sum; 1 where the sources do not cancel",
    ),
)


def field_columns(parameters: Iterable[str | None]) -> set[str]:
    """Columns of the fields that texts of the column ``parameters`` name; with a prefix where the plain name is taken.

    >>> sorted(field_columns(["width=2.0"]))
    ['estimator_width', 'width']
    """
    names = {name for text in parameters if text for name in re.findall(r"(?:^|, )(\w+)=", text)}
    return (names - COLUMNS.keys()) | {f"estimator_{name}" for name in names}


def describe(name: str, extra: Iterable[Column] = (), fields: Collection[str] = ()) -> Column:
    """The definition of a column or a statistic.

    Args:
        name: of the column or the statistic.
        extra: a study's own definitions.
        fields: columns of estimators' fields (``field_columns``), which need no definition.

    Raises:
        EstimlabError: for an unknown name, with those that resemble it.

    >>> from estimlab.results import describe
    >>> describe("mse").meaning
    'mean squared error of one draw: squared_bias + variance'
    """
    known = {**COLUMNS, **FIELDS, **STATISTICS, **_by_name(*extra)}
    if name not in known and name in fields:
        return Column(name, name, "", f"the estimator's field {name.removeprefix('estimator_')}")
    if name not in known:
        raise EstimlabError(
            f"Unknown column or statistic {name!r}.{closest(name, known)} A study defines its own by "
            f"Study(..., columns=(Column({name!r}, symbol, unit, meaning),)); the others stand in "
            "estimlab/results/columns.py."
        )
    return known[name]


def require_defined(rows: Sequence[dict[str, Any]], extra: Iterable[Column] = ()) -> None:
    """Every column and every statistic of these rows is defined; errors as in ``describe``."""
    names: dict[str, None] = {}
    for row in rows:
        names |= dict.fromkeys(row)
        if isinstance(statistic := row.get("statistic"), str):
            names[statistic] = None
    fields = field_columns({row.get("parameters") for row in rows})
    for name in names:
        describe(name, extra, fields)

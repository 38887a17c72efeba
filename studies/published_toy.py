"""The published toy of Shekhovtsov, Yanush & Flach (2020) after 100 epochs: their numbers beside ours.

Needs their trained network, `psa_toy/epoch100.npz`, in the folder that the environment variable ESTIMLAB_DATA names.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, final

import pandas as pd
from literature.toy import PublishedToy
from statements.published_toy import ANSWER

import estimlab as el
from estimlab.cells import MonteCarloMoments
from estimlab.results.columns import Column
from estimlab.results.plotting import appearance
from estimlab.results.study import Cell, Study

# Relative RMSE of one draw and of the mean of 9000 draws, and mean cosine of one draw, in layers 0, 1, 2: read off the
# official figure of epoch 100, with as many digits.
ONE, MEAN, COSINE = "relative_rmse", "relative_rmse_of_mean", "mean_cosine"
AVERAGED = 9000
PUBLISHED: dict[tuple[str, str], dict[str, str]] = {
    ("reinforce", ""): {ONE: "13.81 11.24 6.78", COSINE: "0.075 0.090 0.147"},
    ("arm", ""): {ONE: "2.32 2.54 1.81", COSINE: "0.39 0.36 0.48"},
    ("straight_through", ""): {ONE: "0.222 0.563 0.568", MEAN: "0.078 0.334 0.356", COSINE: "0.984 0.925 0.959"},
    ("psa", ""): {ONE: "0.158 0.381 0.436", MEAN: "0.048 0.028 0.002", COSINE: "0.991 0.942 0.945"},
    ("gumbel_softmax", "temperature=1.0"): {
        ONE: "0.396 0.543 0.549",
        MEAN: "0.300 0.331 0.252",
        COSINE: "0.93 0.85 0.86",
    },
    ("gumbel_softmax", "temperature=0.1"): {ONE: "7.74 5.43 2.06", COSINE: "0.14 0.19 0.42"},
    ("mean_field", ""): {ONE: "0.248 0.415 0.485"},
}


def published(row: dict[str, Any], known: dict[tuple[str, str], dict[str, str]]) -> str | None:
    """The published number of a row's estimator, layer and statistic as it is printed, if there is one."""
    found = known.get((row["estimator"], row["parameters"])) or known.get((row["estimator"], ""), {})
    stochastic = row["layer"] != "head"
    if not stochastic or row["averaged"] != (AVERAGED if row["statistic"] == MEAN else 1):
        return None
    numbers = found.get(row["statistic"], "").split()
    return numbers[int(row["layer"])] if numbers else None


@final
@dataclass(frozen=True)
class Compared(Cell):
    """One estimator's measured statistics with the published number, its error, and the distance over both errors."""

    revision: ClassVar[int] = 3

    measured: MonteCarloMoments

    @property
    def title(self) -> str:
        """The estimator."""
        return repr(self.measured.estimator)

    def run(self) -> list[dict[str, Any]]:
        """The rows for which there is a published number."""
        return [
            {**row, **compared(row, text)}
            for row in self.measured.run()
            if (text := published(row, PUBLISHED)) is not None
        ]


def compared(row: dict[str, Any], text: str) -> dict[str, float]:
    """Columns of the published number.

    Its standard error joins what rounding to the last digit makes, unit / sqrt(12), and the sampling error of 9000
    draws: the source averages no more and states no error.
    """
    unit = 10.0 ** -len(text.partition(".")[2])
    theirs = math.hypot(unit / math.sqrt(12), row["stderr"] * math.sqrt(row["draws"] / AVERAGED))
    z = (row["value"] - float(text)) / math.hypot(row["stderr"], theirs)
    return {"published": float(text), "published_stderr": theirs, "z": z}


def summary(table: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Ours and the published number with their standard errors, and the distance over both, per layer."""
    table = table.assign(
        estimator=[appearance(*pair)["label"] for pair in zip(table["estimator"], table["parameters"], strict=True)],
        ours=with_error(table["value"], table["stderr"]),
        published=with_error(table["published"], table["published_stderr"]),
        z=[f"{z:.1f}" for z in table["z"]],
    )
    titles = {ONE: "Relative RMSE of one draw", MEAN: "Relative RMSE of 9000-draw means", COSINE: "Mean cosine"}
    columns = ["estimator", "layer", "ours", "published", "z"]
    return [(title, table.loc[table["statistic"] == name, columns]) for name, title in titles.items()]


def with_error(values: pd.Series, errors: pd.Series) -> list[str]:
    """Three decimals, the error to one digit."""
    return [f"{value:.3f} ± {error:.1g}" for value, error in zip(values, errors, strict=True)]


def cells(draws: int) -> tuple[Compared, ...]:
    """One cell per estimator."""
    estimators = (
        el.Reinforce(),
        el.ARM(),
        el.StraightThrough(),
        el.PSA(),
        el.GumbelSoftmax(temperature=1.0),
        el.GumbelSoftmax(temperature=0.1),
        el.MeanField(),
    )
    toy = PublishedToy()
    return tuple(Compared(MonteCarloMoments(toy, one, (AVERAGED,), draws=draws)) for one in estimators)


STUDY = Study(
    question="Do we measure the numbers that Shekhovtsov, Yanush & Flach published for their toy network?",
    answer=ANSWER,
    shows=summary,
    cells=cells(65_536),
    smoke=cells(512),
    columns=(
        Column(
            "published_stderr",
            r"$\pm$",
            "that of the statistic",
            "standard error of the published number: rounding to its last digit, and sampling as of 9000 draws, the "
            "most that the source averages (it states no error)",
        ),
        Column("z", "$z$", "1", "value minus published number, over the standard error of the difference"),
    ),
)

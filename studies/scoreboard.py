"""The catalogue on five problems of the frozen suite: the rows among which a newcomer is placed."""

from __future__ import annotations

import estimlab as el
from estimlab.results.columns import Column
from estimlab.results.study import Study
from estimlab.scoreboard import catalogue_scores, scores

STUDY = Study(
    question="How do the estimators of the catalogue rank on the frozen suite, at one draw and at equal cost?",
    answer="In the first layer, by the median over the five problems: of estimators that draw states, one draw of "
    "straight-through has the smallest error (2.1 times the gradient's norm), but with 10,000 layer passes "
    "the means of local expectation gradients (0.08), ARMS (0.42), PSA (0.45) and DisARM (0.47) are closest, "
    "as averaging leaves straight-through its bias (0.97). No estimator is best on every problem.",
    cells=catalogue_scores(),
    smoke=tuple(cell for one in (el.StraightThrough(), el.ZGR(), el.Reinforce()) for cell in scores(one, 512)[4:]),
    columns=(
        Column("newcomer", "newcomer", "", "whether the row is of an estimator that was placed among the catalogue"),
    ),
)

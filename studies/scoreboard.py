"""The catalogue on five problems of the frozen suite: the rows among which a newcomer is placed."""

from __future__ import annotations

from statements.scoreboard import ANSWER

import estimlab as el
from estimlab.cells.scoreboard import known_scores, scores
from estimlab.results.columns import Column
from estimlab.results.matrix import Matrix
from estimlab.results.study import Study

STUDY = Study(
    question="How do the estimators of the catalogue rank on the frozen suite, at one draw and at equal cost?",
    answer=ANSWER,
    shows=Matrix(("estimator",), ("problem",), ("relative_rmse_of_mean",), ("layer=0",)),
    cells=known_scores(),
    smoke=tuple(cell for one in (el.StraightThrough(), el.ZGR(), el.Reinforce()) for cell in scores(one, 512)[4:]),
    columns=(
        Column("newcomer", "newcomer", "", "whether the row is of an estimator that was placed among the catalogue"),
    ),
)

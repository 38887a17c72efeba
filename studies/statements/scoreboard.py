"""Statements of the study scoreboard."""

from __future__ import annotations

import pandas as pd

from estimlab.estimators import catalogue
from estimlab.estimators.base import RelaxedForward
from estimlab.results.statements import Statement
from statements.reading import rows, significant, word

FIRST = {"layer": "0", "newcomer": False}
SHOWN = {"local": "local_expectation", "arms": "arms", "psa": "psa", "disarm": "disarm"}


def medians(table: pd.DataFrame) -> dict[str, str | bool]:
    """Medians over the problems of the errors in the first layer, of estimators that draw states."""
    drawn = {cls.name for cls in catalogue() if not issubclass(cls, RelaxedForward) and cls().claims().draws_states}
    first = rows(table, **FIRST)
    first = first[first["estimator"].isin(drawn)]
    one, equal = (
        rows(first, statistic=name).groupby("estimator")["value"].median().sort_values()
        for name in ("relative_rmse", "relative_rmse_of_mean")
    )
    served = rows(first, statistic="relative_rmse").groupby("estimator")["problem"].nunique()
    problems = table["problem"].nunique()
    one, equal = (series[served[series.index] == problems] for series in (one, equal))
    best = rows(first, statistic="relative_rmse").groupby("problem")
    winners = {first.loc[index, "estimator"] for index in best["value"].idxmin()}
    texts = {name: significant(float(equal[estimator])) for name, estimator in SHOWN.items()}
    return texts | {
        "problems": word(problems),
        "st": significant(float(one["straight_through"])),
        "st_equal": significant(float(equal["straight_through"])),
        "one draw of ST has the smallest median error": one.index[0] == "straight_through",
        "these four are the closest": list(equal.index[:4]) == list(SHOWN.values()),
        "no estimator is best on every problem": len(winners) > 1,
    }


ANSWER = (
    Statement(
        "In the first layer, by the median over the {problems} problems: of estimators that draw states, one draw of "
        "straight-through has the smallest error ({st} times the gradient's norm), but with 10,000 layer passes "
        "the means of local expectation gradients ({local}), ARMS ({arms}), PSA ({psa}) and DisARM ({disarm}) are "
        "closest, as averaging leaves straight-through its bias ({st_equal}). No estimator is best on every problem.",
        ("scoreboard",),
        medians,
        "One network per problem, {problems} problems; sampled moments from one seed.",
        ("10,000", "first"),
    ),
)

"""Where an estimator stands among the catalogue on problems of the frozen suite: bias, deviation, equal cost."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, final

from estimlab.cells.makers import FrozenProblem, build
from estimlab.errors import EstimlabError
from estimlab.estimators import catalogue
from estimlab.estimators.base import Estimator, HardForward
from estimlab.files import require_writable
from estimlab.measurement.exact.moments import exact_moments
from estimlab.measurement.measurement import Measurement
from estimlab.measurement.sampled.monte_carlo import measure
from estimlab.numbers import with_error
from estimlab.results.places import figure_folder, known_table
from estimlab.results.plotting import draw_figure, labels
from estimlab.results.provenance import command, environment
from estimlab.results.study import Cell, find_study
from estimlab.results.table import read_provenance, read_table, table_frame, write_table

if TYPE_CHECKING:
    import pandas as pd

PROBLEMS = ("toy-late/v1", "digits-late/v1", "gaussian-late/v1", "uniform-late/v1", "quadratic/v1")
STATISTICS = ("relative_bias", "relative_std", "relative_rmse", "descent_efficiency")
ERRORS = {"relative_rmse": "RMSE of one draw", "relative_rmse_of_mean": "RMSE at equal cost"}
SHOWN = {name: name.removeprefix("relative_") for name in STATISTICS[:3]} | {"relative_rmse_of_mean": "equal_cost"}
PASSES = 10_000  # layer passes that the mean at equal cost may take, forward and backward
DRAWS = 4096


@final
@dataclass(frozen=True)
class Score(Cell):
    """One estimator on one problem of the suite, per layer: exact where it can be, from draws elsewhere.

    Attributes:
        problem: name in the suite.
        estimator: what is judged.
        draws: where moments are not exact.

    >>> import estimlab as el
    >>> rows = Score("quadratic/v1", el.ZGR()).run()
    >>> [row["statistic"] for row in rows if row["averaged"] > 1]
    ['relative_rmse_of_mean']
    """

    revision: ClassVar[int] = 2

    problem: str
    estimator: Estimator
    draws: int = DRAWS

    @property
    def title(self) -> str:
        """Problem and estimator."""
        return f"{self.problem}: {self.estimator!r}"

    def measurement(self) -> Measurement:
        """Exact, or by sampling."""
        problem, truth = build(FrozenProblem(self.problem))
        if isinstance(self.estimator, HardForward):
            try:
                return exact_moments(problem, self.estimator, truth)
            except EstimlabError:
                pass  # its factor is random given the state, without moments in closed form
        return measure(problem, self.estimator, truth, self.draws)

    def run(self) -> list[dict[str, Any]]:
        """Rows per layer and statistic; none where the estimator does not serve the problem."""
        try:
            measured = self.measurement()
        except EstimlabError:
            return []
        head = {"problem": self.problem, "newcomer": False}
        rows = [{**head, **row, "averaged": 1} for row in measured.rows(by="layer") if row["statistic"] in STATISTICS]
        first = {row["layer"]: row | dict.fromkeys(row.keys() & {"low", "high"}) for row in rows}
        count = max(1, PASSES // (measured.cost.forward + measured.cost.backward))
        for layer, (value, stderr) in measured.rmse_of_mean(count).items():
            more = {"statistic": "relative_rmse_of_mean", "value": value, "stderr": stderr, "averaged": count}
            rows.append({**first[layer], **more})
        return rows


def scores(estimator: Estimator, draws: int = DRAWS) -> tuple[Score, ...]:
    """The cells of one estimator."""
    return tuple(Score(problem, estimator, draws) for problem in PROBLEMS)


def known_scores() -> tuple[Score, ...]:
    """The cells of every estimator of the catalogue with its default fields."""
    estimators = [cls() for cls in catalogue() if cls.name != "average"]
    return tuple(score for estimator in estimators for score in scores(estimator))


def scoreboard(estimator: Estimator, out: str | Path = "scoreboard") -> list[Path]:
    """Measure a newcomer, and write table and figure of it among the catalogue.

    The catalogue's rows come from the study ``scoreboard``, which is computed beforehand.

    Args:
        estimator: the newcomer.
        out: folder for ``NAME.csv``, ``NAME.json``, and the figure.

    Returns:
        The files written.

    Errors:
        EstimlabError: the newcomer serves no problem of the suite or crashes, or the study's table is missing.
    """
    study = find_study("scoreboard")
    catalogued = known_table(study, smoke=False)
    known = read_table(catalogued).astype(object)
    table = Path(out) / f"{estimator.name}.csv"
    require_writable(table, *(table.with_suffix(f".{ending}") for ending in ("json", "pdf", "png")))
    newcomers = [{**row, "newcomer": True} for row in _rows(estimator)]
    records = known.where(known.notna(), None).to_dict("records")
    others = [{str(key): value for key, value in row.items()} for row in records if row["estimator"] != estimator.name]
    record = {**read_provenance(catalogued), **environment(), "command": command(), "newcomer": repr(estimator)}
    sidecar = write_table(table_frame([*others, *newcomers]), table, record)
    drawn = draw_figure("scoreboard", table, out, figure_folder(study))
    return [
        table,
        sidecar,
        *(path.rename(path.with_name(path.name.replace("scoreboard", table.stem))) for path in drawn),
    ]


def _rows(estimator: Estimator) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for score in scores(estimator):
        try:
            rows += score.run()
        except Exception as error:
            said = f"{estimator!r} crashes on {score.problem}. {type(error).__name__}: {error}."
            raise EstimlabError(f"{said} `estimlab check` says where.") from error
    if not rows:
        raise EstimlabError(f"{estimator!r} serves none of {', '.join(PROBLEMS)}: `estimlab check` says what is wrong.")
    return rows


def standing(table: pd.DataFrame) -> pd.DataFrame:
    """The newcomer per problem and layer: bias, deviation and the two errors as in 0.12(3)."""
    found = table[table["newcomer"].astype(bool) & table["statistic"].isin(SHOWN)]
    texts = [with_error(*pair) for pair in zip(found["value"], found["stderr"], strict=True)]
    keys = ["problem", "layer"]
    wide = found.assign(text=texts, statistic=found["statistic"].map(SHOWN), layer=found["layer"].astype(str))
    order = wide[keys].drop_duplicates()
    cells = wide.pivot(index=keys, columns="statistic", values="text").reset_index()
    return order.merge(cells, on=keys)[[*keys, *SHOWN.values()]]


def ranks(table: pd.DataFrame, error: str) -> pd.DataFrame:
    """The newcomer's place by an error per problem and layer, between the estimators before and after it.

    A place is one plus the number of estimators whose error is smaller by more than a millionth: 1 is the best.

    Args:
        table: newcomer and catalogue.
        error: ``relative_rmse`` or ``relative_rmse_of_mean``.
    """
    import pandas as pd

    rows = table[table["statistic"] == error].dropna(subset="value")
    rows = rows.assign(label=labels(rows), layer=rows["layer"].astype(str))
    groups = rows.groupby(["problem", "layer"], sort=False)
    found = [(*place, *_between(group)) for place, group in groups if group["newcomer"].any()]
    return pd.DataFrame(found, columns=["problem", "layer", "place", "before", "newcomer", "after"])


def _between(rows: pd.DataFrame) -> tuple[str, str, str, str]:
    """Place, the neighbour of smaller error, the newcomer, that of larger error; each with its error."""
    rows = rows.sort_values("value", kind="stable")
    texts = [f"{label} {value:.3g}" for label, value in zip(rows["label"], rows["value"], strict=True)]
    own = int(rows["newcomer"].to_numpy(bool).argmax())
    place = 1 + int((rows["value"] < rows["value"].iloc[own] * (1 - 1e-6)).sum())
    before = texts[own - 1] if own > 0 else "none: it is the best"
    after = texts[own + 1] if own + 1 < len(texts) else "none: it is the worst"
    return f"{place} of {len(texts)}", before, texts[own], after

"""How figures look, and how they are drawn from a table alone."""

from __future__ import annotations

import ast
import importlib.util
import io
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.legend import Legend

from estimlab.errors import EstimlabError, closest
from estimlab.files import replace_file
from estimlab.numbers import is_number
from estimlab.results.table import read_table

Draw = Callable[[pandas.DataFrame], Figure | dict[str, Figure]]

COLUMN_WIDTH = 3.35
"""Inches: one column of a two-column page."""
PAGE_WIDTH = 6.9
"""Inches: both columns."""

_STYLE: dict[Any, Any] = {
    "font.family": "serif",
    "font.serif": ["STIXGeneral"],  # comes with Matplotlib: the same letters on every machine
    "mathtext.fontset": "stix",
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "legend.fontsize": 7,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.linewidth": 1.0,
    "lines.markersize": 4,
    "errorbar.capsize": 2,
    "legend.frameon": False,
    "figure.figsize": (COLUMN_WIDTH, 2.4),
    "figure.constrained_layout.use": True,
    "figure.dpi": 150,
    "savefig.dpi": 300,
    "pdf.fonttype": 42,  # TrueType, embedded: publishers reject Type 3
    "ps.fonttype": 42,
    "svg.hashsalt": "estimlab",
}

# Okabe and Ito's colours, and for what is left dark ones of Paul Tol's: distinct for colour-blind readers, and the
# markers tell close ones apart. Relatives share a tone.
_KNOWN = {
    "straight_through": ("ST", "#000000", "o"),
    "iw_st": ("IW-ST", "#56B4E9", "s"),
    "zgr": ("ZGR", "#0072B2", "D"),
    "mve": ("MVE", "#E69F00", "v"),
    "st_gumbel_softmax": ("ST-GS", "#D55E00", "^"),
    "gumbel_softmax": ("GS", "#CC79A7", "<"),
    "reinforce": ("REINFORCE", "#7F7F7F", "X"),
    "arm": ("ARM", "#009E73", "P"),
    "disarm": ("DisARM", "#882255", "p"),
    "psa": ("PSA", "#332288", "*"),
    "mean_field": ("mean field", "#661100", "d"),
    "analytic_gumbel_rao": ("GR(∞)", "#999933", ">"),
    "st_zgr": ("ST-ZGR", "#44AA99", "h"),
    "darn": ("DARN", "#AA4499", "8"),
    "arms": ("ARMS", "#DDCC77", "2"),
    "reinforce_loo": ("REINFORCE-LOO", "#6699CC", "x"),
    "rebar": ("REBAR", "#CC6677", "+"),
    "muprop": ("MuProp", "#CC3311", "1"),
    "local_expectation": ("local expectation", "#117733", "H"),
}
_OTHER_LABELS = {
    "gumbel_rao": "GR",
    "reinmax": "ReinMax",
    "relax": "RELAX",
    "foust": "FouST",
    "gapped_st": "gapped ST",
}
_OTHER_COLORS = ("#332288", "#999933", "#AA4499", "#44AA99", "#661100", "#6699CC", "#DDCC77")
_OTHER_MARKERS = (">", "h", "*", "d", "8")
# Values of fields that say no more than the estimator's name does.
_QUIET = {
    ("proxy", "derived"),
    ("tails", "independent"),
    ("baseline", "0.0"),
    ("pairs", "1"),
    ("coupling", "independent"),
}
_WORDS = {"exact_mean": "mean"}


@contextmanager
def style() -> Iterator[None]:
    """Matplotlib's settings for a paper, until the end of the block."""
    with matplotlib.rc_context(_STYLE):
        yield


def save(figure: Figure, stem: str | Path) -> list[Path]:
    """Write ``stem.pdf`` and ``stem.png``; equal figures give equal bytes. Returns the two paths."""
    stem = Path(stem)
    written = []
    with style():
        for ending, metadata in (("pdf", {"CreationDate": None}), ("png", None)):
            content = io.BytesIO()
            figure.savefig(content, format=ending, metadata=metadata)
            path = stem.with_name(f"{stem.name}.{ending}")
            replace_file(path, content.getvalue())
            written.append(path)
    return written


def appearance(estimator: str, parameters: str = "") -> dict[str, str]:
    """Colour, marker and label of an estimator, the same in every figure; pass them on to ``Axes.plot``.

    Args:
        estimator: its name in tables.
        parameters: its parameters in tables; they change the label only.

    >>> appearance("gumbel_softmax", "temperature=0.5")["label"]
    'GS(0.5)'
    >>> appearance("analytic_gumbel_rao", "temperature=0.5")["label"]
    'GR(0.5, ∞)'
    """
    label, color, marker = _KNOWN.get(estimator) or _unknown(estimator)
    suffix = _suffix(parameters)
    if label.endswith(")") and suffix.startswith("("):
        name, inside = label[:-1].split("(")
        label, suffix = name, f"{suffix[:-1]}, {inside})"
    return {"color": color, "marker": marker, "label": label + suffix}


def labels(table: pandas.DataFrame) -> list[str]:
    """The label of each row's estimator; its parameters as they are where two estimators would share one."""
    texts = table["parameters"] if "parameters" in table else [""] * len(table)
    pairs = list(zip(table["estimator"], texts, strict=True))
    found = {pair: appearance(*pair)["label"] for pair in dict.fromkeys(pairs)}
    shared = Counter(found.values())
    return [found[pair] if shared[found[pair]] == 1 else f"{pair[0]}({pair[1]})" for pair in pairs]


def legend(
    figure: Figure | SubFigure,
    axes: Axes | Iterable[Axes] | np.ndarray,
    note: str = "",
    columns: int = 6,
    more: Mapping[str, Any] = MappingProxyType({}),
    place: str = "lower center",
) -> Legend:
    """One legend of several axes outside them, every label once, under a note that says what bars and marks mean.

    Args:
        figure: what the legend belongs to.
        axes: whose labels are shown, in this order.
        note: text above the labels.
        columns: of the legend.
        more: further labels and their handles.
        place: side of the figure.
    """
    found: dict[str, Any] = {}
    for ax in np.ravel(np.asarray(axes, dtype=object)):
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    found |= more
    style: dict[str, Any] = {"loc": f"outside {place}", "ncols": columns, "title": note or None, "title_fontsize": 7}
    return figure.legend(list(found.values()), list(found), **style)


def load_figure(name: str, folder: str | Path) -> Draw:
    """The function ``draw`` of ``folder/NAME.py``.

    Raises:
        EstimlabError: no such file, or no such function in it.
    """
    path = Path(folder) / f"{name}.py"
    if not path.is_file():
        available = list_figures(folder)
        raise EstimlabError(
            f"There is no figure {name!r}: {path} does not exist.{closest(name, available)} "
            f"Available: {', '.join(available) or 'none'}. Write that file with a function draw(table) -> Figure."
        )
    spec = importlib.util.spec_from_file_location(f"estimlab_figure_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if not callable(draw := getattr(module, "draw", None)):
        raise EstimlabError(f"{path} needs a function draw(table) that returns a Matplotlib figure.")
    return draw


def draw_figure(
    name: str,
    table_path: str | Path,
    out_dir: str | Path,
    folder: str | Path = "figures",
    default: Draw | None = None,
) -> list[Path]:
    """Draw ``folder/NAME.py`` from a table.

    Args:
        name: the figure's, which is the study's.
        table_path: a table with its sidecar.
        out_dir: where ``NAME.pdf`` and ``NAME.png`` are written; a dictionary of figures gives ``NAME-key.pdf``.
        folder: where figures are defined.
        default: draws where that file is missing.

    Raises:
        EstimlabError: a missing figure or table, a table that was edited, or something else than figures from ``draw``.
    """
    defined = (Path(folder) / f"{name}.py").is_file()
    draw = default if default and not defined else load_figure(name, folder)
    table = read_table(table_path)
    with style():
        drawn = draw(table)
    figures = {f"{name}-{key}": one for key, one in drawn.items()} if isinstance(drawn, dict) else {name: drawn}
    written: list[Path] = []
    for stem, figure in figures.items():
        if not isinstance(figure, Figure):
            raise EstimlabError(f"draw() of figure {name!r} must return Matplotlib figures, not {figure!r:.80}.")
        written += save(figure, Path(out_dir) / stem)
        plt.close(figure)
    return written


def list_figures(folder: str | Path) -> list[str]:
    """Names of the figures in a folder."""
    return sorted(path.stem for path in Path(folder).glob("[!_]*.py"))


def _unknown(estimator: str) -> tuple[str, str, str]:
    """Depends on the letters of the name alone, not on what else is in the figure."""
    number = sum(place * letter for place, letter in enumerate(estimator.encode(), start=1))
    color = _OTHER_COLORS[number % len(_OTHER_COLORS)]
    marker = _OTHER_MARKERS[number % len(_OTHER_MARKERS)]
    return _OTHER_LABELS.get(estimator, estimator.replace("_", " ")), color, marker


def _suffix(parameters: str) -> str:
    """``(0.5)`` for numbers only, `` (mean)`` where there is a word."""
    try:
        call = ast.parse(f"f({parameters})", mode="eval").body
    except SyntaxError:
        return f" ({parameters})"
    assert isinstance(call, ast.Call)
    pairs = [(keyword.arg, _shown(keyword.value)) for keyword in call.keywords]
    shown = [value for pair in pairs if pair not in _QUIET and (value := pair[1]) not in ("None", "True", "False")]
    if not shown:
        return ""
    return ("(" if all(map(is_number, shown)) else " (") + ", ".join(shown) + ")"


def _shown(value: ast.expr) -> str:
    """A value for people: ``identity``, ``'identity'`` and ``Identity()`` are all ``identity``."""
    if isinstance(value, ast.Call):
        words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", ast.unparse(value.func)).lower()
        return " ".join([words, *map(_shown, value.args), *(_shown(keyword.value) for keyword in value.keywords)])
    is_text = isinstance(value, ast.Constant) and isinstance(value.value, str)
    text = str(ast.literal_eval(value)) if is_text else ast.unparse(value)
    return _WORDS.get(text, text).replace("_", " ")

"""Cost of the exact gradient and of exact moments against width and depth, and its figure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

import estimlab as el
from benchmarks.networks import chain
from benchmarks.timing import seconds
from estimlab.references.plan import product_rate
from estimlab.results.plotting import PAGE_WIDTH, save, style

WIDTHS, DEPTHS, WIDTH = (2, 4, 6, 8, 10, 12, 14, 16), (2, 4, 8, 16, 32, 64), 10


def costs() -> list[dict[str, Any]]:
    """Best of three runs, in seconds and in seconds of the machine's own matrix product."""
    found = []
    for width in WIDTHS:
        found.append(_cost("gradient", [width] * 2))
        if width <= 12:
            found.append(_cost("moments", [width] * 2))
        if width <= 8:
            found.append(_cost("paths", [width] * 2))
    for depth in DEPTHS:
        found += [_cost("gradient", [WIDTH] * depth), _cost("moments", [WIDTH] * depth)]
    return found


def _cost(what: str, widths: list[int]) -> dict[str, Any]:
    problem = chain(widths)
    exact = el.LayerwiseEnumeration(max_seconds=3600)
    truth = exact.gradient(problem)
    runs = {
        "gradient": lambda: exact.gradient(problem),
        "moments": lambda: el.exact_moments(problem, el.StraightThrough(), truth),
        "paths": lambda: el.PathEnumeration().gradient(problem),
    }
    best = min(seconds(runs[what]) for _ in range(3))
    return {"what": what, "width": widths[0], "depth": len(widths), "seconds": best, "dgemm": product_rate("cpu")}


def draw(rows: list[dict[str, Any]], stem: Path) -> None:
    """Left: two layers of growing width. Right: growing depth at ten units."""
    looks = {
        "paths": ("path enumeration", "#D55E00", "^"),
        "moments": ("exact bias and variance", "#E69F00", "s"),
        "gradient": ("exact gradient", "#0072B2", "o"),
    }
    with style():
        figure = Figure(figsize=(PAGE_WIDTH, 2.6), layout="constrained")
        left, right = figure.subplots(1, 2)
        for what, (label, color, marker) in looks.items():
            kind = [one for one in rows if one["what"] == what]
            wide = {one["width"]: one["seconds"] for one in kind if one["depth"] == 2}
            deep = {one["depth"]: one["seconds"] for one in kind if one["width"] == WIDTH}
            left.plot(*zip(*sorted(wide.items()), strict=True), color=color, marker=marker, label=label)
            if len(deep) > 1:
                right.plot(*zip(*sorted(deep.items()), strict=True), color=color, marker=marker)
        product = [(n, 6 * 4.0**n / rows[0]["dgemm"]) for n in WIDTHS if n >= 8]
        left.plot(*zip(*product, strict=True), color="0.5", linestyle=":", label="three matrix products")
        left.set(yscale="log", xlabel="units in each of two layers", ylabel="seconds, two cores")
        right.set(xscale="log", yscale="log", xlabel="layers of ten units", ylabel="seconds, two cores")
        right.set_xticks(DEPTHS, [str(depth) for depth in DEPTHS])
        right.minorticks_off()
        figure.legend(loc="outside upper center", ncols=4)
        save(figure, stem)

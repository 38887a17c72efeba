"""Statements about speed and about training at full size, from the files in benchmarks/results."""

from __future__ import annotations

from typing import Any

from estimlab.results.statements import Statement
from statements.reading import WORDS, significant

RATIOS = "benchmarks/results/ratios.json"
AUTOENCODER = "benchmarks/results/mnist_vae-cpu.json"
MACHINE = "One machine, medians of side-by-side runs."
ACTIVATIONS = " over straight_through, 2000 x 200"


def _row(ratios: dict[str, Any], name: str) -> dict[str, Any]:
    return next(row for row in ratios["rows"] if row["name"] == name)


def _ratio(ratios: dict[str, Any], name: str) -> float:
    return float(_row(ratios, name)["ratio"])


def machine(ratios: dict[str, Any]) -> dict[str, str | bool]:
    """Cores and processor."""
    return {"cores": WORDS[ratios["machine"]["cores"]], "processor": ratios["machine"]["processor"]}


def gradient(ratios: dict[str, Any]) -> dict[str, str | bool]:
    """The exact gradient beside the machine's matrix product."""
    name = "exact gradient of 10-16-16, rate over dgemm"
    two, single = _row(ratios, name), _ratio(ratios, f"{name}, one thread")
    large = _row(ratios, "20-20: actual over planned time")
    return {
        "two": f"{two['ratio']:.2f}",
        "single": f"{single:.2f}",
        "memory": f"{two['details']['peak_memory_GB']:.1f}",
        "seconds": significant(large["details"]["seconds"], 1),
        "large_memory": f"{large['details']['peak_memory_GB']:.1f}",
        "planned": f"{large['ratio']:.2f}",
    }


def growth(ratios: dict[str, Any]) -> dict[str, str | bool]:
    """Twice the depth, two units more."""
    return {
        "deep": f"{_ratio(ratios, '40 layers of 10 over 20 layers of 10'):.1f}",
        "twelve": f"{_ratio(ratios, '14-14 over 12-12'):.0f}",
        "fourteen": f"{_ratio(ratios, '16-16 over 14-14'):.0f}",
        "products": f"{_row(ratios, '16-16 over 14-14')['details']['products_alone']:.0f}",
        "as planned within a fifth": all(
            abs(_ratio(ratios, f"{name}: measured over planned ratio") - 1) < 0.2
            for name in ("14-14 over 12-12", "16-16 over 14-14")
        ),
    }


def paths(ratios: dict[str, Any]) -> dict[str, str | bool]:
    """Against enumeration of paths."""
    found = _row(ratios, "path enumeration over layers, 8-8-8 (2^24 paths)")
    return {"times": significant(found["ratio"]), "agrees": found["details"]["difference"] <= 1e-15}


def moments(ratios: dict[str, Any]) -> dict[str, str | bool]:
    """Exact moments."""
    deep, wide = (
        _row(ratios, f"exact moments of {name} over its exact gradient")["details"]["seconds"]
        for name in ("-".join(["10"] * 10), "12-12-12-12")
    )
    return {"deep": f"{deep:.1f}", "wide": f"{wide:.1f}"}


def draws(ratios: dict[str, Any]) -> dict[str, str | bool]:
    """Draws of straight-through, and of a family."""
    name = "draws of straight-through on 10-10-10-10, "
    family = _ratio(ratios, "straight_through, zgr, reinmax, darn: measured one by one over together")
    many = _row(ratios, "1e+08 draws: rate over that of 1e+06")
    return {
        "millions": f"{_ratio(ratios, name + 'per second') / 1e6:.1f}",
        "loop": significant(_ratio(ratios, name + "over a loop of autograd")),
        "plain": f"{_ratio(ratios, name + 'over vmap(grad), means and variances alone'):.1f}",
        "same": f"{_ratio(ratios, name + 'over vmap(grad), the same statistics'):.1f}",
        "memory": f"{many['details']['peak_memory_GB']:.1f}",
        "together": f"{family:.1f}",
    }


def activations(ratios: dict[str, Any]) -> dict[str, str | bool]:
    """Each estimator as an activation beside plain straight-through."""
    found = {
        row["name"].removesuffix(ACTIVATIONS): row["ratio"]
        for row in ratios["rows"]
        if row["name"].endswith(ACTIVATIONS)
    }
    rao, closed = found.pop("gumbel_rao"), found.pop("analytic_gumbel_rao")
    return {"most": f"{max(found.values()):.1f}", "rao": f"{rao:.0f}", "closed": f"{closed:.0f}"}


def bounds(runs: list[dict[str, Any]]) -> dict[str, str | bool]:
    """Both bounds of the three runs."""
    found = {run["estimator"]["name"]: [result["nats"] for result in run["results"]] for run in runs}
    names = {"st": "straight_through", "zgr": "zgr", "gs": "gumbel_softmax"}
    error = max(result["stderr"] for run in runs for result in run["results"])
    texts = {f"{short}_{k}": f"{found[name][k]:.1f}" for short, name in names.items() for k in (0, 1)}
    return texts | {
        "error": f"{error:.1f}",
        "Gumbel-Softmax is below straight-through in the sampled bound": found["gumbel_softmax"][1]
        < found["straight_through"][1] - 4 * error,
    }


def _statement(text: str, rule: Any, *given: str) -> Statement:
    return Statement(text, (RATIOS,), rule, MACHINE, given)


README = (
    _statement("On {cores} cores of a shared {processor} (medians of side-by-side runs,", machine),
    _statement(
        "the exact gradient of a 10-16-16 chain (2^32 pairs of states) runs at {two} of the machine's own matrix "
        "product ({single} on one thread), counting three products per pair of layers, in {memory} GB; 20-20 units "
        "(2^40 pairs) take {seconds} s in {large_memory} GB, {planned} times what was planned beforehand;",
        gradient,
    ),
    _statement(
        "twice the depth costs twice the time: 40 layers of ten units, 2^400 paths, take {deep} times as long as 20; "
        "two units more on both sides cost {twelve} times (12 to 14) and {fourteen} times (14 to 16), as the plan "
        "says, where products alone would cost {products};",
        growth,
    ),
    _statement(
        "it is {times} times faster than enumerating the 2^24 paths of an 8-8-8 chain, to which it agrees to 1e-15;",
        paths,
    ),
    _statement("exact bias and variance of ten layers of ten units take {deep} s, of 12-12-12-12 {wide} s;", moments),
    _statement(
        "one process makes {millions} million draws a second of straight-through on 10-10-10-10: {loop} times a loop "
        "of autograd, {plain} times `vmap(grad)` that takes means and variances alone, {same} times one that takes "
        "the same statistics; 10^8 draws in {memory} GB. Four estimators that share states cost {together} times less "
        "together (`el.measure_many`);",
        draws,
    ),
    _statement(
        "as an activation of 2000 x 200 units in float32, every estimator costs at most {most} times plain "
        "straight-through, but for Gumbel-Rao: {rao} times with ten samples, {closed} times in closed form.",
        activations,
    ),
    Statement(
        "`mnist_vae` for ten epochs on one core reaches, in nats with a standard error of {error}, minus ELBO {st_0} "
        "and minus the 100-sample bound {st_1} with `straight_through`, {zgr_0} and {zgr_1} with `zgr`, {gs_0} and "
        "{gs_1} with `gumbel_softmax` at temperature 0.5 (our runs, one seed each: "
        "`benchmarks/results/mnist_vae-cpu.json`). One pair can be compared with publications: straight-through is "
        "behind Gumbel-Softmax there too, after long training (103.1 and 96.4; Paulus et al. 2021).",
        (AUTOENCODER,),
        bounds,
        "One run and one seed per estimator.",
    ),
)

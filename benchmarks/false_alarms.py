"""How often the sampled gates of the judge accuse estimators that are right: ``python -m benchmarks.false_alarms``."""

from __future__ import annotations

import json
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import torch

import estimlab as el
from estimlab.checks.claims.moments import DRAWS, variances
from estimlab.checks.gates import FAMILY_ERROR, mean_gate, variance_gate
from estimlab.checks.problems.settings import Setting
from estimlab.checks.sampling import seeds
from estimlab.measurement.quadrature import quadrature_moments
from estimlab.progress import track

RESULT = Path(__file__).parent / "results" / "false_alarms.json"
SETTING = Setting((1, 1), batch=3, degree=3, head=True)
ESTIMATORS = (el.StraightThrough(), el.Reinforce())
SEEDS, AT_ONCE = 1000, 20


def main() -> None:
    """Both gates of both estimators over all seeds, each rejection followed by the sample that must confirm it."""
    parts = [(one, start) for start in range(0, SEEDS, AT_ONCE) for one in ESTIMATORS]
    counts: dict[str, Counter[str]] = {}
    with ProcessPoolExecutor(None, get_context("spawn"), torch.set_num_threads, (1,)) as pool:
        for found in track(pool.map(_alarms, parts), "seeds", len(parts)):
            for gate, more in found.items():
                counts.setdefault(gate, Counter(rejected=0, confirmed=0)).update(more)
    head = {"seeds": SEEDS, "draws": DRAWS, "family_error": FAMILY_ERROR, "problem": SETTING.title}
    RESULT.write_text(json.dumps({**head, "gates": counts}, indent=2) + "\n")


def _alarms(part: tuple[el.Estimator, int]) -> dict[str, dict[str, int]]:
    """Of an estimator, over some seeds from the given one on."""
    estimator, start = part
    problem = SETTING.case.build()
    truth = el.exact_reference(problem)
    exact = quadrature_moments(problem, estimator, truth)
    gates = {
        f"mean of {estimator!r}": lambda measured: mean_gate(measured, exact.mean),
        f"variance of {estimator!r}": lambda measured: variance_gate(measured, variances(exact)),
    }
    counts = {name: {"rejected": 0, "confirmed": 0} for name in gates}
    for seed in range(start, start + AT_ONCE):
        _, first, second = seeds(seed)
        measured = el.measure(problem, estimator, reference=truth, draws=DRAWS, seed=first)
        for name, gate in gates.items():
            if gate(measured).rejects:
                counts[name]["rejected"] += 1
                again = el.measure(problem, estimator, reference=truth, draws=DRAWS, seed=second)
                counts[name]["confirmed"] += gate(again).rejects
    return counts


if __name__ == "__main__":
    main()

"""How often the sampled gates of the judge accuse estimators that are right: ``python -m benchmarks.false_alarms``."""

from __future__ import annotations

import json
from pathlib import Path

import estimlab as el
from estimlab.checks.gates import FAMILY_ERROR, mean_gate, variance_gate
from estimlab.checks.moments import variances
from estimlab.checks.sampling import seeds
from estimlab.checks.settings import Setting
from estimlab.measurement.quadrature import quadrature_moments
from estimlab.progress import track

RESULT = Path(__file__).parent / "results" / "false_alarms.json"
SETTING = Setting((1, 1), batch=3, degree=3, head=True)
ESTIMATORS = (el.StraightThrough(), el.Reinforce())
SEEDS, DRAWS = 1000, 1 << 11


def main() -> None:
    """Both gates of both estimators over all seeds, each rejection followed by the sample that must confirm it."""
    found = {"seeds": SEEDS, "draws": DRAWS, "family_error": FAMILY_ERROR, "problem": SETTING.title, "gates": {}}
    for estimator in ESTIMATORS:
        found["gates"] |= _alarms(estimator)
    RESULT.write_text(json.dumps(found, indent=2) + "\n")


def _alarms(estimator: el.Estimator) -> dict[str, dict[str, int]]:
    problem = SETTING.case.build()
    truth = el.LayerwiseEnumeration().gradient(problem)
    exact = quadrature_moments(problem, estimator, truth)
    gates = {
        f"mean of {estimator!r}": lambda measured: mean_gate(measured, exact.mean),
        f"variance of {estimator!r}": lambda measured: variance_gate(measured, variances(exact)),
    }
    counts = {name: {"rejected": 0, "confirmed": 0} for name in gates}
    for seed in track(range(SEEDS), repr(estimator), SEEDS):
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

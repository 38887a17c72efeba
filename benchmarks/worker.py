"""One checkout's side of ``benchmarks.against``: answers each case on standard input with its seconds.

A case is a line of three words: what is computed, of which problem, how often. A problem is one of the frozen suite or
the widths of a chain, as ``gradient 10-16-16 1``. Only public names that every checkout has are used here.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import estimlab as el
from benchmarks.networks import chain
from benchmarks.timing import seconds

DRAWS = 1 << 17
ESTIMATOR = el.StraightThrough()


def gradient(problem: el.Problem, truth: el.Gradient) -> Any:
    """The exact gradient."""
    return el.LayerwiseEnumeration().gradient(problem)


def moments(problem: el.Problem, truth: el.Gradient) -> Any:
    """Exact bias and variance of straight-through."""
    return el.exact_moments(problem, ESTIMATOR, truth)


def draws(problem: el.Problem, truth: el.Gradient) -> Any:
    """``DRAWS`` draws of straight-through."""
    return el.measure(problem, ESTIMATOR, truth, DRAWS)


Compute = Callable[[el.Problem, el.Gradient], Any]
COMPUTED: dict[str, Compute] = {"gradient": gradient, "moments": moments, "draws": draws}


@lru_cache
def problem_and_truth(name: str) -> tuple[el.Problem, el.Gradient]:
    """A problem of the suite, or a chain of the given widths, with its exact gradient."""
    problem = el.problems.load(name) if "/" in name else chain([int(width) for width in name.split("-")])
    return problem, el.LayerwiseEnumeration().gradient(problem)


def answer(case: str) -> float:
    """Seconds of the calls of a case; what they start from is made beforehand."""
    what, name, calls = case.split()
    problem, truth = problem_and_truth(name)
    compute = COMPUTED[what]
    return seconds(lambda: [compute(problem, truth) for _ in range(int(calls))])


def main() -> None:
    """Say where the package lies, then answer until the input ends."""
    print(Path(el.__path__[0]).parent, flush=True)
    for case in sys.stdin:
        print(answer(case), flush=True)


if __name__ == "__main__":
    main()

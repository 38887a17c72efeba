"""Every estimator of the catalogue, checked in parallel."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from typing import Any

import torch

from estimlab.checks.judge import check_estimator, chosen_checks
from estimlab.estimators import catalogue

OPEN = ("refuted", "undecided")


@dataclass(frozen=True)
class Checked:
    """What came out for one estimator, without the estimator itself.

    Attributes:
        name: its name.
        seconds: processor time.
        report: the report as a dictionary.
    """

    name: str
    seconds: float
    report: dict[str, Any]

    @property
    def verdict(self) -> str:
        """Of the report."""
        return self.report["verdict"]

    @property
    def line(self) -> str:
        """Name, verdict, how many claims ended how, seconds of one core; then the claims that do not hold."""
        counts = Counter(claim["verdict"] for claim in self.report["claims"])
        shown = ", ".join(f"{number} {verdict}" for verdict, number in counts.items())
        stand_out = [f"{row['verdict']}: {row['claim']}" for row in self.report["claims"] if row["verdict"] in OPEN]
        first = f"{self.name:22} {self.verdict:10} {shown}, {self.seconds:.1f} s"
        return "\n".join([first, *(f"    {one}" for one in stand_out)])


def names() -> list[str]:
    """Of all estimators of the catalogue."""
    return [cls.name for cls in _classes()]


def check_all(claims: list[str] | None = None, seed: int = 0, workers: int | None = None) -> Iterator[Checked]:
    """Check every estimator with its default fields, in the order of their names, one process per core."""
    chosen_checks(claims)  # wrong names are refused here, not in twenty processes
    processes = min(workers or os.cpu_count() or 1, len(names()))
    with ProcessPoolExecutor(processes, get_context("spawn"), torch.set_num_threads, (1,)) as pool:
        yield from pool.map(partial(_check, claims, seed), names())


def _check(claims: list[str] | None, seed: int, name: str) -> Checked:
    start = time.process_time()
    report = check_estimator(name, claims=claims, on_fail=None, seed=seed).as_dict()
    return Checked(name, time.process_time() - start, report)


def summary(done: list[Checked]) -> str:
    """How many estimators ended how, and the processor time."""
    counts = Counter(one.verdict for one in done)
    shown = ", ".join(f"{counts[verdict]} {verdict}" for verdict in ("holds", *OPEN) if counts[verdict])
    return f"{len(done)} estimators: {shown}; {sum(one.seconds for one in done):.0f} s of processor time"


def _classes() -> list[Any]:
    return list(catalogue())

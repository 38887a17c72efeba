"""Every estimator of the catalogue, checked in parallel."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any

import torch

from estimlab.checks.suite import check_estimator
from estimlab.estimators import catalogue


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
    def line(self) -> tuple[str, str, str, str]:
        """Name, verdict, how many claims ended how, seconds of one core."""
        counts = Counter(claim["verdict"] for claim in self.report["claims"])
        shown = ", ".join(f"{number} {verdict}" for verdict, number in counts.items())
        return self.name, self.report["verdict"], shown, f"{self.seconds:.1f} s"


def check_all(workers: int | None = None) -> Iterator[Checked]:
    """Check every estimator with its default fields, in the order of their names, one process per core."""
    names = [cls.name for cls in _classes()]
    processes = min(workers or os.cpu_count() or 1, len(names))
    with ProcessPoolExecutor(processes, get_context("spawn"), torch.set_num_threads, (1,)) as pool:
        yield from pool.map(_check, names)


def _check(name: str) -> Checked:
    (cls,) = (cls for cls in _classes() if cls.name == name)
    start = time.process_time()
    report = check_estimator(cls(), strict=False).as_dict()
    return Checked(name, time.process_time() - start, report)


def _classes() -> list[Any]:
    return list(catalogue())

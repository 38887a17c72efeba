"""Side-by-side timing: two functions in turn, and the ratio pair by pair, so that a drifting machine cancels."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import torch


@dataclass(frozen=True)
class Row:
    """One measured ratio.

    Attributes:
        name: what was compared.
        ratio: the figure, median over the pairs.
        spread: its smallest and largest value over the pairs.
        unit: what the ratio is of.
        target: what is asked of it, as text; empty where nothing is.
        details: sizes, seconds of this run, agreement of the results.
    """

    name: str
    ratio: float
    spread: tuple[float, float]
    unit: str
    target: str
    details: dict[str, Any]


def seconds(function: Callable[[], Any]) -> float:
    """Wall time of one call, a device's queue drained."""
    start = time.perf_counter()
    function()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def compare(ours: Callable[[], Any], other: Callable[[], Any], rounds: int = 5) -> tuple[list[float], list[float]]:
    """Seconds of both, called in turn, after a warm-up of each."""
    ours(), other()
    pairs = [(seconds(ours), seconds(other)) for _ in range(rounds)]
    return [a for a, _ in pairs], [b for _, b in pairs]


def row(name: str, ratios: list[float], unit: str, target: str = "", **details: Any) -> Row:
    """A row from the ratios of all pairs."""
    return Row(name, statistics.median(ratios), (min(ratios), max(ratios)), unit, target, details)


def machine() -> dict[str, Any]:
    """What it ran on."""
    packages = ("torch", "numpy")
    cpu = next((line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), "")
    return {
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "processor": cpu or platform.processor(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
    }


def peak_memory() -> float:
    """Peak memory of this process in GB, where Linux tells it: ``ru_maxrss`` would count a parent process too."""
    found = [line.split()[1] for line in _lines("/proc/self/status") if line.startswith("VmHWM")]
    return float(found[0]) / 1e6 if found else float("nan")


def _lines(path: str) -> list[str]:
    try:
        with open(path) as file:
            return file.readlines()
    except OSError:
        return []

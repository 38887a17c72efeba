"""A small study as text, and what its cells leave behind."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import estimlab
from estimlab.results import Cell

ROOT = Path(estimlab.__file__).resolve().parents[1]

# Every cell leaves its number and its process in the file `ran`, so that tests see what ran where and how often.
STUDY = """
from __future__ import annotations

import math
import os
import time
from dataclasses import dataclass
from pathlib import Path

from estimlab.results import Cell, Column, Study


@dataclass(frozen=True)
class Toy(Cell):
    number: int
    seconds: float = 0.0
    fault: str = ""

    def run(self):
        with Path(__file__).with_name("ran").open("a") as file:
            file.write(f"{self.number} {os.getpid()}\\n")
        time.sleep(self.seconds)
        if self.fault == "raise":
            raise RuntimeError(f"toy {self.number} is broken")
        if self.fault == "die":
            os._exit(3)
        if self.fault == "nothing":
            return []
        if self.fault == "ragged":
            return [{"value": 1.0}, {"layer": "0"}]
        if self.fault == "odd":
            return [{"value": [1.0]}]
        if self.fault == "column":
            return [{"valeu": 1.0}]
        threads = os.environ.get("OMP_NUM_THREADS")
        values = {"mse": math.exp(self.number) / 3, "variance": math.nan, "bias_share": float(threads or 0)}
        shared = {"seed": self.number, "estimator": "zgr", "parameters": ""}
        return [{**shared, "statistic": name, "value": value, "stderr": None} for name, value in values.items()]

    @property
    def title(self):
        return f"toy {self.number}"


STUDY = Study(
    question="Does it run?",
    cells=({cells}),
    smoke=(Toy(0),),
)
"""


@dataclass(frozen=True)
class Number(Cell):
    number: int = 0

    def run(self) -> list[dict[str, Any]]:
        return [{"value": self.number}]


def seconds(count: int, each: float) -> str:
    """Source text of cells that take some time."""
    return ", ".join(f"Toy({number}, {each})" for number in range(count))


def environment() -> dict[str, str]:
    """Environment in which the checkout is importable."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}


def ran(home: Path) -> list[tuple[int, int]]:
    """Number and process of every cell that was started, in order."""
    path = home / "studies" / "ran"
    lines = path.read_text().splitlines() if path.exists() else []
    return [(int(number), int(process)) for number, process in map(str.split, lines)]


def wait_for(condition: Callable[[], bool]) -> None:
    """Until it happens, however slow the machine is; what never happens shows as a test that hangs."""
    while not condition():
        time.sleep(0.02)


def is_gone(process: int) -> bool:
    """No such process, or a dead one that nobody has asked about."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def finished(home: Path) -> int:
    """Finished cells, seen while another process writes."""
    path = home / "studies" / ".store" / "toy.sqlite"
    if not path.exists() or path.stat().st_size == 0:
        return 0
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=600)) as connection:
        tables = "SELECT count(*) FROM sqlite_master WHERE name = 'cells'"
        if connection.execute(tables).fetchone() == (0,):
            return 0
        return int(connection.execute("SELECT count(*) FROM cells").fetchone()[0])

"""Fifty kills at random moments: of a run, of a worker, of two runs at once. The table is the undisturbed one."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from results_toys import environment, is_gone, ran, wait_for

from estimlab.results.store import Store
from estimlab.results.study import load_study

Write = Callable[..., Path]
COUNT = 80


def start(home: Path) -> subprocess.Popen:
    command = [sys.executable, "-m", "estimlab.cli", "run", "toy", "--workers", "2"]
    quiet = subprocess.DEVNULL
    return subprocess.Popen(command, cwd=home, env=environment(), stdout=quiet, stderr=quiet, start_new_session=True)


def finished_numbers(home: Path) -> set[int]:
    """Numbers of the finished cells."""
    loaded = load_study(home / "studies/toy.py")
    with Store.open(loaded.store_path(smoke=False)) as store:
        keys = store.finished()
    return {cell.number for cell in loaded.study.cells if cell.key in keys}  # type: ignore[attr-defined]


def kill(process: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)


def disturbed(home: Path, chosen: random.Random, runs: int, victims: str) -> int:
    """Start runs, and kill at a random moment after some more cells have begun; the number of kills."""
    begun = len(ran(home))
    processes = [start(home) for _ in range(runs)]
    wanted = begun + chosen.randrange(1, 3)
    wait_for(lambda: len(ran(home)) >= wanted or all(one.poll() is not None for one in processes))
    time.sleep(chosen.uniform(0, 0.1))  # somewhere in a cell, in a transaction, or between
    targets = [one.pid for one in processes] if victims == "runs" else [ran(home)[-1][1]]
    for target in targets:
        kill(target)
    for one in processes:
        one.wait()
    workers = {worker for _, worker in ran(home)[begun:]}
    wait_for(lambda: all(map(is_gone, workers)))
    return len(targets)


@pytest.mark.slow
def test_fifty_kills_change_no_byte_and_repeat_no_finished_cell(write_study: Write, seed: int) -> None:
    chosen = random.Random(seed)
    cells = ", ".join(f"Toy({number}, 0.05)" for number in range(COUNT))
    home, undisturbed = write_study(cells, "killed"), write_study(cells, "undisturbed")
    kills, safe = 0, set()
    while kills < 50:
        begun = len(ran(home))
        kills += disturbed(home, chosen, *chosen.choice([(1, "runs"), (1, "worker"), (2, "runs")]))
        again = {number for number, _ in ran(home)[begun:]} & safe
        assert again == set(), f"finished cells were computed again: {again}"
        safe = finished_numbers(home)
        if len(safe) == COUNT:
            break
    for one in (home, undisturbed):
        assert start(one).wait() == 0
    tables = [(one / "studies/tables/toy.csv").read_bytes() for one in (home, undisturbed)]
    assert tables[0] == tables[1]
    assert kills >= 50, f"only {kills} kills: give more cells"

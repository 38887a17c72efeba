"""Two runs of one study at once: each cell is computed once, whatever becomes of the other run."""

from __future__ import annotations

import os
import signal
import subprocess
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from results_toys import finished, ran, seconds, wait_for

from estimlab.results import reservations as module
from estimlab.results.reservations import LEASE, Reservations
from estimlab.results.runner import run_study
from estimlab.results.store import Store
from estimlab.results.study import load_study

Start = Callable[..., subprocess.Popen]
Write = Callable[..., Path]
KEYS = ("a", "b", "c", "d")


@pytest.fixture
def store(tmp_path: Path):
    with Store.open(tmp_path / "a.sqlite") as opened:
        yield opened


def test_a_cell_is_reserved_once(store: Store) -> None:
    one, other = Reservations(store), Reservations(store)
    store.save("a", "", [], {})
    assert one.take(KEYS, 2) == ["b", "c"]
    assert other.take(KEYS, 2) == ["d"]
    one.release("c")
    assert other.take(KEYS, 2) == ["c"]
    assert one.take(KEYS, 2) == []
    other.close()
    assert one.take(KEYS, 9) == ["c", "d"]


def test_saving_ends_a_reservation(store: Store) -> None:
    reservations = Reservations(store)
    reservations.take(KEYS, 4)
    store.save("b", "", [], {})
    with store.transaction() as connection:
        assert {key for (key,) in connection.execute("SELECT key FROM claims")} == {"a", "c", "d"}


def reserved_elsewhere(store: Store, process: int, started: str, machine: str | None = None) -> None:
    with store.transaction() as connection:
        run = ("x", machine or module._machine(), process, started, 0)
        connection.execute("INSERT INTO runs VALUES (?, ?, ?, ?, ?)", run)
        connection.execute("INSERT INTO claims VALUES ('a', 'x')")


def test_reservations_of_a_living_process_bind_and_those_of_a_dead_one_do_not(store: Store) -> None:
    sleeper = subprocess.Popen(["sleep", "1e6"])
    reserved_elsewhere(store, sleeper.pid, module._started(sleeper.pid) or "")
    reservations = Reservations(store)
    assert "a" not in reservations.take(KEYS, 9)
    sleeper.kill()  # not waited for: a process whose parent has not asked is dead too
    wait_for(lambda: reservations.take(["a"], 1) == ["a"])
    sleeper.wait()


def test_another_process_with_the_number_of_a_dead_one_holds_nothing(store: Store) -> None:
    reserved_elsewhere(store, os.getppid(), "1")
    assert Reservations(store).take(["a"], 1) == ["a"]


def test_a_run_on_another_machine_is_alive_while_its_beat_advances(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    reserved_elsewhere(store, 1, "1", machine="elsewhere")
    reservations = Reservations(store)
    assert reservations.take(["a"], 1) == []
    now[0] += 0.9 * LEASE
    with store.transaction() as connection:
        connection.execute("UPDATE runs SET beat = 1 WHERE run = 'x'")
    assert reservations.take(["a"], 1) == []
    now[0] += 0.9 * LEASE
    assert reservations.take(["a"], 1) == []
    now[0] += 0.2 * LEASE
    assert reservations.take(["a"], 1) == ["a"]


def test_a_run_gives_signs_of_life(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    reservations = Reservations(store)
    for _ in range(25):
        now[0] += 1
        reservations.beat()
    with store.transaction() as connection:
        assert connection.execute("SELECT beat FROM runs").fetchall() == [(2,)]


def test_a_run_of_this_process_that_could_not_give_back_holds_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    reservations = Reservations(store)
    reservations.take(KEYS, 9)
    monkeypatch.setattr(Store, "transaction", lambda self: pytest.fail("the disk is full"))
    with pytest.raises(BaseException, match="full"):
        reservations.close()
    monkeypatch.undo()
    assert Reservations(store).take(KEYS, 9) == list(KEYS)


def test_two_runs_share_the_cells(write_study: Write) -> None:
    home = write_study(seconds(8, 0.1))
    with ThreadPoolExecutor(2) as threads:
        loaded = load_study(home / "studies/toy.py")
        reports = list(threads.map(lambda _: run_study(loaded, workers=1), range(2)))
    assert Counter(number for number, _ in ran(home)) == dict.fromkeys(range(8), 1)
    assert all(report.computed + report.shared <= 8 for report in reports)
    assert sum(report.computed for report in reports) == 8
    assert len(reports[0].table) == 24
    with Store.open(reports[0].store_path) as kept, kept.transaction() as connection:
        assert connection.execute("SELECT * FROM runs").fetchall() == []


def test_the_second_run_computes_what_a_killed_first_one_has_not(write_study: Write, start_cli: Start) -> None:
    """The first holds a cell that would take for ever, until it is killed."""
    home = write_study("Toy(0), Toy(1, 1e6), Toy(2)")
    first = start_cli(home, "run", "toy", "--workers", "1")
    wait_for(lambda: [number for number, _ in ran(home)] == [0, 1])
    second = start_cli(home, "run", "toy", "--workers", "1")
    wait_for(lambda: finished(home) == 2)
    assert [number for number, _ in ran(home)] == [0, 1, 2]
    # It waits for the first; dead, that leaves its cell to the second.
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()
    wait_for(lambda: [number for number, _ in ran(home)] == [0, 1, 2, 1])
    second.terminate()
    _, errors = second.communicate()
    assert second.returncode == 143
    assert "Interrupted. 2 of 3 cells are finished" in errors

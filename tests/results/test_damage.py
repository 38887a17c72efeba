"""A flipped bit anywhere in a store: its whole cells are kept, or it is refused; never a wrong number."""

from __future__ import annotations

import contextlib
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from results_toys import environment, ran

from estimlab.errors import EstimlabError
from estimlab.results.runner import run_study
from estimlab.results.store import Store
from estimlab.results.study import load_study
from estimlab.results.study_progress import Progress
from estimlab.results.table import read_table

Write = Callable[..., Path]
COUNT = 40


def rows_of(number: int) -> list[dict]:
    """Few, or so many that they fill several pages."""
    return [{"estimator": "zgr", "value": number / 7 + line} for line in range(300 if number % 10 == 0 else 5)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("store") / "a.sqlite"
    with Store.open(path) as store:
        store.serve("toy")
        for number in range(COUNT):
            store.save(f"k{number}", f"Cell({number})", rows_of(number), {"wall_seconds": 1.5})
    return path.read_bytes()


def kept(path: Path) -> set[int]:
    """Numbers of the cells that a store gives back, each exactly as it was saved."""
    with Store.open(path) as store:
        numbers = {int(key[1:]) for key in store.finished()}
        for number in numbers:
            assert store.rows(f"k{number}") == rows_of(number)
            assert store.info(f"k{number}") == {"wall_seconds": 1.5}
    return numbers


def opened(path: Path) -> tuple[set[int], str]:
    """Numbers of the cells, or the refusal."""
    try:
        return kept(path), ""
    except EstimlabError as error:
        return set(), str(error)


def places(size: int) -> list[tuple[int, int]]:
    """A bit of each byte of the header, and bits in every page: its head, its list of cells, its content."""
    chosen = random.Random(0)
    header = [(byte, chosen.randrange(8)) for byte in range(0, 100, 2)]
    pages = [start + offset for start in range(0, size, 4096) for offset in (0, 3, 9, chosen.randrange(4096))]
    return header + [(byte, chosen.randrange(8)) for byte in pages]


def flipped(data: bytes, byte: int, bit: int) -> bytes:
    return data[:byte] + bytes([data[byte] ^ 1 << bit]) + data[byte + 1 :]


@pytest.mark.parametrize("part", [pytest.param(part, marks=[pytest.mark.slow] if part else []) for part in range(10)])
def test_a_flipped_bit_costs_one_page_at_most_or_is_refused(tmp_path: Path, whole: bytes, part: int) -> None:
    for case, (byte, bit) in enumerate(places(len(whole))[part::10]):
        path = tmp_path / str(case) / "a.sqlite"
        path.parent.mkdir()
        path.write_bytes(flipped(whole, byte, bit))
        numbers, refusal = opened(path)
        if refusal:
            assert byte < 100, "only the header of the file can make it unreadable"
            assert "a.sqlite" in refusal
        else:
            assert len(numbers) >= COUNT - 12, "a page of 4096 bytes holds at most twelve cells of more than 340 bytes"


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_of_a_truncated_store_whole_cells_are_kept(tmp_path: Path, whole: bytes, share: float) -> None:
    path = tmp_path / "a.sqlite"
    damaged = whole[: int(len(whole) * share)]
    path.write_bytes(damaged)
    with Store.open(path) as store:
        assert f"{len(store.finished())} whole cells were taken over" in store.notice
    assert 0 < len(kept(path)) < COUNT
    assert (tmp_path / "a.sqlite.damaged").read_bytes() == damaged
    path.write_bytes(damaged)
    Store.open(path).close()
    assert (tmp_path / "a.sqlite.damaged1").read_bytes() == damaged


def test_where_nothing_is_whole_the_store_is_refused(tmp_path: Path, whole: bytes) -> None:
    path = tmp_path / "a.sqlite"
    damaged = whole[:4096] + b"\xff" * (len(whole) - 4096)
    path.write_bytes(damaged)
    with pytest.raises(EstimlabError, match=r"a\.sqlite.*damaged.*Restore it from a backup, or delete it"):
        Store.open(path)
    assert path.read_bytes() == damaged


@pytest.mark.slow
def test_a_journal_of_a_damaged_store_is_not_applied_to_the_new_one(tmp_path: Path, whole: bytes) -> None:
    path = tmp_path / "a.sqlite"
    path.write_bytes(whole)
    stop = (
        "import os, sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None);"
        "c.execute('PRAGMA cache_size=1');"
        "c.execute('BEGIN'); c.execute(\"UPDATE cells SET rows = rows || 'x'\"); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", stop, str(path)])
    journal = tmp_path / "a.sqlite-journal"
    assert journal.stat().st_size > 512
    inside = tmp_path / "inside"
    for byte in range(8, journal.stat().st_size, 2048):
        shutil.rmtree(inside, ignore_errors=True)
        inside.mkdir()
        shutil.copy(path, inside / "a.sqlite")
        (inside / "a.sqlite-journal").write_bytes(flipped(journal.read_bytes(), byte, 3))
        _, refusal = opened(inside / "a.sqlite")
        assert "a.sqlite" in refusal or not refusal


class Notes(Progress):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def test_the_table_of_a_damaged_store_is_that_of_the_undisturbed_one(write_study: Write) -> None:
    home = write_study(", ".join(f"Toy({number})" for number in range(12)))
    loaded = load_study(home / "studies/toy.py")
    report = run_study(loaded, workers=0)
    table, before = report.table_path.read_bytes(), len(ran(home))
    data = report.store_path.read_bytes()
    report.store_path.write_bytes(data.replace(b"0.3333333333333333", b"0.3333333333333334"))
    notes = Notes()
    again = run_study(loaded, workers=0, progress=notes)
    assert again.computed == 1
    assert [number for number, _ in ran(home)[before:]] == [0]
    assert again.table_path.read_bytes() == table
    assert "11 whole cells were taken over" in notes.notes[0]


def test_a_flipped_bit_in_table_or_sidecar_is_refused_or_changes_no_number(write_study: Write) -> None:
    home = write_study("Toy(1), Toy(2)")
    report = run_study(load_study(home / "studies/toy.py"), workers=0)
    right = read_table(report.table_path)
    chosen = random.Random(0)
    for path in (report.table_path, report.provenance_path):
        data = path.read_bytes()
        for _ in range(60):
            path.write_bytes(flipped(data, chosen.randrange(len(data)), chosen.randrange(8)))
            with contextlib.suppress(EstimlabError):
                assert read_table(report.table_path).equals(right)
        path.write_bytes(data)


def mounted(place: Path, size: str) -> bool:
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
    return bool(shutil.which("mount")) and subprocess.run(command, capture_output=True).returncode == 0


def test_a_full_disk_loses_nothing(write_study: Write, cli: Callable, tmp_path: Path) -> None:
    """A real one where we may mount it, else files that may not grow."""
    cells = ", ".join(f"Toy({number})" for number in range(60))
    home = write_study(cells)
    undisturbed = write_study(cells, "undisturbed")
    place = tmp_path / "small"
    full = mounted(place, "64k")
    if full:
        (home / "studies/.store").symlink_to(place)
    command = [sys.executable, "-m", "estimlab.cli", "run", "toy", "--workers", "0"]
    limit = "" if full else "ulimit -f 40; "
    try:
        done = subprocess.run(
            ["bash", "-c", limit + 'exec "$@"', "_", *command],
            cwd=home,
            env=environment(),
            capture_output=True,
            text=True,
        )
        assert done.returncode == 2, done.stderr
        assert "toy.sqlite" in done.stderr
        assert "Traceback" not in done.stderr
        before = len(ran(home))
        assert 0 < before < 60
        if full:
            subprocess.run(["mount", "-o", "remount,size=8m", str(place)], check=True)
        assert cli(home, "run", "toy", "--workers", "0").returncode == 0
        assert len(ran(home)) - 60 <= 1  # the cell that could not be saved
        assert cli(undisturbed, "run", "toy", "--workers", "0").returncode == 0
        tables = [one / "studies/tables/toy.csv" for one in (home, undisturbed)]
        assert tables[0].read_bytes() == tables[1].read_bytes()
    finally:
        if full:
            subprocess.run(["umount", str(place)], check=True)

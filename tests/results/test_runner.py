from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from results_toys import environment, finished, is_gone, ran, seconds, wait_for

from estimlab.errors import EstimlabError
from estimlab.results.runner import run_study
from estimlab.results.store import Store
from estimlab.results.study import load_study
from estimlab.results.study_progress import Progress
from estimlab.results.table import read_table

Cli = Callable[..., subprocess.CompletedProcess]
Start = Callable[..., subprocess.Popen]
Write = Callable[..., Path]


def table(home: Path) -> bytes:
    return (home / "studies" / "tables" / "toy.csv").read_bytes()


class Log(Progress):
    def __init__(self) -> None:
        self.said: list[object] = []

    def start(self, study: str, total: int, finished: int) -> None:
        self.said.append((study, total, finished))

    def advance(self) -> None:
        self.said.append("cell")

    def stop(self) -> None:
        self.said.append("stop")


def test_run_and_resume(write_study: Write) -> None:
    home = write_study("Toy(2), Toy(1)")
    log = Log()
    report = run_study(load_study(home / "studies/toy.py"), workers=2, progress=log)
    assert (report.cells, report.computed) == (2, 2)
    assert log.said == [("toy", 2, 0), "cell", "cell", "stop"]
    assert report.table["seed"].tolist() == [2, 2, 2, 1, 1, 1]  # the order of the study's cells
    assert set(report.table.query("statistic == 'bias_share'")["value"]) == {1.0}  # threads of a worker
    assert "OMP_NUM_THREADS" not in os.environ or os.environ["OMP_NUM_THREADS"] != ""
    write_study("Toy(2), Toy(3), Toy(1)")
    again = run_study(load_study(home / "studies/toy.py"), workers=1)
    assert (again.cells, again.computed) == (3, 1)
    assert Counter(number for number, _ in ran(home)) == {1: 1, 2: 1, 3: 1}
    assert run_study(load_study(home / "studies/toy.py"), workers=1).computed == 0


def test_bytes_do_not_depend_on_workers(write_study: Write) -> None:
    tables = []
    for workers in (1, 2):
        home = write_study(seconds(4, 0.01), f"with{workers}")
        run_study(load_study(home / "studies/toy.py"), workers=workers)
        tables.append(table(home))
        assert all(process != os.getpid() for _, process in ran(home))
    assert tables[0] == tables[1]


def test_environment_is_restored(write_study: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    home = write_study("Toy(1)")
    run_study(load_study(home / "studies/toy.py"), workers=1)
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert "MKL_NUM_THREADS" not in os.environ


def test_workers_0_stay_in_this_process(write_study: Write) -> None:
    home = write_study("Toy(1), Toy(2)")
    run_study(load_study(home / "studies/toy.py"), workers=0)
    assert {process for _, process in ran(home)} == {os.getpid()}
    with pytest.raises(EstimlabError, match="workers=-1"):
        run_study(load_study(home / "studies/toy.py"), workers=-1)


def test_derived_rows_are_made_from_all_cells_finished_before_or_now(write_study: Write) -> None:
    home = write_study("Toy(1)")
    run_study(load_study(home / "studies/toy.py"), workers=0)
    write_study("Toy(1), Toy(2)")
    path = home / "studies/toy.py"
    total = "[{**rows[0], 'seed': None, 'value': sum(row['seed'] for row in rows)}]"
    path.write_text(path.read_text().replace("smoke=(Toy(0),)", f"smoke=(Toy(0),), derived=lambda rows: {total}"))
    report = run_study(load_study(path), workers=0)
    assert report.computed == 1
    assert report.table["seed"].isna().tolist() == [False] * 6 + [True]
    assert report.table["value"].iloc[-1] == 3 * (1 + 2)


def test_another_executor(write_study: Write) -> None:
    home = write_study("Toy(1), Toy(2)")
    with ThreadPoolExecutor(2) as executor:
        assert run_study(load_study(home / "studies/toy.py"), executor=executor).computed == 2


def test_smoke_has_a_table_and_a_store_of_its_own(write_study: Write) -> None:
    home = write_study("Toy(1), Toy(2)")
    report = run_study(load_study(home / "studies/toy.py"), smoke=True, workers=0)
    assert report.table_path == home / "studies" / "tables" / "smoke" / "toy.csv"
    assert not (home / "studies" / "tables" / "toy.csv").exists()
    assert run_study(load_study(home / "studies/toy.py"), workers=0).computed == 2


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("raise", "RuntimeError: toy 7 is broken"),
        ("nothing", r"toy 7: run\(\) must return a list of at least one dictionary; it returned \[\]"),
        ("ragged", r"toy 7: run\(\) returned rows with different columns: row 1 has \['layer'\]"),
        ("odd", r"toy 7: run\(\) returned \[1\.0\] of type list in column 'value'"),
    ],
)
def test_a_failing_cell_does_not_stop_the_others(write_study: Write, fault: str, message: str) -> None:
    home = write_study(f"Toy(7, fault='{fault}'), Toy(1), Toy(2)")
    loaded = load_study(home / "studies/toy.py")
    with pytest.raises(EstimlabError, match=f"1 cell failed. 2 of 3 cells are finished.*\n.*{message}") as caught:
        run_study(loaded, workers=1)
    assert "Traceback" in caught.value.__notes__[0]
    assert not loaded.table_path(smoke=False).exists()
    assert sorted(number for number, _ in ran(home)) == [1, 2, 7]


def test_undefined_columns_lose_no_work(write_study: Write) -> None:
    home = write_study("Toy(1, fault='column'), Toy(2)")
    unknown = r"Unknown column or statistic 'valeu'\. Did you mean 'value'"
    with pytest.raises(EstimlabError, match=rf"{unknown}.* 1 of 2 cells are finished"):
        run_study(load_study(home / "studies/toy.py"), workers=0)
    assert [number for number, _ in ran(home)] == [1]  # nothing more is begun
    with pytest.raises(EstimlabError, match=unknown):
        run_study(load_study(home / "studies/toy.py"), workers=0)
    assert len(ran(home)) == 1


def test_a_dying_worker(write_study: Write) -> None:
    home = write_study("Toy(1), Toy(2, fault='die'), Toy(3)")
    with pytest.raises(EstimlabError, match=r"worker process died.*1 of 3 cells are finished.*--workers"):
        run_study(load_study(home / "studies/toy.py"), workers=1)
    assert finished(home) == 1


def test_cells_that_cannot_be_pickled(write_study: Write) -> None:
    home = write_study("make()(1), Toy(2)")
    path = home / "studies/toy.py"
    inner = "def make():\n    @dataclass(frozen=True)\n    class Inner(Toy):\n        pass\n    return Inner\n\nSTUDY ="
    path.write_text(path.read_text().replace("\nSTUDY =", "\n" + inner))
    with pytest.raises(EstimlabError, match=r"toy 1 cannot be sent to a worker process.*top level"):
        run_study(load_study(path), workers=1)
    assert ran(home) == []


def test_provenance(write_study: Write, cli: Cli) -> None:
    home = write_study("Toy(1), Toy(2)")
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(home)]
    (home / ".gitignore").write_text(".store/\n__pycache__/\nran\n")
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "first"]):
        subprocess.run([*git, *command], check=True)
    done = cli(home, "run", "toy", "--workers", "2")
    assert done.returncode == 0, done.stderr
    record = json.loads((home / "studies/tables/toy.json").read_text())
    head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    assert (record["commit"], record["dirty"]) == (head, False)
    assert record["command"] == "estimlab run toy --workers 2"
    assert (record["study"], record["question"], record["smoke"]) == ("toy", "Does it run?", False)
    assert (record["cells"], record["rows"], record["seeds"]) == (2, 6, [1, 2])
    assert (record["device"], record["dtype"], record["threads_per_cell"]) == (["cpu"], ["float64"], ["1"])
    assert {"estimlab", "python", "numpy", "torch", "pandas"} == record["versions"].keys()
    assert record["sha256"] == hashlib.sha256(table(home)).hexdigest()
    assert record["columns"]["value"]["meaning"] == "value of the statistic"
    assert record["statistics"].keys() == {"mse", "variance", "bias_share"}
    assert record["cell_seconds"] > 0
    assert record["elapsed_seconds"] > 0
    assert record["computed_elsewhere"] == []
    # Cells that an earlier state of the code computed are told apart, and a table alone makes nothing dirty.
    study = home / "studies" / "toy.py"
    study.write_text(study.read_text().replace("Toy(2),", "Toy(2), Toy(3),"))
    assert cli(home, "run", "toy", "--workers", "1").returncode == 0
    record = json.loads((home / "studies/tables/toy.json").read_text())
    assert (record["commit"], record["dirty"]) == (head, True)
    assert [(other["cells"], other["dirty"]) for other in record["computed_elsewhere"]] == [(2, False)]


def test_kill_in_the_middle(write_study: Write, cli: Cli, start_cli: Start) -> None:
    cells = seconds(10, 0.2)
    undisturbed, killed = write_study(cells, "undisturbed"), write_study(cells, "killed")
    assert cli(undisturbed, "run", "toy", "--workers", "2").returncode == 0

    process = start_cli(killed, "run", "toy", "--workers", "2")
    wait_for(lambda: finished(killed) >= 3)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    kept = finished(killed)
    assert 3 <= kept < 10
    workers = {worker for _, worker in ran(killed)}
    assert len(workers) == 2
    wait_for(lambda: all(map(is_gone, workers)))
    assert not (killed / "studies/tables/toy.csv").exists()
    with Store.open(killed / "studies/.store/toy.sqlite") as store:
        safe = store.finished()
    before = Counter(number for number, _ in ran(killed))

    done = cli(killed, "run", "toy", "--workers", "2")
    assert done.returncode == 0, done.stderr
    assert f"{10 - kept} computed now, {kept} before" in done.stdout
    after = Counter(number for number, _ in ran(killed))
    for cell in load_study(killed / "studies/toy.py").study.cells:
        number = cell.number  # type: ignore[attr-defined]
        assert after[number] - before[number] == (0 if cell.key in safe else 1)
    assert table(killed) == table(undisturbed)
    assert len(read_table(killed / "studies/tables/toy.csv")) == 30


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("to_all", [True, False])
def test_ctrl_c_and_sigterm(write_study: Write, start_cli: Start, sent: int, code: int, to_all: bool) -> None:
    home = write_study(seconds(3, 0.0) + ", " + ", ".join(f"Toy({number}, 1e6)" for number in range(3, 6)))
    process = start_cli(home, "run", "toy", "--workers", "2")
    wait_for(lambda: finished(home) == 3 and len(ran(home)) == 5)
    (os.killpg if to_all else os.kill)(process.pid, sent)
    _, errors = process.communicate()  # it does not wait for the cells that run
    assert process.returncode == code
    assert "Interrupted. 3 of 6 cells are finished" in errors
    assert "the same command continues" in errors
    assert "Traceback" not in errors
    wait_for(lambda: all(is_gone(worker) for _, worker in ran(home)))


def test_a_signal_that_the_parent_ignores_stays_ignored(write_study: Write, cli: Cli) -> None:
    """As under nohup, or in the background of a script."""
    home = write_study("Toy(1)")
    path = home / "studies/toy.py"
    path.write_text(path.read_text().replace("time.sleep(", "os.killpg(0, 2); time.sleep("))
    ignore = "import os, signal, sys; os.setpgid(0, 0); signal.signal(signal.SIGINT, signal.SIG_IGN); "
    command = "os.execv(sys.executable, [sys.executable, '-m', 'estimlab.cli', 'run', 'toy', '--workers', '1'])"
    done = subprocess.run([sys.executable, "-c", ignore + command], cwd=home, env=environment(), capture_output=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["tables", "tables/toy.csv/x", "tables/toy.json/x", ".store"])
def test_what_cannot_be_written_is_known_before_work_begins(write_study: Write, name: str) -> None:
    home = write_study("Toy(1)")
    place = home / "studies" / name
    place.parent.mkdir(parents=True, exist_ok=True)
    place.touch()
    with pytest.raises(EstimlabError, match=r"cannot be (written|used)|is a folder"):
        run_study(load_study(home / "studies/toy.py"), workers=0)
    assert ran(home) == []

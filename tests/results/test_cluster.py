"""Cells on a Dask cluster, with and without TLS; what is missing, broken or unreachable is told apart."""

from __future__ import annotations

import importlib
import importlib.util
import subprocess
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from results_toys import environment, ran

from estimlab.errors import EstimlabError
from estimlab.results.cluster import Tls, cluster

Cli = Callable[..., subprocess.CompletedProcess]
Write = Callable[..., Path]

needs_dask = pytest.mark.skipif(importlib.util.find_spec("distributed") is None, reason="needs distributed")


def failing(error: Exception) -> Callable[[str], types.ModuleType]:
    def fail(name: str) -> types.ModuleType:
        raise error

    return fail


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ModuleNotFoundError("No module named 'distributed'", name="distributed"), r"needs Dask: install it"),
        (ModuleNotFoundError("No module named 'dask'", name="dask"), r"needs Dask: install it"),
        (ModuleNotFoundError("No module named 'tornado'", name="tornado"), r"installed here but cannot.*'tornado'"),
        (ImportError("cannot import name 'x' from 'dask'"), r"installed here but cannot be imported\. ImportError"),
        (AttributeError("no y"), r"installed here but cannot be imported\. AttributeError: no y"),
    ],
)
def test_a_missing_dask_is_told_from_a_broken_one(
    monkeypatch: pytest.MonkeyPatch, error: Exception, message: str
) -> None:
    monkeypatch.setattr(importlib, "import_module", failing(error))
    with pytest.raises(EstimlabError, match=message), cluster("tcp://127.0.0.1:1", Tls()):
        pass


@pytest.mark.parametrize("error", [OSError("timed out"), ValueError("unknown scheme"), TypeError("expected TLS")])
def test_a_scheduler_that_does_not_answer(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    dask = types.SimpleNamespace(Client=lambda *_, **__: failing(error)(""))
    monkeypatch.setattr(importlib, "import_module", lambda name: dask)
    with (
        pytest.raises(EstimlabError, match=r"No Dask scheduler answers at 'tcp://127\.0\.0\.1:1' \(.*TLS"),
        cluster("tcp://127.0.0.1:1", Tls()),
    ):
        pass


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--tls-ca", "x.pem"), "--tls-cert and --tls-key together"),
        (("--tls-ca", "x.pem", "--tls-cert", "x.pem", "--tls-key", "no.pem"), "--tls-key: there is no file no.pem"),
        (("--tls-ca", "x.pem", "--tls-cert", "x.pem", "--tls-key", "x.pem"), "must begin with tls://"),
    ],
)
def test_wrong_options_for_tls(write_study: Write, cli: Cli, arguments: tuple[str, ...], message: str) -> None:
    home = write_study("Toy(1)")
    (home / "x.pem").touch()
    done = cli(home, "run", "toy", "--scheduler", "tcp://127.0.0.1:1", *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert ran(home) == []


def test_tls_files_are_asked_for_and_belong_to_a_scheduler(write_study: Write, cli: Cli) -> None:
    home = write_study("Toy(1)")
    (home / "x.pem").touch()
    assert "give --tls-ca" in cli(home, "run", "toy", "--scheduler", "tls://127.0.0.1:1").stderr
    files = ("--tls-ca", "x.pem", "--tls-cert", "x.pem", "--tls-key", "x.pem")
    assert "belong to --scheduler" in cli(home, "run", "toy", *files).stderr


def certificate(folder: Path, name: str, authority: str | None = None) -> None:
    """A key and a certificate, signed by itself or by an authority."""
    names = ["-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1"]
    signed = ["-CA", f"{authority}.pem", "-CAkey", f"{authority}.key"] if authority else []
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *names, *signed]
    subprocess.run(
        [*command, "-keyout", f"{name}.key", "-out", f"{name}.pem"], cwd=folder, check=True, capture_output=True
    )


@pytest.fixture
def scheduler(tmp_path: Path) -> Iterator[Callable[[bool], str]]:
    """Start a scheduler and a worker; returns its address."""
    processes: list[subprocess.Popen] = []

    def start(*arguments: str) -> subprocess.Popen:
        command = [sys.executable, "-m", "distributed.cli." + arguments[0], *arguments[1:]]
        process = subprocess.Popen(command, cwd=tmp_path, env=environment(), stderr=subprocess.PIPE, text=True)
        processes.append(process)
        return process

    def run(tls: bool) -> str:
        files = []
        if tls:
            certificate(tmp_path, "ca")
            certificate(tmp_path, "node", "ca")
            files = ["--tls-ca-file", "ca.pem", "--tls-cert", "node.pem", "--tls-key", "node.key"]
        protocol = "tls" if tls else "tcp"
        listening = ["--host", f"{protocol}://127.0.0.1", "--port", "0", "--no-dashboard"]
        first = start("dask_scheduler", *listening, *files)
        assert first.stderr is not None
        address = next(line.split()[-1] for line in first.stderr if "Scheduler at:" in line)
        start("dask_worker", address, "--nworkers", "1", "--nthreads", "1", "--no-dashboard", *files)
        return address

    yield run
    for process in processes:
        process.kill()
        process.communicate()


@needs_dask
@pytest.mark.slow
@pytest.mark.parametrize("tls", [False, True])
def test_cells_on_a_cluster(
    write_study: Write, cli: Cli, tmp_path: Path, scheduler: Callable[[bool], str], tls: bool
) -> None:
    here, there = write_study("Toy(1), Toy(2)"), write_study("Toy(1), Toy(2)", "there")
    address = scheduler(tls)
    names = {"--tls-ca": "ca.pem", "--tls-cert": "node.pem", "--tls-key": "node.key"}
    files = [text for option, name in names.items() for text in (option, str(tmp_path / name))] if tls else []
    done = cli(here, "run", "toy", "--scheduler", address, *files)
    assert done.returncode == 0, done.stderr
    assert "2 computed now" in done.stdout
    assert cli(there, "run", "toy", "--workers", "1").returncode == 0
    one, other = ((home / "studies/tables/toy.csv").read_text() for home in (here, there))
    without = [[line for line in text.splitlines() if "bias_share" not in line] for text in (one, other)]
    assert without[0] == without[1]
    if tls:
        certificate(tmp_path, "stranger")
        files = ["--tls-ca", str(tmp_path / "stranger.pem"), "--tls-cert", str(tmp_path / "stranger.pem")]
        done = cli(
            there, "run", "toy", "--smoke", "--scheduler", address, *files, "--tls-key", str(tmp_path / "stranger.key")
        )
        assert done.returncode == 2
        assert "No Dask scheduler answers" in done.stderr

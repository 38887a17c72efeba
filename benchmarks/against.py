"""A revision of this repository beside the checkout, in alternating pairs: ``make bench AGAINST=REVISION``."""

from __future__ import annotations

import io
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from benchmarks.timing import Row, row
from estimlab.errors import EstimlabError

ROOT = Path(__file__).parents[1]
ROUNDS = 9
CASES = {  # each of one to three seconds on one thread
    "exact gradient of 10-16-16": "gradient 10-16-16 1",
    "exact gradient of ten layers of ten units": f"gradient {'-'.join(['10'] * 10)} 20",
    "exact gradient of toy-late/v1": "gradient toy-late/v1 50",
    "exact moments of straight-through, ten layers of ten units": f"moments {'-'.join(['10'] * 10)} 2",
    "draws of straight-through on 10-10-10": "draws 10-10-10 2",
}


@dataclass(frozen=True, eq=False)
class Worker:
    """A process that computes with the package of one checkout.

    Attributes:
        checkout: its folder.
        process: ``benchmarks.worker``, which reads cases and writes seconds.
        errors: where it writes what went wrong.
    """

    checkout: Path
    process: subprocess.Popen[str]
    errors: IO[bytes]

    def seconds(self, case: str) -> float:
        """How long the calls of a case take."""
        assert self.process.stdin is not None
        print(case, file=self.process.stdin, flush=True)
        return float(self.line(case))

    def line(self, asked: str) -> str:
        """The next line that the process writes."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline().strip()
        if not line:
            raise EstimlabError(f"The package in {self.checkout} failed at {asked!r}: {self._complaint()}")
        return line

    def _complaint(self) -> str:
        """The last line of its error."""
        self.process.wait()
        self.errors.seek(0)
        text = self.errors.read().decode(errors="replace").strip()
        return text.splitlines()[-1] if text else f"exit code {self.process.returncode}."


@contextmanager
def worker(checkout: Path) -> Iterator[Worker]:
    """A worker of one thread that ends with the block."""
    with tempfile.TemporaryFile() as errors, _started(checkout, errors) as process:
        try:
            made = Worker(checkout, process, errors)
            found = Path(made.line("import estimlab"))
            if found.resolve() != checkout.resolve():
                raise EstimlabError(f"The package was read from {found} instead of {checkout}.")
            yield made
        finally:
            process.kill()


def _started(checkout: Path, errors: IO[bytes]) -> subprocess.Popen[str]:
    # the folder where a module is started comes first on the path: the package is the checkout's, the benchmarks ours
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks.worker"],
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        text=True,
    )


def against(revision: str, rounds: int = ROUNDS) -> list[Row]:
    """Per case, seconds of the revision over those of this checkout: above 1 where this one is faster."""
    with checked_out(revision) as folder, worker(folder) as old, worker(ROOT) as new:
        return [compared(name, case, old, new, rounds) for name, case in CASES.items()]


def compared(name: str, case: str, old: Worker, new: Worker, rounds: int) -> Row:
    """One case by both, after a warm-up of each; who begins changes from pair to pair."""
    found: dict[Worker, list[float]] = {old: [], new: []}
    for one in found:
        one.seconds(case)
    for number in range(rounds):
        for one in (old, new) if number % 2 == 0 else (new, old):
            found[one].append(one.seconds(case))
    ratios = [before / after for before, after in zip(found[old], found[new], strict=True)]
    medians = {"old": statistics.median(found[old]), "new": statistics.median(found[new])}
    return row(name, ratios, "old / new", seconds=medians)


@contextmanager
def checked_out(revision: str) -> Iterator[Path]:
    """A temporary folder with the package as it was at a revision."""
    archive = _git("archive", "--format=tar", commit(revision), "estimlab")
    with tempfile.TemporaryDirectory(prefix="against-") as folder:
        with tarfile.open(fileobj=io.BytesIO(archive)) as files:
            files.extractall(folder, filter="data")
        yield Path(folder)


def commit(revision: str) -> str:
    """The full name of a commit.

    Errors:
        EstimlabError: the repository has none of this name.
    """
    try:
        found = _git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    except (subprocess.CalledProcessError, FileNotFoundError):
        raise EstimlabError(
            f"AGAINST={revision}: {ROOT} has no such revision. Give a hash of `git log --oneline`, a tag or a branch."
        ) from None
    return found.decode().strip()


def sides(revision: str) -> str:
    """Which checkout is the old one and which the new one."""
    old, new = (_git("log", "-1", "--format=%h (%s)", one).decode().strip() for one in (commit(revision), "HEAD"))
    changes = ", with changes that are not committed" if _git("status", "--porcelain", "--", "estimlab") else ""
    return f"old: {old}\nnew: {new}{changes}, in {ROOT}"


def _git(*arguments: str) -> bytes:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, check=True).stdout

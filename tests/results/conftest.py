"""A small study on disk, and the real command line in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from results_toys import STUDY, environment


@pytest.fixture
def write_study(tmp_path: Path) -> Callable[..., Path]:
    """Write ``studies/NAME.py`` below a new folder; returns that folder, the working directory for the command line."""

    def write(cells: str, folder: str = "here", name: str = "toy") -> Path:
        home = tmp_path / folder
        (home / "studies").mkdir(parents=True, exist_ok=True)
        (home / "studies" / f"{name}.py").write_text(STUDY.replace("{cells}", cells + ","))
        return home

    return write


@pytest.fixture
def cli() -> Callable[..., subprocess.CompletedProcess]:
    """Run the command line in a folder."""

    def run(home: Path, *arguments: str) -> subprocess.CompletedProcess:
        command = [sys.executable, "-W", "error::ResourceWarning", "-m", "estimlab.cli", *arguments]
        return subprocess.run(command, cwd=home, env=environment(), capture_output=True, text=True, timeout=120)

    return run


@pytest.fixture
def start_cli() -> Callable[..., subprocess.Popen]:
    """Start the command line in a folder, in a process group of its own."""

    def start(home: Path, *arguments: str) -> subprocess.Popen:
        # A shell's background jobs ignore SIGINT, and so would everything that the tests start there.
        heed = (
            "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])"
        )
        command = [sys.executable, "-c", heed, sys.executable, "-m", "estimlab.cli", *arguments]
        pipe = subprocess.PIPE
        return subprocess.Popen(
            command, cwd=home, env=environment(), stdout=pipe, stderr=pipe, text=True, start_new_session=True
        )

    return start

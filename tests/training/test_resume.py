"""Killed and resumed, bit for bit; and what else can happen to a checkpoint."""

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from training_toys import parameters, same, small, trained, without_times

import estimlab as el
from estimlab.results.former_keys import former_key
from estimlab.training.checkpoint import load_checkpoint, save_checkpoint
from estimlab.training.configuration import Execution
from estimlab.training.record import read_run

ROOT = Path(__file__).parents[2]


def test_stopped_and_resumed_is_the_same_run(tmp_path):
    through = trained(out=tmp_path / "through")
    trained(out=tmp_path / "parts", execution=Execution(diagnose=False, stop_after=2))
    resumed = trained(out=tmp_path / "parts", resume=True)
    assert same(parameters(through), parameters(resumed))
    assert without_times(through.record.metrics) == without_times(resumed.record.metrics)
    assert through.record.results == resumed.record.results
    assert json.loads((tmp_path / "parts/run.json").read_text())["resumed_at_epoch"] == 2


@pytest.mark.slow
def test_killed_by_the_system_and_resumed_is_the_same_run(tmp_path):
    """kill -9, wherever it hits."""
    changes = {"epochs": 60, "widths": (20, 20)}
    settings = [f"--recipe-set={name}={value}" for name, value in {**changes, "examples": 200}.items()]
    command = [sys.executable, "-m", "estimlab.cli", "train", "digits", *settings, "--out", str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    deadline, metrics = time.monotonic() + 200, tmp_path / "metrics.csv"
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as running:
        while not metrics.is_file() or metrics.read_text().count("\n") < 4:
            assert running.poll() is None, running.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.005)
        running.kill()
    finished = torch.load(tmp_path / "checkpoint.pt", weights_only=True)["epoch"]
    assert 3 <= finished < 60
    resumed = trained(out=tmp_path, resume=True, execution=Execution(), **changes)
    through = trained(execution=Execution(), **changes)
    assert same(parameters(through), parameters(resumed))
    assert without_times(through.record.metrics) == without_times(resumed.record.metrics)
    assert through.record.diagnostics == resumed.record.diagnostics


def test_a_folder_with_a_run_is_not_overwritten(tmp_path):
    trained(out=tmp_path, epochs=1)
    with pytest.raises(el.EstimlabError, match="--resume"):
        trained(out=tmp_path, epochs=1)


def test_the_checkpoint_of_another_run_is_refused(tmp_path):
    trained(out=tmp_path, epochs=1)
    with pytest.raises(el.EstimlabError, match="another recipe, estimator or seed"):
        trained(out=tmp_path, epochs=1, seed=1, resume=True)


def test_a_checkpoint_of_a_former_version_is_resumed_and_renewed(tmp_path):
    """Its key then contained the modules of classes."""
    through = trained()
    first = trained(out=tmp_path, execution=Execution(diagnose=False, stop_after=1))
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, torch.load(path, weights_only=True) | {"key": former_key(first.configuration)})
    resumed = trained(out=tmp_path, resume=True)
    assert same(parameters(through), parameters(resumed))
    assert torch.load(path, weights_only=True)["key"] == first.configuration.key


@pytest.mark.parametrize("content", [b"", b"nonsense", None])
def test_a_corrupt_checkpoint_is_named(tmp_path, content):
    trained(out=tmp_path, epochs=1)
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(path.read_bytes()[:2000] if content is None else content)
    with pytest.raises(el.EstimlabError, match=r"checkpoint\.pt cannot be read"):
        trained(out=tmp_path, epochs=1, resume=True)


def test_a_checkpoint_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, {"epoch": 1})
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(el.EstimlabError, match="No space left"):
        save_checkpoint(path, {"epoch": 2})
    assert torch.load(path, weights_only=True) == {"epoch": 1}
    assert [one.name for one in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_a_run_is_repeated_from_its_provenance(tmp_path):
    first = trained(el.IWST(), out=tmp_path, epochs=2, seed=3)
    configuration, accepted = read_run(tmp_path / "run.json")
    assert configuration == first.configuration
    assert not accepted
    assert configuration.recipe == small(epochs=2)
    content = json.loads((tmp_path / "run.json").read_text())
    for name in ("command", "versions", "commit", "device", "processes", "threads", "data", "results"):
        assert content[name] is not None


@pytest.mark.parametrize("text", ["__import__('os')", "open('x')", "1 + x", "Digits(", "lambda: 0"])
def test_provenance_executes_nothing(text):
    from estimlab.training.configuration import rebuild

    with pytest.raises(el.EstimlabError, match="cannot be built again"):
        rebuild(text)


def test_a_flipped_bit_in_a_checkpoint_is_refused_or_changes_nothing(tmp_path):
    trained(out=tmp_path, execution=Execution(diagnose=False, stop_after=1))
    path = tmp_path / "checkpoint.pt"
    data = path.read_bytes()
    right = torch.load(path, weights_only=True)
    chosen, refused = random.Random(0), 0
    for _ in range(200):
        byte = chosen.randrange(len(data))
        path.write_bytes(data[:byte] + bytes([data[byte] ^ 1 << chosen.randrange(8)]) + data[byte + 1 :])
        try:
            state = load_checkpoint(path, (right["key"],), torch.device("cpu"))
        except el.EstimlabError:
            refused += 1
            continue
        assert state["metrics"] == right["metrics"]
        assert same(state["network"], right["network"])
    assert refused > 100


def test_training_is_begun_only_where_it_can_be_kept(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(el.EstimlabError, match=r"checkpoint\.pt cannot be written"):
        trained(out=tmp_path / "file")

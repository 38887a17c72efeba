"""What benchmarks.gpu does, on the CPU and on sizes that say nothing of speed."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from training_toys import small, two_kinds

import estimlab as el
from benchmarks import gpu
from benchmarks.agreement import agreement
from benchmarks.engine import on_device
from benchmarks.full_size import fit, judged
from benchmarks.steptime import Step, step_time
from estimlab.training.recipes.cifar10_psa import Cifar10Psa
from estimlab.training.recipes.cifar10_vgg import Cifar10Vgg

ROOT = Path(__file__).parents[2]
TINY = Cifar10Vgg(batch_size=4, channels=(4, 4), hidden=(8,))


@pytest.fixture
def images(monkeypatch):
    two_kinds(monkeypatch)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_one_sentence_says_so():
    done = subprocess.run([sys.executable, "-m", "benchmarks.gpu"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.strip() == gpu.NO_GPU
    assert done.stdout == ""


def test_the_plan_fits_its_limits():
    plan = gpu.steps(Path("out"), None, False)
    assert len({step.name for step in plan}) == len(plan)
    assert max(step.budget for step in plan) < 540
    assert sum(step.budget for step in plan) <= 25 * 60


@pytest.mark.slow
def test_a_device_agrees_with_itself_and_not_with_a_wrong_one(monkeypatch):
    rows = agreement(("cpu", "cpu"))
    assert all(row["holds"] for row in rows)
    assert len(rows) > 40
    draw = torch.Tensor.cpu
    monkeypatch.setattr(torch.Tensor, "cpu", lambda self: draw(self) * (1 + 1e-3 * torch.rand(())))
    assert not any(row["holds"] for row in agreement(("cpu", "cpu"))[:3])


def test_a_step_is_timed_beside_the_same_network_with_relu():
    found = step_time(TINY, el.StraightThrough(), "cpu", steps=1, rounds=3, compiled=False)
    assert found["ratio"] > 0
    assert "holds" not in found  # the bar is for compiled networks


def test_both_kinds_of_step_have_the_same_parameters_and_learn():
    steps = [Step(TINY, one, "cpu", compiled=False) for one in (el.ZGR(), None)]
    before = [[p.clone() for p in step.losses.network.parameters()] for step in steps]
    assert all(torch.equal(a, b) for a, b in zip(*before, strict=True))
    for step, old in zip(steps, before, strict=True):
        step()
        assert any(not torch.equal(p, q) for p, q in zip(step.losses.network.parameters(), old, strict=True))


def test_training_stops_in_time_and_goes_on(tmp_path):
    recipe = small(epochs=3)
    assert fit(recipe, el.ZGR(), tmp_path, seconds=0.0, device="cpu") is None
    assert fit(recipe, el.ZGR(), tmp_path, seconds=0.0, device="cpu") is None
    found = fit(recipe, el.ZGR(), tmp_path, seconds=100.0, device="cpu")
    assert found["epochs"] == 3
    assert judged(found)["accuracy"] == found["results"][3]["accuracy"]
    assert not judged(found)["holds"]


class Card:
    """What the plan asks of torch.cuda, answered by a CPU."""

    peaks: ClassVar[list[int]] = [100, 90, 110, 130]

    @classmethod
    def put(cls, patch):
        peaks = iter(cls.peaks)
        for name in ("synchronize", "empty_cache", "reset_peak_memory_stats"):
            patch.setattr(f"torch.cuda.{name}", lambda: None)
        patch.setattr("torch.cuda.memory_allocated", lambda: 0)
        patch.setattr("torch.cuda.max_memory_allocated", lambda: next(peaks))


@pytest.mark.slow
def test_the_whole_plan_is_rehearsed_on_a_cpu(tmp_path, monkeypatch, images, capsys):
    """Every step of the plan itself, on small networks and a device that is a CPU."""
    Card.put(monkeypatch)
    kind, clock, compare = Step, step_time, agreement
    monkeypatch.setattr("benchmarks.steptime.Step", lambda recipe, one, *rest: kind(recipe, one, "cpu", False))
    monkeypatch.setattr(gpu, "step_time", lambda *a, **k: clock(*a, device="cpu", steps=1, rounds=1, compiled=False))
    monkeypatch.setattr(gpu, "agreement", lambda: compare(("cpu", "cpu"))[:4])
    monkeypatch.setattr(gpu, "on_device", lambda: on_device("cpu", {3: 60.0, 4: 1e-9}, square=32))
    monkeypatch.setattr(gpu, "fit", lambda *a, **k: fit(*a, **{**k, "device": "cpu"}))
    monkeypatch.setattr(gpu, "VGG", TINY)
    monkeypatch.setattr(gpu, "PSA", Cifar10Psa(epochs=1, batch_size=8, layers=((4, 3, 2), (4, 3, 2))))
    monkeypatch.setattr(gpu, "VAE", small(epochs=1))
    monkeypatch.setattr(gpu, "_paced", lambda state: replace(TINY, epochs=1))
    state = gpu.carry_out(gpu.steps(tmp_path, None, True), tmp_path, 1500, tmp_path / "results")
    assert [name for name, result in state.items() if "error" in result] == []
    assert len(state) == 1 + len(gpu.steps(tmp_path, None, True))
    assert [row["holds"] for row in state["exact_engine"]["rows"]] == [True, False]
    assert not state["exact_engine"]["holds"]
    assert state["peak_memory"]["ratios"] == {"straight_through": 0.9, "zgr": 1.1, "gumbel_softmax": 1.3}
    assert not state["peak_memory"]["holds"]
    assert state["cifar10_vgg_straight_through"]["holds"] == (state["cifar10_vgg_straight_through"]["accuracy"] >= 0.9)
    assert "epoch 1/1" in capsys.readouterr().out


ALONE = """
import sys
class Absent:
    def find_spec(self, name, *rest):
        if name.split(".")[0] in {"typer", "rich", "jinja2", "dask", "distributed", "pooch", "sklearn", "click"}:
            raise ModuleNotFoundError(name, name=name)
sys.meta_path.insert(0, Absent())
import benchmarks.gpu
"""


def test_it_needs_neither_a_terminal_library_nor_the_extras():
    done = subprocess.run([sys.executable, "-c", ALONE], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-1000:]


def test_steps_are_resumed_and_an_error_is_kept_and_tried_again(tmp_path):
    calls = []

    def broken(state, seconds):
        calls.append("broken")
        raise el.EstimlabError("no data")

    def slow(state, seconds):
        calls.append("slow")
        return None if calls.count("slow") == 1 else {"holds": True}

    plan = [
        gpu.Step("good", 1, lambda state, seconds: calls.append("good") or {"holds": True}),
        gpu.Step("broken", 1, broken),
        gpu.Step("slow", 1, slow),
    ]
    results = tmp_path / "results"
    first = gpu.carry_out(plan, tmp_path, 100, results)
    assert first["broken"] == {"error": "EstimlabError: no data"}
    assert "slow" not in first
    second = gpu.carry_out(plan, tmp_path, 100, results)
    assert second["slow"] == {"holds": True}
    assert calls == ["good", "broken", "slow", "broken", "slow"]
    assert gpu.carry_out([gpu.Step("late", 50, slow), gpu.Step("late", 50, slow, True)], tmp_path, 5, results) == second
    assert json.loads((results / "gpu-cpu.json").read_text()) == second

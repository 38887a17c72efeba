"""What benchmarks.gpu does, on the CPU and on sizes that say nothing of speed."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from rich.console import Console
from training_toys import small

sys.path.insert(0, str(Path(__file__).parents[2]))

import estimlab as el
from benchmarks import gpu
from benchmarks.agreement import agreement
from benchmarks.full_size import fit, judged
from benchmarks.steptime import Step, step_time
from estimlab.training.recipes.cifar10_vgg import Cifar10Vgg

ROOT = Path(__file__).parents[2]
TINY = Cifar10Vgg(batch_size=4, channels=(4, 4), hidden=(8,))


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


def test_a_device_agrees_with_itself_and_not_with_a_wrong_one(monkeypatch):
    rows = agreement(("cpu", "cpu"))
    assert all(row["holds"] for row in rows)
    assert len(rows) > 40
    draw = torch.Tensor.cpu
    monkeypatch.setattr(torch.Tensor, "cpu", lambda self: draw(self) * (1 + 1e-3 * torch.rand(())))
    assert not any(row["holds"] for row in agreement(("cpu", "cpu"))[:3])


def test_a_step_is_timed_beside_the_same_network_with_relu():
    found = step_time(TINY, el.StraightThrough(), "cpu", steps=1, rounds=3)
    assert found["ratio"] > 0
    assert found["holds"] == (found["ratio"] <= 1.15)


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
    console = Console(quiet=True)
    first = gpu.carry_out(plan, tmp_path, 100, console)
    assert first["broken"] == {"error": "EstimlabError: no data"}
    assert "slow" not in first
    second = gpu.carry_out(plan, tmp_path, 100, console)
    assert second["slow"] == {"holds": True}
    assert calls == ["good", "broken", "slow", "broken", "slow"]
    assert gpu.carry_out([gpu.Step("late", 50, slow)], tmp_path, 5, console) == second

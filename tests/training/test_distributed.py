"""Two processes that share every batch equal one that has it whole."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from training_toys import parameters, trained

import estimlab as el
from estimlab.training.distributed import World

ROOT = Path(__file__).parents[2]
ESTIMATORS = ("StraightThrough", "DisARM")
WORKER = """
import sys
sys.path.insert(0, sys.argv[1])
import torch
from training_toys import parameters, trained
import estimlab as el
for name in sys.argv[3:]:
    session = trained(getattr(el, name)(), epochs=2)
    if session.world.leads:
        state = {"parameters": parameters(session), "loss": [row["train_loss"] for row in session.record.metrics]}
        torch.save(state, f"{sys.argv[2]}/{name}.pt")
"""


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """What two processes find that are started as torchrun starts them, on gloo."""
    folder = tmp_path_factory.mktemp("two")
    (folder / "worker.py").write_text(WORKER)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    shared = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "WORLD_SIZE": "2"}
    shared |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    command = [sys.executable, str(folder / "worker.py"), str(Path(__file__).parent), str(folder), *ESTIMATORS]
    running = [subprocess.Popen(command, env=shared | {"RANK": rank, "LOCAL_RANK": rank}) for rank in ("0", "1")]
    try:
        assert [one.wait(timeout=120) for one in running] == [0, 0]
    finally:
        for one in running:
            one.kill()
    return {name: torch.load(folder / f"{name}.pt", weights_only=True) for name in ESTIMATORS}


@pytest.mark.slow
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_two_processes_equal_one(two, estimator):
    found, one = two[estimator], trained(getattr(el, estimator)(), epochs=2)
    # Sums of gradients are rounded in another order; a state changes where that moves a pre-activation across its noise
    assert found["loss"] == pytest.approx([row["train_loss"] for row in one.record.metrics], rel=2e-3)
    distance = sum(float(((p - found["parameters"][n]) ** 2).sum()) for n, p in parameters(one).items()) ** 0.5
    size = sum(float((p**2).sum()) for p in parameters(one).values()) ** 0.5
    assert distance < 2e-3 * size


def test_the_parts_of_a_batch_are_equal_and_cover_it():
    parts = [list(range(12))[World(rank, 3).part(12)] for rank in range(3)]
    assert parts == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]
    with pytest.raises(el.EstimlabError, match="does not divide into 5"):
        World(0, 5).part(12)


def test_batch_norm_on_several_cpu_processes_is_refused():
    with pytest.raises(el.EstimlabError, match="without torchrun"):
        World(0, 2).prepare(torch.nn.Sequential(torch.nn.BatchNorm1d(3)), torch.device("cpu"))

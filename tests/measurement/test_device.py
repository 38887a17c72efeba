"""On another device (``--device cuda``) every number is that of the CPU."""

import networks
import pytest
import torch

import estimlab as el

TOLERANCE = 1e-10  # sums run in another order there
ESTIMATORS = [el.StraightThrough(), el.STGumbelSoftmax(0.5), el.GumbelSoftmax(), el.Reinforce("exact_mean"), el.ARM()]
REFERENCES = [el.LayerwiseEnumeration(), el.PathEnumeration()]


@pytest.fixture
def problem():
    return networks.classification((2, 1, 1), batch=3)


@pytest.fixture
def moved(problem, device):
    if device == "cpu":
        pytest.skip("the CPU is what the other device is compared with: give --device")
    return problem.to(device=device)


def on_cpu(blocks):
    return {name: block.cpu() for name, block in blocks.items()}


def assert_same_statistics(one, other):
    for place, rows in one.statistics().items():
        for name, (value, stderr) in rows.items():
            assert other.statistics()[place][name] == pytest.approx((value, stderr), rel=1e-6, abs=TOLERANCE), name


@pytest.mark.parametrize("reference", REFERENCES, ids=lambda r: type(r).__name__)
def test_references(reference, problem, moved, device):
    here, there = reference.gradient(problem), reference.gradient(moved)
    assert {value.device.type for value in there.value.values()} == {torch.device(device).type}
    assert networks.blocks_close(on_cpu(there.value), here.value, TOLERANCE)


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=repr)
@pytest.mark.parametrize("moments", [el.measure, el.quadrature_moments])
def test_moments(moments, estimator, problem, moved):
    here, there = moments(problem, estimator), moments(moved, estimator)
    assert networks.blocks_close(on_cpu(there.mean), on_cpu(here.mean), TOLERANCE)
    assert networks.blocks_close(on_cpu(there.variance), on_cpu(here.variance), TOLERANCE)
    assert_same_statistics(here, there)


@pytest.mark.parametrize("estimator", ESTIMATORS[:2], ids=repr)
def test_exact_moments_and_attribution(estimator, problem, moved):
    here, there = el.exact_moments(problem, estimator), el.exact_moments(moved, estimator)
    assert_same_statistics(here, there)
    parts = [el.attribute_bias(p, estimator).contributions for p in (problem, moved)]
    for source, blocks in parts[0].items():
        assert networks.blocks_close(on_cpu(parts[1][source]), blocks, TOLERANCE)

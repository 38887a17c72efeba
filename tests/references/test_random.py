"""Random networks, right and wrong: the right are accepted and both exact references agree, the wrong are refused."""

import networks
import pytest
import zoo

import estimlab as el
from estimlab.errors import ImpureError


def agrees(seed):
    problem = zoo.correct(seed).problem()
    layers, paths = el.LayerwiseEnumeration().gradient(problem), el.PathEnumeration().gradient(problem)
    return networks.blocks_close(layers.value, paths.value, 1e-12)


def refused_as(given):
    with pytest.raises(ImpureError) as caught:
        given.problem()
    return caught.value.reason


@pytest.mark.parametrize("seed", range(1, 9))
def test_right_networks_are_accepted_and_agree(seed):
    assert agrees(seed)


@pytest.mark.parametrize("reason", zoo.IMPURE)
@pytest.mark.parametrize("seed", range(3))
def test_wrong_networks_are_refused(reason, seed):
    assert refused_as(zoo.impure(100 + 3 * seed, reason)) is reason


@pytest.mark.slow
@pytest.mark.parametrize("start", range(1000, 1240, 40))
def test_two_hundred_and_forty_right_networks(start):
    wrong = [seed for seed in range(start, start + 40) if not agrees(seed)]
    assert wrong == []


@pytest.mark.slow
@pytest.mark.parametrize("reason", zoo.IMPURE)
def test_forty_wrong_networks_of_each_reason(reason):
    wrong = [seed for seed in range(2000, 2040) if refused_as(zoo.impure(seed, reason)) is not reason]
    assert wrong == []

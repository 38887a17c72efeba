"""Forks: futures that leave a pass and go on alone, one by one or mapped."""

import networks
import pytest
import torch

import estimlab as el
from estimlab.estimators.forks import Forks, flipped
from estimlab.randomness.noise import RecordingNoise, TableNoise

PROBLEM = networks.classification((2, 3, 2, 3), batch=2)
GENERATOR = torch.Generator().manual_seed(0)
MAIN, OTHER = (
    [torch.rand(2, *site.shape, generator=GENERATOR, dtype=networks.F64) for site in PROBLEM.sites] for _ in range(2)
)
HALVES = [torch.full_like(uniform, 0.5) for uniform in MAIN]


def drawn(k, a, uniforms):
    return uniforms[k] < PROBLEM.sites[k].units.law.cdf(a)


def fork_everywhere(forks, bits_of):
    """Start a fork at every site of the main pass; its states there, and where forks jump, site by site."""
    found, cuts = [], []

    def states(k, a, carry):
        high = drawn(k, a, MAIN)
        found.append(high)
        cuts.append(forks.reach(k))
        forks.step(k, MAIN[k])
        forks.add(k, carry, bits_of(PROBLEM.sites[k], high))
        return PROBLEM.sites[k].units.state(high.to(a.dtype))

    PROBLEM.run(states)
    return found, cuts


def value_of(start, bits, above):
    """The objective of a pass that leaves the main one at a site, by the given bits, and is drawn by others above."""

    def states(k, a, carry):
        high = bits if k == start else drawn(k, a, MAIN if k < start else above)
        return PROBLEM.sites[k].units.state(high.to(a.dtype))

    return PROBLEM.run(states).detach()


def opposite(site, high):
    return ~high


def test_common_tails_share_the_uniforms_of_the_main_pass():
    forks = Forks(PROBLEM, TableNoise({}), "common", channel=1)
    found, cuts = fork_everywhere(forks, opposite)
    assert [len(some) for some in cuts] == [0, 1, 2]
    for k, value in enumerate(forks.values()):
        assert torch.equal(value, value_of(k, ~found[k], MAIN))
        assert not value.requires_grad


def test_independent_tails_draw_by_channels_of_their_own():
    noise = TableNoise({(1, 4): OTHER[1], (2, 4): OTHER[2], (2, 5): HALVES[2]})
    forks = Forks(PROBLEM, noise, "independent", channel=4)
    found, cuts = fork_everywhere(forks, opposite)
    assert cuts == [[], [], []]
    for k, (value, above) in enumerate(zip(forks.values(), [OTHER, HALVES, MAIN], strict=True)):
        assert torch.equal(value, value_of(k, ~found[k], above))


@pytest.mark.parametrize(("tails", "above"), [("common", MAIN), ("independent", HALVES)])
def test_a_mapped_fork_is_its_futures_one_by_one(tails, above):
    noise = RecordingNoise()
    forks = Forks(PROBLEM, noise, tails, channel=1, mapped=True)
    found, cuts = fork_everywhere(forks, flipped)
    assert [len(some) for some in cuts] == ([0, 3, 5] if tails == "common" else [0, 0, 0])
    shapes = {key: request.shape for key, request in noise.requests.items()}
    examples_first = {(1, 1): (2, 3, 2), (2, 1): (2, 3, 3), (2, 2): (2, 2, 3)}
    assert shapes == ({} if tails == "common" else examples_first)
    for k, values in enumerate(forks.values()):
        assert values.shape == (PROBLEM.sites[k].size, 2)
        for value, bits in zip(values, flipped(PROBLEM.sites[k], found[k]), strict=True):
            assert networks.close(value, value_of(k, bits, above), 1e-14)


def test_each_unit_is_flipped_once():
    bit = torch.tensor([[[True, False], [False, True]]])
    rows = flipped(el.Site((2, 2), el.BinaryUnits()), bit)
    assert rows.shape == (4, 1, 2, 2)
    assert torch.equal((rows != bit).flatten(1), torch.eye(4, dtype=torch.bool))
    shared = flipped(el.Site((2,), el.BinaryUnits(), shared=True), torch.tensor([True, False]))
    assert shared.tolist() == [[False, False], [True, True]]

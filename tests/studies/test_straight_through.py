"""Straight-through under noise laws and proxies: where the bias is zero, and which proxies are the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

import estimlab as el
from estimlab.measurement.exact.layers import ChainLayers
from estimlab.results.study import load_study

STUDIES = Path(__file__).parents[2] / "studies"
noise_law = load_study(STUDIES / "noise_law.py").module
proxy = load_study(STUDIES / "proxy.py").module
UNIFORM = el.Uniform(1.0)


def biases(law, state, objective, seed=2):
    """Relative bias of straight-through in the three stochastic layers."""
    problem = noise_law.UnderNoise(law, state, objective, seed).build()
    statistics = el.exact_moments(problem, el.StraightThrough()).statistics()
    return [statistics[layer]["relative_bias"][0] for layer in "012"]


@pytest.mark.parametrize("seed", [0, 4])
def test_no_unit_of_an_unsaturated_network_can_reach_further_than_it_should(seed):
    problem = noise_law.UnderNoise(UNIFORM, "unsaturated", "affine", seed).build()
    reach = [a.abs().amax(0) for a in ChainLayers(problem).drive]
    assert reach[0].numpy() == pytest.approx(noise_law.REACH)
    assert all(bool((layer <= noise_law.REACH + 1e-12).all()) for layer in reach)
    assert all(float(layer.max()) > 0.5 for layer in reach), "the network must not be shrunk to nothing"


def test_uniform_noise_without_saturation_is_exact_in_all_layers_where_the_objective_is_affine():
    assert max(map(abs, biases(UNIFORM, "unsaturated", "affine"))) < 1e-12
    assert all(bias > 0.01 for bias in biases(UNIFORM, "unsaturated", "logistic loss"))
    wide = el.Uniform(0.5)  # the same network, saturated
    assert all(bias > 0.01 for bias in biases(wide, "unsaturated", "affine")[:2])


@pytest.mark.parametrize("law", noise_law.LAWS, ids=repr)
@pytest.mark.parametrize("objective", ["affine", "multilinear"])
def test_the_last_layer_is_exact_for_multilinear_objectives_and_those_below_are_not(law, objective):
    first, second, last = biases(law, "unsaturated", objective)
    assert abs(last) < 1e-12
    if not (law == UNIFORM and objective == "affine"):
        assert first > 0.01
        assert second > 0.01


@pytest.mark.parametrize(("place", "name"), [*enumerate(["tanh", None, "hard_tanh", "approx_sign"])])
def test_each_law_but_the_gaussian_is_the_density_of_one_fixed_proxy(place, name):
    law = proxy.LAWS[place]
    a = torch.linspace(-3, 3, 301, dtype=torch.float64)
    factors = {one: el.StraightThrough(one).derivative(a, a, a, law) for one in proxy.get_args(proxy.Proxy)}
    same = [one for one, factor in factors.items() if torch.allclose(factor, factors["derived"], rtol=1e-12)]
    assert same == (["derived", name] if name else ["derived"])


def test_the_derived_factor_at_zero_is_the_same_under_every_law_of_the_study():
    zero = torch.zeros(1, dtype=torch.float64)
    assert [2 * float(law.density(zero)) for law in noise_law.LAWS] == pytest.approx([1.0] * 4)


def test_networks_differ_by_their_seed_alone():
    one = noise_law.UnderNoise(UNIFORM, "unsaturated", "affine")
    parameters = [p.build().network.state_dict()["stages.1.weight"] for p in (one, replace(one, law=el.Logistic(0.5)))]
    assert torch.equal(*parameters)
    assert not torch.equal(parameters[0], replace(one, seed=1).build().network.state_dict()["stages.1.weight"])

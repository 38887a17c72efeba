"""Which exact reference serves a problem, and what a measurement without a reference is measured against."""

import networks
import pytest
import torch
from references_toys import Spiking, problem_of

import estimlab as el


class LongSpiking(Spiking):
    """Twelve steps of two units: 2^24 paths."""

    def sites(self, inputs):
        return super().sites(inputs) * 6


def same(one, other):
    return (
        one.reference == other.reference
        and torch.equal(one.expected, other.expected)
        and all(torch.equal(value, other.value[name]) for name, value in one.value.items())
    )


def test_a_chain_is_enumerated_layer_by_layer():
    problem = networks.classification((3, 4, 3))
    assert same(el.exact_reference(problem), el.LayerwiseEnumeration().gradient(problem))


def test_any_other_small_network_is_enumerated_path_by_path():
    problem = problem_of(Spiking(), batch=2)
    assert same(el.exact_reference(problem), el.PathEnumeration().gradient(problem))


def test_a_network_of_ones_own_is_measured_without_a_reference():
    problem = problem_of(Spiking())
    truth = el.PathEnumeration().gradient(problem)
    by_nodes = el.quadrature_moments(problem, el.Reinforce())
    by_draws = el.measure(problem, "zgr", draws=512)
    for found in (by_nodes, by_draws):
        assert all(torch.equal(found.reference[name], value) for name, value in truth.value.items())
    assert all(torch.allclose(by_nodes.mean[name], value, atol=1e-12) for name, value in truth.value.items())


@pytest.mark.parametrize("ask", [el.exact_reference, lambda problem: el.measure(problem, "zgr", draws=512)])
def test_too_many_units_are_refused_with_what_to_give(ask):
    says = r"a LongSpiking, no el\.Chain, and its 24 binary units have 2\^24 paths.*2\^22.*reference=el\.MonteCarlo"
    with pytest.raises(el.EstimlabError, match=says):
        ask(problem_of(LongSpiking()))


@pytest.mark.parametrize("ask", [el.exact_moments, el.attribute_bias])
def test_what_only_chains_have_is_refused_by_name(ask):
    with pytest.raises(el.EstimlabError, match=rf"{ask.__name__} works on an el\.Chain, this network is a Spiking"):
        ask(problem_of(Spiking()), "zgr")


def test_force_ignores_the_budget(monkeypatch):
    from estimlab.references import plan

    problem = networks.classification((3, 4, 3))
    exact = el.exact_reference(problem)

    def refuse(*_):
        raise el.EstimlabError("over budget")

    monkeypatch.setattr(plan.Plan, "check", refuse)
    with pytest.raises(el.EstimlabError, match="over budget"):
        el.exact_reference(problem)
    assert same(el.exact_reference(problem, force=True), exact)

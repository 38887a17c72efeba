"""Bias attribution: a sum that is exact, sources that can cause a layer's bias, and what a source means."""

import itertools

import networks
import pytest
import torch

import estimlab as el
from estimlab.errors import EstimlabError
from estimlab.estimators.iw_st import ConstantWeight
from estimlab.results.columns import COLUMNS, FIELDS, STATISTICS

ESTIMATORS = [
    el.StraightThrough(),
    el.StraightThrough("identity"),
    el.ZGR(),
    el.MVE(2.0),
    el.IWST(ConstantWeight(0.2)),
    el.STGumbelSoftmax(0.7),
]
LAYER_OF = {"0": 0, "1": 1, "2": 2}


def deep(law=None, coding=(0.0, 1.0)):
    units = el.BinaryUnits(law or el.Logistic(), *coding)
    return networks.classification((2, 3, 2, 3), batch=5, seed=8, units=units)


@pytest.mark.slow
@pytest.mark.parametrize("estimator", ESTIMATORS, ids=repr)
@pytest.mark.parametrize("law", [law(1.8) for law in networks.LAWS], ids=repr)
def test_contributions_sum_to_the_bias(estimator, law):
    problem = deep(law)
    attribution, exact = el.attribute_bias(problem, estimator), el.exact_moments(problem, estimator)
    for layer, blocks in problem.network.layers().items():
        for name in blocks:
            total = sum(parts[name] for parts in attribution.contributions.values())
            assert networks.close(total, exact.bias[name], 1e-13), name
        bias = torch.cat([exact.bias[name].flatten() for name in blocks])
        assert networks.close(attribution.bias(layer), bias, 1e-13)


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=repr)
def test_only_layers_above_cause_a_bias(estimator):
    problem = deep()
    attribution = el.attribute_bias(problem, estimator)
    assert list(attribution.contributions) == [0, 1, 2]
    for source, layer in itertools.product(range(3), (*LAYER_OF, "head")):
        for name in problem.network.layers()[layer]:
            size = float(attribution.contributions[source][name].abs().max())
            assert (size > 1e-7) == (LAYER_OF.get(layer, 3) <= source), (source, name)


def test_layers_of_every_kind_of_stage_are_attributed():
    stages = [
        networks.Convolution(3, 1),
        torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(2, 2), torch.nn.Tanh()),
    ]
    network = networks.fill(el.Chain(stages, torch.nn.Linear(2, 1)), 3)
    problem = el.Problem(network, el.LogisticLoss(), networks.normal(1, 4, 3), torch.tensor([1, -1, -1, 1]))
    attribution, exact = el.attribute_bias(problem, el.ZGR()), el.exact_moments(problem, el.ZGR())
    for name, bias in exact.bias.items():
        assert networks.close(sum(parts[name] for parts in attribution.contributions.values()), bias, 1e-13)
    assert float(exact.bias["stages.0.2.weight"].abs().max()) > 1e-4


@pytest.mark.parametrize("coding", networks.CODINGS)
def test_uniform_noise_without_saturation_and_an_affine_objective_have_nothing_to_attribute(coding):
    def affine(output, target):
        return output @ output.new_tensor([1.0, -0.5]) + 3

    units = el.BinaryUnits(el.Uniform(30.0), *coding)
    network = networks.mlp((2, 3, 2, 2), None, seed=1, units=units)
    attribution = el.attribute_bias(el.Problem(network, affine, networks.normal(2, 3, 2)), el.StraightThrough())
    for parts in attribution.contributions.values():
        assert float(networks.flat(parts).abs().max()) < 1e-15
    assert float(networks.flat(attribution.reference).norm()) > 1e-3


def test_a_source_is_what_the_bias_would_be_with_exact_values_above_it():
    """The upper layer summed out by hand leaves a network of one layer, whose whole bias is that of source 0."""
    units = el.BinaryUnits(el.Gaussian(1.2), 0, 1)
    problem = networks.classification((2, 3, 2), batch=4, seed=2, units=units)
    upper, head = problem.network.stages[1], problem.network.head

    def summed_out(state, target):
        a, total = upper(state), 0.0
        for bits in itertools.product((0.0, 1.0), repeat=2):
            y = torch.tensor(bits, dtype=a.dtype)
            probability = units.law.cdf(torch.where(y > 0, a, -a)).prod(1)
            total = total + probability * el.CrossEntropy()(head(y.expand(len(a), 2)), target)
        return total

    network = el.Chain([problem.network.stages[0]], units=units)
    lower = el.Problem(network, summed_out, problem.inputs, problem.targets)
    for estimator in (el.StraightThrough(), el.ZGR()):
        alone = el.exact_moments(lower, estimator)
        attribution = el.attribute_bias(problem, estimator)
        for name in ("stages.0.weight", "stages.0.bias"):
            assert networks.close(alone.reference[name], attribution.reference[name], 1e-14)
            assert networks.close(attribution.contributions[0][name], alone.bias[name], 1e-14)
            assert float(attribution.contributions[1][name].abs().max()) > 1e-5


def test_the_table():
    problem = deep()
    attribution, exact = el.attribute_bias(problem, el.MVE(2.0)), el.exact_moments(problem, el.MVE(2.0))
    table = attribution.table()
    columns = ["estimator", "parameters", "t", "method", "layer", "source", "statistic", "value", "stderr"]
    assert list(table.columns) == columns
    assert set(columns) <= {*COLUMNS, *FIELDS}
    assert set(table["statistic"]) <= set(STATISTICS)
    shares = table[table["statistic"] == "bias_share"].groupby("layer")["value"].sum()
    assert [shares[layer] for layer in LAYER_OF] == pytest.approx([1, 1, 1], rel=1e-12)
    for layer in LAYER_OF:
        of_layer = table[table["layer"] == layer].set_index(["source", "statistic"])["value"]
        relative = exact.statistics()[layer]["relative_bias"][0]
        assert of_layer["all", "relative_bias"] == pytest.approx(relative, rel=1e-10)
        sizes = sum(of_layer[str(k), "bias_contribution"] for k in range(3))
        assert of_layer["all", "cancellation"] == pytest.approx(sizes / relative, rel=1e-10)
    assert bool((table["stderr"] == 0).all())


def test_a_factor_that_hides_that_it_reads_the_uniform_is_refused():
    class Hiding(el.HardForward):
        def derivative(self, a, bit, uniform, law):
            return law.density(a) * 2 * uniform

    with pytest.raises(EstimlabError, match="reads_uniform"):
        el.attribute_bias(deep(), Hiding())

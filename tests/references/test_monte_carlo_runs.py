"""The Monte Carlo reference: streams of its own, what it refuses, and how it says so."""

import time

import networks
import pytest
import torch
from references_toys import agrees, scores, truth_of
from torch import nn

import estimlab as el
from estimlab.draws import per_draw_gradients
from estimlab.errors import EstimlabError
from estimlab.measurement.mapped import record
from estimlab.randomness.streams import MEASUREMENT_STREAM, RandomStream
from estimlab.references import monte_carlo

# --- randomness ------------------------------------------------------------------------------------------------------


@pytest.fixture
def drawn(monkeypatch):
    """The uniforms of every chunk, as the reference asks for them."""
    chunks = []

    def spy(network, surrogate, tables):
        chunks.append(torch.cat([tables[k].flatten(1) for k in range(surrogate.sampled)], 1))
        return per_draw_gradients(network, surrogate, tables)

    monkeypatch.setattr(monte_carlo, "per_draw_gradients", spy)
    return chunks


def test_the_same_seed_gives_the_same_numbers_and_another_seed_others():
    problem, state = networks.classification(), torch.random.get_rng_state()
    one, same, other = (el.MonteCarloReference(draws=64, seed=s).gradient(problem) for s in (3, 3, 4))
    assert networks.blocks_close(one.value, same.value, 0)
    assert networks.blocks_close(one.stderr, same.stderr, 0)
    assert not networks.blocks_close(one.value, other.value, 1e-6)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_more_draws_extend_a_run_and_chunks_do_not_matter(drawn, monkeypatch):
    problem = networks.classification()
    el.MonteCarloReference(draws=10).gradient(problem)
    whole = el.MonteCarloReference(draws=22).gradient(problem)
    short, long = drawn
    assert torch.equal(long[:10], short)
    monkeypatch.setattr(monte_carlo, "CHUNK_ELEMENTS", 1)
    streamed = el.MonteCarloReference(draws=22).gradient(problem)
    assert torch.equal(torch.cat(drawn[2:]), long)
    assert len(drawn) == 2 + 6
    assert networks.blocks_close(streamed.value, whole.value, 1e-14)
    assert networks.blocks_close(streamed.stderr, whole.stderr, 1e-14)
    assert streamed.objective == pytest.approx(whole.objective, rel=1e-14)


def test_pilot_draws_and_measurement_share_no_uniform(drawn):
    problem = networks.classification()
    reference = el.MonteCarloReference(relative_error=0.5, enumerate_last=0)
    gradient = reference.gradient(problem)
    assert gradient.checks["draws"] == 512
    pilot, draws = drawn
    requests = record(problem, el.StraightThrough())
    like = torch.empty(0, dtype=networks.F64)
    measured = torch.cat(
        [u.flatten() for u in RandomStream(0, MEASUREMENT_STREAM).tables(requests, 0, 512, like).values()]
    )
    together = torch.cat([pilot.flatten(), draws.flatten(), measured])
    assert len(together.unique()) == len(together) == 3 * 512 * 5 * 5


# --- size, types, refusals -------------------------------------------------------------------------------------------


def test_a_network_too_wide_to_enumerate():
    problem = networks.classification((64, 50, 50, 10), batch=4, scale=0.2)
    start = time.perf_counter()
    one, other = (el.MonteCarloReference(draws=n, seed=n, enumerate_last=0).gradient(problem) for n in (400, 401))
    assert time.perf_counter() - start < 20  # a few seconds
    difference = networks.flat(one.value) - networks.flat(other.value)
    z = difference / (networks.flat(one.stderr) ** 2 + networks.flat(other.stderr) ** 2).sqrt()
    assert agrees(z)
    assert 0.05 < one.checks["relative_error"] < 0.5
    assert float((z**2).mean()) == pytest.approx(1, abs=0.2)


def test_a_single_precision_problem_is_computed_in_double():
    problem = networks.classification(dtype=torch.float32)
    reference = el.MonteCarloReference(draws=64)
    gradient = reference.gradient(problem)
    assert {block.dtype for block in (*gradient.value.values(), *gradient.stderr.values())} == {torch.float64}
    assert gradient.expected.dtype == torch.float64
    assert gradient.expected.shape == (5,)
    assert networks.blocks_close(gradient.value, reference.gradient(problem.to(dtype=torch.float64)).value, 0)
    assert all(p.dtype == torch.float32 and p.grad is None for p in problem.network.parameters())
    assert gradient.reference == repr(reference)
    assert eval(repr(reference), {"MonteCarloReference": el.MonteCarloReference}) == reference


def test_a_constant_objective_has_no_gradient():
    network = el.Chain([nn.Linear(1, 1)])
    problem = el.Problem(networks.fill(network, 0), lambda x, _: 0 * x[:, 0] + 2, networks.normal(1, 1, 1))
    gradient = el.MonteCarloReference(enumerate_last=0).gradient(problem)
    assert gradient.norm() == 0
    assert gradient.objective == 2


@pytest.mark.parametrize(
    "fields",
    [
        *({"relative_error": 0.0}, {"relative_error": 1.5}, {"draws": 1}, {"pilot": 8}, {"max_draws": 0}),
        *({"enumerate_last": -1}, {"seed": -1}),
    ],
    ids=str,
)
def test_fields_out_of_range_are_refused(fields):
    (name,) = fields
    with pytest.raises(EstimlabError, match=name):
        el.MonteCarloReference(**fields)


def test_more_draws_than_allowed_are_refused_with_their_number():
    problem = networks.classification((2, 3, 3))
    needed = int(el.MonteCarloReference(0.05, enumerate_last=0).gradient(problem).checks["draws"]) * 2500
    with pytest.raises(EstimlabError, match=r"needs about [\d,]+ draws.*max_draws = 1,000,000.*draws=") as error:
        el.MonteCarloReference(0.001, enumerate_last=0).gradient(problem)
    told = int(str(error.value).split("about ")[1].split(" draws")[0].replace(",", ""))
    assert told == pytest.approx(needed, rel=1e-3)


def test_a_gradient_that_is_zero_is_not_sampled_for_ever():
    """A parity of three units with fair coins: every draw is noisy and the gradient is zero."""
    problem = el.Problem(networks.logits((0.0,) * 3, low=-1.0), el.Multilinear(((1.0, (0, 1, 2)),)))
    with pytest.raises(EstimlabError, match="cannot tell the gradient from zero"):
        el.MonteCarloReference(enumerate_last=0).gradient(problem)
    gradient = el.MonteCarloReference(enumerate_last=0, draws=4000).gradient(problem)
    assert agrees(scores(gradient, truth_of(problem).value))


def test_what_is_not_finite_is_named():
    problem = el.Problem(
        networks.logits((0.3, -0.2)), lambda x, _: torch.where(x.sum(1) > 1.5, torch.nan, x.sum(1)), None
    )
    with pytest.raises(EstimlabError, match=r"NaN or infinite .* draws 0 \.\. 63"):
        el.MonteCarloReference(draws=64, enumerate_last=0).gradient(problem)


def test_a_parameter_that_became_nan_is_named():
    problem = networks.classification()
    with torch.no_grad():
        problem.network.stages[1].weight[0, 0] = float("nan")
    with pytest.raises(EstimlabError, match=r"stages\.1\.weight.*1 NaN"):
        el.MonteCarloReference().gradient(problem)


def test_batch_norm_in_training_mode_is_refused():
    network = networks.fill(el.Chain([nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))], nn.Linear(2, 1)), 0)
    problem = el.Problem(network, el.Quadratic(), networks.normal(1, 3, 2))
    network.train()
    with pytest.raises(EstimlabError, match=r"BatchNorm1d.*eval"):
        el.MonteCarloReference().gradient(problem)


def test_a_network_that_cannot_be_mapped_says_so():
    class Branch(nn.Module):
        def forward(self, x):
            return x if bool(torch.isfinite(x).all()) else -x

    stages = [nn.Linear(2, 2), nn.Sequential(Branch(), nn.Linear(2, 2))]
    problem = el.Problem(networks.fill(el.Chain(stages), 0), el.Quadratic(), networks.normal(1, 3, 2))
    with pytest.raises(EstimlabError, match=r"cannot be mapped over draws.*torch\.where"):
        el.MonteCarloReference(draws=64).gradient(problem)

"""The statistics of a measurement: identities, debiasing, standard errors, streaming, the table."""

import dataclasses
import math

import networks
import numpy as np
import pytest
import scipy.stats
import torch

import estimlab as el
from estimlab.errors import EstimlabError
from estimlab.measurement.groups import Groups
from estimlab.measurement.mapped import gradients, record
from estimlab.measurement.sampled import sampler
from estimlab.measurement.statistics import AgainstTruth, jackknife, squared_bias
from estimlab.randomness.noise import TableNoise
from estimlab.randomness.streams import RandomStream
from estimlab.results.columns import COLUMNS, FIELDS, STATISTICS

GROUPS, DRAWS, REPLICATES = 64, 512, 200
BIASED = el.StraightThrough("identity")
METHODS = {"exact": el.exact_moments, "quadrature": el.quadrature_moments, "monte_carlo": el.measure}


def problem_of(batch=2):
    return networks.classification((1, 2, 2), batch=batch, seed=6, units=el.BinaryUnits(el.Logistic(), 0, 1))


def draws_of(problem, estimator, count, seed=0):
    tables = RandomStream(seed).tables(record(problem, estimator), 0, count, problem.inputs)
    return gradients(problem, estimator, TableNoise, tables)[0]


def measurement_of(problem, estimator, truth, draws):
    """What ``measure`` returns, made at once of given draws in 64 equal groups."""
    grouped = {name: block.detach().unflatten(0, (GROUPS, -1)) for name, block in draws.items()}
    count = torch.full((GROUPS,), float(next(iter(grouped.values())).shape[1]), dtype=torch.float64)
    mean = {name: block.mean(1) for name, block in grouped.items()}
    square = {name: ((block - mean[name][:, None]) ** 2).sum(1) for name, block in grouped.items()}
    layers = problem.network.layers()
    return el.Measurement(
        estimator,
        "monte_carlo",
        {name: block.mean(0) for name, block in draws.items()},
        {name: block.var(0) for name, block in draws.items()},
        truth.value,
        truth.stderr,
        layers,
        estimator.cost(len(problem.sites)),
        float(count.sum()),
        Groups(count, mean, square, {layer: {} for layer in layers}),
    )


@pytest.fixture(scope="module")
def replicates():
    """200 independent measurements of 512 draws each, of a biased and of an unbiased estimator."""
    problem = problem_of()
    truth = el.LayerwiseEnumeration().gradient(problem)
    result = {}
    for estimator in (BIASED, el.DisARM()):
        draws = draws_of(problem, estimator, REPLICATES * DRAWS)
        runs = ({n: d[i * DRAWS : (i + 1) * DRAWS] for n, d in draws.items()} for i in range(REPLICATES))
        measured = [measurement_of(problem, estimator, truth, run) for run in runs]
        result[estimator] = problem, measured, [m.statistics("network")["network"] for m in measured]
    return result


def column(statistics, name, part):
    return np.array([rows[name][part] for rows in statistics])


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("by", ["layer", "block", "network"])
@pytest.mark.parametrize("estimator", [el.StraightThrough(), el.ZGR()], ids=repr)
def test_identities_between_statistics(method, by, estimator):
    measured = METHODS[method](problem_of(), estimator)
    for place, rows in measured.statistics(by).items():
        value = {name: number for name, (number, _) in rows.items()}
        norm = value["reference_norm"]
        assert value["mse"] == pytest.approx(value["squared_bias"] + value["variance"], rel=1e-14)
        root = math.copysign(math.sqrt(abs(value["squared_bias"])), value["squared_bias"])
        assert value["relative_bias"] == pytest.approx(root / norm, rel=1e-13), place
        assert value["relative_std"] ** 2 == pytest.approx(value["variance"] / norm**2, rel=1e-13)
        assert value["relative_rmse"] ** 2 == pytest.approx(value["mse"] / norm**2, rel=1e-13)
        assert (value["forward_passes"], value["backward_passes"]) == (3, 3)


def test_statistics_by_hand_where_moments_are_exact():
    measured = el.exact_moments(problem_of(), el.StraightThrough())
    mean, variance, truth = (
        networks.flat(part).numpy() for part in (measured.mean, measured.variance, measured.reference)
    )
    rows = {name: value for name, (value, _) in measured.statistics("network")["network"].items()}
    g, m, energy = np.linalg.norm(truth), np.linalg.norm(mean), (mean**2).sum() + variance.sum()
    expected = {
        "reference_norm": g,
        "squared_bias": ((mean - truth) ** 2).sum(),
        "variance": variance.sum(),
        "cosine": mean @ truth / (m * g),
        "descent_efficiency": (mean @ truth) ** 2 / (g**2 * energy),
        "scale_invariant_bias": np.linalg.norm(mean / m - truth / g),
        "scale_invariant_std": math.sqrt(variance.sum()) / m,
    }
    for name, value in expected.items():
        assert rows[name] == pytest.approx(value, rel=1e-10), name
    of_mean = measured.rmse_of_mean(25, "network")["network"]
    assert of_mean[0] == pytest.approx(math.sqrt(expected["squared_bias"] + variance.sum() / 25) / g, rel=1e-13)
    assert of_mean[1] == 0


def test_squared_bias_and_variance_add_over_places():
    measured = el.measure(problem_of(), el.ZGR(), draws=DRAWS)
    for name in ("squared_bias", "variance", "mse"):
        totals = [
            sum(rows[name][0] for rows in measured.statistics(by).values()) for by in ("layer", "block", "network")
        ]
        assert totals[0] == pytest.approx(totals[1], rel=1e-12)
        assert totals[0] == pytest.approx(totals[2], rel=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize(("chunk", "batch"), [(None, 1), (3000, 2)])
@pytest.mark.parametrize("estimator", [el.ZGR(), el.GumbelSoftmax(), el.Reinforce(), el.DisARM()], ids=repr)
def test_measure_is_the_statistics_of_its_stream(estimator, chunk, batch, monkeypatch):
    """Chunk by chunk, by rows where that is valid: the numbers of all draws' gradients at once."""
    if chunk is not None:
        monkeypatch.setattr(sampler, "CHUNK_ELEMENTS", chunk)
    problem = problem_of(batch)
    truth = el.LayerwiseEnumeration().gradient(problem)
    measured = el.measure(problem, estimator, truth, draws=1024, seed=3)
    other = measurement_of(problem, estimator, truth, draws_of(problem, estimator, 1024, seed=3))
    assert networks.blocks_close(measured.mean, other.mean, 1e-14)
    assert networks.blocks_close(measured.variance, other.variance, 1e-13)
    for by in ("layer", "network"):
        for place, rows in other.statistics(by).items():
            for name, numbers in rows.items():
                assert measured.statistics(by)[place][name] == pytest.approx(numbers, rel=1e-9, abs=1e-13), name


class OwnLinear(torch.nn.Linear):
    """Not a type that the fast path knows."""


STAGES = {
    "without bias": lambda: [torch.nn.Linear(2, 3, bias=False), torch.nn.Linear(3, 2)],
    "logits": lambda: [el.Logits(3), torch.nn.Linear(3, 2)],
    "mlp": lambda: [torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Tanh(), torch.nn.Linear(3, 2))],
    "own type": lambda: [OwnLinear(2, 3), torch.nn.Linear(3, 2)],
    "shared weight": lambda: [stage := torch.nn.Linear(2, 2), stage],
    "used twice": lambda: [torch.nn.Sequential(stage := torch.nn.Linear(2, 2), torch.nn.Tanh(), stage)],
    "convolution": lambda: [networks.Convolution(2, 2), torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(2, 2))],
    "frozen": lambda: [torch.nn.Linear(2, 3).requires_grad_(False), torch.nn.Linear(3, 2)],
}


@pytest.mark.slow
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("kind", STAGES)
def test_every_kind_of_stage_is_measured_as_its_draws_are(kind, batch):
    network = networks.fill(el.Chain(STAGES[kind](), torch.nn.Linear(2, 3)), 2)
    problem = el.Problem(network, el.CrossEntropy(), networks.normal(1, batch, 2), torch.arange(batch) % 3)
    measured, draws = el.measure(problem, el.ARM(), draws=DRAWS), draws_of(problem, el.ARM(), DRAWS)
    assert networks.blocks_close(measured.mean, {n: d.mean(0) for n, d in draws.items()}, 1e-13)
    assert networks.blocks_close(measured.variance, {n: d.var(0) for n, d in draws.items()}, 1e-13)
    assert float(networks.flat(measured.variance).max()) > 1e-4


@pytest.mark.parametrize("batch", [1, 2])
def test_moments_of_float32_draws_are_taken_in_float64(batch):
    """A gradient near one that varies by 1e-4: float32 sums of squares would lose its variance of 1e-9."""
    network = networks.fill(el.Chain([torch.nn.Linear(1, 2)], torch.nn.Linear(2, 1)), 1).float()

    def objective(output, target):
        return output[:, 0] + 0.5e-4 * output[:, 0] ** 2

    problem = el.Problem(network, objective, networks.normal(1, batch, 1).float())
    measured = el.measure(problem, el.ZGR(), draws=DRAWS).variance["head.bias"]
    draws = draws_of(problem, el.ZGR(), DRAWS)["head.bias"].double()
    assert float(measured) == pytest.approx(float(draws.var(0)), rel=1e-6)
    assert 1e-11 < float(measured) < 1e-7


def test_more_draws_extend_a_run():
    problem = problem_of()
    short, long = (el.measure(problem, el.ZGR(), draws=draws, seed=5) for draws in (DRAWS, 2 * DRAWS))
    assert (short.draws, long.draws) == (DRAWS, 2 * DRAWS)
    for name in short.mean:
        first_half = long.groups.mean[name][: GROUPS // 2].mean(0)
        assert networks.close(first_half, short.mean[name], 1e-15)
        assert not networks.close(long.mean[name], short.mean[name], 1e-6)


def test_seeds_give_different_draws_and_the_same_seed_the_same():
    problem = problem_of()
    one, same, other = (el.measure(problem, el.ZGR(), draws=DRAWS, seed=seed) for seed in (1, 1, 2))
    assert networks.blocks_close(one.mean, same.mean, 0)
    assert not networks.blocks_close(one.mean, other.mean, 1e-6)


def test_what_one_draw_does_is_averaged_over_draws():
    problem = problem_of()
    truth = el.LayerwiseEnumeration().gradient(problem)
    statistics = el.measure(problem, el.DisARM(), truth, draws=DRAWS, seed=4).statistics()
    draws = draws_of(problem, el.DisARM(), DRAWS, seed=4)
    for layer, blocks in problem.network.layers().items():
        g = torch.cat([draws[name].detach().flatten(1) for name in blocks], 1)
        t = torch.cat([truth.value[name].flatten() for name in blocks])
        norms = g.norm(dim=1)
        cosines = torch.where(norms > 0, (g @ t) / (norms * t.norm()).clamp(min=1e-300), 0)
        signs = (torch.sign(g) == torch.sign(t)).double().mean(1)
        for name, values in (("mean_cosine", cosines), ("sign_correct", signs)):
            value, stderr = statistics[layer][name]
            assert value == pytest.approx(float(values.mean()), rel=1e-12)
            of_groups = values.reshape(GROUPS, -1).mean(1)
            assert stderr == pytest.approx(float(of_groups.std() / math.sqrt(GROUPS)), rel=1e-9)
            assert 0 < stderr < 0.1


# ---- debiasing


@pytest.mark.slow
def test_the_debiased_squared_bias_of_an_unbiased_estimator_has_mean_zero(replicates):
    _, measured, statistics = replicates[el.DisARM()]
    debiased = column(statistics, "squared_bias", 0)
    naive = np.array([float((networks.flat(m.bias) ** 2).sum()) for m in measured])
    assert abs(scipy.stats.ttest_1samp(debiased, 0).statistic) < scipy.stats.t.isf(0.5e-3, REPLICATES - 1)
    assert scipy.stats.ttest_1samp(naive, 0).statistic > 20
    assert debiased.min() < 0 < debiased.max()  # never clipped


@pytest.mark.slow
def test_the_debiased_squared_bias_of_a_biased_estimator_is_its_squared_bias(replicates):
    problem, _, statistics = replicates[BIASED]
    truth = el.exact_moments(problem, BIASED).statistics("network")["network"]
    for name in ("squared_bias", "variance", "mse"):
        test = scipy.stats.ttest_1samp(column(statistics, name, 0), truth[name][0])
        assert abs(test.statistic) < scipy.stats.t.isf(0.5e-3 / 3, REPLICATES - 1)


def test_the_noise_of_the_reference_is_taken_off_the_squared_bias(seed):
    """An unbiased mean, known exactly, against references with errors of known size."""
    generator = torch.Generator().manual_seed(seed)
    truth, stderr = networks.normal(0, 30), networks.normal(1, 30).abs()
    values = []
    for _ in range(1000):
        reference = truth + stderr * torch.randn(30, generator=generator, dtype=torch.float64)
        values.append(float(squared_bias(AgainstTruth(truth, torch.ones(30).double(), reference, stderr**2, math.inf))))
    assert abs(scipy.stats.ttest_1samp(values, 0).statistic) < scipy.stats.t.isf(0.5e-3, 999)
    assert float((stderr**2).sum()) > 10 * np.std(values) / math.sqrt(1000)


# ---- standard errors

CALIBRATED = (
    *("squared_bias", "relative_bias", "variance", "relative_std", "mse", "relative_rmse", "cosine"),
    *("descent_efficiency", "scale_invariant_bias", "scale_invariant_std"),
)


def spread_over_claim(statistics, name):
    """Variance over independent runs, over the mean of the squared standard errors."""
    return column(statistics, name, 0).var(ddof=1) / (column(statistics, name, 1) ** 2).mean()


@pytest.mark.slow
@pytest.mark.parametrize("name", CALIBRATED)
def test_standard_errors_are_the_spread_over_independent_runs(replicates, name):
    """Both are variances of about normal numbers: their ratio follows F(199, 200 x 63); ten ratios at 1e-3 together."""
    _, _, statistics = replicates[BIASED]
    low, high = scipy.stats.f.interval(1 - 1e-3 / len(CALIBRATED), REPLICATES - 1, REPLICATES * (GROUPS - 1))
    assert low < spread_over_claim(statistics, name) < high


def test_the_standard_error_of_a_squared_bias_near_zero_errs_on_the_safe_side(replicates):
    """Where the bias is zero its square has no linear part, and the jackknife claims twice its variance."""
    _, _, statistics = replicates[el.DisARM()]
    low, high = scipy.stats.f.interval(1 - 1e-3, REPLICATES - 1, REPLICATES * (GROUPS - 1))
    assert low / 2 < spread_over_claim(statistics, "squared_bias") < high


def test_the_jackknife_of_a_mean_is_its_standard_error():
    values = networks.normal(0, 50)
    left_out = (values.sum() - values) / 49
    assert jackknife(left_out) == pytest.approx(float(values.std() / math.sqrt(50)), rel=1e-12)


def test_leaving_a_group_out_is_measuring_without_it():
    problem, estimator = problem_of(), el.StraightThrough()
    truth = el.LayerwiseEnumeration().gradient(problem)
    draws = draws_of(problem, estimator, DRAWS)
    groups = measurement_of(problem, estimator, truth, draws).groups
    rest = {name: torch.cat([block[:16], block[24:]]) for name, block in draws.items()}
    for name, block in rest.items():
        mean, variance = (part[2] for part in groups.leave_one_out(name))
        assert networks.close(mean, block.detach().mean(0).flatten(), 1e-14)
        assert networks.close(variance, block.detach().var(0).flatten(), 1e-14)


def noisy(truth, error):
    return dataclasses.replace(truth, stderr={name: torch.full_like(v, error) for name, v in truth.value.items()})


@pytest.mark.parametrize("method", METHODS)
def test_the_error_of_the_reference_enters_every_standard_error(method):
    problem, estimator, error = problem_of(), el.StraightThrough(), 1e-3
    truth = el.LayerwiseEnumeration().gradient(problem)
    exact, measured = (METHODS[method](problem, estimator, t) for t in (truth, noisy(truth, error)))
    before, after = exact.statistics("network")["network"], measured.statistics("network")["network"]
    size = sum(block.numel() for block in truth.value.values())
    bias = float(networks.flat(exact.bias).norm())
    norm = truth.norm()
    added = {"squared_bias": 2 * bias * error, "mse": 2 * bias * error, "variance": 0.0, "reference_norm": error}
    for name, own in added.items():
        expected = math.hypot(before[name][1], own)
        assert after[name][1] == pytest.approx(expected, rel=size * error**2 / norm**2, abs=1e-12), name
    assert after["squared_bias"][0] == pytest.approx(before["squared_bias"][0] - size * error**2, rel=1e-10)
    assert after["reference_norm"][0] == pytest.approx(math.sqrt(norm**2 - size * error**2), rel=1e-12)
    assert after["relative_bias"][1] > before["relative_bias"][1]
    assert all(math.isfinite(stderr) for _, stderr in after.values())


def test_what_is_known_exactly_has_no_standard_error():
    measured = el.measure(problem_of(), el.StraightThrough(), draws=DRAWS)
    for rows in measured.statistics().values():
        assert rows["reference_norm"][1] == 0
        assert rows["forward_passes"][1] == 0


# ---- the table


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("by", ["layer", "block", "network"])
def test_the_table_is_tidy_and_every_name_is_defined(method, by):
    measured = METHODS[method](problem_of(), el.MVE(0.5))
    table = measured.table(by)
    place = "block" if by == "block" else "layer"
    assert list(table.columns) == [
        "estimator",
        "parameters",
        "t",
        "method",
        "draws",
        place,
        "statistic",
        "value",
        "stderr",
        *(() if measured.groups is None else ("low", "high")),
    ]
    assert set(table.columns) <= COLUMNS.keys() | FIELDS.keys()
    assert set(table["statistic"]) <= set(STATISTICS)
    assert not table.duplicated([place, "statistic"]).any()
    assert set(table["estimator"]) == {"mve"}
    assert set(table["parameters"]) == {"t=0.5"}
    assert set(table["method"]) == {method}
    places = {"layer": ["0", "1", "head"], "block": list(measured.mean), "network": ["network"]}[by]
    assert list(table[place].unique()) == places
    assert (table["draws"] == 9984).all() if method == "monte_carlo" else table["draws"].isna().all()
    rows = table[table["statistic"] == "variance"]
    assert rows["value"].tolist() == [measured.statistics(by)[p]["variance"][0] for p in places]


def test_draws_are_rounded_down_to_whole_groups():
    assert el.measure(problem_of(), el.ZGR(), draws=1000).draws == 768


def test_an_unknown_place_is_refused():
    """Under the test run the annotation is executed too, and is the first to object."""
    with pytest.raises((EstimlabError, TypeError), match=r"'layer', 'block'.*'network'"):
        el.exact_moments(problem_of(), el.ZGR()).table("unit")

"""The benchmarks run, on sizes too small to say anything of speed, and what they compare agrees."""

import pytest

import estimlab as el
from benchmarks import engine, others, sampling, scaling
from benchmarks.networks import chain


@pytest.mark.slow
def test_a_row_says_what_was_compared():
    one = engine.against_dgemm(widths=(2, 3, 3))
    assert 0 < one.spread[0] <= one.ratio <= one.spread[1]
    assert "2-3-3" in one.name


def test_growth_is_put_beside_what_was_planned():
    measured, agreement = engine.growth(widths=(3,), rounds=3)
    assert measured.details["products_alone"] == 16
    assert agreement.ratio == pytest.approx(measured.ratio / agreement.details["planned"])


@pytest.mark.slow
def test_rates_of_draws(monkeypatch):
    monkeypatch.setattr(sampling, "MAPPED", 16)
    monkeypatch.setattr(sampling, "LOOPED", 2)
    rate, *ratios = sampling.throughput(draws=512, rounds=1)
    assert rate.unit == "draws per second"
    assert [one.name.split("over ")[1][:4] for one in ratios] == ["a lo", "vmap", "vmap"]
    assert "zgr" in sampling.family(draws=512, rounds=1).name


def test_the_figure_of_cost_is_drawn(tmp_path, monkeypatch):
    monkeypatch.setattr(scaling, "WIDTHS", (2, 8))
    monkeypatch.setattr(scaling, "DEPTHS", (2, 3))
    monkeypatch.setattr(scaling, "WIDTH", 3)
    scaling.draw(scaling.costs(), tmp_path / "cost")
    assert (tmp_path / "cost.pdf").stat().st_size > 5000


@pytest.mark.parametrize(("package", "make"), [("storch", others.storchastic), ("pyro", others.pyro_enumeration)])
def test_other_libraries_find_the_same_gradient(package, make):
    pytest.importorskip(package)
    problem = chain([2, 3])
    truth, found = el.LayerwiseEnumeration().gradient(problem).value, make(problem)()
    for name, value in truth.items():
        assert float((found[name] - value).abs().max()) < 1e-14

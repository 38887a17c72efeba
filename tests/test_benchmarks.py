"""The benchmarks run, on sizes too small to say anything of speed, and what they compare agrees."""

import pytest
import typer
from typer.testing import CliRunner

import estimlab as el
from benchmarks import against, engine, others, sampling, scaling
from benchmarks.__main__ import main
from benchmarks.networks import chain
from estimlab.errors import EstimlabError

command = typer.Typer()
command.command()(main)


@pytest.fixture
def repository():
    """Skip where the sources are no git checkout with a commit."""
    try:
        against.commit("HEAD")
    except EstimlabError:
        pytest.skip("not in a git repository")


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


@pytest.fixture(scope="module")
def this_checkout():
    with against.worker(against.ROOT) as one:
        yield one


@pytest.mark.parametrize("case", ["gradient 2-3 2", "gradient quadratic/v1 1", "moments 2-3 1", "draws 2-3 1"])
def test_a_worker_answers_a_case_with_its_seconds(this_checkout, case):
    assert 0 < this_checkout.seconds(case) < 600


def test_a_worker_that_fails_says_why():
    with (
        against.worker(against.ROOT) as one,
        pytest.raises(EstimlabError, match=r"failed at 'gradient nothing/v1 1'.*nothing/v1"),
    ):
        one.seconds("gradient nothing/v1 1")


def test_a_pair_of_checkouts_gives_a_row(this_checkout):
    with against.worker(against.ROOT) as other:
        one = against.compared("tiny", "gradient 2-3 1", this_checkout, other, rounds=3)
    assert 0 < one.spread[0] <= one.ratio <= one.spread[1]
    assert set(one.details["seconds"]) == {"old", "new"}


def test_the_package_of_a_revision_is_read(repository):
    with against.checked_out("HEAD") as folder, against.worker(folder) as old:
        assert old.seconds("gradient 2-3 1") > 0
    assert not folder.exists()
    said = against.sides("HEAD").splitlines()
    assert said[0].startswith("old: ")
    assert said[1].startswith("new: ")


@pytest.mark.parametrize("revision", ["no-such-thing", "--all", ""])
def test_a_wrong_revision_is_refused_in_a_sentence(revision):
    with pytest.raises(EstimlabError, match=rf"AGAINST={revision}: .* has no such revision\. Give a hash"):
        against.commit(revision)
    done = CliRunner().invoke(command, ["--against", revision])
    assert done.exit_code == 2
    assert "has no such revision" in done.output
    assert "Traceback" not in done.output


def test_parts_and_a_revision_are_not_mixed():
    done = CliRunner().invoke(command, ["toy", "--against", "HEAD"])
    assert done.exit_code == 2
    assert "leave the parts out" in done.output

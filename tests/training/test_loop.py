"""Training learns, stops at a NaN with the layer's name, and tells what goes on."""

import io
import math
from dataclasses import dataclass, replace
from typing import ClassVar
from unittest.mock import Mock

import pytest
import torch
from rich.console import Console
from rich.progress import Task
from torch import nn
from training_toys import small, trained

import estimlab as el
from estimlab.estimators import catalogue
from estimlab.training.configuration import Configuration, Execution
from estimlab.training.diagnostics import diagnose
from estimlab.training.evaluation import Accuracy, wilson
from estimlab.training.loop import train
from estimlab.training.recipes.digits import Digits
from estimlab.training.recipes.fashion import Fashion
from estimlab.training.run_progress import ImagesPerSecond, Live
from estimlab.training.trainee import Trainee


@pytest.mark.slow
def test_digits_are_learned_by_straight_through():
    session = train(Configuration(Digits(epochs=12), el.StraightThrough()), None, Execution(diagnose=False))
    found = {(row["mode"], row["draws"]): row for row in session.record.results}
    assert found["mean", 1]["accuracy"] > 0.93
    assert found["draws", 10]["accuracy"] > found["draws", 1]["accuracy"]
    assert found["mean", 1]["low"] < found["mean", 1]["accuracy"] < found["mean", 1]["high"]


@pytest.mark.parametrize("name", [cls.name for cls in catalogue()])
def test_every_estimator_trains_by_its_name(name):
    from estimlab.cli.loading import build_estimator

    session = trained(build_estimator(name, []), epochs=1, examples=50, widths=(6, 5))
    assert math.isfinite(session.record.metrics[0]["train_loss"])


def test_the_final_rate_is_reached_and_the_start_is_warm():
    recipe = small(learning_rate=0.1, final_rate=0.01, warmup=10)
    rates = [recipe.rate(step, 110) for step in range(111)]
    assert rates[0] == pytest.approx(0.01)
    assert rates[10] == pytest.approx(0.1)
    assert rates[60] == pytest.approx(0.0505)
    assert rates[110] == pytest.approx(0.001)


class Broken(nn.Linear):
    def forward(self, x):
        return super().forward(x) * math.inf


@pytest.mark.parametrize(("layer", "words"), [("0", "pre-activations of layer '0'"), ("head", "layer 'head'")])
def test_a_nan_names_its_layer(monkeypatch, layer, words):
    build = Digits.network

    def network(self, shape):
        chain = build(self, shape)
        if layer == "head":
            chain.head = Broken(chain.head.in_features, 10)
        else:
            chain.stages[0] = nn.Sequential(nn.Flatten(), Broken(64, self.widths[0]))
        return chain

    monkeypatch.setattr(Digits, "network", network)
    with pytest.raises(el.EstimlabError, match=words):
        trained()


def test_a_gradient_that_is_nan_names_its_block(monkeypatch):
    monkeypatch.setattr(
        el.StraightThrough, "derivative", lambda self, a, bit, uniform, law: torch.full_like(a, math.nan)
    )
    with pytest.raises(el.EstimlabError, match=r"gradient of 'stages\.1\.(weight|bias)'"):
        trained()


@pytest.mark.slow
def test_diagnoses_are_unbiased_for_the_moments_of_a_draw():
    """Variance and squared mean of two draws, averaged over many pairs, against the exact moments."""
    session = trained(el.StraightThrough(), epochs=1, widths=(6, 5))
    inputs, targets = session.examples("train", slice(20))
    rows = [diagnose(session.trainee, inputs, targets, 0, epoch) for epoch in range(300)]
    assert [row["layer"] for row in rows[0]] == ["0", "1", "head"]
    assert sum(row["relative_norm"] ** 2 for row in rows[0]) == pytest.approx(1, abs=1e-5)
    exact = el.exact_moments(
        el.Problem(session.trainee.network, el.CrossEntropy(), inputs, targets), el.StraightThrough()
    )
    for number, blocks in enumerate(session.trainee.layers().values()):
        variance = sum(float(exact.variance[block].sum()) for block in blocks)
        squared_mean = sum(float((exact.mean[block] ** 2).sum()) for block in blocks)
        for name, truth in (("variance", variance), ("squared_mean", squared_mean)):
            found = torch.tensor([row[number][name] for row in rows])
            assert abs(float(found.mean()) - truth) < 4.5 * float(found.std()) / len(rows) ** 0.5
            assert float(found.std()) / len(rows) ** 0.5 < 0.1 * truth  # precise enough to see a factor


def test_saturation_and_ratio_are_those_of_the_units():
    session = trained(epochs=1)
    with torch.no_grad():
        for stage in session.trainee.network.stages:
            for parameter in stage.parameters():
                parameter.zero_()
        session.trainee.network.stages[1].bias.fill_(6.0)
    inputs, targets = session.examples("train", slice(20))
    first, second, head = diagnose(session.trainee, inputs, targets, 0, 0)
    assert (first["ratio"], first["saturation"]) == (0.0, 0.0)
    assert (second["ratio"], second["saturation"]) == (36.0, 1.0)
    assert head["ratio"] is None


def test_wilsons_interval_is_the_published_one():
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)  # Newcombe 1998, method 3
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert Accuracy("mean", 1, 15, 148, 0.0).interval == pytest.approx((0.0624, 0.1605), abs=5e-5)


@dataclass(frozen=True)
class FirstFrozen(Fashion):
    """A recipe of a user: the first block keeps its values."""

    name: ClassVar[str] = "first_frozen"
    data: ClassVar[str] = "digits"

    def make_optimiser(self, network):
        first, *others = network.parameters()
        groups = [{"params": [first], "scale": 0.0}, {"params": others}]
        return torch.optim.SGD(groups, lr=1.0)

    def rate(self, step, steps):
        return 0.25


def test_a_recipe_may_choose_optimiser_and_schedule():
    recipe = FirstFrozen(epochs=1, examples=100, widths=(6, 5))
    session = train(Configuration(recipe, el.ZGR()))
    assert [group["lr"] for group in session.optimiser.param_groups] == [0.0, 0.25]
    torch.manual_seed(0)
    untrained = list(recipe.network(torch.Size((1, 8, 8))).parameters())
    equal = [torch.equal(p, q) for p, q in zip(session.trainee.parameters(), untrained, strict=True)]
    assert equal == [True, False, False, False, False, False]


def test_a_terminal_shows_a_bar_with_images_per_second():
    text = io.StringIO()
    train(Configuration(small(epochs=2), el.ZGR()), listener=Live(Console(file=text, force_terminal=True, width=150)))
    assert "epoch 1/2" in text.getvalue()
    assert "0/4" in text.getvalue()
    assert str(ImagesPerSecond(50).render(Mock(spec=Task, speed=20.0))) == "1,000 images/s"


def test_shared_sites_are_refused():
    class Shared(el.Chain):
        def sites(self, inputs):
            return tuple(replace(site, shared=True) for site in super().sites(inputs))

    chain = Shared([nn.Linear(3, 2)], nn.Linear(2, 2))
    with pytest.raises(el.EstimlabError, match="one state per example"):
        Trainee(chain, el.ZGR(), el.CrossEntropy(), torch.randn(4, 3), torch.arange(4) % 2)


def test_progress_says_images_per_second(capsys):
    train(Configuration(small(epochs=1), el.ZGR()), listener=Live())
    text = capsys.readouterr().err
    assert "digits-zgr-seed0" in text
    assert "images_per_second" in text
    assert "epoch 1/1" in text

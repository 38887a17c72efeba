"""Training on images: pixels, exact accuracy, and what is followed."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest
import torch

import estimlab as el
from estimlab.cells.makers import classifier
from estimlab.results.study import load_study

IMAGES = load_study(Path(__file__).parents[2] / "studies/images.py").module
SMALL = IMAGES.AlongTraining("digits", None, (), (0, 3), batch=20)


def test_pixels_are_averaged_and_scaled():
    images = torch.zeros(1, 1, 4, 4, dtype=torch.uint8)
    images[..., :2, :2] = 16
    images[..., 2:, 2] = 8
    assert SMALL._pixels(images, top=16).tolist() == [[1.0, -1.0, -1.0, -0.5]]


def test_expected_accuracy_is_that_of_drawn_states():
    generator = torch.Generator().manual_seed(3)
    network = classifier(16, generator)
    inputs, targets = torch.randn(5, 16, generator=generator, dtype=torch.float64) * 3, torch.arange(5)
    exact = {row["statistic"]: row["value"] for row in IMAGES._quality(network, inputs, targets)}["test_accuracy"]
    draws, state = 4000, inputs.repeat(4000, 1)
    for stage in network.stages:
        probability = torch.sigmoid(stage(state))
        high = torch.rand(probability.shape, generator=generator, dtype=torch.float64) < probability
        state = 2.0 * high.double() - 1
    hits = (network.head(state).argmax(1) == targets.repeat(draws)).double().reshape(draws, 5).mean(1)
    assert 0.02 < exact < 0.98
    assert abs(float(hits.mean()) - exact) < 5 * float(hits.std()) / math.sqrt(draws)


@pytest.mark.parametrize("trainer", [None, el.ZGR()])
def test_training_follows_what_it_says(trainer):
    torch.manual_seed(0)
    inputs, targets = torch.randn(60, 16, dtype=torch.float64), torch.arange(60) % 10
    cell = dataclasses.replace(SMALL, trainer=trainer, checkpoints=(0, 15))
    found = []
    for step, network in cell._networks(inputs, targets):
        truth = el.LayerwiseEnumeration().gradient(el.Problem(network, el.CrossEntropy(), inputs, targets))
        found.append((step, truth.objective))
    assert [step for step, _ in found] == [0, 15]
    assert found[1][1] < found[0][1]
    again = [p.detach().clone() for _, network in cell._networks(inputs, targets) for p in network.parameters()]
    once = [p.detach().clone() for _, network in cell._networks(inputs, targets) for p in network.parameters()]
    assert all(torch.equal(a, b) for a, b in zip(again, once, strict=True))

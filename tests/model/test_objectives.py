"""Values of the objectives against direct formulas, and what their checks refuse."""

import math

import networks
import numpy as np
import pytest
import torch

import estimlab as el
from estimlab.errors import EstimlabError
from estimlab.model.objectives import check_objective

OUTPUT = networks.normal(0, 4, 3)


def by_hand(formula, target=None):
    rows = OUTPUT.numpy()
    return torch.tensor([formula(*row) for row in (zip(rows, target) if target is not None else zip(rows))])  # noqa: B905


def test_cross_entropy():
    target = [2, 0, 0, 1]
    value = el.CrossEntropy()(OUTPUT, torch.tensor(target))
    expected = by_hand(lambda z, t: math.log(sum(math.exp(v) for v in z)) - z[t], target)
    assert torch.allclose(value, expected.double(), rtol=1e-6)
    assert float((value - expected).abs().max()) < 1e-14


@pytest.mark.parametrize("shape", [(4,), (4, 1)])
@pytest.mark.parametrize("dtype", [torch.long, torch.float64], ids=str)
def test_logistic_loss(shape, dtype):
    target = torch.tensor([1, -1, -1, 1], dtype=dtype)
    output = OUTPUT[:, 0].reshape(shape)
    value = el.LogisticLoss()(output, target)
    expected = [math.log1p(math.exp(-float(t) * float(z))) for z, t in zip(OUTPUT[:, 0], target, strict=True)]
    assert value.tolist() == pytest.approx(expected, rel=1e-14)


def test_logistic_loss_of_large_outputs():
    value = el.LogisticLoss()(torch.tensor([1e4, -1e4], dtype=torch.float64), torch.tensor([-1, -1]))
    assert value.tolist() == [1e4, 0.0]


def test_quadratic():
    rng = np.random.default_rng(0)
    a, b, t = rng.normal(size=(3, 3)), rng.normal(size=3), rng.normal(size=(4, 3))
    matrix, linear = tuple(map(tuple, a.tolist())), tuple(b.tolist())
    z, target = OUTPUT.numpy(), torch.from_numpy(t)
    cases = {
        el.Quadratic(): (None, (z**2).sum(1)),
        el.Quadratic(linear=linear): (target, ((z - t) ** 2).sum(1) + (z - t) @ b),
        el.Quadratic(matrix): (None, np.einsum("ni,ij,nj->n", z, a, z)),
        el.Quadratic(matrix, linear): (target, np.einsum("ni,ij,nj->n", z - t, a, z - t) + (z - t) @ b),
    }
    for objective, (goal, expected) in cases.items():
        np.testing.assert_allclose(objective(OUTPUT, goal), expected, rtol=1e-13, atol=1e-14)


def test_multilinear():
    objective = el.Multilinear(((2.0, (0, 2)), (-1.5, (1,)), (0.25, ())))
    z = OUTPUT.numpy()
    np.testing.assert_allclose(objective(OUTPUT, None), 2 * z[:, 0] * z[:, 2] - 1.5 * z[:, 1] + 0.25, rtol=1e-14)


@pytest.mark.parametrize("power", [1.0, 1.5, 2.0, 3.0])
def test_polynomial(power):
    z, weights = OUTPUT.numpy(), (0.2, -0.7, 1.1)
    np.testing.assert_allclose(el.Polynomial(power)(OUTPUT, None), np.abs(z.mean(1) - 0.45) ** power, rtol=1e-13)
    weighted = el.Polynomial(power, 0.1, weights)(OUTPUT, None)
    np.testing.assert_allclose(weighted, np.abs(z @ np.array(weights) - 0.1) ** power, rtol=1e-12)


def test_objectives_flatten_images():
    image = OUTPUT.reshape(4, 1, 1, 3)
    for objective in (el.Quadratic(), el.Multilinear(((1.0, (0, 2)),)), el.Polynomial()):
        assert torch.equal(objective(image, None), objective(OUTPUT, None))


REFUSED = {
    "class too high": (el.CrossEntropy(), OUTPUT, torch.tensor([0, 1, 2, 3]), r"0 \.\. 3.*3 outputs.*0 \.\. 2"),
    "class negative": (el.CrossEntropy(), OUTPUT, torch.tensor([0, 1, 2, -1]), r"-1 \.\. 2"),
    "float classes": (el.CrossEntropy(), OUTPUT, torch.zeros(4), "integer target.*float32"),
    "int32 classes": (el.CrossEntropy(), OUTPUT, torch.zeros(4, dtype=torch.int32), "torch.long"),
    "bool classes": (el.CrossEntropy(), OUTPUT, torch.zeros(4, dtype=torch.bool), "torch.long"),
    "one-hot classes": (
        el.CrossEntropy(),
        OUTPUT,
        torch.zeros(4, 3, dtype=torch.long),
        "one integer target per example",
    ),
    "no classes": (el.CrossEntropy(), OUTPUT, None, "are None"),
    "one output": (el.CrossEntropy(), OUTPUT[:, :1], torch.zeros(4, dtype=torch.long), "LogisticLoss"),
    "labels 0/1": (el.LogisticLoss(), OUTPUT[:, 0], torch.tensor([0, 1, 1, 0]), r"is 0.*2 \* labels - 1"),
    "labels 2": (el.LogisticLoss(), OUTPUT[:, 0], torch.tensor([1, 1, 2, -1]), "one of them is 2"),
    "bool labels": (el.LogisticLoss(), OUTPUT[:, 0], torch.tensor([True, False, True, False]), r"2 \* labels - 1"),
    "labels in a column": (el.LogisticLoss(), OUTPUT[:, :1], torch.ones(4, 1), "shape"),
    "no labels": (el.LogisticLoss(), OUTPUT[:, 0], None, "are None"),
    "three logits": (el.LogisticLoss(), OUTPUT, torch.ones(4), r"one output per example.*\(4, 3\)"),
    "target shape": (el.Quadratic(), OUTPUT, torch.ones(4), r"\(4,\).*\(4, 3\)"),
    "matrix size": (el.Quadratic(((1.0, 0.0), (0.0, 1.0))), OUTPUT, None, "3 rows of 3 numbers"),
    "linear size": (el.Quadratic(linear=(1.0,)), OUTPUT, None, "1 numbers, the output has 3"),
    "index too high": (el.Multilinear(((1.0, (0, 3)),)), OUTPUT, None, r"0 \.\. 3 for 3 outputs"),
    "index negative": (el.Multilinear(((1.0, (-1,)),)), OUTPUT, None, r"-1 \.\. -1 for 3 outputs"),
    "polynomial weights": (el.Polynomial(weights=(1.0,)), OUTPUT, None, "1 weights for 3 outputs"),
    "a mean": (lambda output, target: output.mean(), OUTPUT, None, r"returned \(\).*do not average"),
    "a column": (lambda output, target: output[:, :1], OUTPUT, None, r"returned \(4, 1\)"),
    "a number": (lambda output, target: 1.0, OUTPUT, None, "returned float"),
    "not finite": (lambda output, target: (output.sum(1) - 100).log(), OUTPUT, None, "not finite"),
}


def test_a_ragged_matrix_is_refused():
    with pytest.raises(EstimlabError, match=r"3 rows of \[3, 1, 1\] numbers; a matrix must be square"):
        el.Quadratic(((1.0, 0.0, 0.0), (0.0,), (0.0,)))


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused_with_the_fix(case):
    objective, output, target, message = REFUSED[case]
    with pytest.raises(EstimlabError, match=message):
        check_objective(objective, output, target)


@pytest.mark.parametrize(
    "build", [lambda: el.Multilinear(((1.0, (0, 0)),)), lambda: el.Polynomial(0.5), lambda: el.Polynomial(float("nan"))]
)
def test_objectives_that_are_not_what_they_say_are_refused(build):
    with pytest.raises(EstimlabError, match=r"repeats an index|at least 1|NaN"):
        build()

"""Deterministic and Gaussian relaxations: states replaced by their means, with or without variances."""

from __future__ import annotations

import abc
import math
from dataclasses import dataclass
from typing import Any, ClassVar, final

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from estimlab.errors import EstimlabError
from estimlab.estimators.base import Estimator, RelaxedForward
from estimlab.estimators.chains import linear_stages
from estimlab.estimators.claims import Claims
from estimlab.model.laws import NoiseLaw, PerUnit
from estimlab.model.problem import Problem
from estimlab.model.units import BinaryUnits
from estimlab.randomness.noise import Noise

PSA_CODE = "Shekhovtsov, Yanush & Flach 2020, arXiv 2006.03143"


@final
@dataclass(frozen=True)
class MeanField(RelaxedForward):
    """Mean field, "AP1" in the code of PSA (Shekhovtsov, Yanush & Flach 2020, arXiv 2006.03143).

    Deterministic: each state is its mean given the means below, ``low + (high - low) F(a)``, differentiated as it
    stands. For logistic noise a network of sigmoids, in -1/+1 coding and at scale 1/2 of tanhs. Exact within one layer
    for multilinear objectives; biased in deep networks, more so late in training; no variance. Cost: one forward and
    one backward pass.

    >>> import estimlab as el
    >>> problem = el.Problem(el.Chain([el.Logits([0.7])]), el.Polynomial(power=3))
    >>> round(el.quadrature_moments(problem, el.MeanField()).relative_bias["0"], 3)
    0.973
    """

    citation: ClassVar[str] = f"{PSA_CODE}, code (AP1)"
    reads_uniform: ClassVar[bool] = False

    def claims(self) -> Claims:
        """Exact for multilinear objectives, without noise."""
        return Claims(exact_degree=1, deterministic=True, draws_states=False)

    def activate(self, a: PerUnit, uniform: PerUnit, units: BinaryUnits) -> PerUnit:
        """The mean states; the uniforms are not read."""
        return units.state(units.law.cdf(a))


@dataclass(frozen=True)
class MomentPass(Estimator):
    """One pass of means and variances through a chain of linear stages, units taken as independent.

    Pre-activations have the mean ``W m + b`` and the variance ``v = W^2 V`` (none in the first layer). A unit's mean is
    ``low + (high - low) P`` and its variance ``(high - low)^2 P (1 - P)`` with ``P = F(z)``, where z depends on the
    member of the family. The head is taken at the means of the last layer. Differentiated as it stands.

    Needs an ``el.Chain`` whose stages after the first are ``nn.Linear``.
    """

    degree: ClassVar[float]

    def claims(self) -> Claims:
        """Exact for multilinear objectives of one layer."""
        return Claims(exact_degree=1, draws_states=False)

    @abc.abstractmethod
    def argument(self, a: PerUnit, v: PerUnit, u: PerUnit, law: NoiseLaw) -> PerUnit:
        """z, from mean a and variance v of the pre-activations and the site's uniforms u."""

    def surrogate(self, problem: Problem, noise: Noise) -> Float[Tensor, " batch"]:
        """The objective of one pass of means."""
        stages = linear_stages(problem, self)
        variance = torch.empty(0)

        def means(k: int, z: Tensor, carry: Any) -> Tensor:
            nonlocal variance
            units = problem.sites[k].units
            u = noise.uniform(k, 0, torch.full_like(z, 0.5), degree=self.degree if k > 0 else 0)
            if k > 0:
                v = functional.linear(variance, stages[k - 1].weight ** 2)
                z = self.argument(z, v, u, units.law)
            p, q = units.law.cdf(z), units.law.cdf(-z)
            variance = units.gap**2 * p * q
            return units.state(p)

        return problem.run(means)


@final
@dataclass(frozen=True)
class MomentPropagation(MomentPass):
    """Moment propagation, "AP2" in the code of PSA (Shekhovtsov, Yanush & Flach 2020, arXiv 2006.03143).

    Deterministic: ``P = F(a / sqrt(1 + v / v_Z))``, v_Z the variance of the noise: the law of ``a - Z`` is matched, in
    mean and variance, by the noise law itself. For logistic noise v_Z = pi^2/3, and this is the code's
    ``sigmoid(x pi / sqrt 3)`` of ``x = a / sqrt(v + pi^2/3)``; the form for other laws is our derivation, and exact
    for Gaussian noise and Gaussian pre-activations. The head is taken at the means, where the code draws its output
    (our reading). Biased; no variance.

    >>> import estimlab as el
    >>> a, v = torch.ones(2), torch.tensor([0.0, 3.0])
    >>> el.MomentPropagation().argument(a, v, a, el.Gaussian())
    tensor([1.0000, 0.5000])
    """

    citation: ClassVar[str] = f"{PSA_CODE}, code (AP2)"
    degree: ClassVar[float] = 0

    def claims(self) -> Claims:
        """Exact for multilinear objectives of one layer, without noise."""
        return Claims(exact_degree=1, deterministic=True, draws_states=False)

    def argument(self, a: PerUnit, v: PerUnit, u: PerUnit, law: NoiseLaw) -> PerUnit:
        """The mean, shrunk by the variance; the uniforms are not read."""
        if math.isinf(law.variance):
            raise EstimlabError(
                f"{self!r} matches the variance of the noise, and that of {law!r} is infinite. Use el.MeanField() or "
                "el.LocalReparametrization(), which serve any law."
            )
        return a / torch.sqrt(1 + v / law.variance)


@final
@dataclass(frozen=True)
class LocalReparametrization(MomentPass):
    """Local reparametrisation, our reading of the code of PSA (Shekhovtsov, Yanush & Flach 2020, arXiv 2006.03143).

    As moment propagation, but pre-activations are drawn, ``z = a + sqrt(v) eps`` with standard Gaussian eps, and the
    unit's own noise alone is integrated out, ``P = F(z)``; variances are those given the drawn z below. The first layer
    is deterministic, and so is the head, taken at the means where the code draws its output too. Biased.

    >>> import estimlab as el
    >>> a, v, above = torch.ones(2), torch.tensor([0.0, 4.0]), torch.full((2,), 0.8413447)
    >>> el.LocalReparametrization().argument(a, v, above, el.Logistic())
    tensor([1.0000, 3.0000])
    """

    citation: ClassVar[str] = f"{PSA_CODE}, code (LocalReparam); our reading"
    degree: ClassVar[float] = math.inf
    reads_uniform: ClassVar[bool] = True

    def argument(self, a: PerUnit, v: PerUnit, u: PerUnit, law: NoiseLaw) -> PerUnit:
        """A Gaussian draw."""
        varies = v > 0  # the root of zero has an infinite derivative, and infinity times zero is NaN
        return a + torch.where(varies, torch.sqrt(torch.where(varies, v, 1)), 0) * torch.special.ndtri(u)

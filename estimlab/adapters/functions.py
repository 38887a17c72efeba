"""Sampling functions of other people as estimators, unit by unit, without a change of their code.

A torch function ``pre-activations -> states`` with whatever backward rule is called on plain tensors: its states are
its output, its local factor what autograd returns for them, its noise ours. The function itself need not know of
``torch.vmap``; draws reach it as further leading dimensions.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, replace
from typing import ClassVar, final

import torch
from jaxtyping import Float
from torch import Tensor

from estimlab.adapters.calls import Call, Function, Interface, Probe, evaluate
from estimlab.adapters.interception import UnitNoise
from estimlab.arguments import described
from estimlab.errors import EstimlabError
from estimlab.estimators.base import ActivationEstimator, HardForward, RelaxedForward, replace_derivative
from estimlab.estimators.claims import Claims
from estimlab.model.laws import Logistic, NoiseLaw
from estimlab.model.units import BinaryUnits
from estimlab.randomness.noise import Noise


@dataclass(frozen=True)
class _Adapted(ActivationEstimator):
    """What the three kinds of adapted functions share.

    Attributes:
        function: the function.
        interface: what it takes, as in ``Call``.
        low: its output for the low state.
        high: its output for the high state.
        degree: claimed ``exact_degree``: up to which degree per unit one layer's gradient is exact.
        label: name in tables; the function's own by default.
        law: of its own noise. Under another law it is called at the pre-activation of equal probability; None: never.
    """

    reads_uniform: ClassVar[bool] = True

    function: Function
    interface: Interface = "logit"
    low: float = 0.0
    high: float = 1.0
    degree: float = 0
    label: str = ""
    law: NoiseLaw | None = Logistic()

    @property
    def call(self) -> Call:
        """The function with its interface."""
        return Call(self.function, self.interface, self.low, self.high)

    @property
    def name(self) -> str:  # type: ignore[override]
        """The label, or the function's own name."""
        return self.label or getattr(self.function, "__name__", type(self.function).__name__)

    def claims(self) -> Claims:
        """The degree, beside what the kind claims."""
        return replace(super().claims(), exact_degree=self.degree)

    def __post_init__(self) -> None:
        _ = self.probe  # what fails is refused where it is given

    @functools.cached_property
    def probe(self) -> Probe:
        """What the function does, found out once."""
        try:
            return Probe.of(self.call)
        except (EstimlabError, RuntimeError):
            raise
        except Exception as error:
            raise EstimlabError(
                f"{type(self).__name__}({described(self.function)}): it fails on pre-activations, "
                f"{type(error).__name__}: {error}. It must map a tensor of them to states, one per unit."
            ) from error

    def evaluate(self, a: Tensor, uniforms: Tensor, law: NoiseLaw) -> tuple[Tensor, Tensor]:
        """Bits and factors; ``uniforms`` with the channels last."""
        own, slope = self._translated(a.detach(), law)
        bits, factor = evaluate(own, uniforms, self.call)
        return bits, torch.where(factor == 0, 0, factor * slope)

    def _translated(self, a: Tensor, law: NoiseLaw) -> tuple[Tensor, Tensor]:
        """The pre-activation of the same probability under the function's own law, and its derivative."""
        if self.law is None or law == self.law:
            return a, torch.ones_like(a)
        return self.law.matched(a, law)

    def _uniforms(self, k: int, a: Tensor, law: NoiseLaw, noise: Noise) -> Tensor:
        """All channels alike; where several decide a hard state together, it jumps along a curve that nobody knows."""
        if not self.extra_channels:
            return super()._uniforms(k, a, law, noise)
        degree = math.nan if self.probe.hard else math.inf
        p = law.cdf(a)
        return torch.stack([noise.uniform(k, j, p, degree=degree) for j in range(1 + self.extra_channels)])

    def activate(
        self, a: Float[Tensor, "*shape"], uniform: Float[Tensor, "..."], units: BinaryUnits
    ) -> Float[Tensor, "*shape"]:
        """The function's states in the network's coding, with its own backward rule."""
        stacked = uniform.movedim(0, -1) if self.extra_channels else uniform[..., None]
        bits, factor = self.evaluate(a, stacked, units.law)
        bits = (bits > 0.5).to(bits) if self.probe.hard else bits
        return replace_derivative(a, units.state(bits), units.gap * factor)

    @property
    def extra_channels(self) -> int:
        """Uniforms per unit beyond the first."""
        return max(0, self.probe.channels - 1)


@final
@dataclass(frozen=True)
class SampledFunction(_Adapted, HardForward):
    """A function that draws hard states and has a backward rule of its own: ReinMax, a hard Gumbel-Softmax, ...

    A draw: the function's states, and its own local factor. Its law of the states is the function's; whether that is
    the problem's is a claim to test (``law_error``). Where one bit per unit is all that it draws, moments are exact
    (``el.exact_moments``), at any depth.

    >>> from estimlab.adapters.expressions import Expression
    >>> gumbel = Expression("torch.nn.functional.gumbel_softmax(a, hard=True)")
    >>> SampledFunction(gumbel, "two logits").extra_channels
    1
    """

    citation: ClassVar[str] = "the function's own"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.probe.hard or not self.probe.channels:
            kind = "draws nothing: use el.SpikeFunction" if self.probe.hard else "is relaxed: use el.RelaxedFunction"
            raise EstimlabError(
                f"SampledFunction({described(self.function)}): its output {kind}, or give its values as low and high."
            )

    @property
    def reads_uniform(self) -> bool:  # type: ignore[override]
        """Where the function draws more than one bit per unit."""
        return not self.probe.decides

    def claims(self) -> Claims:
        """The degree; states are those that channel 0 decides where one bit per unit is drawn."""
        return Claims(exact_degree=self.degree, draws_states=self.probe.decides)

    def derivative(
        self, a: Float[Tensor, "*shape"], bit: Float[Tensor, "*shape"], uniform: Float[Tensor, "..."], law: NoiseLaw
    ) -> Float[Tensor, "*shape"]:
        """The function's factor for a given bit, which the uniform is chosen to lead to."""
        if not self.probe.decides:  # channels beyond the first do not reach here alone
            raise EstimlabError(f"{self!r} draws more than one bit per unit: its factor is no function of the bit.")
        ends = torch.where(bit > 0.5, torch.finfo(a.dtype).tiny, 1 - torch.finfo(a.dtype).eps / 2)
        return self.evaluate(a, ends[..., None], law)[1]

    def derivative_moments(
        self, a: Float[Tensor, "*shape"], law: NoiseLaw
    ) -> tuple[Float[Tensor, "2 *shape"], Float[Tensor, "2 *shape"]]:
        """Factors given the bit; refused where the function draws more than the bit."""
        if not self.probe.decides:
            raise EstimlabError(f"{self!r} draws more than one bit per unit: use el.measure.")
        mean = torch.stack([self.derivative(a, torch.full_like(a, b), a, law) for b in (0.0, 1.0)])
        return mean, mean * mean

    def probability(self, a: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """P(high) as the function draws it, exactly.

        Errors:
            EstimlabError: it does not draw one bit per unit.
        """
        if not self.probe.decides:
            raise EstimlabError(f"{self!r} draws more than one bit per unit; its law is known by sampling only.")
        noise = UnitNoise(tuple(a.shape))
        self.call.evaluate(a, noise)
        return noise.bits[0].reshape(a.shape).to(a.dtype)

    def law_error(self, a: Float[Tensor, "*shape"], law: NoiseLaw) -> float:
        """Largest difference between the function's P(high) and the law's."""
        return float((self.probability(a) - law.cdf(a)).abs().max())


@final
@dataclass(frozen=True)
class RelaxedFunction(_Adapted, RelaxedForward):
    """A function whose states are relaxed, differentiated by its own rule: Gumbel-Softmax, binary Concrete, ...

    >>> from estimlab.adapters.expressions import Expression
    >>> relaxed = RelaxedFunction(Expression("torch.sigmoid(a + torch.rand_like(a).logit())"))
    >>> relaxed.extra_channels, relaxed.claims().draws_states
    (0, False)
    """

    citation: ClassVar[str] = "the function's own"


@final
@dataclass(frozen=True)
class SpikeFunction(_Adapted, HardForward):
    """A deterministic step with a surrogate derivative: spike functions of snnTorch, Norse, SpikingJelly.

    The function's backward rule, a bump h(a), is judged with states drawn from the problem's noise (escape noise, a
    spiking neuron's own): straight-through with proxy h, exact within one layer for multilinear objectives if and only
    if h is the density of the noise (Gygax & Zenke 2024, arXiv 2404.14964). The step is not used, but must be one.

    >>> import estimlab as el
    >>> step = el.Expression("(a > 0).to(a) + torch.sigmoid(a) - torch.sigmoid(a).detach()")
    >>> problem = el.problems.load("quadratic/v1")
    >>> round(el.exact_moments(problem, el.SpikeFunction(step)).relative_bias["0"], 3)
    0.417
    """

    citation: ClassVar[str] = "Gygax & Zenke 2024, arXiv 2404.14964"
    reads_uniform: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.probe.hard:
            raise EstimlabError(
                f"SpikeFunction({described(self.function)}): its output is no step between low and high."
            )

    def activate(
        self, a: Float[Tensor, "*shape"], uniform: Float[Tensor, "..."], units: BinaryUnits
    ) -> Float[Tensor, "*shape"]:
        """Drawn states, with the function's bump."""
        return HardForward.activate(self, a, uniform, units)

    def _uniforms(self, k: int, a: Tensor, law: NoiseLaw, noise: Noise) -> Tensor:
        return HardForward._uniforms(self, k, a, law, noise)

    @property
    def extra_channels(self) -> int:
        """Those that the function takes, for a random bump; the first uniform of all decides the state."""
        return self.probe.channels

    def derivative(
        self, a: Float[Tensor, "*shape"], bit: Float[Tensor, "*shape"], uniform: Float[Tensor, "..."], law: NoiseLaw
    ) -> Float[Tensor, "*shape"]:
        """h(a)."""
        uniforms = uniform.movedim(0, -1) if self.probe.channels else torch.zeros_like(a)[..., None]
        return self.evaluate(a, uniforms, law)[1]

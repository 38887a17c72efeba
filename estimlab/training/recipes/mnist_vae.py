"""A variational autoencoder with binary latents on MNIST: its bound is what estimators are compared by."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar, Literal, final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from estimlab.errors import EstimlabError
from estimlab.model.laws import Logistic
from estimlab.model.network import StochasticNetwork
from estimlab.model.objectives import Objective
from estimlab.model.units import BinaryUnits, Site
from estimlab.training.counter_noise import EVALUATION, row_keys
from estimlab.training.recipes.layers import scaled_linear
from estimlab.training.recipes.recipe import Recipe
from estimlab.training.trainee import evaluation_mode, hard


class Autoencoder(StochasticNetwork):
    """Encoder, binary latents, decoder. The output holds what the bound is made of: pixels' logits, a, state.

    Args:
        sizes: pixels, hidden widths of the encoder (leaky rectifiers, 0.1), latents; the decoder mirrors it.
        units: of the latents.

    >>> network = Autoencoder((784, 16, 8), BinaryUnits())
    >>> network.sites(None)[0].size, list(network.layers())
    (8, ['encoder', 'decoder'])
    """

    def __init__(self, sizes: tuple[int, ...], units: BinaryUnits):
        super().__init__()
        self.units, self.latents = units, sizes[-1]
        self.encoder, self.decoder = _perceptron(sizes), _perceptron(sizes[::-1])

    def sites(self, inputs: Tensor | None) -> tuple[Site, ...]:
        """One layer of latents."""
        return (Site((self.latents,), self.units),)

    def initial(self, inputs: Tensor | None) -> Any:
        """The image."""
        assert inputs is not None
        return inputs.flatten(1)

    def preactivation(self, k: int, carry: Any) -> tuple[Tensor, Any]:
        """Of the latents; the carry becomes the pre-activations themselves."""
        a = self.encoder(carry)
        return a, a

    def advance(self, k: int, carry: Any, state: Tensor) -> Any:
        """Pre-activations and states."""
        return carry, state

    def output(self, carry: Any) -> Tensor:
        """Logits of the pixels, pre-activations and states of the latents, side by side."""
        a, state = carry
        return torch.cat((self.decoder(state), a, state), 1)

    def layers(self) -> dict[str, tuple[str, ...]]:
        """The encoder feeds the latents; the decoder is the head."""
        names = [name for name, _ in self.named_parameters()]
        return {part: tuple(name for name in names if name.startswith(part)) for part in ("encoder", "decoder")}


def _perceptron(sizes: tuple[int, ...]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for m, n in pairwise(sizes):
        layers += [scaled_linear(m, n), nn.LeakyReLU(0.1)]
    return nn.Sequential(*layers[:-1])


@final
@dataclass(frozen=True)
class NegativeBound(Objective):
    """``-log p(x | z) + KL(q(z | x) | p(z))`` in nats, p(z) uniform: minus the evidence lower bound at one draw of z.

    The divergence is in closed form, ``sum q log q + (1 - q) log(1 - q) + log 2`` per latent.

    Attributes:
        units: of the latents.
        latents: their number.

    >>> bound_of = NegativeBound(BinaryUnits(), latents=3)
    >>> certain = torch.tensor([[0.0, 0.0, 90.0, 90.0, 90.0, 1.0, 1.0, 1.0]])
    >>> f"{bound_of(certain, torch.ones(1, 2)).item() / math.log(2):.3f}"
    '5.000'
    """

    units: BinaryUnits
    latents: int

    def __call__(self, output: Tensor, target: Tensor | None) -> Float[Tensor, " batch"]:
        """Value per example; the target is the image."""
        logits, a, _ = self._parts(output)
        law = self.units.law
        high, low = law.cdf(a), law.cdf(-a)
        divergence = (high * law.log_cdf(a) + low * law.log_cdf(-a) + math.log(2)).sum(1)
        return divergence - _log_likelihood(logits, target)

    def log_weight(self, output: Tensor, target: Tensor | None) -> Float[Tensor, " batch"]:
        """``log p(x, z) - log q(z | x)`` of the drawn z."""
        logits, a, state = self._parts(output)
        side = torch.where(self.units.bit(state) > 0.5, a, -a)
        return _log_likelihood(logits, target) - (self.units.law.log_cdf(side) + math.log(2)).sum(1)

    def check(self, output: Tensor, target: Tensor | None) -> None:
        """The target must be an image of as many pixels as there are logits."""
        pixels = output.shape[1] - 2 * self.latents
        if target is None or target[0].numel() != pixels:
            raise EstimlabError(f"NegativeBound: the target must be the image, {pixels} pixels per example.")

    def _parts(self, output: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        output = output.float() if output.dtype != torch.float64 else output
        sizes = (output.shape[1] - 2 * self.latents, self.latents, self.latents)
        logits, a, state = output.split(sizes, 1)
        return logits, a, state


def _log_likelihood(logits: Tensor, target: Tensor | None) -> Tensor:
    assert target is not None
    image = target.flatten(1).to(logits.dtype)
    return -functional.binary_cross_entropy_with_logits(logits, image, reduction="none").sum(1)


@final
@dataclass(frozen=True)
class MnistVae(Recipe):
    """784 pixels, two layers of leaky rectifiers, 200 latents of -1/+1, and back; uniform prior.

    Attributes:
        pixels: ``binarized``, Larochelle's fixed bits; or ``grey``, grey values as probabilities of a pixel, whose
            bound is not comparable with that of bits.
        hidden: widths of the layers between pixels and latents.
        latents: number of binary latents.
        samples: draws of the tighter bound that is evaluated at the end.

    >>> recipe = MnistVae(hidden=(16,), latents=8)
    >>> recipe.source(), recipe.network(torch.Size([1, 28, 28])).sites(None)[0].size
    ('binarized_mnist', 8)
    """

    name: ClassVar[str] = "mnist_vae"
    summary: ClassVar[str] = "MNIST (fixed bits, or grey), autoencoder with 200 binary latents; minutes on a GPU"
    data: ClassVar[str] = "binarized_mnist"

    epochs: int = 200
    batch_size: int = 200
    learning_rate: float = 1e-3
    final_rate: float = 0.05
    pixels: Literal["binarized", "grey"] = "binarized"
    hidden: tuple[int, ...] = (512, 256)
    latents: int = 200
    samples: int = 100

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.pixels not in ("binarized", "grey"):
            raise EstimlabError(f"MnistVae(pixels={self.pixels!r}): 'binarized' or 'grey'.")

    @property
    def units(self) -> BinaryUnits:
        """Of the latents: -1/+1, logistic noise of scale 1."""
        return BinaryUnits(Logistic())

    def source(self) -> str:
        """Bits or grey values."""
        return "binarized_mnist" if self.pixels == "binarized" else "mnist"

    def network(self, shape: torch.Size) -> StochasticNetwork:
        """The autoencoder."""
        return Autoencoder((shape.numel(), *self.hidden, self.latents), self.units)

    def objective(self) -> Objective:
        """Minus the bound."""
        return NegativeBound(self.units, self.latents)

    def target(self, inputs: Tensor, targets: Tensor | None) -> Tensor:
        """The image itself, 0 to 1."""
        return (inputs + 1) / 2

    def start(self, network: StochasticNetwork, inputs: Tensor) -> None:
        """The decoder begins at each pixel's mean over the first batch."""
        assert isinstance(network, Autoencoder)
        mean = self.target(inputs, None).flatten(1).mean(0).clamp(0.01, 0.99)
        last = network.decoder[-1]
        assert isinstance(last, nn.Linear)
        with torch.no_grad():
            last.bias.copy_(torch.logit(mean))

    def judge(self, session: Any) -> dict[str, Any]:
        """Minus the bound on the test set, one draw per image."""
        return {"test_bound": bound(session, 1)[0]}

    def judge_finally(self, session: Any) -> list[dict[str, Any]]:
        """Minus the bounds of one draw and of many (Burda et al. 2016, arXiv 1509.00519), in nats."""
        rows = []
        for draws in (1, self.samples):
            value, error = bound(session, draws)
            rows.append({"bound": f"minus log p(x), {draws} draws", "nats": value, "stderr": error})
        return rows


def bound(session: Any, draws: int, split: str = "test") -> tuple[float, float]:
    """Minus the mean over images of ``log mean_k w_k``, and its standard error over the images."""
    trainee, found, start = session.trainee, [], 0
    with evaluation_mode(trainee), session.autocast():
        for inputs, targets in session.batches(split):
            positions = torch.arange(start, start + len(inputs), device=inputs.device)
            total = torch.full((len(inputs),), -math.inf, device=inputs.device)
            for draw in range(draws):
                states = hard(trainee.sites, row_keys(session.seed, EVALUATION + draw, positions))
                output = trainee.network.run(inputs, states, 1)
                total = torch.logaddexp(total, trainee.objective.log_weight(output, targets).float())
            found.append(math.log(draws) - total)
            start += len(inputs)
    values = torch.cat(found).double()
    return float(values.mean()), float(values.std() / len(values) ** 0.5)

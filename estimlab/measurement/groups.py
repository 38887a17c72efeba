"""Moments of disjoint groups of draws: what the jackknife makes standard errors of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from estimlab.draws import Moments, in_rows


@dataclass(frozen=True, eq=False)
class Groups:
    """Moments of disjoint groups of draws: what standard errors are made of.

    Attributes:
        count: draws of each group.
        mean: per block, mean of each group.
        square: per block, sum of squared deviations from the group's mean.
        sums: per layer, sums over a group's draws of quantities that are not functions of moments:
            ``mean_cosine`` and ``sign_correct``, (groups,) each.
    """

    count: Float[Tensor, " groups"]
    mean: dict[str, Float[Tensor, "groups ..."]]
    square: dict[str, Float[Tensor, "groups ..."]]
    sums: dict[str, dict[str, Float[Tensor, " groups"]]]

    @classmethod
    def empty(cls, number: int, like: Mapping[str, Tensor], layers: Iterable[str]) -> Groups:
        """Groups without draws, for blocks of the shapes given."""
        device = next(iter(like.values())).device
        count = torch.zeros(number, dtype=torch.float64, device=device)
        mean = {name: count.new_zeros(number, *value.shape) for name, value in like.items()}
        square = {name: torch.zeros_like(value) for name, value in mean.items()}
        sums = {layer: {n: torch.zeros_like(count) for n in ("mean_cosine", "sign_correct")} for layer in layers}
        return cls(count, mean, square, sums)

    def group(self, number: int) -> Moments:
        """Moments of the draws of one group."""
        mean = {name: block[number] for name, block in self.mean.items()}
        square = {name: block[number] for name, block in self.square.items()}
        sums = {layer: {name: value[number] for name, value in found.items()} for layer, found in self.sums.items()}
        return Moments(float(self.count[number]), mean, square, sums)

    def add(self, number: int, chunk: Moments) -> None:
        """Merge a chunk of draws into a group."""
        both = self.group(number).merge(chunk)
        self.count[number] = both.count
        for name in self.mean:
            self.mean[name][number] = both.mean[name]
            self.square[name][number] = both.square[name]
        for layer, found in self.sums.items():
            for name in found:
                found[name][number] = both.sums[layer][name]

    def total(self, name: str) -> tuple[Tensor, Tensor]:
        """Mean and sum of squared deviations of all draws of a block (Chan, Golub & LeVeque 1979)."""
        count = self.count.reshape(-1, *(1,) * (self.mean[name].ndim - 1))
        mean = (count * self.mean[name]).sum(0) / count.sum()
        return mean, self.square[name].sum(0) + (count * (self.mean[name] - mean) ** 2).sum(0)

    def leave_one_out(self, name: str) -> tuple[Tensor, Tensor]:
        """Mean and variance of a block with each group left out in turn, (groups, coordinates)."""
        mean, square = (t.flatten() for t in self.total(name))
        count, group_mean, group_square = self.count[:, None], in_rows(self.mean[name]), in_rows(self.square[name])
        total = count.sum()
        left = total - count
        rest = (total * mean - count * group_mean) / left
        deviations = square - group_square - count * (group_mean - mean) ** 2 * total / left
        return rest, deviations.clamp(min=0) / (left - 1)

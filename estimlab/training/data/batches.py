"""Batches on the device: which examples, in which order, scaled and moved about."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from torch.nn import functional

from estimlab.errors import EstimlabError
from estimlab.training.counter_noise import AUGMENTATION, uniforms, words


def shuffled(examples: int, seed: int, epoch: int, device: torch.device | str = "cpu") -> Int[Tensor, " examples"]:
    """The order of an epoch, a function of the seed and of the number of the epoch.

    >>> first, second = shuffled(5, seed=0, epoch=0), shuffled(5, seed=0, epoch=1)
    >>> torch.equal(first, second), sorted(first.tolist())
    (False, [0, 1, 2, 3, 4])
    """
    bits = np.random.PCG64(np.random.SeedSequence((seed, epoch)))
    order = np.random.Generator(bits).permutation(examples)
    return torch.from_numpy(order).to(device)


def scaled(
    images: UInt8[Tensor, "batch channels height width"], top: int
) -> Float[Tensor, "batch channels height width"]:
    """Bytes from 0 to ``top`` as numbers from -1 to 1.

    >>> scaled(torch.tensor([0, 16], dtype=torch.uint8).reshape(2, 1, 1, 1), top=16).flatten().tolist()
    [-1.0, 1.0]
    """
    return images.float() * (2 / top) - 1


def flip_and_crop(
    images: Float[Tensor, "batch channels height width"], rows: Int[Tensor, "batch 2"], pad: int = 4
) -> Float[Tensor, "batch channels height width"]:
    """Mirror every other image, pad by -1 (black) and cut a window at random: all images at once, on their device.

    Args:
        images: scaled to [-1, 1].
        rows: keys of the examples, which decide what is done to each of them.
        pad: pixels on every side; the window moves by -pad to pad in both directions.
    """
    if pad < 0:
        raise EstimlabError(f"flip_and_crop(pad={pad}): a number of pixels, 0 or more.")
    batch, _, height, width = images.shape
    down, right, side = uniforms(rows, words(AUGMENTATION), (3,)).split(1, 1)
    offsets = 2 * pad + 1
    y = torch.arange(height, device=images.device) + (down * offsets).long()
    x = torch.arange(width, device=images.device).expand(batch, width)
    mirrored = torch.where(side < 0.5, x, width - 1 - x)
    x = mirrored + (right * offsets).long()
    padded = functional.pad(images, (pad,) * 4, value=-1.0)
    pixels = padded.permute(0, 2, 3, 1)
    example = torch.arange(batch, device=images.device)[:, None, None]
    return pixels[example, y[:, :, None], x[:, None, :]].permute(0, 3, 1, 2)

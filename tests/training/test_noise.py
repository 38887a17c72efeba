"""Counter-based uniforms: their law, their independence of everything but their keys."""

import numpy as np
import pytest
import torch
from scipy import stats

import estimlab as el
from estimlab.training.counter_noise import CounterNoise, mix, row_keys, uniforms, words

SHAPE = (4, 8, 8)


def sample(seed=0, step=5, site=3, channel=0, batch=256, start=0, shape=SHAPE):
    return uniforms(row_keys(seed, step, torch.arange(start, start + batch)), words(site, channel), shape)


def correlation(a, b):
    """In standard errors."""
    return abs(float(np.corrcoef(a.flatten().numpy(), b.flatten().numpy())[0, 1])) * a.numel() ** 0.5


def test_uniforms_are_uniform_and_inside(seed):
    u = sample(seed)
    assert float(u.min()) > 0
    assert float(u.max()) < 1
    assert stats.kstest(u.flatten().numpy(), "uniform").pvalue > 1e-4
    for bits in (u * 4096, (u * 2.0**23) % 4096):  # leading and trailing bits
        assert stats.chisquare(torch.bincount(bits.long().flatten(), minlength=4096).numpy()).pvalue > 1e-4


def test_neighbours_and_neighbouring_keys_are_uncorrelated(seed):
    u = sample(seed)
    others = [sample(seed + 1), sample(seed, step=6), sample(seed, site=4), sample(seed, channel=1)]
    pairs = [(u, other) for other in others] + [(u[1:], u[:-1]), (u[:, 1:], u[:, :-1]), (u[..., 1:], u[..., :-1])]
    assert all(correlation(a, b) < 4.5 for a, b in pairs)
    assert all(correlation(a**2, b**2) < 4.5 for a, b in pairs)


def test_a_part_of_the_batch_and_a_larger_layer_have_the_same_noise():
    assert torch.equal(sample()[100:], sample(start=100, batch=156))
    assert torch.equal(sample(shape=(10,)), sample(shape=(20,))[:, :10])


def test_the_hash_is_that_of_unbounded_integers():
    """int32 products must wrap, and shifts must bring zeros in, also for negative numbers."""

    def exact(x, key):
        x = ((x ^ (x >> 17)) * 0xED5AD4BB) % 2**32
        x = (((x ^ (x >> 11)) * 0xAC4C1B51) + key) % 2**32
        x = ((x ^ (x >> 15)) * 0x31848BAB) % 2**32
        return x ^ (x >> 14)

    numbers = np.random.default_rng(0).integers(0, 2**32, 1000)
    found = mix(torch.from_numpy(numbers.astype(np.uint32).view(np.int32)), 77)
    assert [exact(int(x), 77) for x in numbers] == found.numpy().view(np.uint32).tolist()


def test_it_serves_estimators_as_noise():
    chain = el.Chain([torch.nn.Linear(3, 5), torch.nn.Linear(5, 4)], torch.nn.Linear(4, 2))
    problem = el.Problem(chain, el.CrossEntropy(), torch.randn(6, 3), torch.arange(6) % 2)
    noise = CounterNoise(row_keys(0, 0, torch.arange(6)))
    assert el.ARM().surrogate(problem, noise).shape == (6,)
    with pytest.raises(el.EstimlabError, match="asked for twice"):
        noise.uniform(0, 0, torch.rand(6, 5))

"""What a program sets once for all of torch, and the generators that all of it shares."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


def settings_of_torch() -> dict[str, Any]:
    """What a program sets once for all of torch."""
    return {
        "torch's default dtype": torch.get_default_dtype(),
        "torch's grad mode": torch.is_grad_enabled(),
        "torch's number of threads": torch.get_num_threads(),
        "torch's deterministic algorithms": torch.are_deterministic_algorithms_enabled(),
        "torch's anomaly detection": torch.is_anomaly_enabled(),
    }


@contextmanager
def kept() -> Iterator[None]:
    """Put torch's settings back afterwards: one estimator must not spoil what is judged next."""
    before = settings_of_torch()
    try:
        yield
    finally:
        if settings_of_torch() != before:
            torch.set_default_dtype(before["torch's default dtype"])
            torch.set_grad_enabled(before["torch's grad mode"])
            torch.set_num_threads(before["torch's number of threads"])
            torch.use_deterministic_algorithms(before["torch's deterministic algorithms"])
            torch.autograd.set_detect_anomaly(before["torch's anomaly detection"])


def generators() -> dict[str, bytes]:
    """States, but that of ``random``, from which type checkers draw: whoever draws from it repeats no gradient."""
    numbers = np.random.get_state(legacy=False)  # noqa: NPY002 - whether the global generator is used is the question
    return {
        "torch": bytes(torch.random.get_rng_state().numpy()),
        "numpy": repr(numbers["state"]).encode() + bytes(numbers["state"]["key"]),
    }

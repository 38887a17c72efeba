"""The temperature of the relaxation of a binary unit, ``zeta_tau(v) = F(v / tau)`` of ``v = a - Z``."""

from __future__ import annotations

import math

from estimlab.errors import EstimlabError


def check_temperature(
    who: str, temperature: float, limit: str = "for the limit at zero temperature use el.ZGR()"
) -> None:
    """Raise unless the temperature is a positive number; ``limit`` says what to do instead."""
    if not (math.isfinite(temperature) and temperature > 0):
        raise EstimlabError(f"{who}(temperature={temperature!r}): the temperature must be a positive number; {limit}.")

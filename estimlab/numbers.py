"""Numbers as a paper prints them."""

from __future__ import annotations

import math


def with_error(value: float, stderr: float) -> str:
    """A value with its standard error.

    ``0.123`` where it is exact, ``0.12(3)`` where the last digit is uncertain by 3, nothing where it is missing.

    >>> with_error(0.12345, 0.0), with_error(0.12345, 0.03), with_error(412.3, 21.0), with_error(math.nan, 0.0)
    ('0.123', '0.12(3)', '412(21)', '')
    """
    if math.isnan(value):
        return ""
    if not 0 < stderr < math.inf:
        return f"{value:.3g}"
    if not 1e-3 <= (size := max(abs(value), stderr)) < 1e5:
        power = math.floor(math.log10(size))
        return f"{with_error(value / 10.0**power, stderr / 10.0**power)}e{power:d}"
    digits = max(0, -math.floor(math.log10(stderr)))
    if round(stderr * 10**digits) == 10:  # 0.0096 rounds to 0.01: one digit fewer
        digits = max(0, digits - 1)
    return f"{value:.{digits}f}({round(stderr * 10**digits)})"


def is_number(text: str) -> bool:
    """Whether a text is a number's."""
    try:
        float(text)
    except ValueError:
        return False
    return True

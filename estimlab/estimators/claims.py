"""What is claimed of an estimator, as a value."""

from __future__ import annotations

import inspect
import math
from dataclasses import dataclass, fields
from typing import Any, Literal, final

from estimlab.declared import Declared
from estimlab.errors import EstimlabError


@final
@dataclass(frozen=True)
class Claims(Declared):
    """What is claimed of an estimator's gradients; every claim has a test. By default the least that one can ask.

    Attributes:
        exact_degree: largest degree, per unit, of an objective for which the gradient of one layer is exact; infinity
            for an unbiased estimator, 0 (no claim) where not even linear objectives are exact. By default 1, the least
            that one can ask: it shows a wrong sign and a wrong scale.
        unbiased: in which layers of a deep network the estimate is unbiased whatever the objective. An estimate is one
            of the gradient by the parameters: what is a derivative by a probability or a mean (of a state, of a weight)
            is multiplied by F', or by ``(high - low) F'``, in the surrogate.
        reads_extension: whether the objective is evaluated or differentiated off the corners of the hypercube.
        bounded_variance: whether the variance stays bounded as the temperature goes to zero; None without one.
        deterministic: whether a draw does not depend on the noise: units are not drawn, the variance is zero.
        draws_states: whether a draw evaluates the objective at states drawn from the network, and nothing else of it;
            false where units are relaxed, or not drawn.

    Errors:
        EstimlabError: a degree below zero, or another word.

    >>> import estimlab as el
    >>> el.StraightThrough().claims().exact_degree, el.StraightThrough("tanh").claims().exact_degree
    (1, 0)
    """

    exact_degree: float = 1
    unbiased: Literal["all layers", "last layer", "nowhere"] = "nowhere"
    reads_extension: bool = True
    bounded_variance: bool | None = None
    deterministic: bool = False
    draws_states: bool = True

    def __post_init__(self) -> None:
        if self.exact_degree < 0:
            raise EstimlabError(
                f"Claims(exact_degree={self.exact_degree!r}): a degree is at least 0, which claims nothing; math.inf "
                "claims every degree."
            )


def refuse_attributes(cls: type) -> None:
    """Raise where the body of a class gives claims, which ``claims`` returns."""
    body = vars(cls)
    given = [field.name for field in fields(Claims) if field.name in body or field.name in inspect.get_annotations(cls)]
    if given:
        values = [body.get(name, ...) for name in given]
        shown = ", ".join(f"{name}={_written(value)}" for name, value in zip(given, values, strict=True))
        raise EstimlabError(
            f"class {cls.__name__}: {' and '.join(given)} cannot be given as an attribute of the class, as claims are "
            f"what the method claims() returns. Write: def claims(self): return el.Claims({shown})."
        )


def _written(value: Any) -> str:
    """A claim as code; dots where it is none."""
    if value == math.inf:
        return "math.inf"
    return repr(value) if isinstance(value, bool | int | float | str | None) else "..."

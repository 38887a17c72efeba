"""What is said of a part of a problem that is no function of one example, for each reason."""

from __future__ import annotations

from estimlab.errors import ImpureError, Impurity

_MESSAGES = {
    Impurity.WRITES: "writes into what it is given{detail}. The same states are read again elsewhere, and gradients "
    "would be wrong without a word: set inplace=False there, or begin with a copy, input.clone().",
    Impurity.DRAWS: "draws random numbers{detail}. Every stage, the head and the objective must be functions: call "
    "network.eval() for what is random in training only, and make drawn units a layer of their own (units=...).",
    Impurity.UNREPEATABLE: "gives another result at a second call on the same states{detail}: it draws random numbers, "
    "or keeps state between calls. Write it as a function of its argument alone.",
    Impurity.COUPLES: "couples examples{detail}: an example alone gets another result than among others. Let every "
    "operation act on one example (no mean over the first dimension, no statistics of the batch), and reduce nothing "
    "over the batch.",
}


def impure(reason: Impurity, name: str, detail: str = "", where: str = "") -> ImpureError:
    """The refusal of a part of a problem that is no function of one example; ``where`` is the module."""
    message = _MESSAGES[reason].format(detail=f" ({detail})" if detail else "")
    return ImpureError(f"Problem: {name[0].lower()}{name[1:]} {message}", reason, where or name)

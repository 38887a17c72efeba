"""What to write instead, for the faults that are made most often."""

from __future__ import annotations

from dataclasses import replace

from estimlab.checks.report import Row

TAIL = (
    "where P is close to 0 or 1, write law.score(a) for density / probability, law.log_cdf(a) for log P, "
    "and law.cdf(-a) for 1 - P; torch.where does not stop a NaN in the branch that is not taken"
)
NOISE = "draw by noise.uniform(site, channel, probability), channel 1, 2, ... for further noise, not by torch or numpy"
MAPPED = (
    "write for torch.vmap: torch.where(condition, x, y) in place of `if` on a tensor, x = x + y in place of x += y, "
    "no .item(), no .numpy()"
)
IN_PLACE = (
    "write x = x + y in place of x += y, torch.where(mask, y, x) in place of x[mask] = y; no .data, no .backward()"
)
STATE = "an estimator is a value: compute in the call what is needed there, and make a field of what is chosen"

BY_CLAIM = {
    "one value per example": "return problem.value(...) or what has its shape, (batch,); the mean is taken outside",
    "type of the network": "make tensors like those given: torch.zeros_like(a), a.new_tensor(2.0), not torch.zeros(3)",
    "finite": TAIL,
    "finite where units are certain": TAIL,
    "no global randomness": NOISE,
    "no state between calls": f"{STATE}; what is random comes from noise.uniform(site, channel, probability)",
    "changes nothing": IN_PLACE,
    "draw i depends on noise i only": "reduce over units, never over dimension 0, in which the examples of a batch lie",
    "draws can be mapped": MAPPED,
    "declared cost = counted cost": "define cost(depth): the passes of layers that a draw makes of a network so deep",
    "is a value": "write @dataclass(frozen=True) above the class, and fields of numbers, texts, tuples and such values",
    "reads values only": "claim reads_extension=True, or evaluate problem.value(...) below torch.no_grad()",
    "visits the network's states": "draw states by u < law.cdf(a) with u of channel 0, or claim draws_states=False",
}
BY_CAUSE = {
    "batch": "return one value per example and divide by no number of examples: the mean is taken outside",
    "law": "take density, cdf and score from the law that is given, which knows its scale",
    "coding": "states are units.state(bit), and their difference is units.gap: neither is 1 in every coding",
    "tail": TAIL,
    "target": "evaluate the objective by problem.value(output), which knows the targets",
    "precision": "write no constant that float64 resolves and float32 does not, and no tensor of a type of its own",
    "state": STATE,
    "generator": NOISE,
}


def with_remedy(row: Row) -> Row:
    """A refuted row with its remedy, where one is known and it has none: by cause, else by claim."""
    if row.verdict != "refuted" or row.remedy:
        return row
    found = _of_crash(row.detail) or BY_CAUSE.get(row.cause) or BY_CLAIM.get(row.claim, "")
    return replace(row, remedy=found)


def _of_crash(detail: str) -> str:
    """By what torch says."""
    if "in-place" in detail or "inplace" in detail:
        return IN_PLACE
    if "vmap" in detail or "data-dependent" in detail:
        return MAPPED
    if "same dtype" in detail or "to have the same dtype" in detail or "scalar type" in detail:
        return BY_CLAIM["type of the network"]
    return ""

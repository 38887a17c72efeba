"""Statements of the study images."""

from __future__ import annotations

import pandas as pd

from estimlab.results.statements import Statement
from statements.reading import ST, ZGR, one, percent

DATA = ("mnist", "fashion_mnist")


def learning(table: pd.DataFrame) -> dict[str, str | bool]:
    """Bias in the first layer and accuracy, along the exact gradient and along draws."""
    last = int(table["step"].max())
    texts: dict[str, str | bool] = {}
    bias, accuracy = {}, {}
    for data in DATA:
        for name, who in (("st", ST), ("zgr", ZGR)):
            for step in (0, last):
                chosen = {"problem": data, "trainer": "exact", "layer": 0, "statistic": "relative_bias", "step": step}
                bias[data, name, step] = one(table, **who, **chosen)
                texts[f"{data}_{name}_{'end' if step else 'start'}"] = percent(bias[data, name, step])
        own = {"problem": data, "trainer": "straight_through", "layer": 0, "statistic": "relative_bias", "step": last}
        bias[data, "own", last] = one(table, **ST, **own)
        texts[f"{data}_own"] = percent(bias[data, "own", last])
        for trainer in ("exact", "straight_through", "zgr"):
            found = one(table, problem=data, trainer=trainer, step=last, statistic="test_accuracy")
            accuracy[data, trainer] = found
            texts[f"{data}_{trainer}_accuracy"] = percent(found, 1)
    return texts | {
        "bias grows": all(bias[d, n, 0] < bias[d, n, last] for d in DATA for n in ("st", "zgr")),
        "along its own draws ST's bias ends lower": all(bias[d, "own", last] < bias[d, "st", last] for d in DATA),
        "the exact gradient reaches the best accuracy": all(
            accuracy[d, "exact"] > accuracy[d, t] for d in DATA for t in ("straight_through", "zgr")
        ),
    }


ANSWER = (
    Statement(
        "In the first layer of these networks bias grows as the network learns: in 1000 steps along the exact gradient "
        "that of ST rises from {mnist_st_start} % of the gradient's norm to {mnist_st_end} % on MNIST and from "
        "{fashion_mnist_st_start} % to {fashion_mnist_st_end} % on Fashion-MNIST, that of ZGR from {mnist_zgr_start} % "
        "to {mnist_zgr_end} % and from {fashion_mnist_zgr_start} % to {fashion_mnist_zgr_end} %. Along ST's own draws "
        "ST's bias ends lower, at {mnist_own} % and {fashion_mnist_own} %. The exact gradient reaches the highest "
        "expected test accuracy, {mnist_exact_accuracy} % and {fashion_mnist_exact_accuracy} %, draws of ST "
        "{mnist_straight_through_accuracy} % and {fashion_mnist_straight_through_accuracy} %, of ZGR "
        "{mnist_zgr_accuracy} % and {fashion_mnist_zgr_accuracy} %.",
        ("images",),
        learning,
        "One network and one seed per data set and trainer: one initialisation, 14 x 14 pixels, two layers of ten.",
        ("1000", "first"),
    ),
)

"""What a study is made of: cells, each a value that is computed and stored by itself, and makers of their problems."""

from estimlab.cells.makers import FrozenProblem, ProblemMaker, build
from estimlab.cells.measured import (
    AttributedBias,
    ExactMoments,
    MeasurementCell,
    MedianMoments,
    MonteCarloMoments,
    TrainingRun,
    median_interval,
)

__all__ = [
    "AttributedBias",
    "ExactMoments",
    "FrozenProblem",
    "MeasurementCell",
    "MedianMoments",
    "MonteCarloMoments",
    "ProblemMaker",
    "TrainingRun",
    "build",
    "median_interval",
]

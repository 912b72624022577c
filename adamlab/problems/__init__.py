"""What is trained: the `Problem` contract and the problems that come with the library."""

from __future__ import annotations

import typing
from collections.abc import Callable

from adamlab.problems._problem import Problem, Range
from adamlab.problems._source import Data, Source
from adamlab.problems.changed import noisy, penalized, rotated, scattered, with_input_noise
from adamlab.problems.dictionary import dictionary_learning
from adamlab.problems.fractal import fractal_net
from adamlab.problems.functions import quadratic, rosenbrock
from adamlab.problems.mlp import digits_mlp
from adamlab.problems.network import Model, network, weight_norm, with_gain
from adamlab.problems.noisy_quadratic import noisy_quadratic
from adamlab.problems.reddi import reddi, reddi_stochastic
from adamlab.problems.rough import rough_loss
from adamlab.problems.saddles import plateau, saddle
from adamlab.problems.sources import breast_cancer, diabetes, digits, linear_data, wine
from adamlab.problems.spoilt import (
    few,
    imbalanced,
    mislabelled,
    rescaled,
    standardized,
    with_outliers,
)
from adamlab.problems.supervised import (
    cross_entropy,
    huber,
    squared_error,
    supervised,
)
from adamlab.problems.toint import toint
from adamlab.problems.zhang import zhang

PROBLEMS: dict[str, Callable[[], Problem]] = {
    "digits-mlp": digits_mlp,
    "quadratic": quadratic,
    "rosenbrock": rosenbrock,
    "reddi": reddi,
    "reddi-stochastic": reddi_stochastic,
    "dictionary-learning": dictionary_learning,
    "fractal-net": fractal_net,
    "noisy-quadratic": noisy_quadratic,
    "plateau": plateau,
    "rough-loss": rough_loss,
    "saddle": saddle,
    "toint": toint,
    "zhang": zhang,
}
"""The problems of the library by name, with their usual settings."""

__all__ = [
    "PROBLEMS",
    "Data",
    "Model",
    "Problem",
    "Range",
    "Source",
    "breast_cancer",
    "cross_entropy",
    "diabetes",
    "dictionary_learning",
    "digits",
    "digits_mlp",
    "few",
    "fractal_net",
    "huber",
    "imbalanced",
    "linear_data",
    "mislabelled",
    "network",
    "noisy",
    "noisy_quadratic",
    "penalized",
    "plateau",
    "quadratic",
    "reddi",
    "reddi_stochastic",
    "rescaled",
    "rosenbrock",
    "rotated",
    "rough_loss",
    "saddle",
    "scattered",
    "squared_error",
    "standardized",
    "supervised",
    "toint",
    "weight_norm",
    "wine",
    "with_gain",
    "with_input_noise",
    "with_outliers",
    "zhang",
]

if not typing.TYPE_CHECKING:  # or a type checker would accept any name
    from adamlab._lookup import lookup as _lookup

    __getattr__ = _lookup("adamlab.problems", __all__)

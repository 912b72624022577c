"""What is trained: the `Problem` contract and the problems that come with the library."""

from __future__ import annotations

from collections.abc import Callable

from adamlab.problems._problem import Problem
from adamlab.problems.digits import digits_mlp
from adamlab.problems.functions import quadratic, rosenbrock
from adamlab.problems.reddi import reddi, reddi_stochastic

PROBLEMS: dict[str, Callable[[], Problem]] = {
    "digits-mlp": digits_mlp,
    "quadratic": quadratic,
    "rosenbrock": rosenbrock,
    "reddi": reddi,
    "reddi-stochastic": reddi_stochastic,
}
"""The problems of the library by name, with their usual settings."""

__all__ = [
    "PROBLEMS",
    "Problem",
    "digits_mlp",
    "quadratic",
    "reddi",
    "reddi_stochastic",
    "rosenbrock",
]

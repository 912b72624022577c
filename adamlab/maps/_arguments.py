"""What a map is given, checked before anything runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import optax

from adamlab._checks import check_count, check_number
from adamlab.problems import Problem
from adamlab.sweeps import SEED, by_label, check_axes, float_dtype
from adamlab.training import OptimizerFactory, build, name_of_optimizer

OPTIMIZER = "optimizer"
"""The axis that several optimizers make."""


def several_optimizers(optimizer: Any) -> Mapping[str, OptimizerFactory] | None:
    """The optimizers by name, where there are several."""
    if isinstance(optimizer, Mapping):
        return optimizer
    if isinstance(optimizer, str | optax.GradientTransformation):
        raise TypeError(
            f"optimizer={optimizer!r:.60}: must be a function that builds one, such as "
            "adamlab.adam; its hyperparameters go into axes or fixed"
        )
    if isinstance(optimizer, Sequence):
        return by_label(OPTIMIZER, optimizer)
    if not callable(optimizer):
        raise TypeError(
            f"optimizer={optimizer!r:.60}: must be a function, or a list or mapping of functions"
        )
    return None


def checked(
    problem: Problem,
    optimizer: OptimizerFactory,
    axes: Mapping[str, Any],
    fixed: Mapping[str, Any] | None,
    seeds: int,
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The grid with its seeds and the fixed values, after every check."""
    check_count("seeds", seeds)
    constants = dict(fixed or {})
    if not isinstance(axes, Mapping):
        raise TypeError(f"axes={axes!r}: must map each axis's name to its values")
    if SEED in axes and seeds != 1:
        raise ValueError(
            f"seeds={seeds}: given together with an axis {SEED!r}; give only one of them"
        )
    grid = dict(axes)
    grid.setdefault(SEED, np.arange(seeds))
    grid = {
        name: values if name == SEED else values.astype(np.float64)
        for name, values in check_axes(grid).items()
    }
    if SEED in constants:
        raise ValueError("fixed={'seed': ...}: seeds are an axis; give seed=[...] among the axes")
    both = [name for name in grid if name in constants]
    if both:
        raise ValueError(f"hyperparameter {both[0]!r} is both an axis and fixed")
    _check_hyperparameters(problem, optimizer, grid, constants)
    return grid, constants


def _check_hyperparameters(
    problem: Problem,
    optimizer: OptimizerFactory,
    axes: Mapping[str, np.ndarray],
    fixed: Mapping[str, Any],
) -> None:
    """Build the optimizer at every value of every axis, so that an error names the bad value."""
    for name, value in fixed.items():
        if name in problem.hyperparameters:
            check_number(name, value, scheduled=False)
    swept = {name: values for name, values in axes.items() if name != SEED}
    # Lanes get the value as the run's floats hold it: float32 cannot hold 0.99999999.
    swept = {name: values.astype(float_dtype()) for name, values in swept.items()}
    first = {name: values[0].item() for name, values in swept.items()}
    for name, values in swept.items():
        for value in values:
            _check_point(problem, optimizer, {**first, name: value.item()}, fixed)
    if not swept:
        build(problem, optimizer, fixed)


def _check_point(
    problem: Problem,
    optimizer: OptimizerFactory,
    point: Mapping[str, float],
    fixed: Mapping[str, Any],
) -> None:
    try:
        build(problem, optimizer, {**fixed, **point})
    except (TypeError, ValueError):
        for name in (name for name, value in point.items() if value.is_integer()):
            with suppress(TypeError, ValueError):
                build(problem, optimizer, {**fixed, **point, name: int(point[name])})
                break
        else:
            raise
        raise ValueError(
            f"axis {name!r}: the optimizer {name_of_optimizer(optimizer)} takes only whole numbers "
            "for it, each a program of its own: put it in fixed, or give several optimizers by "
            f"name, each with its own {name} bound by functools.partial"
        ) from None

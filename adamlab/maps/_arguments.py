"""What a map is given, checked before anything runs."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import jax
import numpy as np
import optax

from adamlab._checks import check_count, nearest
from adamlab.problems import Problem
from adamlab.sweeps import SEED, by_label, check_axes, float_dtype, sweep
from adamlab.training import OptimizerFactory, build, name_of_optimizer, plain_name

_MOST_BUILT = 1000
OPTIMIZER = "optimizer"
"""The axis that several optimizers make."""


def check_options(options: Iterable[str], function: Callable[..., Any]) -> None:
    """Refuse options of `function` that it would hand on to `sweep`, which lacks them."""
    own, known = _keywords(function), _keywords(sweep) - {"settings", "dims"}
    for name in options:
        if name not in known:
            raise TypeError(f"{name}: a map has no such option; {nearest(name, own | known)}")


def _keywords(function: Callable[..., Any]) -> set[str]:
    parameters = inspect.signature(function).parameters.values()
    return {p.name for p in parameters if p.kind is p.KEYWORD_ONLY}


def several_optimizers(optimizer: Any) -> Mapping[str, OptimizerFactory] | None:
    """The optimizers by name, where there are several."""
    if isinstance(optimizer, Mapping):
        for each in optimizer.values():
            _refuse_built(each)
        return optimizer
    _refuse_built(optimizer)
    if isinstance(optimizer, Sequence):
        for each in optimizer:
            _refuse_built(each)
        return by_label(OPTIMIZER, optimizer)
    if not callable(optimizer):
        raise TypeError(
            f"optimizer={optimizer!r:.60}: must be a function, or a list or mapping of functions"
        )
    return None


def _listed(values: Any) -> list[Any]:
    return list(values) if isinstance(values, list | tuple) else []


def _refuse_built(optimizer: Any) -> None:
    if isinstance(optimizer, str | optax.GradientTransformation):
        raise TypeError(
            f"optimizer={optimizer!r:.60}: must be a function that builds one, such as "
            "adamlab.adam; its hyperparameters go into axes or fixed"
        )


def checked(
    problem: Problem,
    optimizer: OptimizerFactory,
    axes: Mapping[str, Any],
    fixed: Mapping[str, Any] | None,
    seeds: int,
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The grid with its seeds and the fixed values, after every check."""
    check_count("seeds", seeds)
    if not isinstance(fixed, Mapping | None):
        raise TypeError(f"fixed={fixed!r}: must map hyperparameters to their values")
    constants = dict(fixed or {})
    if not isinstance(axes, Mapping):
        raise TypeError(f"axes={axes!r}: must map each axis's name to its values")
    if SEED in axes and seeds != 1:
        raise ValueError(
            f"seeds={seeds}: given together with an axis {SEED!r}; give only one of them"
        )
    for name, what, how in (
        ("outcome", "a variable", ""),
        (OPTIMIZER, "an axis", "give several optimizers as the second argument; or "),
    ):
        if name in axes:
            raise ValueError(
                f"axis {name!r} has the name of {what} of maps: {how}rename the hyperparameter, in "
                "a function round the optimizer or in the problem"
            )
    for name, values in axes.items():
        if callable(values) or isinstance(values, Mapping) or any(map(callable, _listed(values))):
            raise TypeError(
                f"axis {name!r}: must hold numbers; schedules and other functions go by name, as "
                f"several optimizers, each with its own {plain_name(name)} bound by "
                "functools.partial"
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
    if SEED in axes and SEED in inspect.signature(optimizer).parameters:
        raise ValueError(
            f"axis {SEED!r}: makes each run's random key, and the optimizer "
            f"{name_of_optimizer(optimizer)} has an argument of that name: give seeds=... for the "
            "keys, or wrap the optimizer in a function without it"
        )
    _check_hyperparameters(problem, optimizer, grid, constants)
    return grid, constants


def _check_hyperparameters(
    problem: Problem,
    optimizer: OptimizerFactory,
    axes: Mapping[str, np.ndarray],
    fixed: Mapping[str, Any],
) -> None:
    """Build the optimizer at the values of every axis, so that an error names the bad value."""
    ends = [(name, end.item()) for name, v in axes.items() for end in (v.min(), v.max())]
    for name, value in (*fixed.items(), *ends):
        if name in problem.hyperparameters:
            problem.check_hyperparameter(name, value)
    swept = {name: values for name, values in axes.items() if name != SEED}
    # Lanes get the value as the run's floats hold it: float32 cannot hold 0.99999999.
    swept = {name: values.astype(float_dtype()) for name, values in swept.items()}
    first = {name: values[0].item() for name, values in swept.items()}
    for name, values in swept.items():
        # Of very many only some, the least and the greatest among them: each takes its time.
        some = np.linspace(0, len(values) - 1, min(len(values), _MOST_BUILT)).astype(int)
        for value in np.sort(values)[some]:
            _check_point(problem, optimizer, {**first, name: value.item()}, fixed)
        _check_traced(problem, optimizer, {**fixed, **first}, name)
    if not swept:
        build(problem, optimizer, fixed)


def _check_traced(
    problem: Problem, optimizer: OptimizerFactory, point: Mapping[str, Any], name: str
) -> None:
    """Refuse an axis whose value the optimizer must know when it is built."""
    try:
        jax.eval_shape(
            lambda value: build(problem, optimizer, {**point, name: value}) and None,
            jax.ShapeDtypeStruct((), float_dtype()),
        )
    except (TypeError, jax.errors.JAXTypeError) as error:
        raise ValueError(
            f"axis {name!r}: the optimizer {name_of_optimizer(optimizer)} needs its value as a "
            "Python number when it is built, each a program of its own: make a schedule for a "
            "value of 1 and multiply it by the value in a function of the step, "
            + _BIND.format(name=plain_name(name))
        ) from error


_BIND = (
    "put it in fixed, or give several optimizers by name, each with its own {name} bound by "
    "functools.partial"
)


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
            f"for it, each a program of its own: {_BIND.format(name=plain_name(name))}"
        ) from None

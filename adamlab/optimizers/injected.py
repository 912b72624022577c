"""inject_hyperparams: hyperparameters in the state, to be read and changed between steps."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import jax
import jax.numpy as jnp
import optax

from adamlab.optimizers._finish import Optimizer
from adamlab.optimizers._signature import (
    hints_of,
    is_decay_rate,
    takes_other_functions,
    takes_schedules,
)
from adamlab.stages._about import About, about, tell
from adamlab.stages._decay_rate import check_decay
from adamlab.stages.numerics import average_dtype
from adamlab.stages.second_moment import SecondMoment


def inject_hyperparams(factory: Callable[..., optax.GradientTransformation]) -> Any:
    """`factory` with its numbers and schedules in the state (`optax.inject_hyperparams`).

    There are no static arguments to list: counts, dtypes, flags, masks and other functions that are
    not schedules stay as they are given. Numbers are kept in float32 or wider whatever the
    parameters' dtype: bfloat16 cannot hold 0.999. Decay rates may change too: where the optimizer
    accepts a schedule of them, averages are corrected by the weight they have gathered. Optax's own
    function corrects as if the present rate had held from the start.

    Args:
        factory: a function that builds a transformation, such as `adamlab.adam`. In your own the
            annotations tell: `stages.DecayRate`, `stages.ScalarOrSchedule`, `stages.Mask` or
            another type of function; a function for any other argument is taken for a schedule.

    Returns:
        A function of the same arguments. Its transformation's state has the values by name in
        `hyperparams`, where those that are not schedules may be changed between steps without
        recompiling.
    """
    signature, hints = inspect.signature(factory), hints_of(factory)

    @functools.wraps(factory)
    def build(*args: Any, **kwargs: Any) -> Optimizer:
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError:
            factory(*args, **kwargs)  # whose own error is clearer
            raise
        bound.apply_defaults()
        given = bound.arguments
        static = [
            name for name, value in given.items()
            if _is_choice(hints.get(name), signature.parameters[name], value)
        ]  # fmt: skip
        changing = [
            name for name, value in given.items()
            if value is not None and is_decay_rate(hints.get(name)) and takes_schedules(hints[name])
        ]  # fmt: skip

        @functools.wraps(factory)
        def at_present(**now: Any) -> optax.GradientTransformation:
            for name in changing:
                if not isinstance(now[name], SecondMoment):
                    check_decay(name, now[name])
            rates = {n: _always(now[n]) for n in changing if hasattr(now[n], "dtype")}
            return factory(**now | rates)

        injected = optax.inject_hyperparams(at_present, static, average_dtype())
        made = injected(*args, **kwargs)
        moving = {name: value for name, value in given.items() if name not in static}
        with suppress(Exception):  # whatever is wrong, `init` raises
            tell(made.update, _about_at_present(at_present, moving, given)._replace(lagging=()))
        return made

    return build


def _about_at_present(
    at_present: Callable[..., optax.GradientTransformation],
    moving: dict[str, Any],
    given: dict[str, Any],
) -> About:
    """What the transformation tells of itself, made in a trace from values as `init` makes them."""
    told: list[About] = []

    def make(count: jax.Array) -> None:
        now = {n: value(count) if callable(value) else value for n, value in moving.items()}
        now = {n: jnp.asarray(v) if isinstance(v, float | int) else v for n, v in now.items()}
        told.append(about(at_present(**{**given, **now})))

    jax.eval_shape(make, jax.ShapeDtypeStruct((), jnp.int32))
    return told[0]


def _always(value: Any) -> Callable[[Any], Any]:
    """A schedule that always gives `value`, which holds for the present step only."""
    return lambda _: value


def _is_choice(hint: Any, parameter: inspect.Parameter, value: Any) -> bool:
    """Whether an argument chooses a form rather than being a value to compute with."""
    if isinstance(value, type):  # a dtype
        return True
    if callable(value):
        return takes_other_functions(hint)
    number = takes_schedules(hint) or is_decay_rate(hint)
    return isinstance(value, int) and isinstance(parameter.default, int) and not number

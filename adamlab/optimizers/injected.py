"""inject_hyperparams: hyperparameters in the state, to be read and changed between steps."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import optax

from adamlab.optimizers._finish import Optimizer
from adamlab.optimizers._signature import hints_of, is_decay_rate, takes_functions
from adamlab.stages.numerics import average_dtype


def inject_hyperparams(factory: Callable[..., optax.GradientTransformation]) -> Any:
    """`factory` with its numbers and schedules in the state (`optax.inject_hyperparams`).

    What is no hyperparameter needs no marking: whole numbers that count something, dtypes, flags,
    masks and other functions that are no schedule stay as they are given. The numbers are kept in
    float32 or wider, whatever the parameters are: bfloat16 has no 0.999. Decay rates may change as
    well: averages are corrected by the weight gathered, where the optimizer takes a schedule of
    them. Optax's own function hands each on as if it had been so from the start.

    Args:
        factory: a function that builds a transformation, such as `adamlab.adam`. In your own the
            annotations tell: `stages.DecayRate`, `stages.Mask` or another type of function; a
            function for any other argument is taken for a schedule.

    Returns:
        A function of the same arguments. Its transformation's state has the values by name as
        `hyperparams`; one that is no schedule may be replaced there between two steps, without
        compiling anew.
    """
    signature, hints = inspect.signature(factory), hints_of(factory)

    @functools.wraps(factory)
    def build(*args: Any, **kwargs: Any) -> Optimizer:
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError:
            factory(*args, **kwargs)  # which says better what is wrong
            raise
        bound.apply_defaults()
        given = bound.arguments
        static = [
            name for name, value in given.items()
            if _is_choice(hints.get(name), signature.parameters[name], value)
        ]  # fmt: skip
        changing = [
            name for name, value in given.items()
            if value is not None and is_decay_rate(hints.get(name)) and takes_functions(hints[name])
        ]  # fmt: skip

        @functools.wraps(factory)
        def at_present(**now: Any) -> optax.GradientTransformation:
            rates = {n: _always(now[n]) for n in changing if hasattr(now[n], "dtype")}
            return factory(**now | rates)

        injected = optax.inject_hyperparams(at_present, static, average_dtype())
        return injected(*args, **kwargs)

    return build


def _always(value: Any) -> Callable[[Any], Any]:
    """A schedule of one value, which is that of this step only."""
    return lambda _: value


def _is_choice(hint: Any, parameter: inspect.Parameter, value: Any) -> bool:
    """Whether an argument chooses a form, and is no value to compute with."""
    if isinstance(value, type):  # a dtype
        return True
    if callable(value):
        return takes_functions(hint) and not is_decay_rate(hint)
    return isinstance(value, int) and isinstance(parameter.default, int)

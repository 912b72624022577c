"""Checks of what a caller hands in: each failure names the argument, its value and its range."""

from __future__ import annotations

import difflib
import inspect
import math
import numbers
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

Scalar = float | jax.Array | np.ndarray
"""A hyperparameter's value: a Python number or a scalar array, traced or not."""

ScalarOrSchedule = Scalar | Callable[[jax.Array], Any]
"""A `Scalar`, or a schedule that gives one for the number of steps done."""


def is_concrete(value: Any) -> bool:
    """Whether a hyperparameter's value can be read now: neither a schedule nor a tracer."""
    return not callable(value) and not isinstance(value, jax.core.Tracer)


def is_constant(value: Any, number: float) -> bool:
    """Whether a hyperparameter is that Python number; an array or a schedule may be another."""
    return isinstance(value, int | float) and value == number


_FEW = 12


@contextmanager
def named(**public: str) -> Iterator[None]:
    """Let a failing check name the argument as the caller knows it: `b2="b3"` reports `b2` as `b3`.

    For a `with` block, or as a decorator of a function whose checks know an argument by another
    name.
    """
    try:
        yield
    except (TypeError, ValueError) as error:
        message = str(error)
        found = re.match(r"(?:1-)?(\w+)(?==| has shape | came in )", message)
        if found and found[1] in public:
            name = public[found[1]]
            error.args = (re.sub(rf"\b{found[1]}\b", lambda _: name, message),)
        raise


def check_number(
    name: str,
    value: Any,
    *,
    low: float = -math.inf,
    high: float = math.inf,
    open_low: bool = False,
    open_high: bool = False,
    scheduled: bool = True,
) -> None:
    """Refuse a concrete `value` that is not a finite scalar between `low` and `high`.

    A schedule (a callable, where `scheduled` allows one) is not called, and of a traced value only
    its shape is read.

    Raises:
        TypeError: `value` is not a number, or a schedule that does not take a step count.
        ValueError: `value` is not a scalar, not finite, or out of range.
    """
    allowed = _describe(low, high, open_low, open_high)
    if callable(value):
        if not scheduled:
            raise TypeError(f"{name}={value!r}: must be {allowed}, not a schedule")
        check_function(name, value, "count")
        return
    if not is_concrete(value):
        _check_scalar(name, value, allowed)
        return
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if isinstance(value, np.ndarray | np.generic | jax.Array):
        # An unsigned integer would wrap round where a sign is flipped.
        if jnp.issubdtype(value.dtype, np.unsignedinteger):
            raise TypeError(f"{name}={value!r}: must be {allowed}, in a dtype with a sign")
        is_number = any(jnp.issubdtype(value.dtype, kind) for kind in (np.floating, np.integer))
    if not is_number:
        raise TypeError(f"{name}={value!r}: must be {allowed}")
    _check_scalar(name, value, allowed)
    number = float(value)
    too_low = number < low or (open_low and number == low)
    too_high = number > high or (open_high and number == high)
    if not math.isfinite(number) or too_low or too_high:
        raise ValueError(f"{name}={number:g}: must be {allowed}")


def _check_scalar(name: str, value: Any, allowed: str) -> None:
    if np.ndim(value) != 0:
        raise ValueError(
            f"{name} has shape {np.shape(value)}: must be {allowed}; to try many values at once, "
            "use jax.vmap or adamlab.sweep"
        )


def check_count(name: str, value: Any, *, low: int = 1, high: float = math.inf) -> None:
    """Refuse a `value` that is not a whole number from `low` to `high`.

    Raises:
        TypeError: `value` is not an integer.
        ValueError: `value` is out of range.
    """
    allowed = f"a whole number >= {low}" + ("" if math.isinf(high) else f" and < {high + 1:g}")
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name}={value!r}: must be {allowed}{_static(name, value)}")
    if not low <= int(value) <= high:
        raise ValueError(f"{name}={value}: must be {allowed}")


def check_function(name: str, value: Any, *taken: str, **named: Any) -> None:
    """Raise a TypeError unless `value` can be called, with such arguments where any are given."""
    if not callable(value):
        raise TypeError(f"{name}={value!r}: must be a function{_static(name, value)}")
    signature = signature_of(value) if taken else None
    if signature is None:
        return
    try:
        signature.bind(*taken, **named)
    except TypeError as error:
        call = ", ".join([*taken, *(f"{key}={given}" for key, given in named.items())])
        raise TypeError(f"{name}: is called as {name}({call}), but {error}") from None


def signature_of(function: Callable[..., Any]) -> inspect.Signature | None:
    """The signature of `function`; None for a builtin that does not tell."""
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):
        return None


def check_flags(**flags: Any) -> None:
    """Raise a TypeError unless each is True or False."""
    for name, value in flags.items():
        if not isinstance(value, bool):
            raise TypeError(f"{name}={value!r}: must be True or False{_static(name, value)}")


def _static(name: str, value: Any) -> str:
    """The end of the message about an array where a static value is required."""
    if not hasattr(value, "aval"):
        return ""
    return f", not an array; adamlab.optimizers.inject_hyperparams leaves {name} as it is"


def check_choice(name: str, value: Any, known: Iterable[str]) -> None:
    """Raise a ValueError with the nearest choice unless `value` is one of `known`."""
    known = list(known)
    if value not in known:
        hint = nearest(value, known) if isinstance(value, str) else f"known: {', '.join(known)}"
        raise ValueError(f"{name}={value!r}: unknown; {hint}")


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown `name`: the nearest known one, all where there are few.

    One with the same letters is nearer than any other. All of them where none is near.
    """
    names = sorted(known)
    lowered = {each.lower(): each for each in names}
    close = difflib.get_close_matches(name.lower(), lowered, n=_FEW)
    listed = f"known: {', '.join(names) or 'none'}"
    if not close:
        return listed
    best = lowered[max(close, key=lambda each: sorted(each) == sorted(name.lower()))]
    return f"did you mean {best!r}?" + f" ({listed})" * (len(names) <= _FEW)


def _describe(low: float, high: float, open_low: bool, open_high: bool) -> str:
    if math.isinf(low) and math.isinf(high):
        return "a finite number"
    if math.isinf(high):
        return f"a finite number {'>' if open_low else '>='} {low:g}"
    left, right = "(" if open_low else "[", ")" if open_high else "]"
    return f"a number in {left}{low:g}, {high:g}{right}"

"""Axes: the named values a sweep runs over, checked, and read from text."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from adamlab._checks import check_count
from adamlab.sweeps.devices import float_dtype

SEED = "seed"
"""The axis of this name reaches the function as `key`, a random key made from it."""

Axes = Mapping[str, np.ndarray]


def reusable(axes: Any) -> Any:
    """`axes` with a list for each iterator, which would give its values only once."""
    if not isinstance(axes, Mapping):
        return axes
    return {name: list(v) if isinstance(v, Iterator) else v for name, v in axes.items()}


def check_axes(axes: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """`axes` with their values as one-dimensional arrays: float64, or int32 for whole numbers.

    Raises:
        TypeError: `axes` is not a mapping, or an axis holds something other than numbers.
        ValueError: there are no axes, or one of them is empty, not one-dimensional, holds a
            value twice or one that is not finite, or is a seed that is not a whole number >= 0.
    """
    if not isinstance(axes, Mapping):
        raise TypeError(f"axes={axes!r}: must map each axis's name to its values")
    if not axes:
        raise ValueError("axes={}: a sweep needs at least one axis")
    return {name: _check_axis(name, values) for name, values in axes.items()}


def _check_axis(name: str, values: Any) -> np.ndarray:
    if not isinstance(name, str) or not name:
        raise TypeError(f"axis name {name!r}: must be a non-empty string")
    is_array = hasattr(values, "dtype")
    try:
        array = np.asarray(values if is_array or not isinstance(values, Iterable) else list(values))
    except (TypeError, ValueError) as error:
        message = f"axis {name!r}: must be a flat list of numbers ({error})"
        raise type(error)(message) from error
    if array.ndim != 1:
        raise ValueError(f"axis {name!r} has shape {array.shape}: must have one dimension")
    if array.size == 0:
        raise ValueError(f"axis {name!r} is empty: must hold at least one value")
    if array.dtype.kind not in "iuf":
        raise TypeError(
            f"axis {name!r} holds {array.dtype} values: must hold numbers of NumPy's own types; "
            "other values go by name, in a mapping for sweep and as several optimizers in a map"
        )
    if not np.isfinite(array).all():
        bad = array[~np.isfinite(array)][0]
        raise ValueError(f"axis {name!r} holds {bad}: must hold finite numbers")
    distinct, counts = np.unique(array, return_counts=True)
    if (counts > 1).any():
        raise ValueError(f"axis {name!r} holds {distinct[counts > 1][0]:g} more than once")
    if name == SEED and (array.dtype.kind == "f" or array.min() < 0):
        raise ValueError(f"axis 'seed' holds {array.min()}: must hold whole numbers >= 0")
    if array.dtype.kind == "f":
        _check_cast(name, array)
        return array.astype(np.float64)
    if not -(2**31) <= array.min() <= array.max() < 2**31:
        raise ValueError(f"axis {name!r}: whole numbers must lie in [-2**31, 2**31)")
    return array.astype(np.int32)


def _check_cast(name: str, array: np.ndarray) -> None:
    """Refuse values that the run's floats cannot hold or tell apart."""
    dtype = float_dtype()
    with np.errstate(over="ignore"):
        cast = array.astype(dtype)
    tiny = np.finfo(dtype).tiny  # XLA flushes smaller values to 0
    lost = ~np.isfinite(cast) | ((abs(cast) < tiny) & (array != 0))
    if lost.any():
        raise ValueError(f"axis {name!r} holds {array[lost][0]:g}, which {dtype} cannot hold")
    order = np.argsort(cast)
    same = np.flatnonzero(np.diff(cast[order]) == 0)
    if len(same):
        first, second = array[order][same[0] : same[0] + 2]
        raise ValueError(
            f"axis {name!r} holds {first!r} and {second!r}, which are one number in {dtype}; near "
            "1, sweep the complement (such as 1-b2), or enable float64"
        )


def parse_axes(texts: Sequence[str]) -> tuple[dict[str, np.ndarray], dict[str, int | float]]:
    """Axes and fixed values from texts such as `learning_rate=1e-5:1:64:log`.

    `name=low:high:count` spaces evenly, `:log` on a log scale; `name=a,b,c` lists values; and
    `name=a` is a fixed value, not an axis, which may be True or False. `seed` takes a list of whole
    numbers, and even a single one is an axis.

    Raises:
        ValueError: a text is of none of these forms, or a name is given twice.
    """
    axes: dict[str, np.ndarray] = {}
    fixed: dict[str, int | float] = {}
    for text in texts:
        name, equals, body = text.partition("=")
        if not equals or not name or not body:
            raise ValueError(f"axis {text!r}: must be {_FORMS}")
        if name in axes or name in fixed:
            raise ValueError(f"axis {name!r} is given more than once")
        if name == SEED:
            axes[name] = np.array([_whole_number(text, part) for part in body.split(",")])
        elif ":" in body:
            axes[name] = _parse_range(text, name, body.split(":"))
        elif "," in body:
            axes[name] = np.array([_number(text, part) for part in body.split(",")])
        elif body in ("True", "False"):
            fixed[name] = body == "True"
        else:
            number = _number(text, body)
            fixed[name] = int(body) if body.lstrip("+-").isdecimal() else number
    return axes, fixed


_FORMS = "name=low:high:count, name=low:high:count:log, name=a,b,c or name=a"


def _parse_range(text: str, name: str, parts: list[str]) -> np.ndarray:
    if len(parts) not in (3, 4) or (len(parts) == 4 and parts[3] not in ("log", "linear")):
        raise ValueError(f"axis {text!r}: must be {_FORMS}")
    low, high = _number(text, parts[0]), _number(text, parts[1])
    try:
        count = int(parts[2])
    except ValueError:
        raise ValueError(f"axis {text!r}: count={parts[2]!r} must be a whole number >= 1") from None
    check_count(f"axis {text!r}: count", count)
    if count == 1 and low != high:
        raise ValueError(f"axis {text!r}: one value cannot be both ends; write {name}={parts[0]}")
    if parts[3:] != ["log"]:
        return np.linspace(low, high, count)
    if low <= 0 or high <= 0:
        raise ValueError(f"axis {text!r}: a log axis {name} must run between numbers > 0")
    return np.geomspace(low, high, count)


def _number(text: str, part: str) -> float:
    try:
        number = float(part)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"axis {text!r}: {part!r} is not a finite number; must be {_FORMS}")
    return number


def _whole_number(text: str, part: str) -> int:
    try:
        return int(part)
    except ValueError:
        raise ValueError(
            f"axis {text!r}: {part!r} is not a whole number, as a seed must be; list them, as in "
            "seed=0,1,2"
        ) from None

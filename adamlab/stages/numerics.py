"""Arithmetic shared by the stages, which keeps the laws: any magnitude and dtype, slopes at 0."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from functools import partial, reduce
from math import factorial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


@jax.custom_jvp
def cbrt(x: jax.Array) -> jax.Array:
    """The cube root, with derivative 0 at 0."""
    return jnp.cbrt(x)


@cbrt.defjvp
def _cbrt_jvp(primals: tuple[jax.Array], tangents: tuple[jax.Array]) -> tuple[jax.Array, jax.Array]:
    (x,), (dx,) = primals, tangents
    root = cbrt(x)
    there = root != 0
    slope = jnp.where(there, 1 / (3 * jnp.where(there, root, 1) ** 2), 0)
    return root, slope * dx


@partial(jax.jit, inline=True)  # outside a compiled step, its many operations are one program
def expm1(x: jax.Array) -> jax.Array:
    """`exp(x) - 1`, for x <= 0.5 to within 1.2 ulp in float32; XLA's own loses up to 5 on CPUs."""
    near, series = jnp.where(abs(x) <= 0.5, x, 0), jnp.zeros_like(x)
    for k in range(9 if x.dtype == jnp.float32 else 16, 1, -1):
        series = series * near + 1 / factorial(k)
    return jnp.where(near == x, near + near * near * series, jnp.exp(x) - 1)


@jax.jit  # as sqrt
def divide(x: jax.Array, y: jax.Array) -> jax.Array:
    """`x / y` for a `y` that is not 0; its derivative avoids y², which would underflow."""
    return _divide(x, y)


@jax.custom_jvp
def _divide(x: jax.Array, y: jax.Array) -> jax.Array:
    return x / y


@_divide.defjvp
def _divide_jvp(
    primals: tuple[jax.Array, jax.Array], tangents: tuple[jax.Array, jax.Array]
) -> tuple[jax.Array, jax.Array]:
    (x, y), (dx, dy) = primals, tangents
    quotient = _divide(x, y)
    return quotient, _divide(dx - quotient * dy, y)


def ratio(x: jax.Array, y: jax.Array, least: Any = 0.0) -> jax.Array:
    """`divide(x, y)`, and `x` where y is 0; `least` is what y is never below, if that is known.

    With a positive Python number y is not compared with 0, which would cost up to 3 % of a step.
    """
    above = isinstance(least, float) and least >= float(jnp.finfo(jnp.float32).tiny)
    return divide(x, y if above else jnp.where(y == 0, 1, y))


def promoting() -> AbstractContextManager[Any]:
    """Standard dtype promotion inside a stage, even where its user has made promotion strict."""
    context: AbstractContextManager[Any] = jax.numpy_dtype_promotion("standard")
    return context


def widen(x: jax.Array) -> jax.Array:
    """`x` in float32 or wider: squares would lose too much in float16 and bfloat16."""
    dtype = wide_dtype(x)
    is_so = x.dtype == dtype and not getattr(x, "weak_type", False)
    return x if is_so else x.astype(dtype)


def scalar(value: Any, dtype: Any) -> Any:
    """`value` in `dtype`: a NumPy number where it is a Python number, which takes no tracing."""
    known = not isinstance(value, jax.Array)
    return np.dtype(dtype).type(value) if known else value.astype(dtype)


def largest_tame(x: Any) -> float:
    """2^48 (float64: 2^496): the squares of as many as a leaf can hold have a finite sum."""
    return float(2.0 ** (jnp.finfo(wide_dtype(x)).maxexp // 2 - 16))


def tame(x: jax.Array, *kept_in: Any) -> jax.Array:
    """`x` with magnitudes cut off at `largest_tame`, its dtype kept; NaN stays NaN.

    The limits of the dtypes `kept_in`, which may be lower, apply too.

    In a complex element the larger part is cut off, and the other shrinks with it.

    An average of squares would never recover from infinity. Call this wherever the gradient is
    used, not once for all: XLA would keep a copy of it.
    """
    kinds: list[Any] = [x, *(jax.ShapeDtypeStruct((), dtype) for dtype in kept_in)]
    limit = min(min(largest_tame(k), float(jnp.finfo(k.dtype).max)) for k in kinds)
    if jnp.iscomplexobj(x):
        x = _clip_parts(x, float(jnp.finfo(x.dtype).max))
        parts = jnp.real(x), jnp.imag(x)
        size = jnp.maximum(*map(jnp.abs, parts))  # the magnitude itself might overflow
        large = size > limit
        shrink = jnp.where(large, limit / jnp.where(large, size, 1), 1)
        return jax.lax.complex(parts[0] * shrink, parts[1] * shrink)
    return _between(x, limit)


def within_range(x: jax.Array, kept_in: Iterable[Any]) -> jax.Array:
    """A gradient that is wider than what its averages are kept in, cut off as all of these are.

    Were one average cut off alone, the other would make a step of any length.
    """
    bits = min(jnp.finfo(x.dtype).bits, 64)
    narrow = [dtype for dtype in kept_in if jnp.finfo(dtype).bits < bits]
    return tame(x, *narrow) if narrow else x


def wide_dtype(x: jax.Array | jax.ShapeDtypeStruct) -> Any:
    """The dtype of `widen(x)`."""
    narrow = jnp.issubdtype(x.dtype, jnp.floating) and jnp.finfo(x.dtype).bits < 32
    return np.dtype(np.float32) if narrow else x.dtype


def squared_magnitude(x: jax.Array) -> jax.Array:
    """The squared magnitude of each element, real, whatever its size."""
    return real_product(x, x)


def real(x: jax.Array) -> jax.Array:
    """The real part; a real array itself, where `jnp.real` would be a program for each shape."""
    return jnp.real(x) if jnp.iscomplexobj(x) else x


def real_product(x: jax.Array, y: jax.Array) -> jax.Array:
    """The real part of each `x` times the conjugate of `y`: their product as vectors in a plane."""
    is_complex = jnp.iscomplexobj(x) or jnp.iscomplexobj(y)
    return jnp.real(x * jnp.conj(y)) if is_complex else x * y


def agree(x: jax.Array, y: jax.Array) -> jax.Array:
    """Whether two arrays agree in sign; if complex, whether they are less than 90 degrees apart."""
    return real_product(jnp.sign(x), jnp.sign(y).astype(x.dtype)) > 0


def step_number(steps_done: jax.Array) -> jax.Array:
    """The number of the step after `steps_done` others, counted from 1, as a float."""
    return steps_done.astype(average_dtype()) + 1


def to_bfloat16(x: jax.Array, threshold: jax.Array) -> jax.Array:
    """Each element rounded to a bfloat16 neighbour, as float32; those not finite stay.

    Rounds towards zero, unless the 16 bits that are cut off and the uint32 `threshold`, below 2^16,
    carry when added: with evenly drawn thresholds the mean of the results is `x`.
    """
    bits = jax.lax.bitcast_convert_type(x, jnp.uint32) + threshold
    cut = jax.lax.bitcast_convert_type(bits & jnp.uint32(0xFFFF0000), jnp.float32)
    return jnp.where(jnp.isfinite(x), cut, x)


def average_dtype() -> Any:
    """The dtype of masses and other scalars: float64 where JAX has it enabled, else float32."""
    return jnp.result_type(float)


def lerp(a: jax.Array, b: jax.Array, weight: jax.Array) -> jax.Array:
    """`a + weight * (b - a)`, computed from the nearer end.

    With a small weight, `(1 - weight) * a` would round the 1 - weight; with a large one, b - a
    would lose b where a is far larger. Both must be finite.
    """
    from_b = weight > 0.5

    def either(one: Any, other: Any) -> Any:
        if isinstance(weight, np.generic):  # which end is known before the program is
            return one if from_b else other
        return jnp.where(from_b, one, other)

    return either(b, a) + either(weight - 1, weight) * (b - a)


@jax.jit  # for leaves of one shape it is traced once
def sqrt(x: jax.Array) -> jax.Array:
    """The square root, with derivative 0 at 0: a zero gradient gives no NaN meta-gradient."""
    return _sqrt(x)


@jax.custom_jvp
def _sqrt(x: jax.Array) -> jax.Array:
    return jnp.sqrt(x)


@_sqrt.defjvp
def _sqrt_jvp(primals: tuple[jax.Array], tangents: tuple[jax.Array]) -> tuple[jax.Array, jax.Array]:
    (x,), (dx,) = primals, tangents
    root = _sqrt(x)
    positive = root > 0
    slope = jnp.where(positive, 0.5 / jnp.where(positive, root, 1), 0)
    return root, slope * dx


def after(new: jax.Array, *read: jax.Array) -> jax.Array:
    """`new`, made to depend on `read`, so that XLA computes it afterwards.

    XLA's CPU backend orders a read and an in-place write by data dependences alone, and copies what
    is read where there are none. Nothing is above infinity, but XLA does not know that.
    """
    above = [real(x) > jnp.inf for x in read]
    return jnp.where(reduce(jnp.logical_or, above), jnp.zeros_like(new), new) if above else new


def cast_like(new: Any, old: Any) -> Any:
    """The tree `new` with the dtypes of the tree `old`, whose shapes it must have as well."""

    def leaf(n: Any, o: Any) -> Any:
        if not hasattr(o, "dtype"):
            return n
        if jnp.shape(n) != o.shape:
            raise ValueError(f"shape {o.shape} became {jnp.shape(n)}")
        if jnp.iscomplexobj(n) and jnp.issubdtype(o.dtype, jnp.floating):
            raise TypeError(f"dtype {o.dtype} became {n.dtype}")
        return cast_within(n, o.dtype)

    return jax.tree.map(leaf, new, old)


def cast_within(x: jax.Array, dtype: Any) -> jax.Array:
    """`x` in `dtype`, cut off at its largest value: an average once infinite stays so."""
    x = x if hasattr(x, "dtype") else jnp.asarray(x)
    if x.dtype == dtype:  # a random key can have no other
        return x
    if not (jnp.issubdtype(x.dtype, jnp.inexact) and jnp.issubdtype(dtype, jnp.inexact)):
        raise TypeError(f"dtype {dtype} became {x.dtype}")
    limits = jnp.finfo(dtype)
    if limits.maxexp < jnp.finfo(x.dtype).maxexp:
        x = _clip_parts(widen(x), float(limits.max))  # bfloat16 does not hold float16's largest
    return x.astype(dtype)


def _clip_parts(x: jax.Array, most: float) -> jax.Array:
    """`x` cut off at `most`; if complex, in both parts."""
    if jnp.iscomplexobj(x):
        return jax.lax.complex(_clip_parts(jnp.real(x), most), _clip_parts(jnp.imag(x), most))
    return _between(x, most)


def _between(x: jax.Array, limit: float) -> jax.Array:
    """`x` cut off at `limit`: as `jnp.clip`, in one operation, traced in a third of the time."""
    return jax.lax.clamp(np.asarray(-limit, x.dtype), x, np.asarray(limit, x.dtype))


def real_dtype(x: Any) -> Any:
    """The real dtype of `widen(x)`."""
    return jnp.finfo(wide_dtype(x)).dtype


def at_step(value: Any, steps_done: jax.Array | np.integer) -> Any:
    """A hyperparameter's value at a step, whether a constant or a schedule.

    Raises:
        TypeError: what was taken for a schedule does not give a number, but part of a stage, say.
        ValueError: it gives several numbers.
    """
    if not callable(value):
        return value
    now = value(steps_done)
    name = getattr(value, "__name__", repr(value))
    if isinstance(now, tuple) and any(callable(part) for part in now):
        raise TypeError(f"{name} was taken for a schedule, but gives no number: call it, {name}()")
    given = jax.tree.leaves(now)
    if len(given) != 1 or not (hasattr(given[0], "dtype") or isinstance(given[0], float | int)):
        raise TypeError(f"the schedule {name} gave {now!r}: it must give one number for a step")
    if np.ndim(given[0]):
        raise ValueError(
            f"the schedule {name} gave the shape {np.shape(given[0])}: it must give one number for "
            "a step"
        )
    return now


def checked_schedule(value: Any) -> Any:
    """A schedule whose values `at_step` checks; a constant as it is."""
    return partial(at_step, value) if callable(value) else value

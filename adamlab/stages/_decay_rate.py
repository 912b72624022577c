"""The decay rate of a running average, in whatever form it is given, and the weight gathered."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from adamlab._checks import Scalar, check_number, is_concrete
from adamlab.stages.numerics import at_step, expm1

_LEAST = 1e-30


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class OneMinus:
    """A decay rate b given by its complement: `b2=OneMinus(1e-3)` is b2 = 0.999.

    float32 holds 1 - b to seven digits, but b = 0.99999 only to two digits of 1 - b, so a traced or
    swept decay rate is carried this way. `value` is a scalar in (0, 1].
    """

    value: Any


ConstantDecay = Scalar | OneMinus
"""A decay rate that stays the same: a number in [0, 1) or a `OneMinus`."""

DecayRate = ConstantDecay | Callable[[jax.Array], Any]
"""A decay rate: a `ConstantDecay`, or a schedule that gives one for the number of steps done."""


class Decay(NamedTuple):
    """A decay rate b as the two quantities used in computation."""

    complement: Scalar
    """1 - b."""
    log: Scalar
    """log b."""


def refuse_narrow(name: str, rate: Any) -> None:
    """Refuse a decay rate in a dtype that rounds 0.999 to 1."""
    dtype = getattr(rate, "dtype", None)
    if dtype is not None and jnp.issubdtype(dtype, jnp.floating) and jnp.finfo(dtype).bits < 32:
        raise TypeError(
            f"{name} came in {dtype}, too narrow for rates near 1: give it as a Python float, in "
            "float32 or as OneMinus(1 - b); adamlab.optimizers.inject_hyperparams keeps it in "
            "float32"
        )


def check_decay(name: str, rate: Any) -> None:
    """Refuse a concrete decay rate outside [0, 1), and one in a dtype too narrow for it."""
    refuse_narrow(name, rate)
    if isinstance(rate, OneMinus):
        if callable(rate.value):
            raise TypeError(f"{name}={rate!r}: give a schedule that returns OneMinus")
        complement = f"1-{name}" if name.isidentifier() else f"the complement of {name}"
        check_number(complement, rate.value, low=0, high=1, open_low=True)
        return
    # As NumPy's: under a trace a comparison with a JAX array is traced, too.
    if is_concrete(rate) and np.ndim(rate) == 0 and np.asarray(rate) == 1:
        raise ValueError(
            f"{name}=1: must be a number in [0, 1); one that float32 rounds to 1 is given by its "
            f"complement, OneMinus(1e-8) or an axis 1-{name}"
        )
    check_number(name, rate, low=0, high=1, open_high=True)


def decay_at(rate: DecayRate, steps_done: jax.Array | np.integer) -> Decay:
    """`rate` at a step, in Python floats where it is a Python number: float32 would round 1 - b.

    Raises:
        TypeError: the decay rate is in bfloat16 or float16, which cannot represent rates near 1.
        ValueError: a schedule gives a Python number outside [0, 1).
    """
    given = at_step(rate, steps_done)
    is_complement = isinstance(given, OneMinus)
    value = given.value if is_complement else given
    # JAX's own arrays are not waited for at each step.
    is_known = is_concrete(value) and not isinstance(value, jax.Array)
    if callable(rate) and is_known:
        check_decay("a schedule's decay rate", given)
    refuse_narrow("a decay rate", given)
    if is_known:
        complement = float(value) if is_complement else 1.0 - float(value)
        if complement == 1.0:
            return Decay(1.0, -math.inf)
        return Decay(complement, math.log1p(-complement) if is_complement else math.log(value))
    if is_complement:
        some = value < 1
        log = jnp.log1p(-jnp.where(some, value, 0))
        return Decay(value, jnp.where(some, log, _log(1 - value)))
    return Decay(1 - value, _log(value))


@jax.custom_jvp
def _log(b: jax.Array) -> jax.Array:
    """`log(max(b, 1e-30))`, so that b**t and its derivative are right at b = 0 too."""
    return jnp.log(jnp.maximum(b, _LEAST))


@_log.defjvp
def _log_jvp(primals: tuple[jax.Array], tangents: tuple[jax.Array]) -> tuple[jax.Array, jax.Array]:
    (b,), (change,) = primals, tangents
    return _log(b), change / jnp.maximum(b, _LEAST)


def check_constant_decay(name: str, rate: Any) -> None:
    """Refuse a schedule where the decay rate must be constant, and a rate out of range."""
    if callable(rate):
        raise TypeError(f"{name}={rate!r}: must be a number in [0, 1) or OneMinus, not a schedule")
    check_decay(name, rate)


def complement_of(name: str, rate: Any) -> Scalar:
    """1 - b for one decay rate, with all its digits where it is given by `OneMinus`.

    Raises:
        TypeError: it is a schedule.
        ValueError: a concrete one is outside [0, 1).
    """
    check_constant_decay(name, rate)
    return decay_at(rate, np.int32(0)).complement  # a JAX array would initialise JAX


def plain_decay(name: str, rate: Any) -> Any:
    """A decay rate as a plain number, for code that computes with b itself.

    Raises:
        TypeError: it is a schedule.
        ValueError: a concrete one is outside [0, 1).
    """
    check_constant_decay(name, rate)
    return 1 - rate.value if isinstance(rate, OneMinus) else rate


def mass_of(log_decay_sum: jax.Array) -> jax.Array:
    """The weight an average has gathered, 1 - b_1 b_2 ... b_t, from the sum of the logs."""
    return -expm1(log_decay_sum)

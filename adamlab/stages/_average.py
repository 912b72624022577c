"""One step of an exponential moving average, and the weight it has gathered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from adamlab._checks import Scalar
from adamlab.stages._decay_rate import DecayRate, decay_at, mass_of
from adamlab.stages.numerics import average_dtype, cast_within, lerp, scalar, widen

NOTHING_LEFT = -1e4
"""A sum of logs so low that nothing earlier is left: a finite stand-in for log 0."""


class Step(NamedTuple):
    """A decay rate evaluated at one step."""

    weight: Scalar
    """1 - b: the weight of the newest value."""
    mass: Any
    """The weight gathered with this step; 1 - b**t for a constant b."""
    previous_mass: Callable[[], Any]
    """The weight gathered before it, from a function without arguments: few stages ask."""
    log_decay: jax.Array | None
    """The sum of log b so far and its rounding error, where b follows a schedule."""


def start_log_decay(rate: DecayRate | None) -> jax.Array | None:
    """The initial state for `rate`; None unless it follows a schedule."""
    return jnp.zeros([2], average_dtype()) if callable(rate) else None


def step_at(rate: DecayRate, log_decay: jax.Array | None, steps_done: jax.Array) -> Step:
    """`rate` evaluated after `steps_done` steps; `log_decay` is its state."""
    decay = decay_at(rate, steps_done)
    log = jnp.asarray(decay.log, average_dtype())
    if log_decay is None:
        # One product for each mass: t log b, with log b from Python's float.
        steps = optax.safe_increment(steps_done).astype(average_dtype())

        def before() -> jax.Array:
            return mass_of(_product(steps_done.astype(average_dtype()), log))

        return Step(decay.complement, mass_of(steps * log), before, None)
    total = _add(log_decay, jnp.maximum(log, NOTHING_LEFT))
    return Step(decay.complement, mass_of(total.sum()), lambda: mass_of(log_decay.sum()), total)


def _add(total: jax.Array, term: jax.Array) -> jax.Array:
    """A sum and its rounding error, with `term` added.

    Knuth's two-sum: a plain float32 sum of a hundred thousand small logs is off by about 1e-4.
    """
    term = term + total[1]
    both = total[0] + term
    part = both - total[0]
    return jnp.stack([both, (total[0] - (both - part)) + (term - part)])


def fold(average: Any, new: Any, weight: Scalar) -> Any:
    """The tree `average` moved towards the tree `new`, in float32 or wider."""

    def move(a: jax.Array, x: jax.Array) -> jax.Array:
        a, x = widen(a), widen(x)
        both = np.promote_types(a.dtype, x.dtype)
        a, x = cast_within(a, both), cast_within(x, both)
        return lerp(a, x, scalar(weight, jnp.finfo(x.dtype).dtype))

    return jax.tree.map(move, average, new)


def _product(steps: jax.Array, log: jax.Array) -> jax.Array:
    none = steps == 0
    return jnp.where(none, 0, jnp.where(none, 1, steps) * log)  # 0 * log 0 would be NaN

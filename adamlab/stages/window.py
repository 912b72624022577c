"""gradient -> moments: the average of the last gradients alone."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from adamlab._checks import check_count, check_number
from adamlab.stages._decay_rate import ConstantDecay, OneMinus, plain_decay, refuse_narrow
from adamlab.stages._kinds import GradientToMoments
from adamlab.stages._moments import Moments
from adamlab.stages.numerics import cast_within, real_dtype, scalar, tame, widen


class WindowState(NamedTuple):
    """State of `track_window`."""

    count: Any
    place: Any
    """Scalar int32 array: where in the queue the next gradient goes."""
    queue: Any
    """Each leaf with an axis of `length + 1` in front: the last gradients, in a ring."""


def track_window(b1: ConstantDecay = 0.9, length: int = 10) -> GradientToMoments:
    """Average the last `length` gradients, and hand on the one before them as the gradient.

    `mu` is the mean of `g_{t-i}` for i < length with weights b1^i, `grad` is `g_{t-length}`: a
    second moment tracked after it is independent of `mu` (Zhou et al. 2019, AdaShift, algorithm
    2). Until there is such a gradient, `mu` is zero and nothing moves; `count` counts from there,
    and so do the schedules of the stages that read it.

    Args:
        b1: weight of each gradient relative to the next; in [0, 1].
        length: number of gradients kept, a whole number >= 1.

    Raises:
        ValueError: b1 or `length` is out of range.
    """
    check_count("length", length)
    rate = plain_decay("b1", b1) if isinstance(b1, OneMinus) else b1
    refuse_narrow("b1", rate)
    check_number("b1", rate, low=0, high=1, scheduled=False)
    powers = [rate**i for i in range(length)]
    weights = [power / sum(powers) for power in powers]
    slots = length + 1

    def init(params: Any) -> WindowState:
        # Made from the parameters, so that it lies on their devices.
        queue = jax.tree.map(lambda p: jnp.stack([jnp.zeros_like(p)] * slots), params)
        return WindowState(jnp.zeros([], jnp.int32), jnp.zeros([], jnp.int32), queue)

    def update(updates: Any, state: WindowState, **_: Any) -> tuple[Any, WindowState]:
        updates = jax.tree.map(tame, updates)
        count = optax.safe_increment(state.count)
        full = count > length
        place = state.place

        # Written in place: everything is read from the new queue, and the write stands in a
        # conditional that always holds, since XLA would otherwise fuse it with the reads and copy
        # the queue.
        queue = jax.tree.map(
            lambda q, g: jax.lax.cond(place >= 0, _put, _leave, q, g, place), state.queue, updates
        )

        def before(q: jax.Array, steps: int) -> jax.Array:
            return jax.lax.dynamic_index_in_dim(q, (place - steps) % slots, keepdims=False)

        def average(q: jax.Array) -> jax.Array:
            dtype = real_dtype(q)
            # One sum in one pass: a product with a vector of weights would copy the queue.
            mean = sum(scalar(w, dtype) * widen(before(q, i)) for i, w in enumerate(weights))
            return jnp.where(full, mean, 0)

        mu = jax.tree.map(average, queue)
        oldest = jax.tree.map(lambda q, g: before(q, length).astype(g.dtype), queue, updates)
        since = jnp.maximum(count - length, 1)
        new = WindowState(count, (place + 1) % slots, queue)
        return Moments(oldest, since, mu), new

    return GradientToMoments.from_update("track_window", init, update, marks=("tracks mu",))


# By name, so that JAX knows the branches again and compiles them once even if nothing is jitted.
def _put(queue: jax.Array, new: jax.Array, place: jax.Array) -> jax.Array:
    return jax.lax.dynamic_update_index_in_dim(queue, cast_within(new, queue.dtype), place, 0)


def _leave(queue: jax.Array, *_: jax.Array) -> jax.Array:
    return queue

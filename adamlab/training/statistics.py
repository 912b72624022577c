"""What a run gathers as it goes: streaming statistics, the memory of a few scalars."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax


class _Average(NamedTuple):
    """A streaming mean and deviation, by Welford's update."""

    count: Any
    mean: jax.Array
    distance: jax.Array
    """Root of the sum of squared distances from the mean: squares might overflow, or vanish."""


class Statistics(NamedTuple):
    """What a run carries along to report a Trace: scalars, and one copy of the parameters."""

    best: jax.Array
    last: jax.Array
    earlier: _Average
    late: _Average
    late_params: Any
    """Mean of the parameters over the late part."""
    converged_step: jax.Array
    nonfinite_step: jax.Array


def empty_statistics(initial: jax.Array, params: Any, target: jax.Array) -> Statistics:
    """What a run that starts at the loss `initial` carries before its first step."""
    zero, start, never = jnp.zeros_like(initial), jnp.int32(0), jnp.int32(-1)
    empty = _Average(zero, zero, zero)
    best = jnp.where(jnp.isfinite(initial), initial, jnp.inf)
    nowhere = optax.tree.zeros_like(params)
    return Statistics(
        best, initial, empty, empty, nowhere,
        converged_step=jnp.where(initial <= target, start, never),
        nonfinite_step=jnp.where(jnp.isfinite(initial), never, start),
    )  # fmt: skip


def record(
    stats: Statistics,
    loss: jax.Array,
    params: Any,
    step: jax.Array,
    steps: int,
    target: jax.Array,
) -> Statistics:
    """Add the loss and the parameters seen after `step` steps."""
    late_from, earlier_from = steps - steps // 4, steps - 2 * (steps // 4)
    late = _add(stats.late, loss, step > late_from)
    weight = jnp.where(step > late_from, 1 / jnp.maximum(late.count, 1), 0)
    converges = (stats.converged_step < 0) & (loss <= target)
    breaks = (stats.nonfinite_step < 0) & ~jnp.isfinite(loss)
    return Statistics(
        best=jnp.where(loss < stats.best, loss, stats.best),
        last=loss,
        earlier=_add(stats.earlier, loss, (step > earlier_from) & (step <= late_from)),
        late=late,
        late_params=jax.tree.map(
            lambda mean, p: mean + weight.astype(p.dtype) * (p - mean), stats.late_params, params
        ),
        converged_step=jnp.where(converges, step, stats.converged_step),
        nonfinite_step=jnp.where(breaks, step, stats.nonfinite_step),
    )


def _add(average: _Average, x: jax.Array, counted: jax.Array) -> _Average:
    """`average` with `x`, where `counted`."""
    count = average.count + 1
    mean = average.mean + (x - average.mean) / count
    apart = abs(x - average.mean) * jnp.sqrt((count - 1) / count)
    new = _Average(count, mean, jnp.hypot(average.distance, apart))
    return jax.tree.map(lambda n, old: jnp.where(counted, n, old), new, average)

"""What a run gathers as it goes: streaming statistics."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from adamlab.stages.numerics import wide_dtype


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
    """Mean of the parameters over the late part, in float32 or wider."""
    late_least: jax.Array
    """Least loss since the earlier part began; inf before it."""
    late_rise: jax.Array
    """The greatest rise above that least so far."""
    converged_step: jax.Array
    nonfinite_step: jax.Array


def empty_statistics(initial: jax.Array, params: Any, target: jax.Array) -> Statistics:
    """What a run that starts at the loss `initial` carries before its first step."""
    zero, start, never = jnp.zeros_like(initial), jnp.int32(0), jnp.int32(-1)
    empty = _Average(zero, zero, zero)
    best = jnp.where(jnp.isfinite(initial), initial, jnp.inf)
    nowhere = jax.tree.map(lambda p: jnp.zeros(p.shape, wide_dtype(p)), params)
    return Statistics(
        best, initial, empty, empty, nowhere,
        late_least=jnp.full_like(initial, jnp.inf),
        late_rise=zero,
        converged_step=jnp.where(initial <= target, start, never),
        nonfinite_step=jnp.where(jnp.isfinite(initial), never, start),
    )  # fmt: skip


def late_from(steps: int) -> int:
    """The step after which a run is in its late part, its last quarter."""
    return steps - steps // 4


def record(
    stats: Statistics,
    loss: jax.Array,
    params: Any,
    step: jax.Array,
    steps: int,
    target: jax.Array,
) -> Statistics:
    """Add the loss and the parameters seen after `step` steps."""
    middle = late_from(steps)
    earlier_from = 2 * middle - steps
    late = _add(stats.late, loss, step > middle)
    weight = jnp.where(step > middle, 1 / jnp.maximum(late.count, 1), 0)
    least = jnp.where(step > earlier_from, jnp.minimum(stats.late_least, loss), jnp.inf)
    converges = (stats.converged_step < 0) & (loss <= target)
    breaks = (stats.nonfinite_step < 0) & ~jnp.isfinite(loss)
    return Statistics(
        best=jnp.where(jnp.isfinite(loss) & (loss < stats.best), loss, stats.best),
        last=loss,
        earlier=_add(stats.earlier, loss, (step > earlier_from) & (step <= middle)),
        late=late,
        late_params=jax.tree.map(
            lambda mean, p: mean + weight.astype(mean.dtype) * (p.astype(mean.dtype) - mean),
            stats.late_params,
            params,
        ),
        late_least=least,
        late_rise=jnp.maximum(stats.late_rise, loss - least),
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

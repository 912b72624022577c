"""reddi: the convex problem on which Adam walks to the worst point."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from adamlab.problems._problem import Problem

_PERIOD = 101
_RARE, _COMMON = 1010.0, -10.0


def reddi() -> Problem:
    """`f_t(x) = 1010 x` every 101st step, else `-10 x`, on [-1, 1], from 0; the best x is -1.

    Reddi, Kale & Kumar 2018, section 5, the synthetic experiment (online: `batch` gives the slope
    of each step). The objective is the mean over a period, `10 x / 101`. Metrics: `x`. With
    b1 = 0.9, b2 = 0.99 Adam ends at +1 and AMSGrad goes to -1.
    """
    return Problem(
        name="reddi",
        init=_zero,
        loss=_slope_times_x,
        batch=_online_slope,
        objective=_mean_loss,
        metrics=_where,
        project=_onto_interval,
        optimum=_mean_loss(-1.0),
        description="Reddi's online convex problem on [-1, 1], where Adam ends at the worst point",
    )


def reddi_stochastic() -> Problem:
    """Reddi's problem with the rare slope drawn with probability 1/100 instead of in turn.

    Reddi, Kale & Kumar 2018, section 5 (stochastic setting): 1010 with probability 0.01, else
    -10. The objective is the expected loss, `0.2 x`. Metrics: `x`.
    """
    return Problem(
        name="reddi-stochastic",
        init=_zero,
        loss=_slope_times_x,
        batch=_random_slope,
        objective=_expected_loss,
        metrics=_where,
        project=_onto_interval,
        optimum=_expected_loss(-1.0),
        description="Reddi's problem with the rare slope drawn at random",
    )


def _zero(key: jax.Array) -> jax.Array:
    del key
    return jnp.zeros([])


def _slope_times_x(x: jax.Array, slope: jax.Array) -> jax.Array:
    return slope * x


def _online_slope(key: jax.Array, step: jax.Array) -> jax.Array:
    del key
    return jnp.where(step % _PERIOD == 0, _RARE, _COMMON)


def _random_slope(key: jax.Array, step: jax.Array) -> jax.Array:
    del step
    return jnp.where(jax.random.bernoulli(key, 0.01), _RARE, _COMMON)


def _mean_loss(x: Any) -> Any:
    return (_RARE + (_PERIOD - 1) * _COMMON) / _PERIOD * x


def _expected_loss(x: Any) -> Any:
    return (0.01 * _RARE + 0.99 * _COMMON) * x


def _onto_interval(x: jax.Array) -> jax.Array:
    return jnp.clip(x, -1, 1)


def _where(x: jax.Array) -> dict[str, Any]:
    return {"x": x}

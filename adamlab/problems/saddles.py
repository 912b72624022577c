"""saddle and plateau: where the gradient is small and the minimum is not near."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp

from adamlab.problems._problem import Problem, Range
from adamlab.problems.changed import noisy, scattered


def saddle() -> Problem:
    """`steepness * x**2 / 2 - y**2 / 2 + y**4 / 4`: a saddle at 0, minima of -1/4 at (0, +-1).

    Starts at (1, +-`offset`), the sign by the key, plus Gaussian `scatter` (its standard
    deviation): with both at 0 it starts on the ridge `y = 0`, whose slope leads into the saddle and
    which only noise leaves. Along y, gradient descent moves away by a factor of 1 + its rate a
    step. `noise` is the standard deviation of the Gaussian noise on each gradient; the objective
    has none.

    Metrics: `escaped`, 1 if the objective ends below -1/8, half way down from the saddle, else 0;
    `distance` from the nearer minimum.
    """
    quiet = Problem(
        name="saddle",
        init=_saddle_start,
        loss=_saddle,
        metrics=_saddle_metrics,
        optimum=-0.25,
        hyperparameters={"steepness": 10.0, "offset": 1e-6},
        ranges={"steepness": Range(0)},
        description="a saddle between two minima, from near its ridge",
    )
    return replace(noisy(scattered(quiet)), name=quiet.name)


def plateau() -> Problem:
    """`1 - exp(-r**2 / 2)` in two dimensions: a well at 0 in a plain that gets flat fast.

    Starts `distance` away in a direction given by the key, where the gradient has the length
    `distance * exp(-distance**2 / 2)`: 1e-3 at 4, 2e-5 at 5, 9e-8 at 6, 1e-13 at 8. `noise` is the
    standard deviation of the Gaussian noise on each gradient; the objective has none.

    Metrics: `escaped`, 1 if the objective ends below 1/2, so less than 1.18 away, else 0;
    `final_distance` from the minimum.
    """
    quiet = Problem(
        name="plateau",
        init=_plateau_start,
        loss=_plateau,
        metrics=_plateau_metrics,
        hyperparameters={"distance": 4.0},
        ranges={"distance": Range(0)},
        description="a well in a wide flat plain",
    )
    return replace(noisy(quiet), name=quiet.name)


def _saddle_start(key: jax.Array, *, offset: jax.Array, **_: Any) -> jax.Array:
    side = jax.random.rademacher(key, (), float)
    return jnp.stack([jnp.ones_like(side), offset * side])


def _saddle(params: jax.Array, batch: None = None, *, steepness: jax.Array, **_: Any) -> jax.Array:
    del batch
    x, y = params
    return steepness * x**2 / 2 - y**2 / 2 + y**4 / 4


def _saddle_metrics(params: jax.Array, **hyper: Any) -> dict[str, jax.Array]:
    x, y = params
    return {
        "escaped": (_saddle(params, **hyper) < -1 / 8).astype(params.dtype),
        "distance": jnp.hypot(x, jnp.abs(y) - 1),
    }


def _plateau_start(key: jax.Array, *, distance: jax.Array, **_: Any) -> jax.Array:
    angle = jax.random.uniform(key, maxval=2 * jnp.pi)
    return distance * jnp.stack([jnp.cos(angle), jnp.sin(angle)])


def _plateau(params: jax.Array, batch: None = None, **_: Any) -> jax.Array:
    del batch
    # Not expm1: far out its derivative would round to 0 in float32.
    return 1 - jnp.exp(-(params @ params) / 2)


def _plateau_metrics(params: jax.Array, **_: Any) -> dict[str, jax.Array]:
    return {
        "escaped": (_plateau(params) < 1 / 2).astype(params.dtype),
        "final_distance": jnp.linalg.norm(params),
    }

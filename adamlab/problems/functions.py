"""Functions of a few variables whose minimum is known."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from adamlab._checks import check_count
from adamlab.problems._problem import Problem, Range


def quadratic(dimension: int = 2) -> Problem:
    """`sum(h * x**2) / 2` with curvatures h spaced evenly on a log scale from 1 to `condition`.

    Starts at `start` in every coordinate. Gradient descent converges below a learning rate of
    2 / `condition`, its largest curvature, and diverges above.

    Raises:
        TypeError: `dimension` is not an integer.
        ValueError: `dimension` is below 1.
    """
    check_count("dimension", dimension)
    return Problem(
        name="quadratic" if dimension == 2 else f"quadratic(dimension={dimension})",
        init=partial(_start_everywhere, dimension),
        loss=partial(_quadratic, dimension),
        hyperparameters={"condition": 100.0, "start": 1.0},
        ranges={"condition": Range(1)},
        description=f"a quadratic of {dimension} variables and chosen condition number",
    )


def _start_everywhere(dimension: int, key: jax.Array, *, start: jax.Array, **_: Any) -> jax.Array:
    del key
    return jnp.full(dimension, start)


def _quadratic(
    dimension: int, params: jax.Array, batch: None, *, condition: jax.Array, **_: Any
) -> jax.Array:
    del batch
    # A single variable has the largest curvature, which is the one that decides stability.
    places = jnp.linspace(0.0, 1.0, dimension) if dimension > 1 else jnp.ones(1)
    return jnp.sum(condition**places * params**2) / 2


def rosenbrock() -> Problem:
    """`(1 - x)**2 + steepness * (y - x**2)**2`, from (-1.2, 1): a curved valley to (1, 1).

    Rosenbrock 1960. Metrics: `distance` from the minimum.
    """
    return Problem(
        name="rosenbrock",
        init=_rosenbrock_start,
        loss=_rosenbrock,
        metrics=_rosenbrock_distance,
        hyperparameters={"steepness": 100.0},
        ranges={"steepness": Range(0)},
        description="Rosenbrock's curved valley, from (-1.2, 1)",
    )


def _rosenbrock_start(key: jax.Array, **_: Any) -> jax.Array:
    del key
    return jnp.array([-1.2, 1.0])


def _rosenbrock(params: jax.Array, batch: None, *, steepness: jax.Array) -> jax.Array:
    del batch
    x, y = params
    return (1 - x) ** 2 + steepness * (y - x**2) ** 2


def _rosenbrock_distance(params: jax.Array, **_: Any) -> dict[str, jax.Array]:
    return {"distance": jnp.linalg.norm(params - 1)}

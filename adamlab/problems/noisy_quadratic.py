"""noisy-quadratic: a quadratic whose gradients have noise along its own curvatures."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from adamlab._checks import check_count
from adamlab.problems._problem import Problem, Range


def noisy_quadratic(dimension: int = 100) -> Problem:
    """`sum(h * x**2) / 2` with `h_i = 1 / i` and gradient noise of variance `h_i / batch_size`.

    Zhang, Li, Nado et al. 2019 (arXiv 1907.04164), where it predicts the effect of batch size and
    momentum. Starts from N(0, 1). The objective has no noise. Under gradient descent at a rate
    r < 2 the mean of each `x_i**2` settles at `r / (batch_size * (2 - r * h_i))`, by its own noise
    alone; so a smaller rate or a larger batch gives a smaller excess loss.

    Metrics: `distance` from the minimum; `steep_loss` and `flat_loss`, what the halves of the
    coordinates with the larger and the smaller curvatures add to the objective: noise keeps the
    first above zero, slow descent the second.

    Raises:
        TypeError: `dimension` is not an integer.
        ValueError: `dimension` is below 1.
    """
    check_count("dimension", dimension)
    return Problem(
        name="noisy-quadratic" if dimension == 100 else f"noisy-quadratic(dimension={dimension})",
        init=partial(_init, dimension),
        loss=_loss,
        batch=partial(_noise, dimension),
        objective=_objective,
        metrics=_metrics,
        hyperparameters={"batch_size": 1.0},
        ranges={"batch_size": Range(0, open_low=True)},
        description=f"a quadratic of {dimension} variables with noisy gradients",
    )


def _init(dimension: int, key: jax.Array, **_: Any) -> jax.Array:
    return jax.random.normal(key, (dimension,))


def _curvatures(dimension: int) -> jax.Array:
    return 1 / jnp.arange(1.0, dimension + 1)


def _noise(dimension: int, key: jax.Array, step: jax.Array, *, batch_size: jax.Array) -> jax.Array:
    del step
    return jnp.sqrt(_curvatures(dimension) / batch_size) * jax.random.normal(key, (dimension,))


def _objective(params: jax.Array, **_: Any) -> jax.Array:
    return jnp.sum(_curvatures(params.size) * params**2) / 2


def _loss(params: jax.Array, noise: jax.Array, **_: Any) -> jax.Array:
    return _objective(params) + noise @ params


def _metrics(params: jax.Array, **_: Any) -> dict[str, jax.Array]:
    losses = _curvatures(params.size) * params**2 / 2
    half = (params.size + 1) // 2
    return {
        "distance": jnp.linalg.norm(params),
        "steep_loss": losses[:half].sum(),
        "flat_loss": losses[half:].sum(),
    }

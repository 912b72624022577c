"""rough-loss: a network's loss with ripples laid over it."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from adamlab.problems._linear import apply_linear, linear
from adamlab.problems._problem import Problem

_SAMPLES, _FEATURES, _HIDDEN = 100, 10, 32

Rows = tuple[jax.Array, jax.Array]
"""Inputs (samples, features) and targets (samples, 1)."""


def rough_loss() -> Problem:
    """A 10-32-1 ReLU network: mean square + `roughness` * mean(abs(sin(`frequency` * output))).

    100 inputs from N(0, 1); targets are a linear map of them, its weights from N(0, 1/10), plus
    Gaussian noise of standard deviation 0.1. Both are drawn once a run, and every step sees all of
    them. Layers are initialised like PyTorch's `Linear`. The ripples have kinks wherever
    `frequency` times an output is a multiple of pi; their slope is up to `roughness * frequency`
    per output. The loss is bounded below by 0, but its minimum is larger.

    Metrics: `mse`, the mean square alone; `ripple`, the other term without `roughness`.
    """
    return Problem(
        name="rough-loss",
        init=_init,
        loss=_loss,
        data=_data,
        metrics=_metrics,
        hyperparameters={"roughness": 1.0, "frequency": 1.0},
        description="a 10-32-1 ReLU network whose loss has ripples, on 100 Gaussian samples",
    )


def _init(key: jax.Array, **_: Any) -> dict[str, Any]:
    inner_key, outer_key = jax.random.split(key)
    return {"inner": linear(inner_key, _FEATURES, _HIDDEN), "outer": linear(outer_key, _HIDDEN, 1)}


def _data(key: jax.Array, **_: Any) -> Rows:
    inputs_key, weights_key, noise_key = jax.random.split(key, 3)
    inputs = jax.random.normal(inputs_key, (_SAMPLES, _FEATURES))
    weights = jax.random.normal(weights_key, (_FEATURES, 1)) / _FEATURES**0.5
    return inputs, inputs @ weights + 0.1 * jax.random.normal(noise_key, (_SAMPLES, 1))


def _terms(params: dict[str, Any], rows: Rows, frequency: jax.Array) -> tuple[jax.Array, jax.Array]:
    inputs, targets = rows
    outputs = apply_linear(params["outer"], jax.nn.relu(apply_linear(params["inner"], inputs)))
    return jnp.mean((outputs - targets) ** 2), jnp.mean(jnp.abs(jnp.sin(frequency * outputs)))


def _loss(
    params: dict[str, Any], rows: Rows, *, roughness: jax.Array, frequency: jax.Array
) -> jax.Array:
    mse, ripple = _terms(params, rows, frequency)
    return mse + roughness * ripple


def _metrics(
    params: dict[str, Any], rows: Rows, *, frequency: jax.Array, **_: Any
) -> dict[str, jax.Array]:
    mse, ripple = _terms(params, rows, frequency)
    return {"mse": mse, "ripple": ripple}

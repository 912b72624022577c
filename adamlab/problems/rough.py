"""rough-loss: a network's loss with ripples laid over it."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from adamlab.problems._linear import apply_linear, linear
from adamlab.problems._problem import Problem, Range

_SAMPLES, _FEATURES, _HIDDEN = 100, 10, 32


class Samples(NamedTuple):
    """What a run learns from."""

    inputs: jax.Array
    """Shape (samples, features)."""
    targets: jax.Array
    """Shape (samples, 1)."""
    floor: jax.Array
    """The least loss that any outputs have: see `_floor`."""


def rough_loss() -> Problem:
    """A 10-32-1 ReLU network: mean square + `roughness` * mean(abs(sin(`frequency` * output))).

    100 inputs from N(0, 1); targets are a linear map of them, its weights from N(0, 1/10), plus
    Gaussian noise of standard deviation 0.1. Both are drawn once a run, and every step sees all of
    them. Layers are initialised like PyTorch's `Linear`. The ripples have kinks wherever
    `frequency` times an output is a multiple of pi; their slope is up to `roughness * frequency`
    per output.

    Outputs that leave the ripples miss the targets, so no run can lose less than the best outputs
    would: its `floor`. The objective is the loss minus that floor, so 0 is a lower bound of it.

    Metrics: `mse`, the mean square alone; `ripple`, the other term without `roughness`; `floor`.
    """
    return Problem(
        name="rough-loss",
        init=_init,
        loss=_loss,
        data=_data,
        objective=_objective,
        metrics=_metrics,
        hyperparameters={"roughness": 1.0, "frequency": 1.0},
        ranges={"roughness": Range(0), "frequency": Range(0, open_low=True)},
        description="a 10-32-1 ReLU network whose loss has ripples, on 100 Gaussian samples",
    )


def _init(key: jax.Array, **_: Any) -> dict[str, Any]:
    inner_key, outer_key = jax.random.split(key)
    return {"inner": linear(inner_key, _FEATURES, _HIDDEN), "outer": linear(outer_key, _HIDDEN, 1)}


def _data(key: jax.Array, *, roughness: jax.Array, frequency: jax.Array) -> Samples:
    inputs_key, weights_key, noise_key = jax.random.split(key, 3)
    inputs = jax.random.normal(inputs_key, (_SAMPLES, _FEATURES))
    weights = jax.random.normal(weights_key, (_FEATURES, 1)) / _FEATURES**0.5
    targets = inputs @ weights + 0.1 * jax.random.normal(noise_key, (_SAMPLES, 1))
    return Samples(inputs, targets, _floor(targets, roughness, frequency))


def _floor(targets: jax.Array, roughness: jax.Array, frequency: jax.Array) -> jax.Array:
    """Mean over targets y of the least `(o - y)**2 + roughness * abs(sin(frequency * o))` of any o.

    The best o lies between y and the nearest kink. On the way there the slope changes its sign at
    most once, from falling to rising, as the second derivative only grows: halving finds the place.
    """
    phase = frequency * targets
    gap = jnp.abs(phase - jnp.pi * jnp.round(phase / jnp.pi)) / frequency

    def halve(_: Any, ends: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        low, high = ends
        moved = (low + high) / 2
        rises = 2 * moved > roughness * frequency * jnp.cos(frequency * (gap - moved))
        return jnp.where(rises, low, moved), jnp.where(rises, moved, high)

    _, moved = jax.lax.fori_loop(0, 40, halve, (jnp.zeros_like(gap), gap))
    return jnp.mean(moved**2 + roughness * jnp.sin(frequency * (gap - moved)))


def _terms(
    params: dict[str, Any], samples: Samples, frequency: jax.Array
) -> tuple[jax.Array, jax.Array]:
    inputs, targets, _ = samples
    outputs = apply_linear(params["outer"], jax.nn.relu(apply_linear(params["inner"], inputs)))
    return jnp.mean((outputs - targets) ** 2), jnp.mean(jnp.abs(jnp.sin(frequency * outputs)))


def _loss(
    params: dict[str, Any], samples: Samples, *, roughness: jax.Array, frequency: jax.Array
) -> jax.Array:
    mse, ripple = _terms(params, samples, frequency)
    return mse + roughness * ripple


def _objective(params: dict[str, Any], samples: Samples, **hyper: jax.Array) -> jax.Array:
    return _loss(params, samples, **hyper) - samples.floor


def _metrics(
    params: dict[str, Any], samples: Samples, *, frequency: jax.Array, **_: Any
) -> dict[str, jax.Array]:
    mse, ripple = _terms(params, samples, frequency)
    return {"mse": mse, "ripple": ripple, "floor": samples.floor}

"""fractal-net: the network whose border between training and diverging is a fractal."""

from __future__ import annotations

from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from adamlab._checks import check_choice, check_count
from adamlab.problems._problem import Problem

_WIDTH = 16
_ACTIVATIONS = {"linear": lambda z: z, "relu": jax.nn.relu, "tanh": jnp.tanh}
_DATAPOINTS = {"linear": _WIDTH, "relu": _WIDTH * (_WIDTH + 1), "tanh": _WIDTH * (_WIDTH + 1)}


def fractal_net(
    hidden_activation: str = "tanh",
    datapoints: int | None = None,
    batch_size: int | None = None,
    draw: int | None = None,
) -> Problem:
    """`h = act(gain * W0 @ x / sqrt(16))`, `y = W1 @ h / 16`, mean square, no biases.

    Sohl-Dickstein 2024 (arXiv 2402.06184) and its notebook: 16 inputs, 16 hidden units, 1 output;
    the gain is sqrt(2), and 1 for "linear". Parameters, inputs and targets are all N(0, 1), drawn
    once, the notebook's own or others: every run of a map, whatever its seed, starts at the same
    point and sees the same data, so that the hyperparameters alone make the picture. `offset` is
    added to the initial W0. Full batch unless `batch_size` rows are drawn with replacement each
    step; the objective is always the loss on all rows. The paper's maps have a learning rate for
    each layer, float64 and 500 steps. Data lie in columns, so that a map of many networks is one
    plain matrix product.

    Args:
        hidden_activation: "tanh", "relu" or "linear".
        datapoints: rows of data; None for the notebook's: as many as parameters, 272, and 16 for
            "linear".
        batch_size: rows a step; None for all.
        draw: the seed of parameters and data, >= 0; None for the notebook's own.

    Raises:
        TypeError: a count is not an integer.
        ValueError: a count is out of range or `hidden_activation` is unknown.
    """
    check_choice("hidden_activation", hidden_activation, _ACTIVATIONS)
    rows = _DATAPOINTS[hidden_activation] if datapoints is None else datapoints
    check_count("datapoints", rows)
    if batch_size is not None:
        check_count("batch_size", batch_size)
    if draw is not None:
        check_count("draw", draw, low=0)
    settings = ", ".join(
        f"{name}={value!r}"
        for name, value, usual in (
            ("hidden_activation", hidden_activation, "tanh"),
            ("datapoints", rows, _DATAPOINTS[hidden_activation]),
            ("batch_size", batch_size, None),
            ("draw", draw, None),
        )
        if value != usual
    )
    return Problem(
        name=f"fractal-net({settings})" if settings else "fractal-net",
        init=partial(_init, draw),
        loss=partial(_loss, hidden_activation),
        batch=partial(_batch, draw, rows, batch_size),
        objective=partial(_objective, hidden_activation, draw, rows),
        hyperparameters={"offset": 0.0},
        description=f"a 16-16-1 {hidden_activation} network, one start and {rows} rows for all",
    )


@lru_cache(maxsize=8)
def _drawn(draw: int | None, rows: int) -> tuple[np.ndarray, ...]:
    """W0, W1, inputs and targets; the parameters do not depend on `rows`."""
    if draw is None:
        return _notebooks(rows)
    normal = np.random.default_rng(draw).standard_normal
    shapes = ((_WIDTH, _WIDTH), (_WIDTH,), (_WIDTH, rows), (rows,))
    return tuple(normal(shape) for shape in shapes)


def _notebooks(rows: int) -> tuple[np.ndarray, ...]:
    """What the notebook draws from key 0: in float64, with the random bits of JAX before 0.5."""
    with jax.ensure_compile_time_eval(), jax.enable_x64(True), jax.threefry_partitionable(False):
        rest, of_params = jax.random.split(jax.random.key(0, impl="threefry2x32"))
        of_inner, of_outer = jax.random.split(of_params)
        rest, of_inputs = jax.random.split(rest)
        _, of_targets = jax.random.split(rest)
        return (
            np.asarray(jax.random.normal(of_inner, (_WIDTH, _WIDTH))).T,
            np.asarray(jax.random.normal(of_outer, (_WIDTH,))),
            np.asarray(jax.random.normal(of_inputs, (rows, _WIDTH))).T,
            np.asarray(jax.random.normal(of_targets, (rows,))),
        )


def _init(draw: int | None, key: jax.Array, *, offset: jax.Array) -> dict[str, jax.Array]:
    del key
    inner, outer = (jnp.asarray(part, float) for part in _drawn(draw, 1)[:2])
    return {"W0": inner + offset, "W1": outer}


def _rows(draw: int | None, rows: int) -> tuple[jax.Array, jax.Array]:
    inputs, targets = _drawn(draw, rows)[2:]
    return jnp.asarray(inputs, float), jnp.asarray(targets, float)


def _batch(
    draw: int | None, rows: int, batch_size: int | None, key: jax.Array, step: jax.Array, **_: Any
) -> tuple[jax.Array, jax.Array]:
    del step
    inputs, targets = _rows(draw, rows)
    if batch_size is None:
        return inputs, targets
    chosen = jax.random.randint(key, (batch_size,), 0, rows)
    return inputs[:, chosen], targets[chosen]


def _loss(
    activation: str, params: dict[str, jax.Array], batch: tuple[jax.Array, jax.Array], **_: Any
) -> jax.Array:
    inputs, targets = batch
    gain = 1.0 if activation == "linear" else 2**0.5
    hidden = _ACTIVATIONS[activation](gain * (params["W0"] @ inputs) / _WIDTH**0.5)
    return jnp.mean((params["W1"] @ hidden / _WIDTH - targets) ** 2)


def _objective(
    activation: str, draw: int | None, rows: int, params: dict[str, jax.Array], **_: Any
) -> jax.Array:
    return _loss(activation, params, _rows(draw, rows))

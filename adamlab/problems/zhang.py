"""zhang: the finite sum on which small b2 lets Adam diverge to infinity."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from adamlab._checks import check_count
from adamlab.problems._problem import Problem


def zhang(functions: int = 10) -> Problem:
    """A steep function and `functions` - 1 shallow ones against it; the mean is least at -2.

    Zhang, Chen, Shi, Sun & Luo 2022 (arXiv 2208.09632). With `g(x)` = x for x >= -1, else
    `(x + 2)**2 / 2 - 3 / 2`, and n for `functions`:

        f_0 = (1 + (n - 1) * a) * g(x),    f_i = -a * g(x) for i = 1 ... n - 1

    so that the mean is `g(x) / n`, whatever `a`. Each step sees one function; each n steps see
    all of them, in an order drawn anew (random reshuffling). Starts at `start`. The defaults, `a`
    = 1 (f_0 = n g, f_i = -g) and `start` = 1, are ours. Metrics: `x`; `distance` from -2.

    Raises:
        TypeError: `functions` is not an integer.
        ValueError: `functions` is below 2.
    """
    check_count("functions", functions, low=2)
    return Problem(
        name="zhang" if functions == 10 else f"zhang(functions={functions})",
        init=_init,
        loss=_loss,
        data=_shuffling_key,
        batch=partial(_weight, functions),
        objective=partial(_mean, functions),
        metrics=_metrics,
        optimum=-1.5 / functions,
        hyperparameters={"a": 1.0, "start": 1.0},
        description=f"a sum of {functions} functions, one steep, where small b2 diverges",
    )


def _init(key: jax.Array, *, start: jax.Array, **_: Any) -> jax.Array:
    del key
    return jnp.asarray(start, float)


def _shuffling_key(key: jax.Array, **_: Any) -> jax.Array:
    return key


def _weight(
    functions: int, key: jax.Array, step: jax.Array, run: jax.Array, *, a: jax.Array, **_: Any
) -> jax.Array:
    """What multiplies g at this step: only the steep function's place in the epoch matters."""
    del key
    place = jax.random.randint(
        jax.random.fold_in(run, step // functions), (), 0, functions, jnp.int32
    )
    steep = jnp.asarray(1 + (functions - 1) * a, float)
    return jnp.where(step % functions == place, steep, -jnp.asarray(a, float))


def _shape(x: jax.Array) -> jax.Array:
    return jnp.where(x >= -1, x, (x + 2) ** 2 / 2 - 1.5)


def _loss(x: jax.Array, weight: jax.Array, **_: Any) -> jax.Array:
    return weight * _shape(x)


def _mean(functions: int, x: jax.Array, run: jax.Array, **_: Any) -> jax.Array:
    del run
    return _shape(x) / functions


def _metrics(x: jax.Array, run: jax.Array, **_: Any) -> dict[str, jax.Array]:
    del run
    return {"x": x, "distance": jnp.abs(x + 2)}

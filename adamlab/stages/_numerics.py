"""Arithmetic that several stages share."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def widen(x: jax.Array) -> jax.Array:
    """`x` in float32 or wider: float16 and bfloat16 lose too much under a square."""
    return x.astype(wide_dtype(x))


def wide_dtype(x: jax.Array | jax.ShapeDtypeStruct) -> Any:
    """The dtype of `widen(x)`."""
    narrow = jnp.issubdtype(x.dtype, jnp.floating) and jnp.finfo(x.dtype).bits < 32
    return np.dtype(np.float32) if narrow else x.dtype


def average_dtype() -> Any:
    """The dtype of masses and other scalars: float64 where JAX has it enabled, else float32."""
    return jnp.result_type(float)


def lerp(a: jax.Array, b: jax.Array, weight: jax.Array) -> jax.Array:
    """`a + weight * (b - a)`, computed from the nearer end; an infinite `a` stays so.

    With a small weight, `(1 - weight) * a` would round the 1 - weight; with a large one, b - a
    would lose b where a is far larger.
    """
    apart = b - a
    if jnp.issubdtype(apart.dtype, jnp.floating):  # inf - inf would be NaN
        apart = jnp.maximum(apart, -jnp.finfo(apart.dtype).max)
    return jnp.where(weight.real > 0.5, b - (1 - weight) * apart, a + weight * apart)


@jax.custom_jvp
def sqrt(x: jax.Array) -> jax.Array:
    """The square root, with derivative 0 at 0: a zero gradient gives no NaN meta-gradient."""
    return jnp.sqrt(x)


@sqrt.defjvp
def _sqrt_jvp(primals: tuple[jax.Array], tangents: tuple[jax.Array]) -> tuple[jax.Array, jax.Array]:
    (x,), (dx,) = primals, tangents
    root = sqrt(x)
    positive = root > 0
    slope = jnp.where(positive, 0.5 / jnp.where(positive, root, 1), 0)
    return root, slope * dx

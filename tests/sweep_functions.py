"""Functions that tests sweep, importable by worker processes."""

from __future__ import annotations

import jax
import jax.numpy as jnp


def walk(key, rate, decay):
    """A short random recursion: chaotic enough that any change in the key or point shows."""

    def step(x, k):
        x = decay * x + rate * jnp.sin(3 * x + jax.random.normal(k))
        return x, None

    final, _ = jax.lax.scan(step, jnp.ones(5), jax.random.split(key, 50))
    return {"mean": final.mean(), "final": final, "sign": jnp.sign(final).astype(jnp.int32)}


def project(key, rate, decay):
    """What depends on JAX's configuration: random numbers and a matrix product."""
    return rate * (jax.random.normal(key, (4, 4)) @ jnp.full(4, decay))


def product(a, b):
    return a * b


def nan_where_negative(a):
    return jnp.sqrt(a)

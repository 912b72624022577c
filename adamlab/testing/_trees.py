"""The example trees: small, so that a law costs milliseconds, and divisible between two devices."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

EXAMPLE_DTYPES = ("float32", "bfloat16", "float16", "float64", "mixed")


def example_params(dtype: Any = jnp.float32) -> dict[str, jax.Array]:
    """A matrix of shape (4, 3) and a vector of shape (4,), none of whose elements is zero.

    Args:
        dtype: of both; or "mixed", for a float32 matrix and a bfloat16 vector.
    """
    first, second = (jnp.float32, jnp.bfloat16) if dtype == "mixed" else (dtype, dtype)
    return {
        "w": jnp.asarray(np.linspace(-1, 1.2, 12).reshape(4, 3), first),
        "b": jnp.asarray(np.linspace(0.5, 2, 4), second),
    }


def example_gradients(steps: int, like: Any = None, seed: int = 0) -> list[Any]:
    """Normal gradients of mixed magnitude for `steps` steps, of the form of `like`.

    A leaf's values depend on its shape, not on its place in the tree.
    """
    like = example_params() if like is None else like
    out = []
    for t in range(steps):

        def draw(leaf: Any, t: int = t) -> jax.Array:
            shape = np.shape(leaf)
            random = np.random.default_rng([seed, t, *shape])
            scale = 2.0 ** random.integers(-3, 4, size=shape)
            return jnp.asarray(scale * random.normal(size=shape), leaf.dtype)

        out.append(jax.tree.map(draw, like))
    return out


def example_matrix() -> tuple[Any, list[Any]]:
    """The matrix of `example_params` alone, and two steps of gradients, in fresh buffers."""
    params = {"w": example_params()["w"]}
    return params, example_gradients(2, params)

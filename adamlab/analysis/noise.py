"""The gradient noise scale: the batch size at which noise and gradient are of equal size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from adamlab._checks import check_count
from adamlab.stages.numerics import widen


class NoiseScale(NamedTuple):
    """The simple noise scale and the two estimates whose ratio it is; arrays of one shape."""

    scale: Any
    """`variance / squared_gradient`, in examples; inf where the latter is not above 0: then the
    gradient cannot be told from noise. Negative where `variance` is; NaN where a norm is not
    finite.
    """
    squared_gradient: Any
    """|G|**2 of the gradient over all data; unbiased, and so at times negative."""
    variance: Any
    """tr(Sigma), the variance of one example's gradient, all elements summed; unbiased too."""


def noise_scale(small_squared_norm: Any, big_squared_norm: Any, small: int, big: int) -> NoiseScale:
    """The simple noise scale B = tr(Sigma) / |G|**2 from squared gradient norms at two batch sizes.

    A batch of B independent examples has E|G_B|**2 = |G|**2 + tr(Sigma) / B. Two batch sizes are
    two such equations, solved here for both terms. The ratio of two unbiased estimates is biased:
    average the norms over many batches first.

    Source: McCandlish et al. 2018, arXiv:1812.06162, appendix A.1.

    Args:
        small_squared_norm: mean of |G_B|**2 over batches of `small` examples, any shape.
        big_squared_norm: the same for `big` examples.
        small: number of examples, >= 1.
        big: number of examples, > `small`.

    Raises:
        ValueError: `small` is below 1 or `big` not above it.
        TypeError: one of them is not an integer.
    """
    check_count("small", small)
    check_count("big", big, low=small + 1)
    small_squared_norm, big_squared_norm = (
        one if isinstance(one, jax.Array) else np.asarray(one, float)
        for one in (small_squared_norm, big_squared_norm)
    )
    variance = (small_squared_norm - big_squared_norm) / (1 / small - 1 / big)
    squared_gradient = big_squared_norm - variance / big
    numeric: Any = jnp if isinstance(squared_gradient, jax.Array) else np
    known = numeric.isfinite(squared_gradient)
    above = known & (squared_gradient > 0)
    scale = numeric.where(above, variance / numeric.where(above, squared_gradient, 1.0), np.inf)
    return NoiseScale(numeric.where(known, scale, np.nan), squared_gradient, variance)


def gradient_noise_scale(
    gradient: Callable[[jax.Array, int], Any],
    key: jax.Array,
    *,
    small: int,
    big: int,
    repeats: int,
) -> NoiseScale:
    """The simple noise scale of a gradient that can be drawn anew at any batch size.

    Pure JAX: under jit and vmap. The batches are drawn one after another, in the memory of one.
    The estimates' spread falls with the square root of `repeats`.

    Args:
        gradient: `gradient(key, batch_size)` -> the mean gradient, a tree, of a new batch of
            independent examples (drawn with replacement); `batch_size` is a Python integer.
        key: the random key that all batches come from.
        small: examples in a small batch, >= 1.
        big: examples in a big one, > `small`.
        repeats: number of batches of each size, >= 1.

    Returns:
        Scalars, for one point in parameter space.

    Raises:
        ValueError, TypeError: as for `noise_scale`, and `repeats` is below 1 or not an integer.
    """
    check_count("small", small)
    check_count("big", big, low=small + 1)
    check_count("repeats", repeats)

    def mean_squared_norm(batch_size: int, key: jax.Array) -> jax.Array:
        keys = jax.random.split(key, repeats)
        norms = jax.lax.map(lambda one: _squared_norm(gradient(one, batch_size)), keys)
        return jnp.mean(norms)

    for_small, for_big = jax.random.split(key)
    return noise_scale(
        mean_squared_norm(small, for_small), mean_squared_norm(big, for_big), small, big
    )


def _squared_norm(tree: Any) -> jax.Array:
    """The sum of all leaves' squared magnitudes, in float32 or wider."""
    return optax.tree.norm(jax.tree.map(widen, tree), squared=True)

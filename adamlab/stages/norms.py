"""Norms of leaves and trees whose squares neither overflow nor vanish, and a tree's mean."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import optax

from adamlab.stages.numerics import average_dtype, sqrt, squared_magnitude, widen


def norm(x: jax.Array) -> jax.Array:
    """The Euclidean norm of an array, in float32 or wider; its derivative at zero is zero.

    At most the root of the largest float: the sum is cut off rather than the elements, of which XLA
    would keep a copy.
    """
    wide = widen(x)
    whole = jnp.sum(squared_magnitude(wide))
    return sqrt(jnp.minimum(whole, jnp.finfo(whole.dtype).max))


def rms(x: jax.Array) -> jax.Array:
    """The root mean square of an array; of an empty one, zero."""
    return norm(x) / math.sqrt(max(x.size, 1))


def tree_norm(tree: Any) -> jax.Array:
    """The Euclidean norm of all leaves together; infinite only beyond the dtype's largest."""
    scale, length = scale_and_norm(tree)
    return scale * length


def scale_and_norm(tree: Any) -> tuple[jax.Array, jax.Array]:
    """The largest magnitude of all leaves, or nearly, and the norm of the leaves divided by it.

    No square overflows or is lost, nor does their sum. The scale is 1 where the largest magnitude
    is zero or not finite; derivatives treat it as a constant.
    """
    leaves = [widen(x) for x in jax.tree.leaves(tree) if x.size]
    if not leaves:
        return jnp.ones([], average_dtype()), jnp.zeros([], average_dtype())
    each = jnp.stack([jnp.max(jnp.abs(x)).astype(average_dtype()) for x in leaves])
    largest = jax.lax.stop_gradient(jnp.max(each))
    # XLA divides by multiplying with the reciprocal: subnormal, so zero, for the largest floats.
    most = 2.0 ** (jnp.finfo(average_dtype()).maxexp - 3)
    scale = jnp.where((largest > 0) & jnp.isfinite(largest), jnp.minimum(largest, most), 1)
    units = [x / scale.astype(x.dtype) for x in leaves]
    squares = [jnp.sum(squared_magnitude(u)).astype(average_dtype()) for u in units]
    return scale, sqrt(jnp.sum(jnp.stack(squares)))


def scale_and_norm_over(x: jax.Array, axes: Any) -> tuple[jax.Array, jax.Array]:
    """For each unit its largest magnitude, or 1 if that is zero, and its norm divided by it."""
    wide = widen(x)
    largest = jax.lax.stop_gradient(jnp.max(jnp.abs(wide), axes, keepdims=True, initial=0))
    scale = jnp.where(largest > 0, largest, 1)
    unit = wide / scale.astype(wide.dtype)
    return scale, sqrt(jnp.sum(squared_magnitude(unit), axes, keepdims=True))


def norm_at_two_scales(x: jax.Array, low: float, high: float) -> tuple[jax.Array, jax.Array]:
    """A scale and the norm of `x` over it: 2^128 (float64: 2^1024) to the power `low` or `high`.

    The lower one unless the norm saturates; only then is `x` read again. Taking the largest
    magnitude as the scale would cost a copy.
    """
    wide = widen(x)
    small, large = (2.0 ** (power * jnp.finfo(wide.dtype).maxexp) for power in (low, high))
    near = norm(wide / small)
    saturated = near > float(jnp.finfo(wide.dtype).max) ** 0.5 / 2
    scale = jnp.where(saturated, large, small).astype(near.dtype)
    return scale, jax.lax.cond(saturated, _norm_over, _known, near, wide, scale)


# By name, so that JAX knows the branches again and compiles them once even if nothing is jitted.
def _norm_over(_: jax.Array, x: jax.Array, scale: jax.Array) -> jax.Array:
    return norm(x / scale.astype(x.dtype))


def _known(near: jax.Array, *_: jax.Array) -> jax.Array:
    return near


def tree_mean(tree: Any) -> jax.Array:
    """The mean over all elements of all leaves; of an empty tree, zero."""
    sums = [jnp.sum(widen(x)).astype(average_dtype()) for x in jax.tree.leaves(tree)]
    return sum(sums, start=jnp.zeros([], average_dtype())) / max(optax.tree.size(tree), 1)

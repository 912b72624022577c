"""The form in which a running average lies in memory between steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from adamlab._checks import check_count


class QuantizedBlocks(NamedTuple):
    """An array in 8 bits: a code for each element and a scale for each block."""

    codes: jax.Array
    """uint8, (blocks, block)."""
    scale: jax.Array
    """float32, (blocks, 1): the largest magnitude in the block."""


class EightBit(NamedTuple):
    """8-bit block-wise storage (Dettmers et al. 2021, sections 2.1 and 2.2).

    Give it as `mu_dtype` or `nu_dtype`. Each block of elements is scaled by its largest magnitude
    and rounded to the nearest of 256 values that lie denser towards zero (the dynamic map).
    """

    block: int = 256
    """Elements in a block."""
    min_size: int = 4096
    """Smaller leaves stay in float32."""


Storage = Any
"""None for the default dtype, a dtype, or `EightBit`."""


def check_storage(name: str, storage: Storage) -> None:
    """Refuse what is neither None, a floating dtype nor `EightBit`."""
    if storage is None:
        return
    if isinstance(storage, EightBit):
        check_count(f"{name}.block", storage.block)
        check_count(f"{name}.min_size", storage.min_size, low=0)
        return
    try:
        floating = jnp.issubdtype(jnp.dtype(storage), jnp.inexact)
    except TypeError:
        floating = False
    if not floating:
        raise TypeError(f"{name}={storage!r}: must be None, a floating dtype or EightBit(...)")


def store(tree: Any, storage: Storage, *, signed: bool, count: Any = 0) -> Any:
    """A tree of averages as it is kept after step `count`; `signed` tells mu from nu."""
    if storage is None:
        return tree
    if not isinstance(storage, EightBit):
        if not signed and jnp.dtype(storage) == jnp.bfloat16:
            return jax.tree.map(lambda x: _dithered(x, count), tree)
        return jax.tree.map(lambda x: x.astype(storage), tree)
    values = _dynamic_map(signed)
    middles = (values[1:] + values[:-1]) / 2

    def quantize(x: jax.Array) -> Any:
        if x.size < storage.min_size or x.size == 0 or jnp.iscomplexobj(x):
            return x
        flat = x.astype(jnp.float32).ravel()
        blocks = jnp.pad(flat, (0, -flat.size % storage.block)).reshape(-1, storage.block)
        scale = jnp.max(jnp.abs(blocks), axis=1, keepdims=True)
        unit = blocks / jnp.where(scale == 0, 1, scale)
        codes = jnp.searchsorted(middles, unit)
        if not signed:
            # A second moment rounded to zero would make the step as long as 1 / eps allows.
            codes = jnp.where(blocks > 0, jnp.maximum(codes, 1), codes)
        return QuantizedBlocks(codes.astype(jnp.uint8), scale)

    return jax.tree.map(quantize, tree)


def _dithered(x: jax.Array, count: Any) -> jax.Array:
    """`x` in bfloat16, rounded up or down by a threshold that goes evenly through [0, 1).

    To the nearest, a second moment would freeze: at b2 = 0.999 a step is smaller than half a
    unit in the last place. The thresholds are the multiples of the golden ratio.
    """
    turn = jnp.asarray(count, jnp.uint32) * jnp.uint32(0x9E3779B9)  # modulo 2**32
    bits = jax.lax.bitcast_convert_type(x.astype(jnp.float32), jnp.uint32) + (turn >> 16)
    cut = jax.lax.bitcast_convert_type(bits & jnp.uint32(0xFFFF0000), jnp.float32)
    return jnp.where(jnp.isfinite(x), cut, x.astype(jnp.float32)).astype(jnp.bfloat16)


def restore(tree: Any, storage: Storage, like: Callable[[], Any], *, signed: bool) -> Any:
    """The kept averages as arrays again; `like()` is a tree with the shape of each."""
    if not isinstance(storage, EightBit):
        return tree
    values = jnp.asarray(_dynamic_map(signed))

    def read(shape: Any, stored: Any) -> Any:
        if not isinstance(stored, QuantizedBlocks):
            return stored
        flat = (values[stored.codes] * stored.scale).ravel()
        return flat[: shape.size].reshape(shape.shape)

    return jax.tree.map(read, like(), tree)


def _dynamic_map(signed: bool) -> np.ndarray:
    """The values of the codes, in [-1, 1] or [0, 1]: decades of evenly spaced fractions.

    Each decade nearer to zero has half as many; zero and one are among them, and the signed map
    is symmetric.
    """
    magnitudes = [np.ones(1)]
    for decade in range(6 if signed else 7):
        edges = np.linspace(0.1, 1.0, 2 ** ((6 if signed else 7) - decade) + 1)
        magnitudes.append((edges[:-1] + edges[1:]) / 2 * 10.0**-decade)
    positive = np.concatenate(magnitudes)
    return np.sort(np.concatenate([-positive if signed else [], [0.0], positive])).astype("f4")

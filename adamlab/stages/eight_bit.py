"""8-bit block-wise storage of an array."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp

from adamlab._checks import check_count
from adamlab.stages.numerics import cast_within, ratio


@dataclass(frozen=True)
class EightBit:
    """8-bit block-wise storage (Dettmers et al. 2021, sections 2.1 and 2.2), for `store_state`.

    Each block of elements is scaled by its largest magnitude and rounded to the nearest of 256
    values that lie denser towards zero (the dynamic map). Signed values are symmetric, from -1 to
    1: the authors' map has no -1, so that negating a gradient would not negate its step, and one
    value nearer to zero.

    A leaf sharded along its last axis keeps its sharding where each shard is a whole number of
    blocks; else JAX gathers it, or with explicit axes cannot reshape it.

    Raises:
        TypeError: `block` or `min_size` is not a whole number.
        ValueError: `block` is below 1, or `min_size` below 0.
    """

    block: int = 256
    """Elements in a block."""
    min_size: int = 4096
    """Smaller leaves stay as they are, and complex ones."""
    signed: bool | None = None
    """Whether elements may be negative; None for what the transformation says of the field."""

    def __post_init__(self) -> None:
        """Check them."""
        check_count("block", self.block)
        check_count("min_size", self.min_size, low=0)


class QuantizedBlocks(NamedTuple):
    """An array in 8 bits: a code for each element and a scale for each block."""

    codes: jax.Array
    """uint8, of the array's shape."""
    scale: jax.Array
    """float32, (..., blocks, 1): the largest magnitude in each block. `...` are the axes before the
    last where that one is a whole number of blocks, else none."""


def quantize(x: jax.Array, block: int, *, signed: bool) -> QuantizedBlocks:
    """A real array in 8 bits; unless `signed`, a negative element counts as zero."""
    blocks = _in_blocks(cast_within(x, jnp.float32), block)
    if not signed:
        blocks = jnp.maximum(blocks, 0)
    scale = jnp.max(jnp.abs(blocks), axis=-1, keepdims=True)
    codes = _encode(ratio(blocks, scale), signed)
    if not signed:
        # Rounded to zero it would make the step as long as 1 / eps allows.
        codes = jnp.where(blocks > 0, jnp.maximum(codes, 1), codes)
    return QuantizedBlocks(_whole(codes, x.shape), scale)


def dequantize(stored: QuantizedBlocks, block: int, *, signed: bool) -> jax.Array:
    """The array that was quantized, in float32."""
    blocks = _in_blocks(_decode(stored.codes, signed), block) * stored.scale
    return _whole(blocks, stored.codes.shape)


def _in_blocks(x: jax.Array, block: int) -> jax.Array:
    """The array's elements in order, in blocks along a last axis.

    A whole number of blocks along its own last axis leaves the others as they are, and with them
    how the array is sharded.
    """
    if x.ndim and x.shape[-1] % block == 0:
        return x.reshape(*x.shape[:-1], -1, block)
    flat = x.ravel()
    return jnp.pad(flat, (0, -flat.size % block)).reshape(-1, block)


def _whole(blocks: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """What `_in_blocks` has cut, without its padding."""
    size = math.prod(shape)
    return (blocks if blocks.size == size else blocks.ravel()[:size]).reshape(shape)


# A magnitude in [0, 1] is coded by its decade and its place in it. The decade down from 1 is cut
# into 2^7 equal parts (2^6 if signed), each decade below into half as many; the value of a part is
# its middle. In order, the part i of the n in its decade has the code n - 1 + i; code 0 stands for
# zero, and the code after the last part for 1.


def _encode(unit: jax.Array, signed: bool) -> jax.Array:
    top = 6 if signed else 7
    size = jnp.abs(unit)
    # Half-way between a decade's last value and the first of the one above.
    below = [size < (1 + 0.9 / 2 ** (top - k)) * 10.0**-k for k in range(1, top)]
    shift = _product([jnp.where(b, 10.0, 1.0) for b in below])
    parts = _product([jnp.where(b, 0.5, 1.0) for b in below]) * 2.0**top
    place = jnp.clip(jnp.floor((size * shift - 0.1) / 0.9 * parts), 0, parts - 1)
    code = parts - 1 + place
    least = (0.1 + 0.9 / 4) * 10.0 ** (1 - top)
    code = jnp.where(size < least / 2, 0, code)
    code = jnp.where(size > 1 - 0.45 / 2 ** (top + 1), 2 ** (top + 1) - 1, code)
    return (127 + jnp.sign(unit) * code if signed else code).astype(jnp.uint8)


def _decode(codes: jax.Array, signed: bool) -> jax.Array:
    top = 6 if signed else 7
    offset = codes.astype(jnp.float32) - (127 if signed else 0)
    code = jnp.abs(offset)
    above = [code + 1 >= 2.0**k for k in range(2, top + 1)]
    parts = _product([jnp.where(a, 2.0, 1.0) for a in above]) * 2.0
    shift = _product([jnp.where(a, 10.0, 1.0) for a in above]) * 10.0 ** (1 - top)
    value = (0.1 + 0.9 * (code + 1.5 - parts) / parts) * shift
    value = jnp.where(code == 0, 0, jnp.where(code == 2 ** (top + 1) - 1, 1, value))
    return jnp.sign(offset) * value if signed else value


def _product(factors: list[jax.Array]) -> jax.Array:
    return functools.reduce(jnp.multiply, factors)

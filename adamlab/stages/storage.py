"""How a running average is stored between steps."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from adamlab._checks import check_count
from adamlab.stages.numerics import cast_within, ratio, to_bfloat16, widen


class QuantizedBlocks(NamedTuple):
    """An array in 8 bits: a code for each element and a scale for each block."""

    codes: jax.Array
    """uint8, (blocks, block)."""
    scale: jax.Array
    """float32, (blocks, 1): the largest magnitude in the block."""


class EightBit(NamedTuple):
    """8-bit block-wise storage (Dettmers et al. 2021, sections 2.1 and 2.2).

    Give it as `mu_dtype` or `nu_dtype`. Each block of elements is scaled by its largest magnitude
    and rounded to the nearest of 256 values that lie denser towards zero (the dynamic map). Signed
    values are symmetric, from -1 to 1: the authors' map has no -1, so that negating a gradient
    would not negate its step, and one value nearer to zero.
    """

    block: int = 256
    """Elements in a block."""
    min_size: int = 4096
    """Smaller leaves stay as they are."""


class PerLeaf(NamedTuple):
    """The state of each leaf of the parameters, where that of some leaf is not a single array.

    A tree like the parameters would have to go deeper than they do, and containers such as
    `flax.nnx.State` hold nothing but arrays at their leaves.
    """

    states: tuple[Any, ...]
    """In the order of `jax.tree.leaves`."""


def pack(tree: Any, like: Any) -> Any:
    """The stored form of a tree that has a state for each leaf of `like`."""
    definition: Any = jax.tree.structure(like)
    states = definition.flatten_up_to(tree)
    if all(jax.tree_util.all_leaves([state]) for state in states):
        return tree
    return PerLeaf(tuple(states))


def unpack(kept: Any, like: Any) -> Any:
    """The tree that was packed."""
    definition: Any = jax.tree.structure(like)
    return definition.unflatten(kept.states) if isinstance(kept, PerLeaf) else kept


Storage = Any
"""None for the default dtype, a dtype, or `EightBit`."""


def check_storage(name: str, storage: Storage, *, real: bool = False) -> None:
    """Refuse anything but None, a floating-point dtype or `EightBit`.

    A `real` average, of squares, also needs the range of float32.
    """
    if storage is None:
        return
    if isinstance(storage, EightBit):
        check_count(f"{name}.block", storage.block)
        check_count(f"{name}.min_size", storage.min_size, low=0)
        return
    try:
        floating = jnp.issubdtype(jnp.dtype(storage), jnp.floating if real else jnp.inexact)
    except TypeError:
        floating = False
    if not floating:
        raise TypeError(f"{name}={storage!r}: must be None, a floating dtype or EightBit(...)")
    if real and jnp.finfo(storage).maxexp < jnp.finfo(jnp.bfloat16).maxexp:
        raise TypeError(
            f"{name}={jnp.dtype(storage).name}: squares of usual gradients vanish or overflow in "
            "it; must be None, bfloat16, a wider dtype or EightBit(...)"
        )


def check_same_field(name: str, storage: Storage, tree: Any) -> None:
    """Refuse a real dtype for complex averages, whose imaginary part would go, and the reverse."""
    if storage is None or isinstance(storage, EightBit):
        return
    for x in jax.tree.leaves(tree):
        if jnp.iscomplexobj(x) != jnp.issubdtype(jnp.dtype(storage), jnp.complexfloating):
            kind = "complex" if jnp.iscomplexobj(x) else "real"
            raise TypeError(
                f"{name}={jnp.dtype(storage).name}: a parameter is {x.dtype}, so it must be None, "
                f"a {kind} dtype or EightBit(...)"
            )


def store(tree: Any, storage: Storage, *, signed: bool, count: Any = None) -> Any:
    """A tree of averages in its storage; `signed` tells whether they may be negative.

    With a `count` of steps bfloat16 is rounded with a dither.
    """
    if storage is None:
        return tree
    if not isinstance(storage, EightBit):
        if count is not None and jnp.dtype(storage) == jnp.bfloat16:
            return jax.tree.map(lambda x: _dithered(x, count), tree)
        return jax.tree.map(lambda x: cast_within(x, storage), tree)

    def quantize(x: jax.Array) -> Any:
        if x.size < storage.min_size or x.size == 0 or jnp.iscomplexobj(x):
            return x
        flat = cast_within(x, jnp.float32).ravel()
        blocks = jnp.pad(flat, (0, -flat.size % storage.block)).reshape(-1, storage.block)
        scale = jnp.max(jnp.abs(blocks), axis=1, keepdims=True)
        codes = _encode(ratio(blocks, scale), signed)
        if not signed:
            # A second moment rounded to zero would make the step as long as 1 / eps allows.
            codes = jnp.where(blocks > 0, jnp.maximum(codes, 1), codes)
        return QuantizedBlocks(codes, scale)

    return jax.tree.map(quantize, tree)


def _dithered(x: jax.Array, count: Any) -> jax.Array:
    """`x` in bfloat16, rounded up or down by a threshold that covers [0, 1) evenly over the steps.

    Rounding to nearest would freeze a second moment: at b2 = 0.999 a step is smaller than half a
    unit in the last place. The thresholds are the multiples of the golden ratio.
    """
    turn = jnp.asarray(count, jnp.uint32) * jnp.uint32(0x9E3779B9)  # modulo 2**32
    most = float(jnp.finfo(jnp.bfloat16).max)  # beyond, it would be rounded to infinity
    within = jnp.clip(x, -most, most).astype(jnp.float32)
    return to_bfloat16(within, turn >> 16).astype(jnp.bfloat16)


def restore(tree: Any, storage: Storage, like: Callable[[], Any], *, signed: bool) -> Any:
    """The kept averages as arrays again; `like()` is a tree with the shape of each."""
    if not isinstance(storage, EightBit):
        return tree

    def read(shape: Any, stored: Any) -> Any:
        if not isinstance(stored, QuantizedBlocks):
            return stored
        flat = (_decode(stored.codes, signed) * stored.scale).ravel()
        return flat[: shape.size].reshape(shape.shape)

    return jax.tree.map(read, like(), tree)


def keep(tree: Any, storage: Storage, like: Any, *, signed: bool, count: Any = None) -> Any:
    """A tree of averages as a state holds it; `like` is a tree like the parameters."""
    return pack(store(tree, storage, signed=signed, count=count), like)


def recall(
    kept: Any, storage: Storage, like: Any, shapes: Callable[[], Any], *, signed: bool
) -> Any:
    """What `keep` made, as arrays in float32 or wider; `shapes()` has the shape of each."""
    return jax.tree.map(widen, restore(unpack(kept, like), storage, shapes, signed=signed))


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

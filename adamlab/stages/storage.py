"""store_state: state that takes less memory between steps."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from adamlab._checks import check_count, nearest
from adamlab.stages._forms import pack, unpack
from adamlab.stages._kinds import Stage, about
from adamlab.stages.numerics import (
    cast_like,
    cast_within,
    promoting,
    ratio,
    to_bfloat16,
    widen,
    within_range,
)


@dataclass(frozen=True)
class EightBit:
    """8-bit block-wise storage (Dettmers et al. 2021, sections 2.1 and 2.2), for `store_state`.

    Each block of elements is scaled by its largest magnitude and rounded to the nearest of 256
    values that lie denser towards zero (the dynamic map). Signed values are symmetric, from -1 to
    1: the authors' map has no -1, so that negating a gradient would not negate its step, and one
    value nearer to zero.

    Raises:
        TypeError: `block` or `min_size` is not a whole number.
        ValueError: `block` is below 1, or `min_size` below 0.
    """

    block: int = 256
    """Elements in a block."""
    min_size: int = 4096
    """Smaller leaves stay as they are, and complex ones."""
    signed: bool | None = None
    """Whether elements may be negative; None where the field is no second moment."""

    def __post_init__(self) -> None:
        """Check them."""
        check_count("block", self.block)
        check_count("min_size", self.min_size, low=0)


class QuantizedBlocks(NamedTuple):
    """An array in 8 bits: a code for each element and a scale for each block."""

    codes: jax.Array
    """uint8, of the array's shape."""
    scale: jax.Array
    """float32, (blocks, 1): the largest magnitude in the block."""


class StoredState(NamedTuple):
    """State of `store_state`."""

    inner: Any
    """The transformation's, some of its fields in the form in which they are stored."""
    turn: jax.Array
    """uint32: which way bfloat16 is rounded."""


def store_state(
    transform: optax.GradientTransformation, **storage: Any
) -> optax.GradientTransformationExtraArgs:
    """Store fields of a transformation's state in fewer bits between steps.

    `store_state(adam(1e-3), mu=jnp.bfloat16, nu=EightBit())`: each keyword names a field, wherever
    it is in the state; its value is a floating-point dtype or `EightBit(...)`. Within a step the
    field is in float32 or wider. `transform` may be a single stage, a whole optimizer, or one of
    Optax's own. For 8 bits it goes around `in_basis`, not inside.

    bfloat16 is rounded up or down by a threshold that sweeps [0, 1) evenly from step to step:
    rounding to nearest would freeze a second moment, since at b2 = 0.999 a step is smaller than
    half a unit in the last place. A field whose name begins with `nu` is taken for a second moment,
    of which 8 bits round nothing to zero, and count a negative value as zero unless `signed`.

    Raises:
        TypeError: `transform` is not a gradient transformation, a storage is not a floating-point
            dtype or `EightBit`, or `init` finds a complex field for a real dtype or the reverse.
        ValueError: no field is named, or `init` finds no field of that name.
    """
    if not isinstance(transform, optax.GradientTransformation):
        raise TypeError(f"transform={transform!r}: must be a gradient transformation")
    if not storage:
        raise ValueError("store_state: name a field and its storage, such as mu=jnp.bfloat16")
    for name, kind in storage.items():
        _check_storage(name, kind)
    extended = optax.with_extra_args_support(transform)
    in_blocks = any(isinstance(kind, EightBit) for kind in storage.values())
    kept_in = [jnp.float32 if isinstance(kind, EightBit) else kind for kind in storage.values()]
    on_moments = isinstance(transform, Stage) and transform.takes == "moments"
    on_gradients = not isinstance(transform, Stage) or transform.takes == "gradient"

    def store(name: str, field: Any, turn: jax.Array) -> Any:
        kind = storage[name]
        stored = jax.tree.map(lambda x: _stored(x, kind, _is_second(name), turn), field)
        return pack(stored, field)

    def restore(name: str, stored: Any, form: Any) -> Any:
        kind = storage[name]
        packed = any(isinstance(x, QuantizedBlocks) for x in getattr(stored, "states", ()))
        whole = unpack(stored, form) if packed else stored
        return jax.tree.map(lambda _, x: _restored(x, kind, _is_second(name)), form, whole)

    def init(params: Any) -> StoredState:
        state, turn = transform.init(params), jnp.zeros([], jnp.uint32)
        found = _fields_of(state)
        for name, kind in storage.items():
            if name not in found:
                raise ValueError(f"{name}: the state has no such field; {nearest(name, found)}")
            _check_same_field(name, kind, found[name])
        return StoredState(_map_fields(lambda n, x: store(n, x, turn), storage, state), turn)

    def update(
        updates: Any, state: StoredState, params: Any = None, **extra_args: Any
    ) -> tuple[Any, StoredState]:
        like = updates if on_moments or params is None else params
        with promoting():
            form = jax.eval_shape(transform.init, like) if in_blocks else state.inner
            before = _map_fields(restore, storage, state.inner, form)
            if on_gradients:
                updates = jax.tree.map(lambda g: within_range(g, kept_in), updates)
            value, new = extended.update(updates, before, params, **extra_args)
            turn = state.turn + jnp.uint32(0x9E3779B9)  # 2^32 times the golden ratio's fraction
            kept = _map_fields(lambda n, x: store(n, x, turn), storage, new)
        return value, StoredState(cast_like(kept, state.inner), turn)

    update.about = about(transform)._replace(lagging=())  # type: ignore[attr-defined]
    if isinstance(transform, Stage):
        return type(transform)(init, update)
    return optax.GradientTransformationExtraArgs(init, update)


def _is_second(name: str) -> bool:
    """Whether a field so called is a second moment."""
    return name.startswith("nu")


def _check_storage(name: str, storage: Any) -> None:
    """Refuse what is neither a floating dtype nor `EightBit`; squares need float32's range too."""
    if isinstance(storage, EightBit):
        return
    kind = jnp.floating if _is_second(name) else jnp.inexact
    try:
        floating = jnp.issubdtype(jnp.dtype(storage), kind)
    except TypeError:
        floating = False
    if not floating:
        raise TypeError(f"{name}={storage!r}: must be a floating dtype or EightBit(...)")
    if _is_second(name) and jnp.finfo(storage).maxexp < jnp.finfo(jnp.bfloat16).maxexp:
        raise TypeError(
            f"{name}={jnp.dtype(storage).name}: squares of usual gradients vanish or overflow in "
            "it; must be bfloat16, a wider dtype or EightBit(...)"
        )


def _check_same_field(name: str, storage: Any, field: list[Any]) -> None:
    """Refuse a real dtype for complex averages, whose other half it would drop, and the reverse."""
    if isinstance(storage, EightBit):
        return
    for x in field:
        if jnp.iscomplexobj(x) != jnp.issubdtype(jnp.dtype(storage), jnp.complexfloating):
            kind = "complex" if jnp.iscomplexobj(x) else "real"
            raise TypeError(
                f"{name}={jnp.dtype(storage).name}: in the state it is {x.dtype}, so its storage "
                f"must be a {kind} dtype or EightBit(...)"
            )


def _map_fields(function: Callable[..., Any], names: Any, state: Any, *rest: Any) -> Any:
    """`state` with `function(name, field, *those of rest)` for each field that is so called."""
    if isinstance(state, dict):
        return {
            key: _map_fields(function, names, part, *(other[key] for other in rest))
            for key, part in state.items()
        }
    if not isinstance(state, tuple):
        return state
    fields = getattr(state, "_fields", (None,) * len(state))
    parts = [
        function(name, *part) if name in names else _map_fields(function, names, *part)
        for name, *part in zip(fields, state, *rest, strict=True)
    ]
    return type(state)(*parts) if hasattr(state, "_fields") else tuple(parts)


def _fields_of(state: Any) -> dict[str, list[Any]]:
    """The floating arrays of a state by the name of the field that they are in."""
    found: dict[str, list[Any]] = {}
    for path, x in jax.tree.leaves_with_path(state):
        if jnp.issubdtype(getattr(x, "dtype", jnp.int32), jnp.inexact):
            for key in path:
                if isinstance(key, jax.tree_util.GetAttrKey):
                    found.setdefault(key.name, []).append(x)
    return found


def _stored(x: jax.Array, storage: Any, second: bool, turn: jax.Array) -> Any:
    """One array as it is stored."""
    if isinstance(storage, EightBit):
        if x.size < storage.min_size or x.size == 0 or jnp.iscomplexobj(x):
            return x
        return _quantized(x, storage, second)
    if jnp.dtype(storage) != jnp.bfloat16:
        return cast_within(x, storage)
    most = float(jnp.finfo(jnp.bfloat16).max)  # beyond, it would be rounded to infinity
    within = jnp.clip(x, -most, most).astype(jnp.float32)
    return to_bfloat16(within, turn >> 16).astype(jnp.bfloat16)


def _restored(stored: Any, storage: Any, second: bool) -> jax.Array:
    """One array in float32 or wider."""
    if not isinstance(stored, QuantizedBlocks):
        return widen(stored)
    signed = _is_signed(storage, second)
    units = _in_blocks(_decode(stored.codes, signed), storage.block)
    shape = stored.codes.shape
    return (units * stored.scale).ravel()[: stored.codes.size].reshape(shape)


def _quantized(x: jax.Array, storage: EightBit, second: bool) -> QuantizedBlocks:
    signed = _is_signed(storage, second)
    blocks = _in_blocks(cast_within(x, jnp.float32), storage.block)
    if not signed:
        blocks = jnp.maximum(blocks, 0)
    scale = jnp.max(jnp.abs(blocks), axis=1, keepdims=True)
    codes = _encode(ratio(blocks, scale), signed)
    if not signed:
        # Rounded to zero it would make the step as long as 1 / eps allows.
        codes = jnp.where(blocks > 0, jnp.maximum(codes, 1), codes)
    return QuantizedBlocks(codes.ravel()[: x.size].reshape(x.shape), scale)


def _is_signed(storage: EightBit, second: bool) -> bool:
    return not second if storage.signed is None else storage.signed


def _in_blocks(x: jax.Array, block: int) -> jax.Array:
    flat = x.ravel()
    return jnp.pad(flat, (0, -flat.size % block)).reshape(-1, block)


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

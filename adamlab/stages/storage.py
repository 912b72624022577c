"""store_state: state that takes less memory between steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from adamlab._checks import nearest
from adamlab.stages._about import About, Part, about, tell
from adamlab.stages._forms import is_floating, pack, unpack
from adamlab.stages._kinds import Stage
from adamlab.stages.eight_bit import EightBit, QuantizedBlocks, dequantize, quantize
from adamlab.stages.numerics import (
    cast_like,
    cast_within,
    promoting,
    to_bfloat16,
    widen,
    within_range,
)


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
    half a unit in the last place. A field whose name begins with `nu` is taken for a second moment:
    8 bits round nothing of it to zero and have codes for negative values only where `transform`
    says that there may be some, as Sophia's does.

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
    own = about(transform)
    signed = any("signed nu" in part.marks for part in own.walk())
    storage = {name: _told_sign(name, kind, signed) for name, kind in storage.items()}
    extended = optax.with_extra_args_support(transform)
    in_blocks = any(isinstance(kind, EightBit) for kind in storage.values())
    kept_in = [jnp.float32 if isinstance(kind, EightBit) else kind for kind in storage.values()]
    on_moments = isinstance(transform, Stage) and transform.takes == "moments"
    on_gradients = not isinstance(transform, Stage) or transform.takes == "gradient"

    def store(name: str, field: Any, turn: jax.Array) -> Any:
        stored = jax.tree.map(lambda x: _stored(x, storage[name], turn), field)
        return pack(stored, field)

    def restore(name: str, stored: Any, form: Any) -> Any:
        packed = any(isinstance(x, QuantizedBlocks) for x in getattr(stored, "states", ()))
        whole = unpack(stored, form) if packed else stored
        return jax.tree.map(lambda _, x: _restored(x, storage[name]), form, whole)

    def init(params: Any) -> StoredState:
        state, turn = transform.init(params), jnp.zeros([], jnp.uint32)
        for name, kind in storage.items():
            _check_field(name, kind, state)
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

    blocks = tuple(
        Part(f"{name}=EightBit()", marks=("stored", "by leaf"))
        for name, kind in storage.items() if isinstance(kind, EightBit)
    )  # fmt: skip
    first, *rest = own.parts
    tell(update, About((first._replace(within=(*first.within, *blocks)), *rest)))
    if isinstance(transform, Stage):
        return type(transform)(init, update)
    return optax.GradientTransformationExtraArgs(init, update)


def _is_second(name: str) -> bool:
    """Whether a field so called is a second moment."""
    return name.startswith("nu")


def _told_sign(name: str, storage: Any, second_signed: bool) -> Any:
    """`storage`; where it is 8 bits and leaves it open, with whether values may be negative."""
    if not isinstance(storage, EightBit) or storage.signed is not None:
        return storage
    return replace(storage, signed=second_signed or not _is_second(name))


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


def _check_field(name: str, storage: Any, state: Any) -> None:
    """Refuse a name that no field has, and a field of another kind than its storage."""
    fields: list[Any] = []
    _map_fields(lambda _, field: fields.append(field), [name], state)
    if not fields:
        known = {
            key.name
            for path, x in jax.tree.leaves_with_path(state) if is_floating(x)
            for key in path if isinstance(key, jax.tree_util.GetAttrKey)
        }  # fmt: skip
        raise ValueError(f"{name}: the state has no such field; {nearest(name, known)}")
    if all(x is None for x in fields):
        raise ValueError(f"{name}: it is None in the state: there is nothing to store")
    for x in jax.tree.leaves(fields):
        if not is_floating(x):
            raise ValueError(f"{name}: in the state it is {x.dtype}: must be floating")
        # A real dtype would drop the other half of a complex average.
        if not isinstance(storage, EightBit) and jnp.iscomplexobj(x) != _is_complex(storage):
            kind = "complex" if jnp.iscomplexobj(x) else "real"
            raise TypeError(
                f"{name}={jnp.dtype(storage).name}: in the state it is {x.dtype}, so its storage "
                f"must be a {kind} dtype or EightBit(...)"
            )


def _is_complex(dtype: Any) -> bool:
    return bool(jnp.issubdtype(jnp.dtype(dtype), jnp.complexfloating))


def _map_fields(function: Callable[..., Any], names: Any, state: Any, *rest: Any) -> Any:
    """`state` with `function(name, field, *those of rest)` for each field that is so called."""

    def called(path: Any) -> bool:
        return bool(path) and getattr(path[-1], "name", None) in names

    return jax.tree_util.tree_map_with_path(
        lambda path, x, *others: function(path[-1].name, x, *others) if called(path) else x,
        state, *rest, is_leaf=lambda path, _: called(path), is_leaf_takes_path=True,
    )  # fmt: skip


def _stored(x: jax.Array, storage: Any, turn: jax.Array) -> Any:
    """One array as it is stored."""
    if isinstance(storage, EightBit):
        if x.size < storage.min_size or x.size == 0 or jnp.iscomplexobj(x):
            return x
        return quantize(x, storage.block, signed=bool(storage.signed))
    if jnp.dtype(storage) != jnp.bfloat16:
        return cast_within(x, storage)
    most = float(jnp.finfo(jnp.bfloat16).max)  # beyond, it would be rounded to infinity
    within = jnp.clip(x, -most, most).astype(jnp.float32)
    return to_bfloat16(within, turn >> 16).astype(jnp.bfloat16)


def _restored(stored: Any, storage: Any) -> jax.Array:
    """One array in float32 or wider."""
    if isinstance(stored, QuantizedBlocks):
        return dequantize(stored, storage.block, signed=bool(storage.signed))
    return widen(stored)

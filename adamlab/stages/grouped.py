"""Many small leaves grouped into a few flat ones, the user's tree unchanged."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import optax

from adamlab._checks import check_count, check_flags
from adamlab.stages._about import About, Part, about, parts_of, tell
from adamlab.stages._forms import check_same_form, holds, same_form
from adamlab.stages.numerics import cast_like


def group_small_leaves(
    optimizer: optax.GradientTransformation,
    max_size: int = 4096,
    group: int = 16,
    *,
    elementwise: bool = False,
) -> optax.GradientTransformationExtraArgs:
    """`optimizer` on the same parameters, their small leaves concatenated into flat groups.

    Each leaf costs a call of its own in the compiled step, which takes longer than the arithmetic
    on a few thousand elements. For element-wise optimizers, such as Adam and most of its variants,
    the update is the same up to rounding. Those that use a leaf's norm, shape or rows would see
    another leaf: adamlab's stages that do, and masks, are refused, and other libraries'
    transformations, which cannot be asked, unless you say that they are element-wise. Large leaves
    stay as they are, since copying them would cost more.

    Pass the parameters to `update` where the gradients' dtypes differ from theirs: leaves are
    grouped by dtype, and by how their types say that they are sharded.

    Args:
        optimizer: any gradient transformation that is element-wise.
        max_size: the most elements in a leaf that is grouped.
        group: the most leaves in a group.
        elementwise: whether those parts of `optimizer` that are not adamlab's, such as
            `optax.adam`, treat each element by itself; `optax.lamb` does not.

    Raises:
        ValueError: `optimizer` looks at whole leaves, or has parts of another library without
            `elementwise`; `max_size` or `group` is not a whole number >= 1; `init` finds a mask;
            `update` gets gradients that are not a tree like the parameters.
        TypeError: `optimizer` is not a gradient transformation, or `elementwise` not True or
            False.
    """
    if not isinstance(optimizer, optax.GradientTransformation):
        raise TypeError(
            f"optimizer={optimizer!r}: must be a gradient transformation, such as adam(1e-3)"
        )
    own = about(optimizer)
    by_leaf = dict.fromkeys(part.title for part in own.walk() if "by leaf" in part.marks)
    if by_leaf:
        raise ValueError(
            f"group_small_leaves: {', '.join(by_leaf)} would look at whole groups in place of "
            "leaves"
        )
    check_flags(elementwise=elementwise)
    foreign = dict.fromkeys(part.title for part in own.walk() if part.foreign)
    if foreign and not elementwise:
        raise ValueError(
            f"group_small_leaves: {', '.join(foreign)} is not adamlab's and cannot be asked "
            "whether it looks at whole leaves; if it treats each element by itself, pass "
            "elementwise=True"
        )
    check_count("max_size", max_size)
    check_count("group", group)
    inner = optax.with_extra_args_support(optimizer)

    def groups_of(leaves: list[Any]) -> list[list[int]]:
        """The places of the small leaves, by dtype and explicit sharding and in order."""
        alike: dict[Any, list[int]] = {}
        for place, leaf in enumerate(leaves):
            if math.prod(leaf.shape) <= max_size:
                spec = jax.typeof(leaf).sharding.spec
                alike.setdefault((leaf.dtype, spec if any(spec) else None), []).append(place)
        return [
            places[i : i + group] for places in alike.values()
            for i in range(0, len(places), group)
        ]  # fmt: skip

    def pack(tree: Any, like: Any) -> dict[str, list[jax.Array]]:
        leaves = jax.tree.leaves(tree)
        groups = groups_of(jax.tree.leaves(like))
        small = {place for places in groups for place in places}
        return {
            "small": [jnp.concatenate([leaves[p].ravel() for p in places]) for places in groups],
            "large": [leaf for p, leaf in enumerate(leaves) if p not in small],
        }

    def unpack(packed: Any, like: Any) -> Any:
        leaves, structure = jax.tree.flatten(like)
        groups = groups_of(leaves)
        large = iter(packed["large"])
        found: dict[int, jax.Array] = {}
        for flat, places in zip(packed["small"], groups, strict=True):
            ends = [0]
            for place in places:
                ends.append(ends[-1] + leaves[place].size)
                found[place] = flat[ends[-2] : ends[-1]].reshape(leaves[place].shape)
        whole = [found[p] if p in found else next(large) for p in range(len(leaves))]
        return jax.tree.unflatten(structure, whole)

    def init(params: optax.Params) -> Any:
        state = inner.init(pack(params, params))
        if holds(state, optax.MaskedState):
            raise ValueError(
                "group_small_leaves: the optimizer has a mask, which would see the flat groups and "
                "not the leaves; put optax.masked or optax.partition around group_small_leaves"
            )
        return state

    def update(
        updates: optax.Updates, state: Any, params: Any = None, **extra_args: Any
    ) -> tuple[optax.Updates, Any]:
        like = updates if params is None else params
        check_same_form(updates, like)
        extra = {
            name: pack(value, like) if name != "value" and same_form(value, updates) else value
            for name, value in extra_args.items()
        }
        given = None if params is None else pack(params, like)
        new, state = inner.update(pack(updates, like), state, given, **extra)
        # A group of gradients in several dtypes is in the widest of them.
        return cast_like(unpack(new, like), updates), state

    label = " · ".join(parts_of(optimizer))
    tell(update, About((Part("group_small_leaves", label, within=own.parts),)))
    return optax.GradientTransformationExtraArgs(init, update)

"""The structure and shapes of trees: what must match the parameters, and what is made like them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from adamlab.stages._moments import Moments
from adamlab.stages.numerics import real, wide_dtype


def pair_of(given: Any, whose: str) -> tuple[Any, Any]:
    """`given` as the value and the new state that a function must return."""
    if not isinstance(given, tuple) or len(given) != 2 or isinstance(given, Moments):
        raise TypeError(f"{whose} returned a {type(given).__name__}: must return two values")
    return given


def gradient_like(params: Any) -> Any:
    """A tree like the parameters, from what a stage's `init` was given, in a chain or outside."""
    return params.grad if isinstance(params, Moments) else params


def zeros_like_field(field: str, params: Any) -> Any:
    """Zeros in the shape of `nu` or `rate`, from what a stage's `init` was given."""

    def zeros(p: Any, value: Any) -> jax.Array:
        real = jax.ShapeDtypeStruct(value.shape, jnp.finfo(value.dtype).dtype)
        like = p if p.shape == value.shape else jnp.zeros(value.shape)
        return jnp.zeros_like(like, dtype=wide_dtype(real))

    if isinstance(params, Moments):
        return jax.tree.map(zeros, params.grad, getattr(params, field))
    return jax.tree.map(zeros, params, params)


def zeros_over(p: jax.Array, axes: tuple[int, ...]) -> jax.Array:
    """Zeros for `p` reduced over `axes`, which stay with one element each.

    Made from `p`, so that they lie on its devices and vary over the same axes of a mesh.
    """
    like = jnp.sum(real(p), axes, keepdims=True) if axes else real(p)
    return jnp.zeros_like(like, wide_dtype(like))


def zero_of(p: jax.Array) -> jax.Array:
    """A scalar zero for a leaf, made from it as by `zeros_over`."""
    return zeros_over(p, tuple(range(p.ndim))).reshape([])


class PerLeaf(NamedTuple):
    """What is kept for each leaf of the parameters where for some that is no array.

    In a tree like the parameters it would go deeper than they do, and containers such as
    `flax.nnx.State` hold nothing but arrays at their leaves.
    """

    states: tuple[Any, ...]
    """In the order of `jax.tree.leaves`."""


def pack(tree: Any, like: Any) -> Any:
    """A tree that has a state for each leaf of `like`, as it is kept."""
    definition: Any = jax.tree.structure(like)
    states = definition.flatten_up_to(tree)
    if all(jax.tree_util.all_leaves([state]) for state in states):
        return tree
    return PerLeaf(tuple(states))


def unpack(kept: Any, like: Any) -> Any:
    """The tree that was packed."""
    definition: Any = jax.tree.structure(like)
    return definition.unflatten(kept.states) if isinstance(kept, PerLeaf) else kept


def holds(tree: Any, kind: type) -> bool:
    """Whether a tree has a node of this type."""
    nodes = jax.tree.leaves(tree, is_leaf=lambda x: isinstance(x, kind))
    return any(isinstance(node, kind) for node in nodes)


def _place(path: Any) -> str:
    """Where in a tree a leaf is, in words."""
    return jax.tree_util.keystr(path) or "the top"


def is_floating(x: Any) -> bool:
    """Whether `x` is an array of real or complex floating-point numbers."""
    return bool(jnp.issubdtype(getattr(x, "dtype", np.int32), jnp.inexact))


def refuse_integers(what: str, tree: Any) -> None:
    """Refuse a tree with leaves that are not floating-point arrays."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        if not is_floating(leaf):
            raise TypeError(
                f"the {what} at {_place(path)} is {leaf.dtype}: must "
                "be real or complex floating; leave it out with optax.masked or optax.partition"
            )


def check_same_form(updates: Any, params: Any) -> None:
    """Refuse gradients of another tree or shape than the parameters, or real where they are not."""
    ours: Any = jax.tree.structure(updates)
    theirs: Any = jax.tree.structure(params)
    if ours != theirs:
        raise ValueError(
            f"the gradients' tree is {ours}, the parameters' is "
            f"{theirs}: they must be the same; were the gradients taken with "
            "respect to these parameters?"
        )
    pairs = zip(jax.tree.leaves_with_path(updates), jax.tree.leaves(params), strict=True)
    for (path, g), p in pairs:
        if jnp.shape(g) != jnp.shape(p):
            raise ValueError(
                f"the gradient at {_place(path)} has shape {jnp.shape(g)}, the parameter "
                f"{jnp.shape(p)}: they must be the same"
            )
        if jnp.iscomplexobj(g) != jnp.iscomplexobj(p):
            ours, theirs = ("complex" if jnp.iscomplexobj(x) else "real" for x in (g, p))
            raise TypeError(
                f"the gradient at {_place(path)} is {ours}, the parameter {theirs}: they must be "
                "alike"
            )


def same_form(value: Any, updates: Any) -> bool:
    """Whether `value` has the tree structure and the shapes of `updates`."""
    ours: Any = jax.tree.structure(value)
    theirs: Any = jax.tree.structure(updates)
    pairs = zip(jax.tree.leaves(value), jax.tree.leaves(updates), strict=False)
    return ours == theirs and all(jnp.shape(v) == jnp.shape(u) for v, u in pairs)


def is_like(value: Any, params: Any) -> bool:
    """Whether `value` is floating-point, with the structure and shapes of `params`."""
    return all(map(is_floating, jax.tree.leaves(value))) and same_form(value, params)


def like_gradients(name: str, value: Any, updates: Any) -> Any:
    """The extra argument `name` as arrays, refused unless it is a tree like the gradients."""
    value = jax.tree.map(jnp.asarray, value)
    if not same_form(value, updates):
        masked = holds(updates, optax.MaskedNode)
        hint = "; Optax's masked and partition take mask_compatible_extra_args=True" * masked
        raise ValueError(
            f"{name}={jax.tree.map(jnp.shape, value)}: must be a tree of the gradients' shapes, "
            f"{jax.tree.map(jnp.shape, updates)}{hint}"
        )
    refuse_integers(f"leaf of {name}", value)
    return value


def refuse_foreign(grads: Any, updates: Any, params: Any) -> None:
    """Refuse updates of another tree or shape than the gradients that they were made of."""
    ours: Any = jax.tree.structure(updates)
    theirs: Any = jax.tree.structure(grads)
    if ours != theirs:
        raise ValueError(f"the updates' tree is {ours}, the gradients' {theirs}: must be the same")
    why = "a stage changes their shape"
    if params is None:
        why = "the gradients must match the parameters that init was given"
    for (path, g), u in zip(
        jax.tree_util.tree_leaves_with_path(grads), jax.tree.leaves(updates), strict=True
    ):
        if jnp.shape(g) != jnp.shape(u):
            raise ValueError(
                f"the gradient at {_place(path)} has shape {jnp.shape(g)}, the update made of it "
                f"{jnp.shape(u)}: {why}"
            )


def map_pairs(function: Callable[..., tuple[Any, Any]], tree: Any, *rest: Any) -> tuple[Any, Any]:
    """Two trees like `tree`, from a function of its leaves that returns a pair.

    The trees of `rest` may go deeper than `tree`, or be None for all leaves.
    """
    definition: Any
    leaves, definition = jax.tree.flatten(tree)
    others = [
        [None] * len(leaves) if other is None else definition.flatten_up_to(other) for other in rest
    ]
    pairs = [function(*parts) for parts in zip(leaves, *others, strict=True)]
    one, two = zip(*pairs, strict=True) if pairs else ((), ())
    return definition.unflatten(one), definition.unflatten(two)

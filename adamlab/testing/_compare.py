"""Comparisons that end in a sentence.

Tolerances count in ulp of a leaf's largest element, because an element near zero is the difference
of larger ones: none where the same operations run in the same order, `ROUNDED` where a constant is
rounded in another place, `FUSED` where the compiler fuses or a sum runs in another order.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from adamlab.testing._law import Broken

ROUNDED = 2
FUSED = 16


def same(what: str, got: Any, expected: Any, ulps: int = 0) -> None:
    """Refuse `got` where a leaf is further than `ulps` from `expected`, or of another form."""
    same_form(what, got, expected)
    pairs = zip(jax.tree_util.tree_leaves_with_path(got), jax.tree.leaves(expected), strict=True)
    for (path, leaf), other in pairs:
        a, b = as_numpy(leaf), as_numpy(other)
        if np.array_equal(a, b, equal_nan=_inexact(a)):
            continue
        if ulps and _inexact(a):
            scale = np.max(np.abs(b), where=np.isfinite(b), initial=0.0)
            slack = ulps * float(jnp.finfo(other.dtype).eps) * scale
            wide_a, wide_b = a.astype(np.float64), b.astype(np.float64)
            apart = np.where(a == b, 0, np.abs(wide_a - wide_b))
            wrong = ~(apart <= slack) & ~(np.isnan(a) & np.isnan(b))
        else:
            wrong = a != b
        if wrong.any():
            place = tuple(int(i) for i in np.argwhere(wrong)[0])
            where = jax.tree_util.keystr(path) + (f"{list(place)}" if place else "")
            raise Broken(f"{what}{where} is {a[place]:.8g}, not {b[place]:.8g}")


def same_form(what: str, got: Any, expected: Any) -> None:
    """Refuse `got` where its tree, a shape or a dtype is not that of `expected`."""
    trees: tuple[Any, Any] = (jax.tree.structure(got), jax.tree.structure(expected))
    if trees[0] != trees[1]:
        raise Broken(f"{what} is a tree {_tree(got)}, not {_tree(expected)}")
    pairs = zip(jax.tree_util.tree_leaves_with_path(got), jax.tree.leaves(expected), strict=True)
    for (path, leaf), other in pairs:
        here, there = _form(leaf), _form(other)
        if here != there:
            raise Broken(f"{what}{jax.tree_util.keystr(path)} is {here}, not {there}")


def finite(what: str, tree: Any) -> None:
    """Refuse a tree with a NaN or an infinity in it."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        value = as_numpy(leaf)
        if _inexact(value) and not np.isfinite(value).all():
            bad = value[~np.isfinite(value)].flat[0]
            raise Broken(f"{what}{jax.tree_util.keystr(path)} holds {bad}")


def as_numpy(leaf: Any) -> np.ndarray:
    """A copy of the leaf; of a random key, its bits; of a narrow float, a float32."""
    if not hasattr(leaf, "dtype"):
        return np.array(leaf)
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return np.array(jax.random.key_data(leaf))
    value = np.array(leaf)
    narrow = jnp.issubdtype(value.dtype, jnp.floating) and jnp.finfo(value.dtype).bits < 32
    return value.astype(np.float32) if narrow else value


def _inexact(value: np.ndarray) -> bool:
    return np.issubdtype(value.dtype, np.inexact)


def _form(leaf: Any) -> str:
    if not hasattr(leaf, "dtype"):
        return f"a Python {type(leaf).__name__}"
    return f"{leaf.dtype}[{','.join(map(str, leaf.shape))}]"


def _tree(tree: Any) -> str:
    text = str(jax.tree.structure(tree)).removeprefix("PyTreeDef(").removesuffix(")")
    return text if len(text) <= 200 else text[:200] + "..."

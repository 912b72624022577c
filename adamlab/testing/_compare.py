"""Comparisons of trees by chex, whose failures are put into a sentence.

Tolerances are in ulp of a leaf's largest element, because an element near zero is the difference of
larger ones: zero where the same operations run in the same order, `ROUNDED` where a constant is
rounded in another place, `FUSED` where the compiler fuses or a sum runs in another order.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np

from adamlab.testing._law import Broken

ROUNDED = 2
FUSED = 16


def same(what: str, got: Any, expected: Any, ulps: int = 0) -> None:
    """Refuse `got` where a leaf is more than `ulps` from `expected`, or of another form."""
    same_form(what, got, expected)

    def apart(leaf: Any, other: Any) -> np.ndarray:
        a, b = as_numpy(leaf), as_numpy(other)
        if not _inexact(a):
            return np.asarray(a != b)
        size = np.max(np.abs(b), where=np.isfinite(b), initial=0.0)
        slack = ulps * float(jnp.finfo(other.dtype).eps) * size if ulps else 0.0
        wide_a, wide_b = (x.astype(np.result_type(x, np.float64)) for x in (a, b))
        return ~np.isclose(wide_a, wide_b, rtol=0, atol=slack, equal_nan=True)

    def first(leaf: Any, other: Any) -> str:
        place = tuple(int(i) for i in np.argwhere(apart(leaf, other))[0])
        where = f"at {list(place)} " if place else ""
        return f"{where}{as_numpy(leaf)[place]:.8g} is not {as_numpy(other)[place]:.8g}"

    _alike(what, lambda a, b: not apart(a, b).any(), first, got, expected)


def same_form(what: str, got: Any, expected: Any) -> None:
    """Refuse `got` where its tree, a shape or a dtype is not that of `expected`."""
    _alike(
        what,
        lambda a, b: _form(a) == _form(b),
        lambda a, b: f"{_form(a)} is not {_form(b)}",
        got,
        expected,
    )


def finite(what: str, tree: Any) -> None:
    """Refuse a tree with a NaN or an infinity in it."""
    floats = jax.tree.map(lambda leaf: value if _inexact(value := as_numpy(leaf)) else None, tree)
    with _told(what):
        chex.assert_tree_all_finite(floats)


def as_numpy(leaf: Any) -> np.ndarray:
    """A copy of the leaf; of a random key, its bits; of a narrow float, a float32."""
    if not hasattr(leaf, "dtype"):
        return np.array(leaf)
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return np.array(jax.random.key_data(leaf))
    value = np.array(leaf)
    narrow = jnp.issubdtype(value.dtype, jnp.floating) and jnp.finfo(value.dtype).bits < 32
    return value.astype(np.float32) if narrow else value


def _alike(
    what: str,
    alike: Callable[[Any, Any], bool],
    unlike: Callable[[Any, Any], str],
    got: Any,
    expected: Any,
) -> None:
    with _told(f"{what} as seen (0) and as they should be (1)"):
        chex.assert_trees_all_equal_comparator(alike, unlike, got, expected)


@contextmanager
def _told(what: str) -> Iterator[None]:
    """Turn chex's failure into a sentence about `what`."""
    try:
        yield
    except AssertionError as failed:
        said = re.sub(r"^\[Chex\] Assertion \w+ failed: *", "", str(failed)).rstrip(".")
        seen = " ".join(said.split())
        raise Broken(f"{what}: {seen if len(seen) <= 400 else seen[:400] + '...'}") from None


def _inexact(value: np.ndarray) -> bool:
    return np.issubdtype(value.dtype, np.inexact)


def _form(leaf: Any) -> str:
    if not hasattr(leaf, "dtype"):
        return f"a Python {type(leaf).__name__}"
    return f"{leaf.dtype}[{','.join(map(str, leaf.shape))}]"

"""Curvature: the Hessian's largest eigenvalue, plain or preconditioned as in Adam; its diagonal.

Pure JAX, for use under jit, vmap and scan: products of the Hessian with a vector.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from adamlab._checks import check_count, check_number


def top_eigenvalue(
    loss: Callable[[Any], jax.Array],
    params: Any,
    *,
    key: jax.Array,
    iterations: int = 32,
    scale: Any = None,
) -> jax.Array:
    """The largest (not the largest in magnitude) eigenvalue of S H S, with S = diag(scale).

    H is the Hessian of `loss` at `params`. Lanczos's iteration from a random vector, each new one
    orthogonalised twice against all before. The result is at or below the eigenvalue, up to
    rounding, and exact once `iterations` reaches the number of different eigenvalues. Where the
    vectors span an invariant space before that, as with few parameters or a Hessian of low rank,
    the iteration stops: dividing by the remainder, which is rounding error, would give eigenvalues
    that the Hessian does not have.

    Memory: `iterations` times that of the parameters. Leaves narrower than float32 are widened.

    Source: C. Lanczos 1950; G. Golub and C. Van Loan, Matrix Computations, 4th ed., section 10.3.

    Args:
        loss: `loss(params)` -> scalar.
        params: a tree of real arrays.
        key: the random key of the first vector.
        iterations: number of Hessian-vector products, >= 1; at most one for each parameter is made.
        scale: a tree like `params`; None for ones.

    Returns:
        A scalar of the parameters' dtype, at least float32; NaN where the Hessian is not finite.

    Raises:
        ValueError: `params` has no elements, `scale` is not like it, or `iterations` is below 1.
        TypeError: a leaf of `params` is not real, or `iterations` is not an integer.
    """
    check_count("iterations", iterations)
    _check_real(params)
    leaves = jax.tree.leaves(params)
    structure: Any = jax.tree.structure(params)
    shapes = [jnp.shape(leaf) for leaf in leaves]
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes]).tolist()
    if not ends or not ends[-1]:
        raise ValueError("params has no elements: must have at least one")
    kinds = [_wide(leaf) for leaf in leaves]
    kind = np.result_type(*kinds)

    def flatten(tree: Any) -> jax.Array:
        return jnp.concatenate([jnp.ravel(leaf).astype(kind) for leaf in jax.tree.leaves(tree)])

    def unflatten(vector: jax.Array) -> Any:
        parts = zip(jnp.split(vector, ends[:-1]), shapes, kinds, strict=True)
        return jax.tree.unflatten(structure, [part.reshape(s).astype(k) for part, s, k in parts])

    _, hessian = jax.linearize(jax.grad(loss), unflatten(flatten(params)))
    weights = None
    if scale is not None:
        _check_like("scale", scale, params)
        weights = flatten(scale)

    def matvec(vector: jax.Array) -> jax.Array:
        if weights is None:
            return flatten(hessian(unflatten(vector)))
        return weights * flatten(hessian(unflatten(weights * vector)))

    start = jax.random.normal(key, (ends[-1],), kind)
    return _lanczos(matvec, start, min(iterations, ends[-1]))


def preconditioned_sharpness(
    loss: Callable[[Any], jax.Array],
    params: Any,
    nu: Any,
    *,
    eps: Any,
    key: jax.Array,
    iterations: int = 32,
) -> jax.Array:
    """The largest eigenvalue of P**-1/2 H P**-1/2 with Adam's P = diag(sqrt(nu) + eps).

    Full-batch Adam holds it at `adam_stability_threshold` (Cohen et al. 2022, arXiv:2207.14484,
    section 2, after the first steps, where P has no more correction for b1).

    Args:
        loss: `loss(params)` -> scalar, of the batch that the edge of stability is asked for.
        params: a tree of real arrays.
        nu: the second moment with its bias corrected, a tree like `params`, >= 0.
        eps: Adam's eps, > 0 where an element of `nu` is 0; may be traced.
        key: the random key of the first vector.
        iterations: as for `top_eigenvalue`.

    Raises:
        ValueError, TypeError: as for `top_eigenvalue`, `nu` is not like `params`, or `eps` is
            negative or not a number.
    """
    check_number("eps", eps, low=0, scheduled=False)
    _check_like("nu", nu, params)

    def root(second: Any) -> jax.Array:
        wide = jnp.asarray(second, _wide(second))
        return jax.lax.rsqrt(jnp.sqrt(wide) + jnp.asarray(eps, wide.dtype))

    scale = jax.tree.map(root, nu)
    return top_eigenvalue(loss, params, key=key, iterations=iterations, scale=scale)


def adam_stability_threshold(learning_rate: Any, b1: Any) -> Any:
    """(2 + 2 b1) / ((1 - b1) learning_rate): the preconditioned sharpness above which Adam's steps
    grow on a quadratic, its preconditioner held fixed.

    With b1 = 0.9 it is 38 / learning_rate, with b1 = 0 gradient descent's 2 / learning_rate.

    Source: Cohen et al. 2022, arXiv:2207.14484, section 2.

    Raises:
        ValueError: `learning_rate` is not > 0 or `b1` not in [0, 1).
        TypeError: one of them is not a number.
    """
    check_number("learning_rate", learning_rate, low=0, open_low=True, scheduled=False)
    check_number("b1", b1, low=0, high=1, open_high=True, scheduled=False)
    return (2 + 2 * b1) / ((1 - b1) * learning_rate)


def hessian_diagonal(loss: Callable[[Any], jax.Array], params: Any, *, key: jax.Array) -> Any:
    """An unbiased estimate of the Hessian's diagonal, from one product with random signs.

    `v * (H v)`, exact where H is diagonal (Hutchinson's; Yao et al. 2021, AdaHessian, equation 6;
    Liu et al. 2023, Sophia, algorithm 1, draw v from a normal distribution, which adds to the
    variance). This is what `sophia` and `adahessian` are fed with.

    Args:
        loss: `loss(params)` -> scalar.
        params: a tree of real arrays.
        key: the random key of the signs.

    Returns:
        A tree like `params`, in float32 or wider.

    Raises:
        TypeError: a leaf of `params` is not real.
    """
    _check_real(params)

    def own_loss(wide: Any) -> jax.Array:
        own = jax.tree.map(lambda w, p: w.astype(jnp.result_type(p)), wide, params)
        return loss(own)

    wide = jax.tree.map(lambda p: jnp.asarray(p, _wide(p)), params)
    structure: Any = jax.tree.structure(wide)
    signs = structure.unflatten(
        jax.random.rademacher(jax.random.fold_in(key, place), p.shape, p.dtype)
        for place, p in enumerate(jax.tree.leaves(wide))
    )
    _, image = jax.jvp(jax.grad(own_loss), (wide,), (signs,))
    return jax.tree.map(jnp.multiply, signs, image)


def _check_real(params: Any) -> None:
    for leaf in jax.tree.leaves(params):
        if not jnp.issubdtype(jnp.result_type(leaf), jnp.floating):
            raise TypeError(f"params has a leaf of dtype {jnp.result_type(leaf)}: must be floating")


def _check_like(name: str, tree: Any, params: Any) -> None:
    """Refuse a `tree` without the structure and the shapes of `params`."""
    structure: Any = jax.tree.structure(tree)
    found, wanted = ([jnp.shape(leaf) for leaf in jax.tree.leaves(t)] for t in (tree, params))
    if structure != jax.tree.structure(params) or found != wanted:
        raise ValueError(
            f"{name}={jax.tree.map(jnp.shape, tree)}: must be a tree of the shapes of params, "
            f"{jax.tree.map(jnp.shape, params)}"
        )


def _lanczos(matvec: Callable[[jax.Array], jax.Array], start: jax.Array, steps: int) -> jax.Array:
    """The largest Ritz value of a symmetric `matvec` after `steps` products with a vector."""
    rounding = jnp.finfo(start.dtype).eps

    def step(carry: Any, place: jax.Array) -> Any:
        basis, vector, largest = carry
        basis = basis.at[place].set(vector)
        image = matvec(vector)
        diagonal = vector @ image
        largest = jnp.maximum(largest, _norm(image))

        def within(vector: jax.Array) -> jax.Array:
            """The part in the span of the basis, not rounded as accelerators do by default."""
            parts = jnp.matmul(basis, vector, precision="highest")
            return jnp.matmul(parts, basis, precision="highest")

        once = image - within(image)
        twice = once - within(once)
        rest = _norm(twice)
        # A remainder that the second pass still halves is made of the vectors before it.
        goes_on = (rest > rounding * largest) & (rest > 0.5 * _norm(once))
        following = jnp.where(goes_on, twice / jnp.where(goes_on, rest, 1), 0)
        return (basis, following, largest), (diagonal, jnp.where(goes_on, rest, 0), goes_on)

    basis = jnp.zeros((steps, start.size), start.dtype)
    carry = (basis, start / _norm(start), jnp.zeros((), start.dtype))
    _, (diagonal, beside, goes_on) = jax.lax.scan(step, carry, jnp.arange(steps))
    # Where the iteration has stopped, the first Rayleigh quotient: never above the largest
    # eigenvalue.
    there = jnp.concatenate([jnp.ones(1, bool), goes_on[:-1]])
    diagonal = jnp.where(there, diagonal, diagonal[0])
    beside = beside[:-1]
    return jnp.linalg.eigvalsh(jnp.diag(diagonal) + jnp.diag(beside, 1) + jnp.diag(beside, -1))[-1]


def _norm(vector: jax.Array) -> jax.Array:
    """The Euclidean norm, without overflow of the squares."""
    largest = jnp.max(jnp.abs(vector))
    size = jnp.where(largest > 0, largest, 1)
    return size * jnp.sqrt(jnp.sum(jnp.square(vector / size)))


def _wide(leaf: Any) -> Any:
    """float64 for a float64 leaf, float32 for any other."""
    return np.dtype(np.float64 if jnp.result_type(leaf) == np.float64 else np.float32)

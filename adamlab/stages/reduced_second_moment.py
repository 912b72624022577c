"""Second moments coarser than the parameters: per block, per row and column, per axis."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from adamlab._checks import Scalar, check_count, check_function, check_number
from adamlab.stages._decay_rate import DecayRate, check_decay
from adamlab.stages._forms import zeros_over
from adamlab.stages.numerics import lerp, ratio, scalar, squared_magnitude
from adamlab.stages.second_moment import SecondMoment, Seen, at_most_tame, square

Axes = Callable[[tuple[int, ...]], tuple[int, ...]]
AxisPair = Callable[[tuple[int, ...]], tuple[int, int]]


def all_axes(shape: tuple[int, ...]) -> tuple[int, ...]:
    """One block for the whole leaf."""
    return tuple(range(len(shape)))


def per_row(shape: tuple[int, ...]) -> tuple[int, ...]:
    """One block for each index of the first axis; a leaf of one axis is one block."""
    return tuple(range(1, len(shape))) if len(shape) > 1 else all_axes(shape)


def block_squares(
    b2: DecayRate,
    axes: Axes = per_row,
    reduce: Callable[..., jax.Array] = jnp.mean,
) -> SecondMoment:
    """One second moment per block of elements: the average of `reduce(g²)` over `axes`.

    The mean over a row is Adam-mini's (Zhang et al. 2024, algorithm 1); the sum over a leaf is
    NovoGrad's (Ginsburg et al. 2019, algorithm 1). `nu` keeps the reduced axes with length 1.

    Args:
        b2: its decay rate.
        axes: maps a leaf's shape to the axes to reduce: `per_row`, `all_axes` or your own.
        reduce: `jnp.mean`, `jnp.sum` or the like, called with `axis` and `keepdims`.

    Raises:
        ValueError: b2 is outside [0, 1).
        TypeError: `axes` or `reduce` is not a function.
    """
    check_decay("b2", b2)
    check_function("axes", axes)
    check_function("reduce", reduce)

    def init(p: jax.Array) -> jax.Array:
        return zeros_over(p, tuple(axes(p.shape)))

    def fold(nu: jax.Array, seen: Seen, weight: jax.Array) -> tuple[jax.Array, jax.Array]:
        if not seen.grad.size:
            return nu, nu
        whole = squared_magnitude(seen.grad)
        reduced = reduce(whole, axis=axes(seen.grad.shape), keepdims=True)
        # Cut off here, not element by element: XLA's reductions would read the limit as an array.
        new = lerp(nu, at_most_tame(reduced), weight)
        return new, new

    return SecondMoment("block_squares", b2, init, fold, marks=("by leaf",))


class Factors(NamedTuple):
    """A second moment of two axes kept as the means over one of them and over the other."""

    row: jax.Array
    col: jax.Array


def two_longest(shape: tuple[int, ...]) -> tuple[int, int]:
    """The longest axis and the second longest: Optax's choice of rows and columns."""
    *_, second, first = sorted(range(len(shape)), key=lambda i: shape[i])
    return first, second


def last_two(shape: tuple[int, ...]) -> tuple[int, int]:
    """The last two axes, a matrix for each index of the others: PyTorch's and CAME's choice."""
    return len(shape) - 2, len(shape) - 1


def factored(
    b2: DecayRate, eps: Scalar = 1e-30, min_dim_size: int = 128, axes: AxisPair = two_longest
) -> SecondMoment:
    """A second moment of rank one: the means of g² over each of two axes.

    `nu = row col / mean(row)`, with `g² + eps` averaged (Shazeer & Stern 2018, algorithm 2). The
    means are cut off, not the squares: an infinite gradient counts as a whole row at the limit. A
    leaf with one axis, or with either of the two shorter than `min_dim_size`, is kept whole.

    Args:
        b2: its decay rate.
        eps: added to the squares.
        min_dim_size: the least length of the two axes.
        axes: maps a leaf's shape to the two: `two_longest`, `last_two` or your own.

    Raises:
        ValueError: b2 is outside [0, 1), `eps` is negative, or `min_dim_size` below 1.
    """
    check_decay("b2", b2)
    check_number("eps", eps, low=0, scheduled=False)
    check_count("min_dim_size", min_dim_size)

    def init(p: jax.Array) -> Any:
        pair = factored_axes(p.shape, min_dim_size, axes)
        if pair is None:
            return zeros_over(p, ())
        row, col = (zeros_over(p, (axis,)) for axis in pair)
        return Factors(row, col)

    def fold(state: Any, seen: Seen, weight: jax.Array) -> tuple[Any, jax.Array]:
        squares = squared_magnitude(seen.grad)

        def average(part: jax.Array, over: tuple[int, ...]) -> jax.Array:
            # The limit and eps come after the mean, or XLA would keep a copy of what it reduces.
            mean = squares.mean(over, keepdims=True)
            return lerp(part, at_most_tame(mean) + scalar(eps, mean.dtype), weight)

        if not isinstance(state, Factors):
            new = average(state, ())
            return new, new
        over_row, over_col = (_reduced_to(part, squares) for part in state)
        row, col = average(state.row, over_row), average(state.col, over_col)
        return Factors(row, col), ratio(row, row.mean(over_col, keepdims=True)) * col

    return SecondMoment("factored", b2, init, fold, marks=("by leaf",))


def factored_axes(
    shape: tuple[int, ...], min_dim_size: int, axes: AxisPair
) -> tuple[int, int] | None:
    """The two axes that a leaf is factored over, or None where it is kept whole."""
    if len(shape) < 2:
        return None
    pair = axes(shape)
    return pair if min(shape[i] for i in pair) >= min_dim_size else None


def _reduced_to(part: jax.Array, whole: jax.Array) -> tuple[int, ...]:
    """The axes over which `whole` is reduced to `part`, where they have length 1."""
    return tuple(i for i, n in enumerate(part.shape) if n != whole.shape[i])


def per_axis(b2: DecayRate | None = None) -> SecondMoment:
    """A maximum for each index of each axis: SM3's cover of a tensor by its slices.

    `nu = min over axes of their maxima + g²`, and each maximum follows `nu` (Anil et al. 2019,
    algorithm SM3-II). With a b2, `b2 min + (1 - b2) g²`.

    Raises:
        ValueError: b2 is outside [0, 1).
    """
    if b2 is not None:
        check_decay("b2", b2)

    def init(p: jax.Array) -> tuple[jax.Array, ...]:
        others = [tuple(j for j in range(p.ndim) if j != i) for i in range(p.ndim)]
        return tuple(zeros_over(p, axes) for axes in others or [()])

    def fold(state: Any, seen: Seen, weight: jax.Array) -> tuple[Any, jax.Array]:
        shape = seen.grad.shape
        least = jnp.broadcast_to(state[0], shape)
        for part in state[1:]:
            least = jnp.minimum(least, part)
        new = square(seen.grad)
        nu = least + new if b2 is None else lerp(least, new, weight)
        # Only where nothing is reduced: XLA takes the maximum with it in a pass of its own.
        initial = None if nu.size else 0
        maxima = [nu.max(_reduced_to(part, nu), keepdims=True, initial=initial) for part in state]
        return tuple(maxima), nu

    return SecondMoment("per_axis", b2, init, fold, marks=("by leaf",))

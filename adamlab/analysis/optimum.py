"""refined_argmin: where a loss is least, between the values that it was measured at."""

from __future__ import annotations

from typing import Any

import numpy as np


def refined_argmin(losses: Any, values: Any) -> np.ndarray:
    """The value of least loss, by a parabola through the least point and its two neighbours.

    The parabola goes through (log value, loss): a bowl that is quadratic in the logarithm is found
    exactly, however coarse the grid. Its slope is that of a chord halfway along it, and linear,
    so it is zero at

        x - a/2 + (a + c)/2 * s / (s + t),   s = (f(x-a) - f(x)) / a,   t = (f(x+c) - f(x)) / c

    with x the logarithm of the value of least loss f, and a, c the distances to its neighbours.
    That is never more than half way to a neighbour.

    Args:
        losses: shape (..., n), over `values` along the last axis; NaN and inf count as large.
        values: shape (n,), positive, ascending or descending.

    Returns:
        Shape (...), float64. The grid's own value where the least loss is at an edge or beside one
        that is not finite; the middle of those that share the least loss; NaN where no loss is
        finite.

    Raises:
        ValueError: `values` is not as above, or `losses` does not end in an axis of its length.
    """
    x = log_axis("values", values)
    loss = np.asarray(losses, dtype=np.float64)
    if loss.ndim == 0 or loss.shape[-1] != len(x):
        raise ValueError(f"losses has shape {loss.shape}: must be (..., {len(x)}), as values")
    loss = np.where(np.isfinite(loss), loss, np.inf)
    tied = loss == loss.min(-1, keepdims=True)
    least = tied.argmax(-1)
    places = np.clip(least[..., None] + np.array([-1, 0, 1]), 0, len(x) - 1)
    near = np.take_along_axis(loss, places, -1)
    found = _middle(x, tied)
    alone = tied.sum(-1) == 1
    curved = alone & (least > 0) & (least < len(x) - 1) & np.isfinite(near).all(-1)
    if curved.any():
        left, middle, right = np.moveaxis(near[curved] / _size(near[curved]), -1, 0)
        before, at, after = np.moveaxis(x[places[curved]], -1, 0)
        fall, rise = (left - middle) / (at - before), (right - middle) / (after - at)
        total = np.where(fall + rise == 0, 1, fall + rise)
        share = np.where(fall + rise == 0, (at - before) / (after - before), fall / total)
        found[curved] = (before + at) / 2 + (after - before) / 2 * share
    values = np.asarray(values, dtype=np.float64)
    refined = np.where(alone & ~curved, values[least], np.exp(found))
    return np.where(np.isfinite(loss).any(-1), refined, np.nan)


def _middle(x: np.ndarray, tied: np.ndarray) -> np.ndarray:
    """The middle of the places `tied`, or the one nearest to it where others lie between them."""
    count = tied.sum(-1)
    middle = np.array((tied * x).sum(-1) / count)
    last = tied.shape[-1] - 1 - tied[..., ::-1].argmax(-1)
    apart = last - tied.argmax(-1) + 1 != count
    off = np.where(tied, np.abs(x - middle[..., None]), np.inf)
    nearest = np.where(off <= off.min(-1, keepdims=True) + 1e-9, x, np.inf).min(-1)
    return np.where(apart, nearest, middle)


def log_axis(name: str, values: Any) -> np.ndarray:
    """The natural logarithms of a positive, strictly monotonic axis, shape (n,), n >= 1.

    Raises:
        ValueError: it is not one.
    """
    axis = np.asarray(values, dtype=np.float64)
    if axis.ndim != 1 or axis.size == 0:
        raise ValueError(f"{name} has shape {axis.shape}: must be (n,), n >= 1")
    bad = axis[~(np.isfinite(axis) & (axis > 0))]
    if bad.size:
        raise ValueError(f"{name}={bad[0]:g} among them: must be finite numbers > 0")
    steps = np.diff(axis)
    if not ((steps > 0).all() or (steps < 0).all()):
        raise ValueError(f"{name}={axis.tolist()}: must ascend or descend, each value once")
    return np.log(axis)


def _size(losses: np.ndarray) -> np.ndarray:
    """The largest magnitude along the last axis, for differences that do not overflow."""
    size = np.abs(losses).max(-1, keepdims=True)
    return np.where(size == 0, 1, size)

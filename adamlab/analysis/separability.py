"""separability: whether the best value of one hyperparameter depends on that of another."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from adamlab._checks import check_number
from adamlab.analysis._slope import slope
from adamlab.analysis.optimum import log_axis, refined_argmin


class Separability(NamedTuple):
    """How separable the optimum of a loss over two log-spaced axes is, in three numbers."""

    slope: float
    """Decades that the best column moves per decade of the row: 0 where they are separable, -1
    where only their product matters. NaN with fewer than two rows to tell it from."""
    additive: float
    """Share of the variance of the log loss near the optimum that a row's part plus a column's
    explains; 1 where they are separable. NaN unless two rows and two columns are near it."""
    regret: float
    """Decades of loss lost by taking the best row from one place and the best column from another;
    0 where they are separable."""
    at_edge: bool
    """Whether the least loss of a near-optimal row, or of all, is at the edge of the grid: the
    optimum may lie beyond, and the numbers say less than they seem to."""


def separability(
    loss: Any, rows: Any, columns: Any, *, cap: float | None = None, factor: float = 2.0
) -> Separability:
    """Slope, additivity and regret of a loss over two axes, such as learning rate x weight decay.

    A row is near-optimal if its least loss is at most `factor` times the least of all, and so for
    a column. With L the losses, each at most `cap`, over near-optimal rows i and columns j:

    - `slope` is that of the least-squares line of log10(best column of row i) against log10(row
      i). The best column is refined by a parabola through the losses (`refined_argmin`). A row
      whose least loss is in the first or last column too is left out: its best column is unknown.
    - `additive` is the R**2 of the least-squares fit log L[i, j] = a_i + b_j over the rectangle of
      near-optimal rows and columns, every point with the same weight. The rectangle has the corners
      where both are at their ends, which is where a valley in the product shows.
    - `regret` is the mean over the near-optimal rows i of log10(L[r, c_i] / L[r, c_r]), with r the
      row of the least loss and c_i the best column of row i on the grid; ties count alike.

    The loss should be zero at its ideal (an excess, an error rate), since `factor`, the logarithm
    and the regret go by ratios. The slope depends on the order of the axes, and a valley narrow in
    its product has one near -1 either way. Where the optimum is so flat that the whole grid is near
    it, the slope is noise: look at `regret`, which is then small.

    Args:
        loss: shape (rows, columns), > 0; NaN and inf count as `cap`.
        rows: shape (rows,), positive, ascending or descending; at least three.
        columns: shape (columns,), the same.
        cap: the loss from which on a point is as bad as any, such as that of no training; None for
            the largest finite one. Without it a point that nearly diverged outweighs the others.
        factor: how many times the least loss still counts as near it, > 1.

    Raises:
        ValueError: a shape is not as above, an axis is not positive and monotonic, a loss is not
            above 0, none is finite, or `cap` or `factor` is out of range.
        TypeError: `cap` or `factor` is not a number.
    """
    log_rows, log_columns = (
        log_axis(name, axis) / np.log(10) for name, axis in (("rows", rows), ("columns", columns))
    )
    grid = _grid(loss, (len(log_rows), len(log_columns)))
    check_number("factor", factor, low=1, open_low=True, scheduled=False)
    least = float(grid.min())
    if cap is None:
        cap = float(grid[np.isfinite(grid)].max())
    check_number("cap", cap, low=least, scheduled=False)

    least_of_row = grid.min(1)
    near = min(factor * least, cap)
    near_rows = np.flatnonzero(least_of_row <= near)
    near_columns = np.flatnonzero(grid.min(0) <= near)
    inside = (grid[:, [0, -1]] > least_of_row[:, None]).all(1)
    told = near_rows[inside[near_rows]]
    grid = np.minimum(grid, cap)
    best = np.log10(refined_argmin(grid[told], columns)) if len(told) else np.empty(0)

    capped = np.log10(grid)
    in_best_row = capped[least_of_row == least].mean(0)
    is_best = (grid == least_of_row[:, None])[near_rows]
    lost = is_best @ in_best_row / is_best.sum(1) - np.log10(least)
    return Separability(
        slope=slope(log_rows[told], best) if len(told) > 1 else float("nan"),
        additive=_additive_share(capped[np.ix_(near_rows, near_columns)]),
        regret=float(lost.mean()),
        at_edge=bool(len(told) < len(near_rows) or least_of_row[[0, -1]].min() <= least),
    )


def _grid(loss: Any, shape: tuple[int, int]) -> np.ndarray:
    """`loss` as an array of float64 with inf for what is not finite."""
    grid = np.asarray(loss, dtype=np.float64)
    if grid.shape != shape or min(shape) < 3:
        raise ValueError(
            f"loss has shape {grid.shape}: must be (rows, columns) = {shape}, each at least 3"
        )
    finite = np.isfinite(grid)
    if not finite.any():
        raise ValueError("loss has no finite value: must have at least one")
    if grid[finite].min() <= 0:
        raise ValueError(f"loss={grid[finite].min():g} among it: must be > 0")
    return np.where(finite, grid, np.inf)


def _additive_share(values: np.ndarray) -> float:
    """R**2 of a_i + b_j; on a full grid its least-squares fit is made of the means."""
    if min(values.shape) < 2:
        return float("nan")
    fit = values.mean(1, keepdims=True) + values.mean(0, keepdims=True) - values.mean()
    return 1.0 if np.ptp(values) == 0 else 1 - float((values - fit).var() / values.var())

"""How an axis of numbers is drawn: the cells of its values, on a linear or a log scale."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class Cells(NamedTuple):
    """The cells of n values along an axis."""

    centers: np.ndarray
    """Shape (n,): where each value is drawn."""
    edges: np.ndarray
    """Shape (n + 1,)."""
    is_log: bool
    """Whether they lie on a log scale."""
    zero: float | None
    """Where 0 is drawn on a log scale, a step below the least positive value; None if there is
    no 0."""


def cells_of(values: np.ndarray) -> Cells:
    """The cells of `values`, shape (n,), ascending or descending, their edges half-way between.

    On a log scale where the positive values' ratios are more even than their differences, or there
    are two of them ten or more times apart, and none is negative; half-way is then by ratio. The
    cell of a single value is as wide as the value is large.
    """
    values = values.astype(np.float64)
    positive = values[values > 0]
    is_log = False
    if len(positive) > 1 and values.min() >= 0:
        steps, ratios = np.diff(positive), np.diff(np.log(positive))
        is_log = bool(np.ptp(ratios) / abs(ratios).max() < np.ptp(steps) / abs(steps).max())
        if len(positive) == 2:
            is_log = positive.max() >= 10 * positive.min()
    zero = None
    if is_log and len(positive) < len(values):
        low, next_up = np.sort(positive)[:2]
        zero = float(low**2 / next_up)
        values = np.where(values == 0, zero, values)
    scaled = np.log(values) if is_log else values
    if len(scaled) == 1:
        edges = scaled[0] + np.array([-0.5, 0.5]) * (abs(scaled[0]) or 1)
    else:
        middle = (scaled[1:] + scaled[:-1]) / 2
        edges = np.r_[2 * scaled[0] - middle[0], middle, 2 * scaled[-1] - middle[-1]]
    return Cells(values, np.exp(edges) if is_log else edges, is_log, zero)


def set_scale(ax: Axes, which: Literal["x", "y"], cells: Cells) -> None:
    """Give an axis the scale of its cells, and a 0 its tick."""
    from matplotlib.ticker import FixedLocator, LogFormatterSciNotation, NullLocator

    if not cells.is_log:
        return
    axis = ax.xaxis if which == "x" else ax.yaxis
    ax.set(**{f"{which}scale": "log"})
    if cells.zero is None:
        return
    zero = cells.zero
    positive = cells.centers[cells.centers != zero]
    powers = np.log10(positive)
    decades = 10.0 ** np.arange(np.ceil(powers.min()), np.floor(powers.max()) + 1)

    power = LogFormatterSciNotation()
    # No decade between them: the ends.
    ticks = decades if len(decades) else np.array([positive.min(), positive.max()])

    def text(x: float, _: float) -> str:
        if math.isclose(x, zero):
            return "0"
        return str(power(x)) if len(decades) else f"{x:g}"

    axis.set_major_locator(FixedLocator([zero, *ticks]))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(text)

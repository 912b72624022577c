"""The book's figures: panels of one size, lines with bands over seeds, heat maps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from adamlab.plot import cell_edges

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

STYLES = ("-", "--", "-.", ":")


def panels(columns: int = 1, rows: int = 1) -> tuple[Figure, list[Any]]:
    """A figure of `columns` x `rows` panels in the book's size, and its axes in a flat list."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.6 * columns, 3.6 * rows), layout="constrained")
    return figure, list(figure.subplots(rows, columns, squeeze=False).ravel())


def draw_lines(ax: Any, array: xr.DataArray, along: str, *, log: str = "x", **style: Any) -> None:
    """The median over seeds along an axis, with a band that holds the middle half of them.

    Of the seeds whose value is finite; where none is, there is no point.

    Unless told otherwise, each line of a panel has a style of its own, so that lines can be told
    apart without colours and where they coincide.
    """
    array = array.where(np.isfinite(array))
    middle = array.median("seed") if "seed" in array.dims else array
    style = {"linestyle": STYLES[len(ax.lines) % len(STYLES)], **style}
    (line,) = ax.plot(array[along], middle, **style)
    if "seed" in array.dims:
        some = array.notnull().any("seed")
        ends = array.where(some, 0).quantile([0.25, 0.75], "seed").where(some)
        low, high = ends.transpose("quantile", ...)
        ax.fill_between(array[along], low, high, color=line.get_color(), alpha=0.15, linewidth=0)
    ax.set_xlabel(along)
    for axis in log:
        getattr(ax, f"set_{axis}scale")("log")


def draw_heat(
    ax: Any, array: xr.DataArray, x: str, y: str, *, log: str = "xy", **style: Any
) -> None:
    """A two-dimensional array as colours, with its bar; `style` goes to pcolormesh."""
    columns, rows = (cell_edges(array[name].values)[0] for name in (x, y))
    mesh = ax.pcolormesh(columns, rows, array.transpose(y, x), rasterized=True, **style)
    ax.set_xlabel(x)
    ax.set_ylabel(y)
    for axis in log:
        getattr(ax, f"set_{axis}scale")("log")
    ax.figure.colorbar(mesh, ax=ax, label=str(array.name or ""))

"""Pictures of maps: they read datasets and never train."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from textwrap import fill, wrap
from typing import TYPE_CHECKING, Any

import numpy as np

from adamlab._cells import cells_of, set_scale
from adamlab.maps import (
    OPTIMIZER,
    Outcome,
    is_numeric,
    outcome_of,
    summarize,
    typical_loss,
    typical_outcome,
)
from adamlab.sweeps import SEED

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe & Ito's palette, which people with any of the common colour vision deficiencies can read.
COLORS: dict[Outcome, str] = {
    Outcome.CONVERGED: "#009E73",
    Outcome.SLOW: "#56B4E9",
    Outcome.STALLED: "#999999",
    Outcome.OSCILLATING: "#E69F00",
    Outcome.DIVERGED: "#D55E00",
    Outcome.NON_FINITE: "#000000",
}
_MISSING = "#FFFFFF"
_PALEST = 0.5
_TITLE_WIDTH, _NAME_WIDTH = 64, 32
FORMATS = ("png", "svg", "pdf")


def plot_map(dataset: xr.Dataset) -> Figure:
    """Draw a convergence map of one or two axes, with any number of seeds.

    Colour is the most frequent outcome of the seeds; within a colour, paler means a higher late
    loss, except for runs that diverged or met NaN. With one axis, losses are plotted over it. An
    axis of names, such as `optimizer`, adds a row per name where there is one other axis, a panel
    per name where there are two.

    Raises:
        ValueError: the dataset is not a convergence map, or has more axes than that.
    """
    from matplotlib.figure import Figure

    axes = picture_axes(dataset)
    named = [name for name in axes if _is_named(dataset, name)]
    if why := why_no_picture(dataset):
        remedy = ""
        if len(axes) > 1:
            choose = f"dataset.isel({{{axes[-1]!r}: 0}})"
            remedy = f"; choose a value on the others, such as {choose}"
        raise ValueError(f"dataset makes no picture: {why}{remedy}")
    numeric = [str(d) for d in dataset["outcome"].dims if not _is_named(dataset, str(d))]
    dataset = dataset.sortby(numeric)
    panels = [dataset]
    if named and len(axes) == 3:
        panels = [dataset.sel({named[0]: value}) for value in dataset[named[0]].values]
        axes = [name for name in axes if name not in named]
    columns = math.ceil(math.sqrt(len(panels)))
    rows = -(-len(panels) // columns)
    height = 5.4 if len(axes) == 2 else 4.4
    if named and len(axes) == 2:
        lines = max(_wrapped(name).count("\n") for name in dataset[named[0]].values)
        height = max(3.8, 1.4 + (0.32 + 0.17 * lines) * dataset.sizes[named[0]])
    size = (8.4, height) if len(panels) == 1 else (2.6 + 3.2 * columns, 1.2 + 2.7 * rows)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=len(panels) > 1)
    for ax in grid.ravel()[len(panels) :]:
        ax.set_axis_off()
    low, high = _shade_ends(dataset)
    for place, (ax, panel) in enumerate(zip(grid.ravel(), panels, strict=False)):
        if len(axes) == 2:
            shades = ((_log_excess(panel) - low) / max(high - low, 1e-12)).clip(0, 1)
            _draw_plane(ax, panel, _columns_first(panel, axes), shades)
        else:
            _draw_line(ax, panel, axes)
        if len(panels) > 1:
            ax.set_title(_wrapped(panel[named[0]].item()), fontsize=9, parse_math=False)
            last = place + columns >= len(panels)
            ax.tick_params(labelbottom=last, labelleft=place % columns == 0)
            ax.set_xlabel(ax.get_xlabel() if last else "")
            ax.set_ylabel(ax.get_ylabel() if place % columns == 0 else "")
    figure.suptitle(_title(dataset), fontsize=11, x=0.02, ha="left", parse_math=False)
    _add_legend(figure, dataset)
    if len(axes) == 2 and high > low:
        _add_shade_key(figure, low, high)
    return figure


def why_no_picture(dataset: xr.Dataset) -> str:
    """What keeps `plot_map` from drawing it, or nothing.

    It draws two axes of numbers or fewer, and one of names beside them.
    """
    axes = picture_axes(dataset)
    named = [name for name in axes if _is_named(dataset, name)]
    numbers = [name for name in axes if name not in named]
    if not axes:
        return "it needs an axis, the map has none"
    if len(named) > 1:
        return f"it holds one axis of names, the map has {len(named)}: {', '.join(named)}"
    if named and not numbers:
        return (
            f"it needs an axis of numbers, the map has one of names alone: {named[0]}; sweep a "
            "hyperparameter beside it, such as learning_rate"
        )
    if len(numbers) > 2:
        return f"it holds two axes, the map has {len(numbers)}: {', '.join(numbers)}"
    return ""


def _is_named(dataset: xr.Dataset, axis: str) -> bool:
    return not is_numeric(dataset[axis])


def _columns_first(dataset: xr.Dataset, axes: Sequence[str]) -> list[str]:
    """x and y: names are rows."""
    return sorted(axes, key=lambda name: _is_named(dataset, name))


def picture_axes(dataset: xr.Dataset) -> list[str]:
    """The axes of a convergence map that a picture shows: all but the seeds."""
    return [str(dim) for dim in outcome_of(dataset).dims if dim != SEED]


def save(figure: Figure, paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> None:
    """Write `figure` to a path or to each of several, in the format that its ending names.

    Raises:
        ValueError: an ending is not one of png, svg and pdf.
        OSError: a file cannot be written.
    """
    every = [Path(path) for path in ([paths] if isinstance(paths, str | os.PathLike) else paths)]
    for path in every:
        if path.suffix.lstrip(".") not in FORMATS:
            raise ValueError(f"path={str(path)!r}: must end in one of .{', .'.join(FORMATS)}")
    for path in every:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=160)


def _draw_plane(ax: Axes, dataset: xr.Dataset, axes: Sequence[str], shades: xr.DataArray) -> None:
    x, y = axes
    codes = typical_outcome(dataset).transpose(y, x).values
    shade = shades.transpose(y, x).values
    columns = cells_of(dataset[x].values)
    if _is_named(dataset, y):
        names = dataset[y].values
        y_edges = np.arange(len(names) + 1) - 0.5
        ax.set_yticks(range(len(names)), map(_wrapped, names))
        ax.invert_yaxis()
    else:
        rows = cells_of(dataset[y].values)
        y_edges = rows.edges
        set_scale(ax, "y", rows)
    set_scale(ax, "x", columns)
    ax.pcolormesh(columns.edges, y_edges, _colors(codes, shade), rasterized=True)
    ax.set_xlabel(x)
    ax.set_ylabel(y)


def _draw_line(ax: Axes, dataset: xr.Dataset, axes: Sequence[str]) -> None:
    (name,) = axes
    typical, codes = typical_loss(dataset), typical_outcome(dataset).values
    optimum = dataset.attrs.get("optimum", 0.0)
    cells, excess = cells_of(dataset[name].values), typical.values.astype(float) - optimum
    values = cells.centers
    broken = ~np.isfinite(excess) & (codes >= 0)
    # A diverged loss of 1e30 would flatten all others: points above the frame sit on its edge,
    # ten times as far from the optimum as the runs began, or ended if none began away from it.
    for starts in (dataset["initial_loss"].values - optimum, excess, np.ones(1)):
        apart = np.where(np.isfinite(starts), starts, 0.0).max()
        if apart > 0:
            break
    roof = 10 * float(apart)
    # So does, on a log scale, an excess of 0 but for rounding: at half a decade below the least.
    rests = excess <= 1e-7 * abs(optimum)
    is_log = bool((excess[rests] >= -1e-4 * max(1.0, abs(optimum))).all())
    least = np.min(excess[np.isfinite(excess) & ~rests], initial=roof)
    foot = least / 10**0.5 if is_log else -np.inf
    shown = np.where(broken, roof, np.clip(excess, foot, roof))
    drawn: dict[str, Any] = {"rasterized": len(values) > 2000}  # an SVG would hold each point
    ax.plot(values, np.where(broken, np.nan, shown), color="#CCCCCC", zorder=1, **drawn)
    for outcome in sorted(Outcome):
        at = codes == outcome
        ax.scatter(values[at], shown[at], 22, COLORS[outcome], zorder=2, clip_on=False, **drawn)
    set_scale(ax, "x", cells)
    if is_log:
        ax.set_yscale("log")
    ax.set_xlim(cells.edges[0], cells.edges[-1])
    ax.set_ylim(bottom=foot if is_log and rests.any() else None, top=roof)
    ax.set_xlabel(name)
    ax.set_ylabel("late excess" if optimum else "late loss")


def _wrapped(name: object) -> str:
    return fill(str(name), _NAME_WIDTH)


def _log_excess(dataset: xr.Dataset) -> xr.DataArray:
    """log10 of the late loss minus the optimum; -inf where that is 0, inf where not finite."""
    excess = typical_loss(dataset) - dataset.attrs.get("optimum", 0.0)
    with np.errstate(divide="ignore"):
        return np.log10(excess.astype(float).where(np.isfinite(excess), np.inf).clip(min=0))


def _shade_ends(dataset: xr.Dataset) -> Any:
    """Where the shades go from darkest to palest; outliers are left out."""
    logs = _log_excess(dataset).values[typical_outcome(dataset).values < Outcome.DIVERGED]
    logs = logs[np.isfinite(logs)]
    return np.percentile(logs, [2, 98]) if logs.size else np.zeros(2)


def _colors(codes: np.ndarray, shade: np.ndarray) -> np.ndarray:
    from matplotlib.colors import to_rgb

    table = np.array([to_rgb(COLORS[o]) for o in sorted(Outcome)] + [to_rgb(_MISSING)])
    full = table[codes]
    paleness = np.where(codes < Outcome.DIVERGED, _PALEST * shade, 0.0)[..., None]
    return full + (1 - full) * paleness


def cell_edges(values: np.ndarray) -> tuple[np.ndarray, bool]:
    """The n + 1 edges of the cells of `values`, shape (n,), and whether they lie on a log scale."""
    cells = cells_of(values)
    return cells.edges, cells.is_log


def _title(dataset: xr.Dataset) -> str:
    about, seeds = dataset.attrs, dataset.sizes.get(SEED, 1)
    optimizer, fixed = about.get("optimizer", "?"), about.get("fixed", {})
    # An axis of which one value was chosen is a coordinate that is not a dimension any more.
    chosen = {str(name): c.item() for name, c in dataset.coords.items() if not c.ndim}
    if OPTIMIZER in dataset.coords:
        chosen.pop(OPTIMIZER, None)
        labels = np.atleast_1d(dataset[OPTIMIZER].values).tolist()
        optimizer = labels[0] if len(labels) == 1 else f"{len(labels)} optimizers"
        # Where the optimizers differ in them there is one set of values for each.
        each = [fixed[label] if isinstance(fixed.get(label), dict) else fixed for label in labels]
        fixed = {n: v for n, v in each[0].items() if all(n in one and one[n] == v for one in each)}
    drawn = f"seed {chosen.pop(SEED)}" if SEED in chosen else f"{seeds} seed{'s' * (seeds > 1)}"
    ran = f"{about.get('problem', '?')} · {optimizer} · {about.get('steps', '?')} steps, {drawn}"
    shown = [text for n, v in {**fixed, **chosen}.items() if (text := _setting(n, v))]
    return "\n".join([ran, *wrap(", ".join(shown), _TITLE_WIDTH)])


def _setting(name: str, value: Any) -> str:
    """A fixed value in a title; nothing where it is not a number."""
    if isinstance(value, str) and value.startswith("1-"):  # kept by its complement
        return f"{name}={value}"
    is_number = isinstance(value, float | int) and not isinstance(value, bool)
    return f"{name}={value:g}" if is_number else ""


def _add_legend(figure: Figure, dataset: xr.Dataset) -> None:
    from matplotlib.patches import Patch

    summary = summarize(dataset)
    handles = [
        Patch(facecolor=COLORS[o], label=f"{o.name.lower().replace('_', '-')}  {text}")
        for o, share in summary.shares.items()
        for text in ["<1%" if 0 < share < 0.01 else f"{share:.0%}"]
    ]
    if summary.missing:
        handles.append(Patch(facecolor=_MISSING, edgecolor="#999999", label="not computed"))
    figure.legend(handles=handles, loc="outside right upper", frameon=False, title="outcome")


def _add_shade_key(figure: Figure, low: float, high: float) -> None:
    """The shades from one end to the other, shown in the converged colour."""
    from matplotlib.colors import to_rgb

    key = figure.add_axes((0.845, 0.14, 0.022, 0.25))
    full = np.array(to_rgb(COLORS[Outcome.CONVERGED]))
    paleness = np.linspace(_PALEST, 0, 64)[:, None, None]
    key.imshow(full + (1 - full) * paleness, aspect="auto")
    key.set_xticks([])
    key.set_yticks([0, 63], [f"≥ {10**high:.2g}", f"≤ {10**low:.2g}"], fontsize=9)
    key.yaxis.tick_right()
    key.set_title("late excess", fontsize=9, loc="left")

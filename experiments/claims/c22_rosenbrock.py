"""C22: does Adam run down Rosenbrock's valley and arrive before gradient descent?"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

import adamlab
from adamlab.problems import scattered
from experiments import book

MOMENTUM = partial(adamlab.sgd, momentum=0.9)
OPTIMIZERS = {"Adam": adamlab.adam, "SGD": adamlab.sgd, "SGD with momentum": MOMENTUM}
AHEAD = 1.1  # times Adam's steps: less is within the grid of rates
ALMOST = 0.9  # of the starts that arrive at any rate: all would hang on the worst of them
ARRIVED = 1e-4  # a loss within about 0.02 of the minimum at (1, 1)
STARTS = {"usual start": 1e-3, "scattered starts": 0.3}  # their standard deviations
NUDGES = (0.98, 0.99, 1.0, 1.01, 1.02)  # of a rate: with all of them a start must arrive
X, Y = np.meshgrid(np.linspace(-1.6, 1.6, 161), np.linspace(-0.6, 2, 131))  # what is drawn


def measure(lab: book.Lab) -> xr.Dataset:
    """Steps to arrive over the rate, and the path of each from (-1.2, 1) at its best rate there."""
    problem = replace(scattered(adamlab.rosenbrock()), target=ARRIVED)
    rates = np.geomspace(1e-5, 10, lab["rates"])
    axes = {"learning_rate": np.outer(rates, NUDGES).ravel(), "scatter": list(STARTS.values())}
    found = lab.map("steps", problem, OPTIMIZERS, axes, steps=lab["steps"])
    nearby = book.steps_to_target(found).assign_coords(scatter=list(STARTS))
    # As late as with the worst of its nudges: a rate that arrives by luck does not arrive.
    steps = nearby.coarsen(learning_rate=len(NUDGES)).max().assign_coords(learning_rate=rates)
    best = best_rate(steps.sel(scatter="usual start", drop=True))
    paths = lab.map(
        "paths", problem, OPTIMIZERS, {"learning_rate": np.unique(best)}, steps=lab["path"],
        checkpoints=lab["path"], probe=lambda params, _: {"path": params},
    )["path"].isel(seed=0, drop=True)  # fmt: skip
    at_best = paths.sel(learning_rate=best).drop_vars("learning_rate")
    return xr.Dataset({"steps": steps, "path": at_best})


def best_rate(steps: xr.DataArray) -> xr.DataArray:
    """The rate of least median steps in the lowest band of those where almost all starts arrive."""
    arrived = (steps < np.inf).sum("seed")
    most = arrived >= ALMOST * arrived.max("learning_rate")
    gaps = (~most & (most.cumsum("learning_rate") > 0)).cumsum("learning_rate")
    most = most & (gaps == 0)
    return steps.median("seed").where(most, np.inf).idxmin("learning_rate")


def judge(dataset: xr.Dataset) -> book.Verdict:
    """How many times as long gradient descent takes, start by start, each at its best rate."""
    numbers: book.Numbers = {}
    kinds: dict[str, book.Kind] = {}
    best = dataset.sel(learning_rate=best_rate(dataset["steps"])).reset_coords("learning_rate")
    times = best["steps"] / best["steps"].sel(optimizer="Adam")
    # Where neither arrives, inf / inf, neither is first.
    for name, own in book.each(best.assign(times=times.fillna(1.0)), "optimizer", "scatter"):
        numbers[f"best rate, {name}"] = float(own["learning_rate"])
        numbers[f"steps, {name}"] = book.over_seeds(own["steps"])
        numbers[f"starts that arrive, {name}"] = float((own["steps"] < np.inf).sum())
        if not name.startswith("Adam"):
            numbers[f"times Adam's steps, {name}"] = ratio = book.over_seeds(own["times"])
            kinds[f"before {name}"] = book.by_sign(ratio, AHEAD)
    return book.Verdict(kinds, numbers)


def height(x: Any, y: Any) -> Any:
    """log10 of Rosenbrock's function plus 0.1, so that the valley's floor is smooth."""
    return np.log10((1 - x) ** 2 + 100 * (y - x**2) ** 2 + 0.1)


def draw(dataset: xr.Dataset) -> book.Figure:
    """Steps over the rate, and the surface with the paths, each at its best rate."""
    figure, (left, right) = book.panels(2)
    right.remove()
    surface = figure.add_subplot(right.get_subplotspec(), projection="3d")
    for color, (name, own) in enumerate(book.each(dataset, "optimizer")):
        marker = "os^"[color]
        for start, line in zip(STARTS, ("--", "-"), strict=True):
            steps = own["steps"].sel(scatter=start)
            steps = steps.where((steps < np.inf).mean("seed") >= ALMOST)
            book.draw_lines(
                left, steps, "learning_rate", log="xy", label=f"{name}, {start}",
                marker=marker, markersize=4, color=f"C{color}", linestyle=line,
            )  # fmt: skip
        x, y = own["path"].values.T
        inside = (np.abs(x) <= X.max()) & (y >= Y.min()) & (y <= Y.max())
        shown = (np.where(inside, place, np.nan) for place in (x, y, height(x, y) + 0.1))
        # Adam below the others, which follow it closely.
        style = {"linewidth": 3} if name == "Adam" else {"linewidth": 1.2, "linestyle": "--"}
        surface.plot(*shown, zorder=5 + color, **style)
    surface.plot_surface(X, Y, height(X, Y), cmap="Greys_r", alpha=0.5, linewidth=0, rcount=80)
    surface.plot([1], [1], [-0.9], "k*", markersize=10, zorder=9)
    surface.set(title="paths at the best rates", xlabel="x", ylabel="y", zlabel="log10 height")
    surface.view_init(elev=52, azim=-70)
    title = f"to a loss of {ARRIVED:g}, where {ALMOST:g} of the starts arrive"
    left.set(ylabel="steps", title=title)
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower left", ncols=3, fontsize=8)
    return figure


def animate(dataset: xr.Dataset, stem: Path) -> None:
    """The paths step by step, seen from above."""
    from matplotlib.animation import PillowWriter

    figure, (ax,) = book.panels()
    ax.contourf(X, Y, height(X, Y), levels=12, cmap="Greys_r", alpha=0.6)
    ax.plot(1, 1, "k*", markersize=11)
    ax.set(xlabel="x", ylabel="y", xlim=(X.min(), X.max()), ylim=(Y.min(), Y.max()))
    lines = {
        name: ax.plot([], [], ".-", label=name, markersize=3, zorder=3 - place)[0]
        for place, name in enumerate(OPTIMIZERS)  # Adam above the others
    }
    ax.legend(fontsize=8, loc="upper center")
    film = PillowWriter(fps=8)
    with film.saving(figure, f"{stem}-paths.gif", dpi=120):
        for step in np.unique(np.geomspace(1, dataset.sizes["step"], 48).astype(int)):
            for name, line in lines.items():
                line.set_data(*dataset["path"].sel(optimizer=name).values[:step].T)
            ax.set_title(f"each at its best rate, step {step:,}")
            film.grab_frame()


CLAIM = book.Claim(
    says="On Rosenbrock's function Adam runs down the valley and arrives first; SGD is slower.",
    asks="Does Adam arrive first, by a tenth of its steps, each at its best rate?",
    criterion=f"Steps to a loss of {ARRIVED:g}, kept to in the last quarter, from (-1.2, 1) moved "
    f"by {STARTS['usual start']:g} (deviation), and by {STARTS['scattered starts']:g}, the most "
    "that a rate and those 1 and 2 % beside it take: further up, some rates fail by chance, and "
    "from one start alone the last digits decide which. Adam, SGD, SGD with momentum .9, each at "
    f"its rate of least median steps in the lowest band of rates at which at least {ALMOST:g} of "
    "the most starts arrive. Ratio: SGD's steps over Adam's, start by start. Supported if the 95 "
    "% intervals of all four ratios (two kinds of start, with and without momentum) lie above "
    f"{AHEAD:g}, refuted if all lie below; it depends if they differ.",
    settings={"seeds": 96, "rates": 61, "steps": 20_000, "path": 6000},
    quick={"seeds": 2, "rates": 7, "steps": 2000, "path": 200},
    check={"first_seed": 29_000, "float64": True},
    caption="Left: steps to arrive over the rate, wherever nine tenths of the starts of a kind "
    "arrive and stay, also at rates 1 and 2 % beside it (dashed: the usual start). Right: "
    "the surface with the path of each optimizer at its best rate from the usual start, drawn "
    "from after its first step (star: the minimum). Below: the same from above, as an animation.",
    extras=animate,
)

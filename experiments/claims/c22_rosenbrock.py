"""C22: does Adam run down Rosenbrock's valley and arrive before gradient descent?"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

import adamlab
from adamlab.analysis import Interval
from experiments import book

if TYPE_CHECKING:
    from pathlib import Path

    import xarray as xr
    from matplotlib.figure import Figure

MOMENTUM = "SGD with momentum"
OPTIMIZERS = {
    "Adam": adamlab.adam,
    "SGD": adamlab.sgd,
    MOMENTUM: partial(adamlab.sgd, momentum=0.9),
}
COLORS = dict(zip(OPTIMIZERS, ("tab:blue", "tab:orange", "tab:green"), strict=True))
ARRIVED = 1e-4  # a loss within about 0.02 of the minimum at (1, 1)
SCATTER = 0.3
FRAMES = 48


def rosenbrock_around() -> adamlab.Problem:
    """Rosenbrock's valley, begun `scatter` (its standard deviation) around (-1.2, 1)."""
    valley = adamlab.rosenbrock()

    def init(key: jax.Array, *, scatter: Any, **rest: Any) -> Any:
        return valley.init(key, **rest) + scatter * jax.random.normal(key, (2,))

    def without(function: Any) -> Any:
        def called(*args: Any, scatter: Any, **rest: Any) -> Any:
            del scatter
            return function(*args, **rest)

        return called

    return replace(
        valley, name="rosenbrock, scattered", init=init, loss=without(valley.loss),
        metrics=without(valley.metrics), target=ARRIVED,
        hyperparameters={**valley.hyperparameters, "scatter": SCATTER},
    )  # fmt: skip


def position(params: Any, state: Any) -> dict[str, Any]:
    """Where a run stands."""
    del state
    return {"x": params}


def measure(lab: book.Lab) -> xr.Dataset:
    """Steps to arrive over the rate, and the paths from (-1.2, 1), each at its best rate there."""
    problem = rosenbrock_around()
    rates = {"learning_rate": np.geomspace(1e-5, 10, lab["rates"])}
    steps, paths = {}, {}
    for name, build in OPTIMIZERS.items():
        file = name.replace(" ", "-")
        found = lab.map(
            file, problem, build, {**rates, "scatter": [0.0, SCATTER]}, steps=lab["steps"]
        )
        arrived = found["converged_step"].astype(float)
        # A run that never arrives takes for ever.
        steps[name] = arrived.where(arrived >= 0, np.inf).to_dataset(name="steps")
        best = best_rate(steps[name]["steps"].sel(scatter=0.0))
        path = lab.map(
            f"path-{file}", problem, build, {"learning_rate": [best]}, fixed={"scatter": 0.0},
            steps=lab["path"], checkpoints=lab["path"], probe=position,
        )["x"]  # fmt: skip
        paths[name] = path.isel(learning_rate=0, seed=0, drop=True).to_dataset(name="path")
    return book.side_by_side("optimizer", steps).merge(book.side_by_side("optimizer", paths))


def best_rate(steps: xr.DataArray) -> float:
    """The rate of least median steps, among those at which the most starts arrive."""
    arrived = (steps < np.inf).sum("seed")
    median = steps.median("seed").where(arrived == arrived.max(), np.inf)
    return float(steps["learning_rate"][int(median.argmin("learning_rate"))])


def judge(dataset: xr.Dataset) -> book.Verdict:
    """How many times as long gradient descent takes, start by start, each at its best rate."""
    numbers: dict[str, float | Interval] = {}
    kinds: dict[str, book.Kind] = {}
    for scatter in dataset["scatter"].values:
        where = f"starts scattered by {scatter:g}" if scatter else "the usual start"
        taken = {}
        for name in OPTIMIZERS:
            steps = dataset["steps"].sel(optimizer=name, scatter=scatter, drop=True)
            rate = best_rate(steps)
            taken[name] = steps.sel(learning_rate=rate, drop=True)
            numbers[f"best rate, {where}, {name}"] = rate
            numbers[f"steps, {where}, {name}"] = book.over_seeds(taken[name])
        adam = taken.pop("Adam")
        for name, steps in taken.items():
            # Where neither arrives neither is first.
            ratio = (steps / adam).where((steps < np.inf) | (adam < np.inf), 1.0)
            numbers[f"times Adam's steps, {where}, {name}"] = found = book.over_seeds(ratio)
            kinds[f"before {name}, from {where}"] = book.by_sign(found, 1.0)
    kind, sentence = book.together(kinds, "Does Adam arrive first, each at its best rate?")
    return book.Verdict(kind, sentence, numbers)


def height(x: Any, y: Any) -> Any:
    """log10 of Rosenbrock's function, filled up by 0.1 so that the valley's floor is smooth."""
    return np.log10((1 - x) ** 2 + 100 * (y - x**2) ** 2 + 0.1)


def plane() -> tuple[np.ndarray, np.ndarray]:
    """The part of the plane that is drawn."""
    x, y = np.meshgrid(np.linspace(-1.6, 1.6, 161), np.linspace(-0.6, 2, 131))
    return x, y


def draw(dataset: xr.Dataset) -> Figure:
    """Steps over the rate, and the surface with the paths, each at its best rate."""
    figure, (left, right) = book.panels(2)
    for name in OPTIMIZERS:
        steps = dataset["steps"].sel(optimizer=name, scatter=SCATTER)
        book.draw_lines(
            left,
            steps,
            "learning_rate",
            log="xy",
            label=name,
            color=COLORS[name],
            marker=".",
        )
    left.set(title=f"steps to a loss of {ARRIVED:g}, scattered starts", xlabel="learning_rate")
    left.legend(fontsize=8)
    place = right.get_subplotspec()
    right.remove()
    surface = figure.add_subplot(place, projection="3d")
    x, y = plane()
    surface.plot_surface(x, y, height(x, y), cmap="Greys_r", alpha=0.5, linewidth=0, rcount=80)
    for name in OPTIMIZERS:
        px, py = dataset["path"].sel(optimizer=name).values.T
        inside = (np.abs(px) <= 1.6) & (py <= 2) & (py >= -0.6)
        px, py = (np.where(inside, p, np.nan) for p in (px, py))
        surface.plot(px, py, height(px, py) + 0.1, color=COLORS[name], linewidth=1, zorder=5)
    surface.plot([1], [1], [-0.9], "k*", markersize=10, zorder=6)
    surface.set(title="paths at the best rates, log10 height", xlabel="x", ylabel="y")
    surface.view_init(elev=52, azim=-70)
    return figure


def animate(dataset: xr.Dataset, stem: Path) -> None:
    """The paths step by step, seen from above."""
    from matplotlib.animation import FuncAnimation, PillowWriter

    figure, (ax,) = book.panels()
    x, y = plane()
    ax.contourf(x, y, height(x, y), levels=12, cmap="Greys_r", alpha=0.6)
    ax.plot(1, 1, "k*", markersize=11)
    ax.set(xlabel="x", ylabel="y", xlim=(x.min(), x.max()), ylim=(y.min(), y.max()))
    lines = {n: ax.plot([], [], ".-", color=COLORS[n], label=n, markersize=3)[0] for n in COLORS}
    ax.legend(fontsize=8, loc="lower right")
    ends = np.unique(np.geomspace(1, dataset.sizes["step"], FRAMES).astype(int))

    def show(frame: int) -> Any:
        for name, line in lines.items():
            line.set_data(*dataset["path"].sel(optimizer=name).values[: ends[frame]].T)
        ax.set_title(f"each at its best rate, step {ends[frame]:,}")
        return list(lines.values())

    film = FuncAnimation(figure, show, frames=len(ends), blit=False)
    film.save(f"{stem}-paths.gif", writer=PillowWriter(fps=8), dpi=80)


EXPERIMENT = book.Experiment(
    id="C22",
    question="Does Adam run down Rosenbrock's valley and arrive before gradient descent?",
    claim="On Rosenbrock's function Adam runs down the valley and arrives first, SGD follows more "
    "slowly.",
    criterion=f"Steps to a loss of {ARRIVED:g} from (-1.2, 1), and from starts scattered by "
    f"{SCATTER:g} around it; Adam, SGD, SGD with momentum .9, each at its rate of least median "
    "steps among those at which the most starts arrive. Ratio: SGD's steps over Adam's, start by "
    "start. Supported if the 95 % intervals of all four ratios (two kinds of start, with and "
    "without momentum) lie above 1, refuted if all lie below, otherwise it depends on which.",
    measure=measure,
    judge=judge,
    draw=draw,
    settings={"seeds": 8, "rates": 31, "steps": 20_000, "path": 2000},
    quick={"seeds": 2, "rates": 7, "steps": 2000, "path": 200},
    check={"first_seed": 1000},
    symptom="The loss falls at once, then crawls: the path follows a curved valley.",
    remedy="adam(1e-1)  # or sgd(1e-3, momentum=0.9): the valley's floor needs a memory",
    extras=animate,
)

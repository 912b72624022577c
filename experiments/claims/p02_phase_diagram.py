"""P02: does Adam converge for large b2 and diverge for small b2, with a border that rises with
n?"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import optax
import xarray as xr

import adamlab
from adamlab.problems import zhang
from adamlab.stages import squares
from experiments import book

FUNCTIONS = (10, 50)
RATE = 1.0  # lr_0; what the paper used is not known to us
BEGUN, ARRIVED = 3.0, 1.0  # distances from -2; up to -1 the functions are parabolas around it
LARGE, SMALL = 3e-4, 0.5  # 1-b2 at most, at least
USUAL_B1 = 0.9


def diminishing(
    steepest: float, learning_rate: Any, b1: Any = 0.9, b2: Any = 0.999
) -> optax.GradientTransformation:
    """Adam without bias correction, its rate falling like 1/sqrt(step), nu from `steepest` ** 2.

    If nu started at 0 it would be too small for a large b2 and throw the run hundreds away.
    """
    return adamlab.chain(
        adamlab.track_moments(b1, squares(b2, initial=steepest**2)),
        adamlab.precondition(),
        adamlab.scale_by_learning_rate(lambda step: learning_rate / (step + 1.0) ** 0.5),
    )


def measure(lab: book.Lab) -> xr.Dataset:
    """Over 1-b2 x b1 for both sums: whether the run is at -2, or on its way there, at its end."""
    axes = {
        "1-b2": np.geomspace(1e-4, 0.9, lab["b2s"]),
        "b1": np.linspace(0, 0.99, lab["b1s"]),
    }
    maps = {}
    for n in FUNCTIONS:
        adam = partial(diminishing, float(n))  # the slope of the steep function at the start
        found = lab.map(
            f"{n}", zhang(n), adam, axes, fixed={"learning_rate": RATE}, steps=lab["steps"]
        )
        arrived = found["distance"] <= ARRIVED
        nearer = found["distance"] < BEGUN
        approaching = nearer & (found["late_loss"] < found["earlier_loss"])
        maps[f"n = {n}"] = found[["distance"]].assign(
            arrived=arrived, converges=arrived | approaching
        )
    return book.side_by_side("sum", maps)


def border(converges: xr.DataArray) -> xr.DataArray:
    """log10 of the largest 1-b2 up to which all converge; the axis's least where none does."""
    ordered = converges.transpose(..., "1-b2")
    prefix = np.logical_and.accumulate(ordered.values, axis=-1).sum(-1)
    values = np.log10(converges["1-b2"].values)
    at = values[np.maximum(prefix - 1, 0)]
    return ordered.isel({"1-b2": 0}, drop=True).copy(data=at)


def judge(dataset: xr.Dataset) -> book.Verdict:
    """Large b2, small b2, and how far the border moves from ten functions to fifty."""
    usual = dataset["converges"].sel(b1=slice(None, USUAL_B1 + 1e-6)).astype(float)
    borders = border(usual > 0).mean("b1")
    few, many = (borders.sel(sum=f"n = {n}") for n in FUNCTIONS)
    rise = book.over_seeds(few - many)
    one_minus = usual["1-b2"]
    large = usual.where(one_minus <= LARGE).mean(["1-b2", "b1"])
    small = 1 - usual.where(one_minus >= SMALL).mean(["1-b2", "b1"])
    kinds: dict[str, book.Kind] = {}
    shares: book.Numbers = {}
    for n in dataset["sum"].values:
        near, away = (book.over_seeds(share.sel(sum=n)) for share in (large, small))
        kinds[f"a large b2 arrives or approaches, {n}"] = book.by_sign(near, 0.5)
        kinds[f"a small b2 goes away, {n}"] = book.by_sign(away, 0.5)
        shares[f"share that arrives or approaches, 1-b2 <= {LARGE:g}, {n}"] = near
        shares[f"share that goes away, 1-b2 >= {SMALL:g}, {n}"] = away
    kinds["the border rises with n"] = book.by_sign(rise)
    per_decade = np.log10(FUNCTIONS[1] / FUNCTIONS[0])
    there = dataset["arrived"].sel(b1=usual["b1"]).where(one_minus <= LARGE).mean(["1-b2", "b1"])
    at_end = {f"n = {n}": book.over_seeds(there.sel(sum=f"n = {n}")) for n in FUNCTIONS}
    numbers: book.Numbers = {
        **shares,
        **{f"share that is at -2, 1-b2 <= {LARGE:g}, {n}": share for n, share in at_end.items()},
        f"log10 of 1-b2 at the border, n = {FUNCTIONS[0]}": book.over_seeds(few),
        f"log10 of 1-b2 at the border, n = {FUNCTIONS[1]}": book.over_seeds(many),
        "decades of 1-b2 that the border falls": rise,
        "exponent of 1-b2 at the border in n": book.over_seeds((many - few) / per_decade),
    }
    places = dataset["distance"].sel(b1=usual["b1"]).where(one_minus <= LARGE)
    left = {n: float(places.sel(sum=n).median()) for n in at_end}
    numbers |= {f"median distance from -2, 1-b2 <= {LARGE:g}, {n}": x for n, x in left.items()}
    arrived = " and ".join(f"{share.value:.0%} for {n}" for n, share in at_end.items())
    far = " and ".join(f"{x:.2g} for {n}" for n, x in left.items())
    remark = f"With a large b2 the share that is at -2 at the end, not on its way, is {arrived}; "
    remark += f"the median distance left of {BEGUN:g} is {far}."
    return book.Verdict(kinds, numbers, remark)


def draw(dataset: xr.Dataset) -> book.Figure:
    """What became of the runs over b1 and 1-b2, for ten functions and for fifty."""
    figure, axes = book.panels(len(FUNCTIONS))
    state = dataset["converges"].mean("seed") + dataset["arrived"].mean("seed")
    for ax, name in zip(axes, dataset["sum"].values, strict=True):
        part = state.sel(sum=name).transpose("1-b2", "b1")
        mesh = ax.pcolormesh(
            part["b1"], part["1-b2"], part, vmin=0, vmax=2, cmap="cividis", rasterized=True
        )
        ax.axhline(1e-3, color="red", linestyle=":", label="the defaults, .9 and .999")
        ax.plot(0.9, 1e-3, "o", color="red")
        ax.set(title=name, yscale="log", xlabel="b1", ylabel="1-b2")
    axes[0].legend(loc="lower left", fontsize="small")
    bar = figure.colorbar(mesh, ax=axes, ticks=[0, 1, 2])
    bar.ax.set_yticklabels(["goes away", "nearer, approaches", "at -2"])
    return figure


CLAIM = book.Claim(
    says="On a sum of n functions, one steep, Adam without bias correction and with a rate of "
    "lr_0/sqrt(k) converges for a large b2 and diverges for a small one; the border rises with n "
    "(Zhang, Chen, Shi, Sun & Luo 2022, arXiv 2208.09632).",
    asks="Does the phase diagram show this, where a run that comes nearer converges?",
    criterion="50,000 steps, n = 10 and 50, lr_0 = 1, k counts steps, from 1 with a = 1 (ours); "
    "nu begins at the largest squared gradient there, as in the paper's algorithm. A run "
    "converges if it ends within 1 of -2, or nearer than the 3 that it began at and with a mean "
    "loss in the last quarter below that of the quarter before (it approaches). With b1 <= .9: "
    "for each n large b2 converge if over half of the points with 1-b2 <= 3e-4 do, small ones "
    "diverge if over half of those with 1-b2 >= .5 do not, and the border (the largest 1-b2 up to "
    "which all converge, its logarithm averaged over b1) rises if it is at a lower 1-b2 for 50 "
    "than for 10; each by its 95 % interval over seeds. Supported if all hold, refuted if none "
    "does, depends on the part if they differ.",
    settings={"seeds": 8, "b2s": 24, "b1s": 12, "steps": 50_000, "float64": True},
    quick={"seeds": 2, "b2s": 6, "b1s": 3, "steps": 2_000},
    check={"first_seed": 2000, "float64": False},
    caption="What became of the runs over b1 and 1-b2 (large b2 at the foot), for sums of 10 and "
    "of 50 functions: yellow ended at the optimum, grey was on its way, dark went away; in "
    "between, seeds differ. Red: the defaults (dot) and their b2 (line).",
)

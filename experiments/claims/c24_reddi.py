"""C24: does Adam fail on a convex problem, and does AMSGrad repair it?"""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

import adamlab
from experiments import book

OPTIMIZERS = {"adam": adamlab.adam, "amsgrad": adamlab.amsgrad}
B1 = 0.9
SHORT = 1e-2  # 1-b2 from which a memory is short
MOST = -0.5


def measure(lab: book.Lab) -> xr.Dataset:
    """x late in the run on the stochastic problem, over 1-b2 x rate and over 1-b2 x b1."""
    rates = {
        "1-b2": 10.0 ** np.linspace(-4, -0.5, lab["b2s"]),
        "learning_rate": np.geomspace(1e-4, 1, lab["rates"]),
    }
    moments = {"1-b2": rates["1-b2"], "b1": np.linspace(0, 0.99, lab["b1s"])}
    problem, steps = adamlab.reddi_stochastic(), lab["steps"]
    over_rate = lab.map("rates", problem, OPTIMIZERS, rates, fixed={"b1": B1}, steps=steps)
    over_b1 = lab.map(
        "moments", problem, OPTIMIZERS, moments, fixed={"learning_rate": 1e-3}, steps=steps
    )
    # The loss is least at -1, and its opposite at +1: it is a multiple of x.
    parts = {"over_rate": over_rate, "over_b1": over_b1}
    return xr.Dataset({n: found["late_loss"] / -problem.optimum for n, found in parts.items()})


def judge(dataset: xr.Dataset) -> book.Verdict:
    """Where runs with a short memory end up, at the best rate for each optimizer."""
    places = dataset["over_rate"]
    means = places.sel({"1-b2": slice(SHORT, None)}).mean("1-b2").to_dataset(name="place")
    rests = book.at_best(means["place"])
    longest = places.isel({"1-b2": 0}).sel(optimizer="adam")
    adam, amsgrad = (book.over_seeds(rests.sel(optimizer=name)) for name in OPTIMIZERS)
    numbers: book.Numbers = {
        "adam's place, b2 <= .99 (-1 best, +1 worst)": adam,
        "amsgrad's place, b2 <= .99": amsgrad,
        "adam's place, b2 = .9999": book.over_seeds(book.at_best(longest)),
    }
    for name, own in book.each(means, "optimizer"):
        best = float(book.best_rate(own["place"]))
        end = book.at_end(best, own["learning_rate"].values)
        numbers[f"{name}'s best rate, b2 <= .99{end}"] = best
    kinds = {
        "Adam goes to the wrong half": book.by_sign(adam, 0),
        "AMSGrad ends in the quarter nearest to the optimum": book.opposite(
            book.by_sign(amsgrad, MOST)
        ),
    }
    return book.Verdict(kinds, numbers)


def draw(dataset: xr.Dataset) -> book.Figure:
    """Where each optimizer rests: over the rate above, over b1 below."""
    figure, axes = book.panels(2, 2)
    middle, label = dataset.median("seed"), "x, late (best: -1, worst: +1)"
    style: dict[str, Any] = {"vmin": -1, "vmax": 1, "cmap": "cividis_r"}
    for ax, name in zip(axes, OPTIMIZERS, strict=False):
        place = middle["over_rate"].sel(optimizer=name).rename(label)
        book.draw_heat(ax, place, "learning_rate", "1-b2", **style)
        ax.axhline(SHORT * 10**-0.25, color="red", linestyle=":")  # below the cells of SHORT
        ax.set_title(f"{name}, b1 = {B1}")
    for ax, name in zip(axes[2:], OPTIMIZERS, strict=True):
        place = middle["over_b1"].sel(optimizer=name).rename(label)
        book.draw_heat(ax, place, "b1", "1-b2", log="y", **style)
        ax.set_title(f"{name}, rate 1e-3")
    return figure


CLAIM = book.Claim(
    says="Adam fails on some convex problems; AMSGrad repairs it (Reddi, Kale & Kumar 2018).",
    asks="Does this happen for b2 <= .99, each optimizer at its best rate?",
    criterion="Reddi's stochastic problem, b1 = .9. Place: the mean late loss over all b2 <= .99, "
    "-1 at the best end and +1 at the worst, at the rate of 1e-4 to 1 that is best for the "
    "optimizer, after 1e6 steps. Supported if the 95 % interval over seeds of Adam's place lies "
    "above 0 and AMSGrad's below -0.5; refuted if both are the other way round; depends on the "
    "part if one is; undecided otherwise.",
    settings={"seeds": 96, "b2s": 8, "rates": 6, "b1s": 6, "steps": 1_000_000},
    quick={"seeds": 2, "b2s": 4, "rates": 3, "b1s": 2, "steps": 2_000},
    check={"first_seed": 7000, "float64": True},
    caption="x late in a million steps, the mean of eight looks, its median over seeds (light, "
    "-1: the optimum; dark, +1: the worst place), over rate and 1-b2 (top) and over b1 and 1-b2 "
    "(bottom). Only what lies above the red line is judged. AMSGrad here is Optax's, the maximum "
    "of corrected moments; P01 has the paper's.",
)

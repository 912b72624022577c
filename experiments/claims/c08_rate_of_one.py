"""C08: does a rate of 1.0 oscillate or diverge, and is 1e-3 right?"""

from __future__ import annotations

import numpy as np
import xarray as xr

import adamlab
from adamlab.problems import linear_data, network, squared_error, supervised
from experiments import book

EPOCHS, ROWS = 10, 100
WAYS = {"full batch": None, "batch 10": 10}
LARGE, SAID, WIDTH = 1.0, 1e-3, 10
RIGHT = float(np.log10(1.1))
"""Decades of loss above the best rate's up to which a rate is right: 10 %."""


def measure(lab: book.Lab) -> xr.Dataset:
    """The rate from 1e-4 to 10 for each width and each way to spend ten epochs."""
    rates = {"learning_rate": np.geomspace(1e-4, 10, lab["rates"])}
    ways = {}
    for way, batch in WAYS.items():
        steps = EPOCHS * ROWS // (batch or ROWS)
        widths = {}
        for width in lab["widths"]:
            model = network((10, width, 1), initializer="torch")
            problem = supervised(linear_data(ROWS), model, squared_error, batch_size=batch)
            name = f"{width}-wide-{steps}-steps"
            found = lab.map(name, problem, adamlab.adam, rates, steps=steps)
            widths[str(width)] = found[["initial_loss", "late_loss", "outcome"]]
        ways[f"{way}, {steps} steps"] = book.side_by_side("width", widths)
    return book.side_by_side("way", ways)


def judge(dataset: xr.Dataset) -> book.Verdict:
    """Each way, at the article's width: is 1.0 unstable, and how far is 1e-3 from the best?"""
    late = book.decades(dataset["late_loss"])
    broken = (adamlab.Outcome.OSCILLATING, adamlab.Outcome.DIVERGED, adamlab.Outcome.NON_FINITE)
    wild = dataset["outcome"].isin(broken) | (dataset["late_loss"] > dataset["initial_loss"])
    at_large = wild.sel(learning_rate=LARGE, method="nearest")
    at_said = late.sel(learning_rate=SAID, method="nearest")
    numbers: book.Numbers = {}
    kinds: dict[str, book.Kind] = {}
    for way in dataset["way"].values:
        for width in dataset["width"].values:
            place, where = {"way": way, "width": width}, f"{way}, width {width}"
            best = book.best_rate(late.sel(place))
            share = book.share(at_large.sel(place))
            usual = book.share(wild.sel(place).sel(learning_rate=best))
            above = book.over_seeds(at_said.sel(place) - book.at_best(late.sel(place)))
            numbers[f"best rate, {where}"] = float(best)
            numbers[f"share that oscillates or diverges at {LARGE:g}, {where}"] = share
            numbers[f"share that does at the best rate, {where}"] = usual
            numbers[f"decades of loss at {SAID:g} above that at the best rate, {where}"] = above
            if int(width) == WIDTH:
                kinds[f"{LARGE:g} is unstable, {way}"] = book.by_sign(share, 0.5)
                kinds[f"{SAID:g} is right, {way}"] = book.opposite(book.by_sign(above, RIGHT))
    return book.Verdict(kinds, numbers)


def draw(dataset: xr.Dataset) -> book.Figure:
    """The late loss over the rate for each width, one panel for each way."""
    figure, axes = book.panels(2)
    share = dataset["late_loss"] / dataset["initial_loss"]
    for ax, way in zip(axes, dataset["way"].values, strict=True):
        for width in dataset["width"].values:
            line = share.sel(way=way, width=width)
            book.draw_lines(ax, line, "learning_rate", log="xy", label=f"{width} wide")
        ax.axhline(1, color="grey", linewidth=1)
        for rate in (SAID, LARGE):
            ax.axvline(rate, color="grey", linestyle=":")
        ax.set(title=f"10 epochs: {way}", ylabel="late loss / initial loss", ylim=(1e-3, 1e3))
        ax.text(SAID, 2e-3, " 1e-3", color="grey")
        ax.text(LARGE, 2e-3, " 1.0", color="grey")
    axes[0].legend(loc="upper left")
    return figure


CLAIM = book.Claim(
    says="A rate of 1.0 oscillates or diverges; 1e-3 is right.",
    asks="Does this part of the claim hold?",
    criterion="10-10-1 ReLU network (widths 4 and 64 stand beside), squared error, 100 samples of "
    "a linear law, ten epochs, each in one step or in ten. 1.0 is unstable if the 95 % interval "
    "of the share of runs that oscillate, diverge, break or end above their initial loss lies "
    "above a half; 1e-3 is right if that of the decades of late loss above the best rate's lies "
    "below those of 10 %. Supported if both hold in both ways, refuted if neither does in either; "
    "it depends on the part and the way if they differ, and is undecided otherwise.",
    settings={"seeds": 128, "rates": 31, "widths": (4, 10, 64)},
    quick={"seeds": 2, "rates": 6, "widths": (10,)},
    check={"first_seed": 2000},
    caption="Late loss over initial loss after ten epochs, over the rate, for three widths of the "
    "hidden layer: one step an epoch on the left, ten on the right. Above the grey line the loss "
    "has risen. Dotted: the claim's two rates.",
)

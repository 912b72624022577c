"""C14: must the rate be searched on a log axis?"""

from __future__ import annotations

import numpy as np
import xarray as xr

import adamlab
from adamlab.problems import cross_entropy, digits, network, supervised
from experiments import book

SAID = np.array([1e-4, 1e-3, 1e-2, 1e-1])
BATCH, EPOCHS, ROWS = 64, 10, 1437
DIFFERENT, BETTER = 0.1, 0.01
"""Accuracy that is very different, and that is better: ten points and one."""
TRIALS, QUANTILES = 4, (np.arange(400) + 0.5) / 400
WAYS = {
    "log": SAID[0] * (SAID[-1] / SAID[0]) ** QUANTILES,
    "linear": SAID[0] + (SAID[-1] - SAID[0]) * QUANTILES,
}
"""Rates that a search draws from: all with one probability, on one axis or the other."""


def measure(lab: book.Lab) -> xr.Dataset:
    """The test accuracy after ten epochs over the rate, for each width."""
    rates = {"learning_rate": np.geomspace(SAID[0], SAID[-1], lab["rates"])}
    widths = {}
    for width in lab["widths"]:
        problem = supervised(
            digits(28), network((784, width, 10)), cross_entropy, batch_size=BATCH, observed=128
        )
        steps = lab["epochs"] * ROWS // BATCH
        found = lab.map(f"{width}-wide", problem, adamlab.adam, rates, steps=steps, checkpoints=8)
        widths[str(width)] = found[["test_accuracy"]]
    return book.side_by_side("width", widths)


def best_of_search(accuracy: xr.DataArray, rates: np.ndarray) -> xr.DataArray:
    """The average accuracy of the best of a few rates drawn from `rates`.

    Between the rates that were run, accuracy is interpolated along the log axis.
    """
    at = np.log(accuracy["learning_rate"].values)
    curves = accuracy.transpose(..., "learning_rate")
    drawn = np.stack([np.interp(np.log(rates), at, c) for c in curves.values.reshape(-1, len(at))])
    drawn.sort(axis=1)
    # The rank of the best of n draws among all has the distribution u**n.
    ends = np.linspace(0, 1, drawn.shape[1] + 1) ** TRIALS
    best = drawn @ np.diff(ends)
    found: xr.DataArray = curves.isel(learning_rate=0, drop=True)
    return found.copy(data=best.reshape(found.shape))


def judge(dataset: xr.Dataset) -> book.Verdict:
    """For each width: how far the four rates differ, and what four trials on each axis find."""
    numbers: book.Numbers = {}
    spreads: dict[str, book.Kind] = {}
    axes: dict[str, book.Kind] = {}
    apart = []
    for width in dataset["width"].values:
        accuracy = dataset["test_accuracy"].sel(width=width)
        four = accuracy.sel(learning_rate=SAID, method="nearest")
        spread, three = (
            book.over_seeds(some.max("learning_rate") - some.min("learning_rate"))
            for some in (four, four.isel(learning_rate=slice(-1)))
        )
        found = {way: best_of_search(accuracy, rates) for way, rates in WAYS.items()}
        gain = book.over_seeds(found["log"] - found["linear"])
        numbers[f"greatest less least accuracy of the four rates, {width} wide"] = spread
        numbers[f"greatest less least accuracy of all but .1, {width} wide"] = three
        apart.append(f"{three.value:.2f}")
        numbers[f"accuracy gained by the log axis in {TRIALS} trials, {width} wide"] = gain
        spreads[f"the four rates differ, {width} wide"] = book.by_sign(spread, DIFFERENT)
        axes[f"the log axis finds better, {width} wide"] = book.by_sign(gain, BETTER)
    remark = f"Without .1 the rates differ by {', '.join(apart)}, from the narrowest to the widest."
    return book.Verdict(spreads | axes, numbers, remark)


def draw(dataset: xr.Dataset) -> book.Figure:
    """The accuracy over the rate on both axes, with the places of four even trials."""
    figure, axes = book.panels(2)
    for ax, (way, log) in zip(axes, {"log": "x", "linear": ""}.items(), strict=True):
        for width in dataset["width"].values:
            line = dataset["test_accuracy"].sel(width=width)
            book.draw_lines(ax, line, "learning_rate", log=log, label=f"{width} wide")
        trials = SAID if way == "log" else np.linspace(SAID[0], SAID[-1], TRIALS)
        for rate in trials:
            ax.axvline(rate, color="grey", linestyle=":", zorder=0)
        ax.set(title=f"{TRIALS} even trials on a {way} axis", ylim=(0, 1), ylabel="test accuracy")
    axes[0].legend(loc="lower center")
    return figure


CLAIM = book.Claim(
    says="The rate must be searched on a log axis: .1, .01, .001 and .0001 give very different "
    "accuracy.",
    asks="Does this part of the claim hold?",
    criterion="Digits interpolated to 28 x 28, 784-h-10, batch 64, ten epochs, test accuracy at "
    "the end. For each width the greatest less the least accuracy of the four rates (threshold "
    f"{DIFFERENT}), and how much better the best of {TRIALS} rates drawn evenly between .0001 and "
    f".1 on a log axis is on average than on a linear one (threshold {BETTER}). Supported if the "
    "95 % intervals of all lie above, refuted if all lie below; it depends on the part or the "
    "width if they differ, and is undecided otherwise.",
    settings={"seeds": 8, "rates": 10, "widths": (16, 32, 128), "epochs": EPOCHS},
    quick={"seeds": 2, "rates": 4, "widths": (16, 32), "epochs": 1},
    check={"first_seed": 1000},
    caption="Test accuracy over the rate for three widths: the same curves on a logarithmic axis "
    "(left) and on a linear one (right). Dotted: four evenly spaced trials; on the linear axis "
    "three of them lie past the best rates. What is judged of the axes is trials drawn at random.",
)

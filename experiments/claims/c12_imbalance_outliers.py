"""C12: do class imbalance and outliers keep the cost from falling, and does Huber's loss help?"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

import adamlab
from adamlab.analysis import Interval
from adamlab.problems import (
    Data,
    Model,
    cross_entropy,
    diabetes,
    digits,
    huber,
    imbalanced,
    network,
    squared_error,
    standardized,
    supervised,
    with_outliers,
)
from experiments import book

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

RATE = 1e-3
IMBALANCE, OUTLIERS = 100.0, 0.1
LOST = 0.1  # decades
LOSSES = {"squares": squared_error, "huber": huber}


def test_square(model: Model, params: Any, state: Any, data: Data) -> Mapping[str, jax.Array]:
    """The mean square on the test rows, which have no outliers, whatever the loss was."""
    del state
    outputs = model.apply(params, data.test_inputs)
    return {"test_square": squared_error(outputs, data.test_targets)}


def measure(lab: book.Lab) -> xr.Dataset:
    """Rate x imbalance on the digits; rate x outliers' share on diabetes, for both losses."""
    import xarray as xr

    steps, rates = lab["steps"], {"learning_rate": np.geomspace(1e-4, 1e-1, lab["rates"])}
    problem = supervised(imbalanced(digits()), network((64, 32, 10)), cross_entropy, batch_size=64)
    ratios = {**rates, "imbalance": np.geomspace(1, IMBALANCE, lab["levels"])}
    classes = lab.map("imbalance", problem, adamlab.adam, ratios, steps=steps)
    model, source = network((10, 1)), with_outliers(standardized(diabetes()))
    shares = {**rates, "outliers": np.linspace(0, OUTLIERS, lab["levels"])}
    tables = {}
    for name, loss in LOSSES.items():
        tables[name] = lab.map(
            name, supervised(source, model, loss, batch_size=32), adamlab.adam, shares,
            steps=steps, probe=partial(test_square, model),
        )  # fmt: skip
    table = book.side_by_side("loss", tables)
    return xr.Dataset(
        {
            "cost_imbalance": classes["late_loss"] / classes["initial_loss"],
            "test_imbalance": classes["test_loss"],
            "cost_outliers": table["late_loss"] / table["initial_loss"],
            "test_outliers": table["test_square"].isel(step=-1, drop=True),
        }
    )


def at_rates(dataset: xr.Dataset, name: str, what: str) -> dict[str, xr.DataArray]:
    """Decades of cost or test loss at the usual rate, and at the one of the least median cost."""
    best = book.decades(dataset[f"cost_{name}"]).median("seed").idxmin("learning_rate")
    found = book.decades(dataset[f"{what}_{name}"]).clip(max=30)
    return {
        "at 1e-3": found.sel(learning_rate=RATE, method="nearest"),
        "at the best rate": found.sel(learning_rate=best),
    }


def judge(dataset: xr.Dataset) -> book.Verdict:
    """By how many decades less the cost falls than without the fault; what Huber's loss gains."""
    numbers: dict[str, float | Interval] = {}
    kinds: dict[str, book.Kind] = {}
    plain = dataset.sel(loss="squares")
    for name in ("imbalance", "outliers"):
        for what in ("cost", "test"):
            for where, found in at_rates(plain, name, what).items():
                lost = book.over_seeds(found.isel({name: -1}) - found.isel({name: 0}))
                label = f"{name} {where}"
                numbers[f"decades of {what} {'lost' if what == 'cost' else 'loss'}, {label}"] = lost
                if what == "cost":
                    kinds[label] = book.by_sign(lost, LOST)
    squares, robust = (at_rates(dataset.sel(loss=each), "outliers", "test") for each in LOSSES)
    for where in squares:
        cured = book.over_seeds((squares[where] - robust[where]).isel(outliers=-1))
        numbers[f"decades of clean test error gained by Huber's loss, {where}"] = cured
    kind, sentence = book.together(kinds, "Does the cost fall less, by more than 0.1 decades?")
    return book.Verdict(kind, sentence, numbers)


def draw(dataset: xr.Dataset) -> Figure:
    """The cost above and the test loss below, over the rate."""
    figure, axes = book.panels(2, 2)
    for column, name in enumerate(("imbalance", "outliers")):
        last = dataset.isel({name: [0, -1]})
        for row, what in enumerate(("cost", "test")):
            ax = axes[2 * row + column]
            array = last[f"{what}_{name}"]
            for level in array[name].values:
                for loss in array["loss"].values if "loss" in array.dims else [None]:
                    part = array.sel({name: level})
                    label = f"{level:g}" if loss is None else f"{level:g}, {loss}"
                    part = part if loss is None else part.sel(loss=loss)
                    book.draw_lines(ax, part, "learning_rate", log="xy", label=label)
            ax.axvline(RATE, color="grey", linestyle=":")
        axes[column].legend(fontsize="small", title=name)
        axes[column].set_title(("digits", "diabetes")[column])
    axes[0].set_ylabel("late cost / initial cost")
    axes[2].set_ylabel("test loss (right: mean square)")
    return figure


EXPERIMENT = book.Experiment(
    id="C12",
    question="Do class imbalance and outliers keep the cost from falling, does Huber's loss help?",
    claim="Class imbalance and outliers keep the cost from falling.",
    criterion="Digits with half of the classes 100 times rarer (64-32-10 ReLU network, batches of "
    "64), and diabetes, standardized, with noise of ten deviations on a tenth of the train targets "
    "(linear model, mean square, batches of 32); 800 steps. Cost: the late loss over the train "
    "rows as they are, over the initial one. Supported if the 95 % intervals over seeds of the "
    "decades by which it falls less than without the fault lie above 0.1 for both, at the rate of "
    "1e-3 and at the best rate (least median cost, each its own); refuted if all lie below; "
    "otherwise it depends. What Huber's loss gains is told, and does not decide.",
    measure=measure,
    judge=judge,
    draw=draw,
    settings={"seeds": 8, "rates": 10, "levels": 5, "steps": 800},
    quick={"seeds": 2, "rates": 4, "levels": 2, "steps": 40},
    check={"first_seed": 1000},
    symptom="The cost rests high where some targets are far off; rare classes are never predicted.",
    remedy="supervised(source, model, huber)  # for outliers; for imbalance: as many rows of each "
    "class in a batch",
)

"""C23: at about equal training loss, is Adam's minimum sharper than SGD's, and does it test
worse?"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import numpy as np
import xarray as xr

import adamlab
from adamlab.analysis import top_eigenvalue
from adamlab.problems import cross_entropy, digits, network, supervised
from experiments import book

LEVEL, ROWS = 0.05, 256
"""The train loss at which the two are compared, and the rows that it is taken of."""
SMALL, FEW = 0.1, 0.01
"""What is not worth a word: decades of sharpness, and a share of the test images."""
MODEL = network((64, 32, 10))
OPTIMIZERS = {"adam": adamlab.adam, "sgd": partial(adamlab.sgd, momentum=0.9)}
# Rows per step, and ranges that include each optimizer's fastest rate.
BATCHES = {
    "batch 32": (32, {"adam": (3e-3, 0.1), "sgd": (2e-2, 0.6)}),
    "full batch": (None, {"adam": (6e-3, 0.2), "sgd": (6e-2, 2.0)}),
}


def look(params: Any, state: Any, data: Any) -> dict[str, jax.Array]:
    """Sharpness on the rows that the loss is taken of, and accuracy on the test rows: a probe."""
    del state

    def loss(at: Any) -> jax.Array:
        return cross_entropy(MODEL.apply(at, data.inputs[:ROWS]), data.targets[:ROWS])

    right = MODEL.apply(params, data.test_inputs).argmax(-1) == data.test_targets
    top = top_eigenvalue(loss, params, key=jax.random.key(0), iterations=12)
    return {"sharpness": top, "accuracy": right.mean(dtype=top.dtype)}


def at_level(found: xr.Dataset) -> xr.Dataset:
    """The runs where they are first at the level; NaN at rates that leave a seed above it."""
    reached = found["curve"] <= LEVEL
    first = found[["sharpness", "accuracy"]].isel(step=reached.argmax("step"))
    return first.reset_coords("step").where(reached.any("step").all("seed"))


def measure(lab: book.Lab) -> xr.Dataset:
    """Sharpness, test accuracy and steps at the level, over rates that span 1.5 decades each."""
    batches = {}
    for batch, steps in lab["steps"].items():
        rows, ends = BATCHES[batch]
        problem = supervised(digits(), MODEL, cross_entropy, batch_size=rows, observed=ROWS)
        maps = {}
        for name, optimizer in OPTIMIZERS.items():
            rates = np.geomspace(*ends[name], lab["rates"])
            found = lab.map(
                f"{name}, {batch}", problem, optimizer, {"learning_rate": rates}, steps=steps,
                checkpoints=lab["looks"], curve=True, probe=look,
            )  # fmt: skip
            numbered = at_level(found).drop_vars("learning_rate").rename(learning_rate="place")
            maps[name] = numbered.assign(rate=("place", rates))
        batches[batch] = book.side_by_side("optimizer", maps)
    return book.side_by_side("batch", batches)


def best_places(dataset: xr.Dataset) -> dict[str, xr.DataArray]:
    """Which rate each optimizer tests best at on reaching the level, and which gets there first."""
    scores = {"rates that test best": dataset["accuracy"], "fastest rates": -dataset["step"]}
    means = {name: score.mean("seed").fillna(-np.inf) for name, score in scores.items()}
    return {name: mean.argmax("place") for name, mean in means.items()}


def judge(dataset: xr.Dataset) -> book.Verdict:
    """Adam's sharpness and accuracy against SGD's, seed by seed, each at its own best rate."""
    if dataset["step"].isnull().all(["place", "seed"]).any():
        return book.Verdict({}, remark=f"No rate brings every seed to a loss of {LEVEL:g}.")
    numbers: book.Numbers = {}
    kinds = dict[str, book.Kind]()
    for best, chosen in best_places(dataset).items():
        for batch, found in book.each(dataset.isel(place=chosen), "batch"):
            adam, sgd = (found.sel(optimizer=name) for name in OPTIMIZERS)
            ratio = adam["sharpness"] / sgd["sharpness"]
            sharper = book.over_seeds(book.decades(ratio))
            worse = book.over_seeds(sgd["accuracy"] - adam["accuracy"], np.mean)
            where = f"{best}, {batch}"
            told = {
                f"sharper at the {best} ({batch})": book.by_sign(sharper, SMALL),
                f"worse in tests at the {best} ({batch})": book.by_sign(worse, FEW),
            }
            numbers[f"decades that Adam is sharper by, {where}"] = sharper
            numbers[f"test accuracy that Adam lacks, {where}"] = worse
            for name, part in book.each(found, "optimizer"):
                there = dataset.sel(batch=batch, optimizer=name)
                tried = there["rate"].where(there["step"].notnull().all("seed"), drop=True)
                rate = float(part["rate"])
                end = book.at_end(rate, tried.values, "that brings every seed")
                numbers[f"{name}'s rate, {where}{end}"] = rate
                told = dict.fromkeys(told, "undecided") if "the least" in end else told
            kinds |= told
    return book.Verdict(kinds, numbers)


def draw(dataset: xr.Dataset) -> book.Figure:
    """Sharpness and test accuracy at the level over the rate, a row for each batch size."""
    figure, axes = book.panels(2, dataset.sizes["batch"])
    shown = {"sharpness": "top Hessian eigenvalue", "accuracy": "test accuracy"}
    rows, best = zip(axes[::2], axes[1::2], strict=True), best_places(dataset)
    for row, (batch, found) in zip(rows, book.each(dataset, "batch"), strict=True):
        for number, (name, part) in enumerate(book.each(found, "optimizer")):
            over_rate = part.set_coords("rate").swap_dims(place="rate")
            for ax, (what, label) in zip(row, shown.items(), strict=True):
                book.draw_lines(ax, over_rate[what], "rate", label=name, color=f"C{number}")
                for (where, chosen), marker in zip(best.items(), "*D", strict=True):
                    at = part.isel(place=int(chosen.sel(batch=batch, optimizer=name)))
                    style = {"color": f"C{number}", "label": where, "markersize": 9}
                    ax.plot(at["rate"], at[what].median("seed"), marker, **style)
                ax.set(title=f"{batch}, at train loss {LEVEL:g}", ylabel=label)
                ax.set(xlabel="learning_rate", xlim=(2e-3, 3))  # the same where no run got there
    axes[0].legend(fontsize="small")
    return figure


CLAIM = book.Claim(
    says="Adam reaches sharper minima than SGD and tests worse on images.",
    asks=f"Is Adam's solution sharper than SGD's, by {SMALL:g} decades, and does it test worse, by "
    f"{FEW:g}?",
    criterion="64-32-10 on the 8x8 digits, batches of 32 and of all 1,437 train rows; Adam and "
    f"SGD with a momentum of .9, each seen where its loss on {ROWS} train rows is first at "
    f"{LEVEL:g}, at its own best of the rates that bring every seed there: (a) the one that tests "
    "best there, (b) the fastest. By seed: the log ratio of the Hessian's top eigenvalues "
    "(median) and the difference of test accuracies (mean), 95 % intervals. Sharper, worse: by "
    f"more than {SMALL:g} decades, {FEW:g} in accuracy; not so: by less. Supported if Adam is "
    "sharper and worse by (a) and (b) with both batches, refuted if it is neither by any; it "
    "depends on the part of the claim, the rate or the batch if they differ; undecided otherwise, "
    "or where the best rate is the least that brings every seed there, as longer runs may at less.",
    settings={
        "seeds": 96, "rates": 7, "steps": {"batch 32": 600, "full batch": 160}, "looks": 30,
    },
    quick={"seeds": 2, "rates": 3, "steps": {"batch 32": 480}, "looks": 16},
    check={"first_seed": 17000},
    caption="The Hessian's top eigenvalue (left) and the test accuracy (right) where the train "
    "loss is first 0.05, over the rates that bring every seed there; batches of 32 at the top, "
    "the full batch at the bottom. The bands are far wider than the differences judged, which are "
    "taken seed by seed, star against star and diamond against diamond. The slowest rates that "
    "bring every seed there are set by the steps given.",
)  # fmt: skip

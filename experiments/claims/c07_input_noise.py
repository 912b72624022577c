"""C07: does fresh noise of 0.1 on the inputs in each epoch help when data are scarce?"""

from __future__ import annotations

from functools import partial

import jax
import numpy as np
import xarray as xr

import adamlab
from adamlab import problems
from experiments import book

EPOCHS = 100
RATE, NOISE = 1e-3, 0.1
HELPED = 0.01  # of the test loss


def choose(rows: int, key: jax.Array, data: problems.Data) -> problems.Data:
    """Only `rows` of the train rows, different ones in each run."""
    chosen = jax.random.permutation(key, len(data.inputs))[:rows]
    return data._replace(inputs=data.inputs[chosen], targets=data.targets[chosen])


FEW = problems.diabetes().then("40 rows", partial(choose, 40))
SETTINGS = {
    "linear, 100 rows": (problems.linear_data(100), (10, 1)),
    "linear, 15 rows": (problems.linear_data(15), (10, 1)),
    "diabetes, 40 rows": (problems.standardized(FEW), (10, 32, 1)),
}


def measure(lab: book.Lab) -> xr.Dataset:
    """Test loss over rate x deviation of the noise, one full-batch update an epoch."""
    axes = {
        "learning_rate": np.geomspace(1e-4, 10, lab["rates"]),
        "input_noise": np.array([0, *np.geomspace(1e-2, 1, lab["noises"])]),
    }
    maps = {}
    for name, (source, widths) in SETTINGS.items():
        model = problems.network(widths, initializer="torch")
        plain = problems.supervised(source, model, problems.squared_error)
        problem = problems.with_input_noise(plain)
        maps[name] = lab.map(name, problem, adamlab.adam, axes, steps=EPOCHS)[["test_loss"]]
    return book.side_by_side("data", maps)


def gains(dataset: xr.Dataset) -> dict[str, xr.DataArray]:
    """The share of the test loss that each deviation saves against no noise, by seed."""
    found = dataset.where(np.isfinite(dataset), 1e12)
    return {
        where: 1 - at["test_loss"] / at["test_loss"].sel(input_noise=0)
        for where, at in book.at_rates(found, RATE, found["test_loss"]).items()
    }


def judge(dataset: xr.Dataset) -> book.Verdict:
    """Whether a deviation of 0.1 saves more than a hundredth of the test loss, seed by seed."""
    numbers: book.Numbers = {}
    kinds: dict[str, book.Kind] = {}
    rates = book.best_rate(dataset["test_loss"].sel(input_noise=[0, NOISE], method="nearest"))
    for where, gain in gains(dataset).items():
        for name in SETTINGS:
            if where == "at the best rate" and np.allclose(rates.sel(data=name), RATE):
                continue  # judged as the claim's
            by_noise = gain.sel(data=name)
            saved = book.over_seeds(by_noise.sel(input_noise=NOISE, method="nearest"))
            numbers[f"share of the test loss saved, {name}, {where}"] = saved
            kinds[f"{name}, {where}"] = book.by_sign(saved, HELPED)
            widest = by_noise.median("seed")
            most = float(widest.idxmax("input_noise"))
            end = book.at_end(most, widest["input_noise"].values)
            numbers[f"deviation that saves most, {name}, {where}{end}"] = most
    for name, own in book.each(rates.to_dataset(name="rate"), "data"):
        for noise, best in zip((0, NOISE), own["rate"].values, strict=True):
            end = book.at_end(float(best), dataset["learning_rate"].values)
            numbers[f"best rate, {name}, noise {noise:g}{end}"] = float(best)
    return book.Verdict(kinds, numbers)


def draw(dataset: xr.Dataset) -> book.Figure:
    """What each deviation saves, at the rate of the claim and each at its best."""
    figure, axes = book.panels(2)
    for ax, (where, gain) in zip(axes, gains(dataset).items(), strict=True):
        for name in SETTINGS:
            part = gain.sel(data=name, input_noise=slice(1e-9, None))
            book.draw_lines(ax, part, "input_noise", log="x", label=name)
        ax.axhline(0, color="grey", linewidth=0.8)
        ax.axhline(HELPED, color="grey", linestyle="--")
        ax.axvline(NOISE, color="grey", linestyle=":")
        ax.set(title=where, ylim=(-0.3, 0.3), xlabel="deviation of the noise on inputs")
    axes[0].set_ylabel("share of the test loss saved")
    axes[0].legend(fontsize="small", loc="lower left")
    return figure


CLAIM = book.Claim(
    says="Fresh noise of deviation 0.1 on the inputs, each epoch, helps small data sets.",
    asks="Does noise of 0.1 on the inputs lower the test loss by a hundredth?",
    criterion="100 epochs of one full-batch update. Three sets: a linear model on 100 rows of "
    "linear data, the same on 15 rows, a 10-32-1 ReLU network on 40 rows of diabetes "
    "(standardized). For each seed, the share of the noise-free test loss that noise of 0.1 "
    "saves, at the rate of 1e-3 and at the best rate (least median test loss, with and without "
    "noise each its own). Helps if the 95 % interval of its median lies above 0.01, and not if "
    "below. A set whose best rate is 1e-3 is one case, not two. Supported if it helps in all "
    "cases, refuted if in none; it depends if it helps in one and not in another, and is "
    "undecided otherwise.",
    settings={"seeds": 128, "rates": 21, "noises": 9},
    quick={"seeds": 2, "rates": 4, "noises": 3},
    check={"first_seed": 5000},
    caption="Share of the noise-free test loss that noise on the inputs saves (above 0) or costs "
    "(below), over the noise's standard deviation: at 1e-3 (left), and with and without noise "
    "each at its best rate (right). Dotted: the claim's 0.1; dashed: the least saving that counts "
    "as help.",
)

"""C19: does it help to give the dictionary a learning rate of its own?"""

from __future__ import annotations

from typing import Any

import numpy as np
import optax
import xarray as xr

import adamlab
from adamlab.problems import dictionary_learning
from experiments import book

RATE, CLAIMED_STEPS, STEPS = 1e-2, 100, 400
GAIN = 0.05  # decades
MEASURES = {
    "excess": "mse above PCA's after 100 steps",
    "steps": "steps to 5 % of the excess",
}


def two_rates(dictionary_rate: Any, rest_rate: Any) -> optax.GradientTransformation:
    """Adam with one rate for the dictionary and another for encoder and decoder."""
    rates = {"dictionary": adamlab.adam(dictionary_rate), "rest": adamlab.adam(rest_rate)}
    labels = {"encoder": "rest", "dictionary": "dictionary", "decoder": "rest"}
    return optax.partition(rates, labels)


def measure(lab: book.Lab) -> xr.Dataset:
    """Over both rates: what is left above PCA's floor after 100 steps, and the steps to arrive."""
    rates = np.geomspace(1e-3, 1, lab["rates"])
    axes = {"dictionary_rate": rates, "rest_rate": rates}
    found = lab.map(
        "rates", dictionary_learning(), two_rates, axes, steps=STEPS, checkpoints=STEPS, curve=True,
    )  # fmt: skip
    left = found["curve"].sel(step=CLAIMED_STEPS, method="nearest", drop=True)
    left = left.where(np.isfinite(left), 1e6).clip(1e-6, 1e6)
    # A run that does not get there counts as one that takes twice the time.
    steps = book.steps_to_target(found).clip(max=2 * STEPS)
    return xr.Dataset({"excess": left, "steps": steps})


def gains(left: xr.DataArray) -> dict[str, xr.DataArray]:
    """Decades gained by a separate rate for each seed, at the best points of the map."""
    left = book.decades(left)
    same = left["dictionary_rate"] == left["rest_rate"]
    row = left.sel(rest_rate=RATE, method="nearest", drop=True)
    at_rate = abs(row["dictionary_rate"] / RATE - 1) < 1e-6
    cases = {"at best rates": (left, same), f"at {RATE:g} for the rest": (row, at_rate)}
    return {
        name: book.best_for_others(losses.where(one, np.inf))
        - book.best_for_others(losses.where(~one, np.inf))
        for name, (losses, one) in cases.items()
    }


def judge(dataset: xr.Dataset) -> book.Verdict:
    """What a separate rate gains over one for all: at the best rates, and at the claim's."""
    kinds: dict[str, book.Kind] = {}
    numbers: book.Numbers = {}
    saved = []
    for measure in MEASURES:
        losses = book.decades(dataset[measure])
        same = losses.where(losses["dictionary_rate"] == losses["rest_rate"], np.inf)
        there = dict.fromkeys(same.dims[:2], RATE)
        tuned = losses.sel(there, method="nearest", drop=True) - book.best_for_others(same)
        raised = book.over_seeds(tuned)
        numbers[f"decades of {measure} saved by the best single rate beside {RATE:g}"] = raised
        saved.append(f"{raised.value:.2f} decades of {measure}")
        for name, gain in gains(dataset[measure]).items():
            interval = book.over_seeds(gain)
            numbers[f"decades of {measure} saved {name}"] = interval
            kinds[f"{measure} {name}"] = book.by_sign(interval, GAIN)
        middle = dataset[measure].median("seed")
        best = middle.isel({str(d): i for d, i in middle.argmin(...).items()})
        for rate in middle.dims:
            numbers[f"best {rate} by {measure}"] = float(best[rate])
    remark = f"Beside {RATE:g} for all parts the best single rate saves {' and '.join(saved)}."
    return book.Verdict(kinds, numbers, remark)


def draw(dataset: xr.Dataset) -> book.Figure:
    """A map of each measure over both rates; the diagonal is one rate for all."""
    figure, axes = book.panels(len(MEASURES))
    for ax, (measure, label) in zip(axes, MEASURES.items(), strict=True):
        part = dataset[measure].median("seed").transpose("rest_rate", "dictionary_rate")
        x, y = part["dictionary_rate"].values, part["rest_rate"].values
        scale = {"norm": "log", "vmax": min(1, float(part.max())) if measure == "excess" else None}
        mesh = ax.pcolormesh(x, y, part, cmap="viridis_r", rasterized=True, **scale)
        row, column = np.unravel_index(part.values.argmin(), part.shape)
        same = int(np.diagonal(part.values).argmin())
        ax.plot(x, x, color="white", linewidth=1, label="one rate")
        ax.axhline(RATE, color="white", linestyle=":", linewidth=1, label=f"rest at {RATE:g}")
        ax.plot(x[same], x[same], "o", color="white", label="best single rate")
        ax.plot(x[column], y[row], "*", color="red", markersize=10, label="best of all")
        ax.set(xscale="log", yscale="log", xlabel="dictionary_rate")
        figure.colorbar(mesh, ax=ax, label=label)
    axes[0].set_ylabel("rest_rate")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, facecolor="silver")
    return figure


CLAIM = book.Claim(
    says="In dictionary learning a learning rate of its own for the dictionary helps Adam.",
    asks="Does a separate rate for the dictionary improve this?",
    criterion="As C18 without the penalty, Adam with one rate for the dictionary and another for "
    "encoder and decoder, each from .001 to 1. Decades saved of the mse above PCA's after 100 "
    "steps, and of the steps until 5 % of the initial excess is left (800 if more than 400): by "
    "the best pair of unequal rates beside the best single rate, and by the best other rate for "
    "the dictionary where the rest has .01; chosen on the seeds of one parity and judged on the "
    "others. Each of these four supports the claim if the 95 % interval of the median saving over "
    "seeds lies above .05, and refutes it if below. Supported or refuted if all are; depends on "
    "the setting if some do and some do not.",
    settings={"seeds": 32, "rates": 13},
    quick={"seeds": 2, "rates": 4},
    check={"first_seed": 2000},
    caption="Over both rates, lighter is better. Left: what is left above PCA's error after 100 "
    "steps. Right: the steps until a twentieth of the initial excess is left (darkest: not in 400 "
    "steps). On the white diagonal the two rates are equal.",
)

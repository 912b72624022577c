"""C01: do inputs of wildly different ranges make Adam plateau, and does scaling cure it?"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import xarray as xr

import adamlab
from adamlab.plot import cell_edges
from adamlab.problems import linear_data, network, rescaled, squared_error, standardized, supervised
from experiments import book

EPOCHS, RATIO = 100, "feature_ratio"
GAINED = 0.1  # decades of loss
CURES = {
    "as it is": (rescaled(linear_data()), False),
    "annealed": (rescaled(linear_data()), True),
    "standardized": (standardized(rescaled(linear_data())), False),
    "standardized, annealed": (standardized(rescaled(linear_data())), True),
}


def annealed_adam(learning_rate: Any) -> optax.GradientTransformation:
    """Adam with a rate that falls by 5 % every ten epochs."""
    return adamlab.adam(lambda step: learning_rate * 0.95 ** (step // 10))


def zeros(init: Any, key: jax.Array, **hyperparameters: Any) -> Any:
    """Zero parameters: the same function, and so the same loss, for features of any scale."""
    return jax.tree.map(jnp.zeros_like, init(key, **hyperparameters))


def measure(lab: book.Lab) -> xr.Dataset:
    """Rate x ratio of the features' scales for each cure; full batch, one update per epoch."""
    axes = {
        "learning_rate": np.geomspace(1e-4, 1, lab["rates"]),
        "feature_ratio": np.geomspace(1, 1e4, lab["ratios"]),
    }
    maps = {}
    for name, (source, anneal) in CURES.items():
        drawn = supervised(source, network((10, 1)), squared_error)
        problem = replace(drawn, name=f"{drawn.name}, from zero", init=partial(zeros, drawn.init))
        optimizer = annealed_adam if anneal else adamlab.adam
        found = lab.map(name, problem, optimizer, axes, steps=EPOCHS)
        maps[name] = found[["late_loss"]]
    return book.side_by_side("cure", maps)


def left_over(dataset: xr.Dataset) -> xr.DataArray:
    """The late loss; infinite where a run broke."""
    late = dataset["late_loss"]
    return late.where(np.isfinite(late), np.inf)


def judge(dataset: xr.Dataset) -> book.Verdict:
    """The widest ratio beside equal ranges, and what each cure gains there, in decades of loss."""
    equal, left = (book.decades(left_over(dataset).isel(feature_ratio=end)) for end in (0, -1))
    at = left.sel(learning_rate=1e-3, method="nearest")
    plain = at.sel(cure="as it is")
    narrow = equal.sel(cure="as it is").sel(learning_rate=1e-3, method="nearest")
    more = book.over_seeds(plain - narrow)
    gain = {c: book.over_seeds(plain - at.sel(cure=c)) for c in CURES if c != "as it is"}
    best, scaled = (book.at_best(left.sel(cure=c)) for c in ("as it is", "standardized"))
    scaling = book.over_seeds(best - scaled)
    numbers: book.Numbers = {
        f"decades gained at 1e-3, {cure}": value for cure, value in gain.items()
    }
    numbers["decades gained by scaling, each at its best rate"] = scaling
    numbers["decades that wide ranges leave more than equal ones, at 1e-3"] = more
    for ranges, loss in (("wide", plain), ("equal", narrow)):
        numbers[f"log10 of the late loss at 1e-3, {ranges} ranges as they are"] = book.over_seeds(
            loss
        )
    for cure in ("as it is", "standardized"):
        numbers[f"best rate, {cure}"] = float(book.best_rate(left.sel(cure=cure)))
    kinds = {
        "wide ranges leave a higher loss than equal ones, at 1e-3": book.by_sign(more, GAINED),
        "standardized and annealed lower it, at 1e-3": book.by_sign(
            gain["standardized, annealed"], GAINED
        ),
        "standardized lowers it, each at its best rate": book.by_sign(scaling, GAINED),
    }
    return book.Verdict(kinds, numbers)


def draw(dataset: xr.Dataset) -> book.Figure:
    """A map for each cure."""
    figure, axes = book.panels(2, 2)
    left = left_over(dataset).median("seed")
    (columns, _), (rows, _) = (cell_edges(left[n].values) for n in ("learning_rate", RATIO))
    for ax, cure in zip(axes, CURES, strict=True):
        part = left.sel(cure=cure).transpose(RATIO, "learning_rate")
        mesh = ax.pcolormesh(
            columns, rows, part, norm="log", vmin=1e-2, vmax=1e4, cmap="viridis_r", rasterized=True
        )
        ax.set(title=cure, xscale="log", yscale="log", xlabel="learning_rate")
        ax.axvline(1e-3, color="white", linestyle=":")
        ax.plot(1e-3, left[RATIO][-1], "o", color="red", markerfacecolor="none")
        ax.set_ylabel("greatest over least feature scale")
    label = "late loss (a constant guess: about 1)"
    figure.colorbar(mesh, ax=axes, label=label, extend="both")
    return figure


CLAIM = book.Claim(
    says="Inputs of wildly different ranges make Adam at a rate of 1e-3 plateau; standardising "
    "them, with a lower, annealed rate, cures it.",
    asks=f"Is this so, by more than {GAINED:g} decades?",
    criterion="Linear model 10 to 1, 100 samples, 100 epochs of one full-batch update, feature "
    "scales from 1 to 10,000 or all 1, on the same data, weights from zero, so that all begin "
    "with the same loss. Three differences in decades of late loss: at the rate of 1e-3, at which "
    "100 updates move a weight by .1 at most, wide ranges less equal ones; wide ranges as they "
    "are less standardized and annealed ones; and, each at its best rate, as they are less "
    "standardized. Supported if the 95 % intervals of all lie above 0.1; refuted if all lie "
    "below; depends on the part if they differ, and is undecided otherwise.",
    settings={"seeds": 16, "rates": 25, "ratios": 9},
    quick={"seeds": 2, "rates": 5, "ratios": 2},
    check={"first_seed": 2000},
    caption="Late loss (lighter: lower) over the rate and the ratio of the largest to the "
    "smallest feature scale; a constant guess has a loss of about 1. Top: features as they are; "
    "bottom: standardized; right: with an annealed rate. Dotted: the claim's rate, 1e-3; circle: "
    "what is judged at that rate.",
)

"""C10: do exploding gradients end in NaN, and does clipping prevent it?"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import xarray as xr

import adamlab
from adamlab.problems import cross_entropy, digits, network, supervised
from experiments import book

EXPLODING = 2.0  # times 1/sqrt(inputs): above sqrt(2) each ReLU layer lengthens the gradient
USUAL = {"adam": 1e-3, "sgd": 1e-1}
NORM = 1.0
SAVED = 0.1  # of the runs
UNCLIPPED = 1e30  # clipping would make even an infinite gradient finite: this means none
NORMS = [0.01, NORM, UNCLIPPED]


def clipped(build: Any, learning_rate: Any, max_norm: Any) -> optax.GradientTransformation:
    """An optimizer on gradients clipped to `max_norm`; from `UNCLIPPED` on, not clipped at all."""
    clip = adamlab.clip_by_global_norm(max_norm)

    def clip_or_not(gradients: Any, params: Any) -> Any:
        shorter, _ = clip.update(gradients, clip.init(params))
        return jax.tree.map(partial(jnp.where, max_norm < UNCLIPPED), shorter, gradients)

    return adamlab.chain(optax.stateless(clip_or_not), build(learning_rate))


OPTIMIZERS = {"adam": partial(clipped, adamlab.adam), "sgd": partial(clipped, adamlab.sgd)}


def measure(lab: book.Lab) -> xr.Dataset:
    """Initial gain x rate x norm for Adam and SGD; the largest norm means no clipping."""
    widths = (64, *[16] * (lab["layers"] - 1), 10)
    problem = supervised(digits(), network(widths), cross_entropy, batch_size=64, observed=128)
    axes = {
        "gain": np.geomspace(0.5, 1e3, lab["gains"]),
        "learning_rate": np.geomspace(1e-4, 1, lab["rates"]),
        "max_norm": lab["norms"],
    }
    found = lab.map("gain", problem, OPTIMIZERS, axes, steps=lab["steps"])
    broken = found["outcome"] == adamlab.Outcome.NON_FINITE
    return found[["test_accuracy"]].fillna(0.1).assign(broken=broken)


def judge(dataset: xr.Dataset) -> book.Verdict:
    """Among nets whose gradients explode: how many runs clipping saves from NaN."""
    numbers: book.Numbers = {}
    kinds: dict[str, book.Kind] = {}
    explode = dataset.sel(gain=slice(EXPLODING, None)).mean("gain")
    for name, usual in USUAL.items():
        runs = explode.sel(optimizer=name)
        places = {
            f"{name} at {usual:g}": runs.sel(learning_rate=usual, method="nearest"),
            f"{name} over all rates": runs.mean("learning_rate"),
        }
        for where, part in places.items():
            plain, shorter = (part.sel(max_norm=norm) for norm in (UNCLIPPED, NORM))
            broken = book.over_seeds(plain["broken"])
            saved = book.over_seeds(plain["broken"] - shorter["broken"])
            better = book.over_seeds(shorter["test_accuracy"] - plain["test_accuracy"])
            numbers[f"share of runs with NaN or inf, plain {where}"] = broken
            numbers[f"share saved from them by clipping, {where}"] = saved
            numbers[f"test accuracy gained by clipping, {where}"] = better
            kinds[f"ends in NaN, {where}"] = ends = book.by_sign(broken, SAVED)
            if ends == "supported":  # otherwise there is nothing to prevent
                kinds[f"clipping prevents it, {where}"] = book.by_sign(saved, SAVED)
    return book.Verdict(kinds, numbers)


def draw(dataset: xr.Dataset) -> book.Figure:
    """Over the initial gain: the share of runs that broke, and the best test accuracy."""
    figure, axes = book.panels(2, 2)
    broken = dataset["broken"].mean("learning_rate")
    best = dataset["test_accuracy"].max("learning_rate")
    for column, name in enumerate(USUAL):
        for ax, array in zip(axes[column::2], (broken, best), strict=True):
            for norm in dataset["max_norm"].values:
                label = f"norm at most {norm:g}" if norm < UNCLIPPED else "no clipping"
                book.draw_lines(ax, array.sel(optimizer=name, max_norm=norm), "gain", label=label)
            ax.set_xlabel("factor on the initial weights")
            ax.axvline(EXPLODING, color="grey", linestyle=":")
            ax.set_ylim(-0.03, 1.03)
        axes[column].set_title(name)
    axes[0].set_ylabel("share of rates with NaN or inf")
    axes[2].set_ylabel("test accuracy at the best rate")
    axes[0].legend(fontsize="small", loc="upper left")
    return figure


CLAIM = book.Claim(
    says="Exploding gradients end in NaN; clipping prevents it.",
    asks="Is this so for more than a tenth of the runs?",
    criterion="Plain ReLU network of ten layers, 64-16-...-10, on the digits, batches of 64, 150 "
    "steps; gradients explode from an initial gain of 2 (times LeCun's) on, up to 1,000. For each "
    "seed the share of these runs that met NaN or infinity without clipping; and, where that is "
    "the case, what is left of this share without those that met it with the global norm clipped "
    "at 1. Each is so if the 95 % interval of its median lies above 0.1, and not if below: for "
    "Adam and SGD, each at its usual rate (1e-3, 1e-1) and over all rates from 1e-4 to 1. "
    "Supported if all are so, refuted if none is; it depends if they differ.",
    settings={"seeds": 8, "gains": 10, "rates": 5, "norms": NORMS, "layers": 10, "steps": 150},
    quick={"seeds": 2, "gains": 4, "rates": 2, "norms": NORMS[1:], "layers": 4, "steps": 20},
    check={"first_seed": 1000},
    caption="Share of rates that met NaN or infinity (top; with Adam none, clipped or not; it cuts "
    "gradients off at 2^48) and test accuracy at the best rate (bottom), over the factor "
    "on the initial weights; beyond the dotted line gradients explode.",
)

"""C25: does L2 in the loss couple decay and rate under Adam, and does decoupling free them?"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import xarray as xr

import adamlab
from adamlab.analysis import Separability, bootstrap, separability
from adamlab.plot import cell_edges
from experiments import book

COUPLED = 0.1  # decades of decay for a decade of rate
NEAR = 1.1  # times the least test loss: a rate that does not reach this is too small or too large
LEAST_RATE = 3e-4  # with less, a run is too short to overfit, and no decay is best
RESAMPLES, BROKEN = 300, 1e3  # of the seeds; the test loss that a broken run counts as
# Each with a range of strengths that includes its optimum.
FORMS = {
    "L2 in the loss": (adamlab.adam_l2, (1e-4, 1e0)),
    "decoupled": (adamlab.adamw, (1e-2, 1e2)),
}
# With rate * decay kept, the same runs: its best decay moves by one decade more per decade of rate.
INDEPENDENT = "decoupled, not times the rate"


def measure(lab: book.Lab) -> xr.Dataset:
    """Test loss over rate x decay for each form, on a few digits, a fifth of them mislabelled."""
    problem = book.few_digits((64, 64, 10))
    maps = {}
    for name, (optimizer, (low, high)) in FORMS.items():
        axes = {
            "learning_rate": np.geomspace(2e-4, 5e-2, lab["rates"]),
            "weight_decay": np.geomspace(low, high, lab["decays"]),
        }
        found = lab.map(
            name, problem, optimizer, axes, fixed={"label_noise": 0.2}, steps=lab["steps"],
            checkpoints=8,
        )  # fmt: skip
        decays = axes["weight_decay"]
        loss = found[["test_loss"]].rename(weight_decay="place")
        maps[name] = loss.assign_coords(place=np.arange(len(decays))).assign(
            decay=("place", decays)
        )
    return book.side_by_side("form", maps).transpose("form", "seed", "learning_rate", "place")


def tilt(losses: np.ndarray, dataset: xr.Dataset, form: str, axis: int = 0) -> Separability:
    """How the best decay moves with the rate, on the test loss averaged over seeds."""
    part = dataset.sel(form=form)
    axes = part["learning_rate"].values, part["decay"].values
    return separability(losses.mean(axis), *axes, factor=NEAR)


def judge(dataset: xr.Dataset) -> book.Verdict:
    """How far the best decay moves with the rate, and how much less if it is decoupled."""
    dataset = dataset.sel(learning_rate=slice(LEAST_RATE, None))
    numbers: book.Numbers = {}
    losses = {}
    for form, part in book.each(dataset, "form"):
        losses[form] = part["test_loss"].fillna(BROKEN).clip(max=BROKEN).values
        mean = part["test_loss"].fillna(BROKEN).mean("seed")
        best = mean.argmin(["learning_rate", "place"])
        numbers[f"best rate, {form}"] = float(mean["learning_rate"][best["learning_rate"]])
        numbers[f"best decay, {form}"] = float(part["decay"][best["place"]])
        numbers[f"best mean test loss, {form}"] = float(mean.min())

    def slope(form: str, both: np.ndarray, axis: int = 0) -> float:
        found = tilt(both[..., list(FORMS).index(form)], dataset, form, axis).slope
        return float(np.nan_to_num(found))  # one rate alone is near the best: it moves nowhere

    both = np.stack(list(losses.values()), axis=-1)
    l2, decoupled = (partial(slope, form) for form in FORMS)
    moves: dict[str, Callable[..., Any]] = {
        **{form: partial(slope, form) for form in FORMS},
        INDEPENDENT: lambda x, axis=0: 1 + decoupled(x, axis),
    }
    for form, statistic in moves.items():
        name = f"decades of best decay for a decade of rate, {form}"
        numbers[name] = bootstrap(both, statistic, resamples=RESAMPLES)
    couples = bootstrap(both, lambda x, axis: abs(l2(x, axis)), resamples=RESAMPLES)
    less = bootstrap(
        both, lambda x, axis: abs(l2(x, axis)) - abs(decoupled(x, axis)), resamples=RESAMPLES
    )
    numbers["coupling of L2"] = couples
    numbers["coupling of L2 less that of decoupled decay"] = less
    kinds = {
        "L2 in the loss couples them": book.by_sign(couples, COUPLED),
        "decoupled decay couples them less": book.by_sign(less, COUPLED),
    }
    if any(tilt(losses[form], dataset, form).at_edge for form in FORMS):
        untold: dict[str, book.Kind] = dict.fromkeys(kinds, "undecided")
        return book.Verdict(untold, numbers, "The best lies at the map's edge.")
    return book.Verdict(kinds, numbers)


def draw(dataset: xr.Dataset) -> book.Figure:
    """A map of the test loss for each form, its best decay for each rate marked."""
    figure, axes = book.panels(2)
    loss = dataset["test_loss"].median("seed")
    low, high = float(loss.min()), float(loss.quantile(0.6))
    for ax, form in zip(axes, FORMS, strict=True):
        part, rates = loss.sel(form=form), loss["learning_rate"].values
        decays = dataset["decay"].sel(form=form).values
        mesh = ax.pcolormesh(
            cell_edges(rates)[0], cell_edges(decays)[0], part.transpose("place", "learning_rate"),
            vmin=low, vmax=high, cmap="viridis_r", rasterized=True,
        )  # fmt: skip
        ax.plot(rates, decays[part.argmin("place").values], "o", color="white", markersize=4)
        ax.set(title=form, xscale="log", yscale="log", xlabel="learning_rate")
        ax.set_ylabel("weight_decay")
    axes[0].set_ylabel("weight_decay (dots: the best for each rate)")
    figure.colorbar(mesh, ax=axes, label="test loss", extend="max")
    return figure


CLAIM = book.Claim(
    says="L2 in the loss misbehaves under Adam because it is scaled by the second moment; "
    "decoupled decay does not (Loshchilov & Hutter 2019).",
    asks=f"Is this so, by over {COUPLED:g} decades of the best decay for one of the rate?",
    criterion=f"{book.FEW_IMAGES} standardised digits, a fifth mislabelled. How many decades the "
    "best decay moves for a decade of the rate: the slope of adamlab.analysis.separability, on "
    f"the mean test loss, over the rates from {LEAST_RATE:g} up that reach {NEAR:g} times the "
    "least. L2 couples them if the 95 % interval of its |slope|, over resampled seeds, lies above "
    f"{COUPLED:g}; decoupled decay (PyTorch's, times the rate) does so less if that of L2's "
    f"|slope| less its own lies above {COUPLED:g}. Supported if both hold, refuted if neither "
    "does, depends on the part if one does; undecided if the best rate, or the best decay at such "
    "a rate, lies at the map's edge. Decay that is not times the rate (Loshchilov & Hutter's "
    "algorithm 2) makes the same runs in other units, at a constant rate: its slope is greater by "
    "1.",
    settings={"seeds": 48, "rates": 9, "decays": 13, "steps": 1000},
    quick={"seeds": 2, "rates": 4, "decays": 9, "steps": 60},
    check={"first_seed": 12_000},
    caption="Test loss over rate and decay, lighter is better; white cells: runs that broke. "
    "White dots: the best decay for each rate (the best medians, on the grid shown; the slopes "
    "judged come from parabolas, on means). A level row of dots means that decay and rate can be "
    "searched one after the other; a slanted one, that they cannot.",
)

"""C25: does L2 in the loss couple decay and rate under Adam, and does decoupling free them?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

import adamlab
from adamlab.analysis import Interval, bootstrap, separability
from adamlab.plot import cell_edges
from experiments import book

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


COUPLED = 0.1  # decades of decay for a decade of rate
NEAR = 1.1  # times the least test loss: a rate that does not reach this is too small or too large
UNTOLD = 0.1  # the largest share of seeds whose best may lie at the map's edge
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


def slopes(dataset: xr.Dataset, form: str) -> np.ndarray:
    """d log10(best decay) / d log10(rate), for each seed; NaN where the best is at the edge."""
    part = dataset.sel(form=form)
    axes = part["learning_rate"].values, part["decay"].values
    found = [separability(x, *axes, factor=NEAR) for x in part["test_loss"].fillna(np.inf).values]
    return np.array([np.nan if one.at_edge else one.slope for one in found])


def judge(dataset: xr.Dataset) -> book.Verdict:
    """How far the best decay moves with the rate, and how much less if it is decoupled."""
    tilt = {form: slopes(dataset, form) for form in FORMS}
    told = np.isfinite(list(tilt.values())).all(0)
    numbers: dict[str, float | Interval] = {
        "share of seeds with a best rate or decay at the map's edge": 1 - float(told.mean())
    }
    for form, part in book.each(dataset, "form"):
        loss = part["test_loss"].fillna(np.inf)
        middle = loss.median("seed")
        best = middle.argmin(["learning_rate", "place"])
        numbers[f"best rate, {form}"] = float(middle["learning_rate"][best["learning_rate"]])
        numbers[f"best decay, {form}"] = float(part["decay"][best["place"]])
        numbers[f"best test loss, {form}"] = book.over_seeds(
            book.best_for_others(loss.transpose("seed", "learning_rate", "place"))
        )
    if told.mean() < 1 - UNTOLD:
        return book.Verdict({}, numbers, "The best lies at the map's edge too often.")
    l2, decoupled = (values[told] for values in tilt.values())
    for form, values in zip((*FORMS, INDEPENDENT), (l2, decoupled, 1 + decoupled), strict=True):
        numbers[f"decades of best decay for a decade of rate, {form}"] = bootstrap(values)
    numbers["coupling of L2"] = couples = bootstrap(np.abs(l2))
    numbers["coupling of L2 less that of decoupled decay"] = less = bootstrap(
        np.abs(l2) - np.abs(decoupled)
    )
    kinds = {
        "L2 in the loss couples them": book.by_sign(couples, COUPLED),
        "decoupled decay couples them less": book.by_sign(less, COUPLED),
    }
    return book.Verdict(kinds, numbers)


def draw(dataset: xr.Dataset) -> Figure:
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


EXPERIMENT = book.Experiment(
    id="C25",
    question="Does L2 in the loss couple decay and rate under Adam, and does decoupling free them?",
    claim="L2 in the loss misbehaves under Adam because it is scaled by the second moment; "
    "decoupled decay does not (Loshchilov & Hutter 2019).",
    asks="Is this so?",
    criterion=f"{book.FEW_IMAGES} standardised digits, a fifth mislabelled. For each seed, how "
    "many decades the best decay moves for a decade of the rate (the slope of "
    f"adamlab.analysis.separability, on the test loss, over the rates that reach {NEAR:g} times "
    f"the least). L2 couples them if the 95 % interval of its |slope| lies above {COUPLED:g}; "
    "decoupled decay (PyTorch's, times the rate) does so less if that of L2's |slope| less its "
    f"own lies above {COUPLED:g}. Supported if both hold, refuted if neither does, depends on the "
    "part if one does; undecided if the best rate, or the best decay at such a rate, lies at the "
    f"map's edge for over {UNTOLD:.0%} of the seeds. Decay that is not times the rate (Loshchilov "
    "& Hutter's algorithm 2) makes the same runs in other units, at a constant rate: its slope is "
    "greater by 1.",
    measure=measure,
    judge=judge,
    draw=draw,
    settings={"seeds": 48, "rates": 9, "decays": 13, "steps": 1000},
    quick={"seeds": 2, "rates": 3, "decays": 9, "steps": 500},
    check={"first_seed": 10_000},
    caption="Test loss over rate and decay, lighter is better. White dots: the best decay for "
    "each rate (the medians' best, on the grid shown; the slopes judged come from parabolas for "
    "each seed). A level row of dots means that decay and rate can be searched one after the "
    "other; a slanted one, that they cannot.",
    symptom="The best weight decay changes whenever the learning rate does.",
    remedy="adamw(1e-3, weight_decay=1.0)  # about the best on 128 rows, elsewhere far less; "
    "search it with the rate",
)

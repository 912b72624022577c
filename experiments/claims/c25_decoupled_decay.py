"""C25: does L2 in the loss couple decay and rate under Adam, and does decoupling free them?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import optax

import adamlab
from adamlab.analysis import Interval, bootstrap, separability
from adamlab.plot import cell_edges
from experiments import book

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


def adam_independent(learning_rate: Any, weight_decay: Any) -> optax.GradientTransformation:
    """Adam whose decay is not multiplied by the rate: Loshchilov & Hutter's algorithm 2."""
    return adamlab.chain(
        adamlab.scale_by_adam(),
        adamlab.scale_by_learning_rate(learning_rate),
        adamlab.add_independent_decay(weight_decay),
    )


LESS = 0.1  # decades of decay for a decade of rate
NEAR = 1.2  # times the least test loss: a rate that does not reach this is too small or too large
UNTOLD = 0.1  # the largest share of seeds whose best decay may lie at the map's edge
# Each with a range of strengths that includes its optimum.
FORMS = {
    "L2 in the loss": (adamlab.adam_l2, (1e-4, 1e0)),
    "decoupled, times the rate": (adamlab.adamw, (1e-2, 1e2)),
    "decoupled, independent": (adam_independent, (1e-5, 1e0)),
}


def measure(lab: book.Lab) -> xr.Dataset:
    """Test loss over rate x decay for each form, on a few digits, a fifth of them mislabelled."""
    problem = book.few_digits((64, 64, 10))
    maps = {}
    for name, (optimizer, (low, high)) in FORMS.items():
        axes = {
            "learning_rate": np.geomspace(1e-3, 2e-2, lab["rates"]),
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
    """d log10(best decay) / d log10(rate), for each seed; NaN where it lies at the map's edge."""
    part = dataset.sel(form=form)
    rates, decays = part["learning_rate"].values, part["decay"].values
    found = []
    for loss in part["test_loss"].fillna(np.inf).values:
        best, least = loss.argmin(1), loss.min(1)
        at_edge = np.isin(best, (0, len(decays) - 1)) & (least <= NEAR * least.min())
        slope = separability(loss, rates, decays, factor=NEAR).slope
        found.append(np.nan if at_edge.any() else slope)
    return np.array(found)


def judge(dataset: xr.Dataset) -> book.Verdict:
    """How far the best decay moves with the rate, compared with L2 in the loss."""
    tilt = {form: slopes(dataset, form) for form in FORMS}
    told = np.isfinite(list(tilt.values())).all(0)
    numbers: dict[str, float | Interval] = {
        "share of seeds with a best decay at the map's edge": 1 - float(told.mean())
    }
    if told.mean() < 1 - UNTOLD:
        return book.Verdict({}, numbers, "Best decays lie at the map's edge.")
    lowest = dataset.sel(form="decoupled, times the rate").isel(learning_rate=0)
    best = lowest["test_loss"].fillna(np.inf).median("seed").argmin("place")
    where = f"best decay at a rate of {float(lowest['learning_rate']):g}, times the rate"
    numbers[where] = float(lowest["decay"].isel(place=best))
    tilt = {form: values[told] for form, values in tilt.items()}
    for form, values in tilt.items():
        numbers[f"decades of best decay for a decade of rate, {form}"] = bootstrap(values)
    for form in FORMS:
        losses = dataset["test_loss"].sel(form=form).fillna(np.inf)
        numbers[f"best test loss, {form}"] = book.over_seeds(
            book.best_for_others(losses.transpose("seed", "learning_rate", "place"))
        )
    l2, *decoupled = (np.abs(values) for values in tilt.values())
    kinds: dict[str, book.Kind] = {}
    for form, values in zip(list(FORMS)[1:], decoupled, strict=True):
        numbers[f"coupling of L2 less that of {form}"] = less = bootstrap(l2 - values)
        kinds[form] = book.by_sign(less, LESS)
    return book.Verdict(kinds, numbers)


def draw(dataset: xr.Dataset) -> Figure:
    """A map of the test loss for each form, its best decay for each rate marked."""
    figure, axes = book.panels(3)
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
    asks="Is this decay less coupled to the rate than L2 in the loss?",
    criterion=f"{book.FEW_IMAGES} standardised digits, a fifth mislabelled. For each seed, how "
    "many decades the best decay moves for a decade of the rate (the slope of "
    f"adamlab.analysis.separability, on the test loss, over the rates that reach {NEAR:g} times "
    "the least). Supported if the 95 % interval of L2's |slope| less the decoupled |slope| lies "
    f"above {LESS:g} for both decoupled forms, refuted if below for both, depends on the form if "
    "above for one and below for the other; undecided if the best decay at such a rate lies at "
    f"the map's edge for over {UNTOLD:.0%} of the seeds.",
    measure=measure,
    judge=judge,
    draw=draw,
    settings={"seeds": 48, "rates": 6, "decays": 13, "steps": 500},
    quick={"seeds": 2, "rates": 3, "decays": 9, "steps": 500},
    check={"first_seed": 6000},
    caption="Test loss over rate and decay, lighter is better. White dots: the best decay for "
    "each rate (the medians' best, on the grid shown; the slopes judged come from parabolas for "
    "each seed). A level row of dots means that decay and rate can be searched one after the "
    "other; a slanted one, that they cannot.",
    symptom="The best weight decay changes whenever the learning rate does.",
    remedy="adamw(1e-3, weight_decay=1.0)  # best on 128 rows, elsewhere far less; no less "
    "coupled to the rate here than L2: search both",
)

"""C24: does Adam fail on a convex problem, and does AMSGrad repair it?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

import adamlab
from experiments.laboratory import Experiment, Lab, Verdict, draw_heat, over_seeds, panels

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

OPTIMIZERS = {"adam": adamlab.adam, "amsgrad": adamlab.amsgrad}
B1 = 0.9


def measure(lab: Lab) -> xr.Dataset:
    """The end point over 1-b2 x rate on the stochastic problem, and over 1-b2 x b1."""
    import xarray as xr

    rates = {
        "1-b2": np.geomspace(1e-4, 0.5, lab["b2s"]),
        "learning_rate": np.geomspace(1e-4, 1e-1, lab["rates"]),
    }
    moments = {"1-b2": rates["1-b2"], "b1": np.linspace(0, 0.99, lab["b1s"])}
    problem, steps = adamlab.reddi_stochastic(), lab["steps"]
    over_rate = lab.map("rates", problem, OPTIMIZERS, rates, fixed={"b1": B1}, steps=steps)
    over_b1 = lab.map(
        "moments", problem, OPTIMIZERS, moments, fixed={"learning_rate": 1e-2}, steps=steps
    )
    # The loss at -1 is the optimum and that at +1 its opposite.
    parts = {"over_rate": over_rate, "over_b1": over_b1}
    return xr.Dataset({n: found["late_loss"] / -problem.optimum for n, found in parts.items()})


def judge(dataset: xr.Dataset) -> Verdict:
    """Which end the runs of a clearly fast b2 and a small rate rest at, on the whole."""
    at = dataset["over_rate"].sel({"1-b2": slice(1e-2, None), "learning_rate": slice(None, 1e-2)})
    middle = at.mean(["1-b2", "learning_rate"])
    adam, amsgrad = (over_seeds(middle.sel(optimizer=name)) for name in OPTIMIZERS)
    slow = dataset["over_rate"].isel({"1-b2": 0}).sel(optimizer="adam")
    numbers = {
        "adam's place, b2 <= .99 (-1 best, +1 worst)": adam,
        "amsgrad's place, b2 <= .99": amsgrad,
        "adam's place, b2 = .9999": over_seeds(slow.mean("learning_rate")),
    }
    fails, repaired = adam.low > 0, amsgrad.high < 0
    if fails and repaired:
        sentence = "With b2 <= .99 Adam goes to the wrong end, AMSGrad to the right one."
        return Verdict("supported", sentence, numbers)
    if adam.high < 0:
        return Verdict("refuted", "Adam goes to the right end.", numbers)
    if fails and amsgrad.low > 0:
        return Verdict("depends", "On the cure: Adam fails, and AMSGrad fails as well.", numbers)
    return Verdict("undecided", "An interval holds 0, the middle.", numbers)


def draw(dataset: xr.Dataset) -> Figure:
    """Where each optimizer rests: over the rate above, over b1 below."""
    figure, axes = panels(2, 2)
    middle = dataset.median("seed").rename(over_rate="place", over_b1="place_b1")
    style: dict[str, Any] = {"vmin": -1, "vmax": 1, "cmap": "coolwarm"}
    for ax, name in zip(axes, OPTIMIZERS, strict=False):
        draw_heat(ax, middle["place"].sel(optimizer=name), "learning_rate", "1-b2", **style)
        ax.set_title(f"{name}, b1 = {B1}")
    for ax, name in zip(axes[2:], OPTIMIZERS, strict=True):
        draw_heat(ax, middle["place_b1"].sel(optimizer=name), "b1", "1-b2", log="y", **style)
        ax.set_title(f"{name}, rate 1e-2")
    return figure


EXPERIMENT = Experiment(
    id="C24",
    question="Does Adam fail on a convex problem, and does AMSGrad repair it?",
    claim="Adam fails on some convex problems; AMSGrad repairs it (Reddi, Kale & Kumar 2018).",
    criterion="Reddi's stochastic problem, b1 = .9. Place: mean late loss over all points with "
    "b2 <= .99 and rate <= 1e-2, -1 at the best end and +1 at the worst. Supported if the 95 % "
    "interval over seeds of Adam's place lies above 0 and AMSGrad's below; refuted if Adam's lies "
    "below; depends on the cure if both lie above.",
    measure=measure,
    judge=judge,
    draw=draw,
    settings={"seeds": 8, "b2s": 24, "rates": 24, "b1s": 24, "steps": 20_000},
    quick={"seeds": 2, "b2s": 5, "rates": 4, "b1s": 3, "steps": 2_000},
    check={"first_seed": 1000, "float64": True},
    symptom="Rare large gradients are forgotten: the loss goes up slowly and stays there.",
    remedy="amsgrad(1e-3)  # or adam(1e-3, b2=0.9999): a longer memory",
)

"""P01: on Reddi's slopes, does Adam go to +1 and AMSGrad to the optimum -1?"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import optax
import xarray as xr

import adamlab
from experiments import book

PROBLEMS = {"in turn": adamlab.reddi(), "drawn": adamlab.reddi_stochastic()}
B1, B2 = 0.9, 0.99
SCHEDULES = {0.0: "constant rate", 0.5: "rate ~ 1/sqrt(t)"}
PLACE = 0.5  # nearer to an end than to the middle
LOOKS = 211  # not 200: 10,000 steps apart, the cycle of 101 would look like one of a million


def amsgrad_of_the_paper(learning_rate: Any, b1: Any, b2: Any) -> optax.GradientTransformation:
    """Reddi, Kale & Kumar's algorithm 2, without bias correction.

    With Optax's order, the maximum of corrected moments, a steep first slope makes each later
    step ten times shorter here.
    """
    return adamlab.chain(
        adamlab.track_moments(b1, b2),
        adamlab.amsgrad_max(),
        adamlab.precondition(),
        adamlab.scale_by_learning_rate(learning_rate),
    )


# Each with the end at which it arrives by the claim.
OPTIMIZERS = {"adam": (book.uncorrected_adam, 1), "amsgrad": (amsgrad_of_the_paper, -1)}


def falling(
    base: Callable[..., optax.GradientTransformation], steps: int, learning_rate: Any, power: Any
) -> optax.GradientTransformation:
    """An optimizer whose rate falls like t**-power to `learning_rate` at the end of the run."""
    return base(lambda step: learning_rate * (steps / (step + 1.0)) ** power, B1, B2)


def measure(lab: book.Lab) -> xr.Dataset:
    """The iterate over time, for both problems, optimizers and schedules, at several rates."""
    axes = {"learning_rate": lab["rates"], "power": list(SCHEDULES)}
    steps, both = lab["steps"], {}
    optimizers = {name: partial(falling, base, steps) for name, (base, _) in OPTIMIZERS.items()}
    for name, problem in PROBLEMS.items():
        found = lab.map(
            name.replace(" ", "-"), problem, optimizers, axes,
            steps=steps, checkpoints=LOOKS, curve=True,
        )  # fmt: skip
        # The objective is a slope times x; the regret is an iterate's cost above that of -1.
        slope = -problem.optimum
        both[name] = found[["late_loss", "curve"]] / slope
        both[name]["regret"] = slope * (1 + both[name]["curve"].mean("step"))
    return book.side_by_side("slopes", both).rename(late_loss="place", curve="x")


def judge(dataset: xr.Dataset) -> book.Verdict:
    """Which end each optimizer is at late in the run, on the mean over the rates."""
    kinds: dict[str, book.Kind] = {}
    numbers: book.Numbers = {}
    middle = dataset[["place", "regret"]].mean("learning_rate")
    for slopes in PROBLEMS:
        for power, schedule in SCHEDULES.items():
            for name, (_, end) in OPTIMIZERS.items():
                at = middle.sel(slopes=slopes, power=power, optimizer=name)
                case = f"{name}, {schedule}, slopes {slopes}"
                kinds[f"{name} to {end:+d} ({schedule}, slopes {slopes})"] = book.by_sign(
                    book.over_seeds(at["place"] * end), PLACE
                )
                numbers[f"late x: {case}"] = book.over_seeds(at["place"])
                numbers[f"regret for a step: {case}"] = book.over_seeds(at["regret"])
    return book.Verdict(kinds, numbers)


def draw(dataset: xr.Dataset) -> book.Figure:
    """The iterate over time: the median over seeds, at each rate."""
    figure, axes = book.panels(len(SCHEDULES), len(PROBLEMS))
    step = dataset["step"] / 1e6
    for row, slopes in enumerate(PROBLEMS):
        for column, (power, schedule) in enumerate(SCHEDULES.items()):
            ax = axes[row * len(SCHEDULES) + column]
            for name, color in zip(OPTIMIZERS, ("C3", "C0"), strict=True):
                x = dataset["x"].sel(slopes=slopes, power=power, optimizer=name)
                for index, rate in enumerate(dataset["learning_rate"].values):
                    at = x.sel(learning_rate=rate)
                    label, style = f"{name}, {rate:g}", ("-", "--")[index % 2]
                    ax.plot(step, at.median("seed"), style, color=color, label=label)
            ax.set(title=f"slopes {slopes}, {schedule}", ylim=(-1.1, 1.1))
            ax.set(xlabel="million steps", ylabel="x (the optimum is -1)")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(OPTIMIZERS))
    return figure


CLAIM = book.Claim(
    says="f_t(x) = 1010 x every 101st step, else -10 x, on [-1, 1], betas (.9, .99): Adam goes "
    "to +1, AMSGrad to the optimum -1; so too with 1010 drawn with probability .01 (Reddi, Kale & "
    "Kumar 2018, section 5).",
    asks="Do the optimizers end within .5 of these ends?",
    criterion="Both without bias correction, as in the paper. Two million steps from 0, rates of "
    ".002 and .004, constant or falling like 1/sqrt(t) to them. Late x: the mean over the last "
    "quarter and over the rates. In each of the eight cases (slopes in turn or drawn, two "
    "schedules, two optimizers) the claim is supported if the 95 % interval over seeds lies "
    "beyond +.5 for Adam or -.5 for AMSGrad, refuted if it lies on the other side. Supported or "
    "refuted if all are; depends on the case if they differ.",
    settings={"seeds": 32, "rates": [2e-3, 4e-3], "steps": 2_000_000},
    quick={"seeds": 2, "rates": [2e-3], "steps": 20_000},
    check={"first_seed": 18000, "float64": True},
    caption="x over time, the median over seeds, for slopes that come in turn (top) or are drawn "
    "at random (bottom), at a constant rate (left) and at one that falls like 1/sqrt(t) (right). "
    "The optimum is -1.",
)

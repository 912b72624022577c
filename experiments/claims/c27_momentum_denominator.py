"""C27: what do momentum and the denominator do in a steep-walled, shallow valley?"""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import jax
import numpy as np
import optax
import xarray as xr

import adamlab
from adamlab.problems import noisy, rotated
from experiments import book

MOMENTUM, CONDITION, RATE = 0.1, 100.0, 1e-2  # 1-b1, the valley and the rate that are judged
NOISE, TURNING = 0.1, 0.1  # jitter below the latter has nothing to smooth; 2: every step turns
SMOOTHER, SOONER = 0.5, 1.1  # the share of jitter that may be left; times the steps without it
ARRIVED = 1e-2  # the objective that a run must reach: about a tenth of the way is left
LEAST_RATE, FIRST = 1e-4, 10  # steps at that rate, whose lengths along both axes are compared
# The valley's axes, its floor first, in Adam's coordinates.
AXES = {"aligned": np.eye(2), "rotated": np.array([[0.8, -0.6], [0.6, 0.8]])}


def averaged_sgd(learning_rate: Any, b1: adamlab.OneMinus) -> optax.GradientTransformation:
    """Gradient descent along an average of gradients, as Adam averages them; no division."""
    return adamlab.sgd(learning_rate * b1.value, momentum=1 - b1.value)


OPTIMIZERS = {"adam": adamlab.adam, "sgd": averaged_sgd}


def start(key: jax.Array, **_: Any) -> jax.Array:
    """Not exactly from 1, from where Adam at a rate of 1 reaches the minimum in one step."""
    return jax.random.uniform(key, (2,), minval=0.5, maxval=1.5)


def measure(lab: book.Lab) -> xr.Dataset:
    """Jitter, steps to arrive and the first steps' shape, over b1 x condition x rate."""
    over = {
        "1-b1": np.geomspace(1e-2, 1, lab["b1s"]),
        "condition": np.geomspace(1, 1e4, lab["conditions"]),
        "learning_rate": np.geomspace(LEAST_RATE, 10, lab["rates"]),
    }
    valleys, floor = {}, replace(adamlab.quadratic(), init=start, target=ARRIVED)
    for name, axes in AXES.items():
        found = lab.map(
            name, noisy(rotated(floor, axes)), OPTIMIZERS, over, fixed={"noise": NOISE},
            steps=lab["steps"], checkpoints=lab["steps"],
            probe=lambda params, _: {"place": params},
        )  # fmt: skip
        moves = found["place"].astype(float).diff("step")
        turns, over_all = moves.diff("step"), ("step", "place_1")
        jitter = xr.dot(turns, turns, dim=over_all) / (2 * xr.dot(moves, moves, dim=over_all))
        first = moves.isel(step=slice(FIRST), learning_rate=0, drop=True)
        first = first.sel({"1-b1": MOMENTUM}, method="nearest").drop_vars("1-b1")
        squares = ((first @ xr.DataArray(axes, dims=("axis", "place_1"))) ** 2).sum("step")
        shape = (squares.isel(axis=1) / squares.isel(axis=0)) ** 0.5
        logs = book.decades(shape).assign_coords(condition=np.log10(over["condition"]))
        power = logs.polyfit("condition", 1)["polyfit_coefficients"].sel(degree=1, drop=True)
        kept = jitter.to_dataset(name="jitter").assign(steps=book.steps_to_target(found))
        valleys[name] = kept.assign(shape=shape, power=power)
    return book.side_by_side("valley", valleys)


def best_rate(steps: xr.DataArray) -> xr.DataArray:
    """The rate of greatest mean of 1 / steps: never arriving counts as 0."""
    return (1 / steps).mean("seed").idxmax("learning_rate")


def at_best(steps: xr.DataArray) -> xr.DataArray:
    """Steps at the best rate."""
    return steps.sel(learning_rate=best_rate(steps)).drop_vars("learning_rate")


def judge(dataset: xr.Dataset) -> book.Verdict:
    """Jitter, arrival and denominator, each in both valleys, b1 = .9 against 0."""
    numbers: book.Numbers = {}
    kinds, remark = {}, ""
    for name, here in book.each(dataset, "valley"):
        adam = here.sel(optimizer="adam").sel(condition=CONDITION, method="nearest")
        some, none = (adam.sel({"1-b1": b}, method="nearest") for b in (MOMENTUM, 1.0))
        jitters = [run["jitter"].sel(learning_rate=RATE, method="nearest") for run in (some, none)]
        plain, jitter = book.over_seeds(jitters[1]), book.over_seeds(jitters[0] / jitters[1])
        # Where neither arrives, inf / inf, neither is faster.
        sooner = book.over_seeds((at_best(none["steps"]) / at_best(some["steps"])).fillna(1.0))
        power = {who: own["power"] for who, own in book.each(here, "optimizer")}
        shorter = book.over_seeds(power["sgd"] - power["adam"])
        numbers[f"jitter at b1 = 0, {name}"] = plain
        numbers[f"jitter at b1 = .9 over that at 0, {name}"] = jitter
        for b1, steps in (("0", none["steps"]), (".9", some["steps"])):
            rate = float(best_rate(steps))
            end = book.at_end(rate, steps["learning_rate"].values)
            numbers[f"best rate at b1 = {b1}, {name}{end}"] = rate
        numbers[f"steps to arrive at b1 = 0 over those at .9, {name}"] = sooner
        for who, own in power.items():
            numbers[f"exponent of the first steps' shape, {who}, {name}"] = book.over_seeds(own)
        if plain.low > TURNING:
            kinds[f"momentum smooths ({name})"] = book.opposite(book.by_sign(jitter, SMOOTHER))
        else:
            remark = f"In the {name} valley there was no jitter to smooth."
        kinds[f"momentum arrives sooner ({name})"] = book.by_sign(sooner, SOONER)
        kinds[f"the denominator shortens steep steps ({name})"] = book.by_sign(shorter)
    return book.Verdict(kinds, numbers, remark)


def draw(dataset: xr.Dataset) -> book.Figure:
    """Jitter and arrival over b1, the shape of the first steps over the condition."""
    figure, (left, middle, right) = book.panels(3)
    styles = product(("-", "--"), ({"color": "C0", "marker": "o"}, {"color": "C1", "marker": "^"}))
    cases = book.each(dataset, "valley", "optimizer")
    for (label, own), (line, who) in zip(cases, styles, strict=True):
        style: dict[str, Any] = {**who, "linestyle": line, "markersize": 4, "label": label}
        here = own.sel(condition=CONDITION, method="nearest")
        jitter = here["jitter"].sel(learning_rate=RATE, method="nearest")
        book.draw_lines(left, jitter, "1-b1", log="xy", **style)
        book.draw_lines(middle, at_best(here["steps"]), "1-b1", log="xy", **style)
        book.draw_lines(right, own["shape"], "condition", log="xy", **style)
    left.set(title=f"rate {RATE:g}, condition {CONDITION:g}", ylabel="jitter")
    middle.set(title="best rate, same condition", ylabel=f"steps to a loss of {ARRIVED:g}")
    right.set(title=f"first {FIRST} steps", ylabel="length up the walls over along the floor")
    for ax in (left, middle):
        ax.axvline(MOMENTUM, color="k", linestyle=":")
    left.legend(fontsize=8)
    return figure


CLAIM = book.Claim(
    says="Momentum smooths jitter and carries through shallow valleys; the denominator shortens "
    "steps of large gradients.",
    asks="Does this hold in a valley aligned with Adam's coordinates, and in a rotated one?",
    criterion=f"Quadratic of two variables, starts around 1, gradient noise {NOISE:g}, its axes "
    f"aligned with Adam's coordinates or rotated, condition {CONDITION:g}. Adam's b1 = .9 beside "
    "0: the jitter (squared change of a step over twice the squared step) at the rate of 1e-2 is "
    f"under half, judged where it is over {TURNING:g} without; the steps to a loss of "
    f"{ARRIVED:g}, kept to in the last quarter, each at its best rate (by the mean of 1 / steps), "
    f"are over {SOONER:g} times fewer; and the ratio of steep to shallow length of the first "
    f"{FIRST} steps, at a rate of {LEAST_RATE:g}, grows with the condition by a lower power than "
    "SGD's. Supported if all hold in both valleys by their 95 % intervals, refuted if none does; "
    "it depends on the part if they differ.",
    settings={"seeds": 128, "b1s": 7, "conditions": 5, "rates": 21, "steps": 500},
    quick={"seeds": 2, "b1s": 3, "conditions": 3, "rates": 5, "steps": 200},
    check={"first_seed": 8000},
    caption="Solid: a valley aligned with Adam's coordinates; dashed: the same one rotated. Left "
    "and middle: jitter and steps to arrive over 1-b1 (dotted: b1 = .9), of the runs that arrive. "
    "Right: how much longer the first steps are up the walls than along the floor, as the walls "
    "get steeper. SGD is blind to coordinates: its two lines coincide.",
)

"""C27: what do momentum and the denominator do in a steep-walled, shallow valley?"""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
import optax

import adamlab
from adamlab.analysis import Interval
from experiments import book

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

MOMENTUM, CONDITION, RATE = 0.1, 100.0, 1e-2  # 1-b1, the valley and the rate that are judged
NOISE = 0.1
TURNING = 0.1  # the least jitter that there is something to smooth in; 2 where every step turns
SMOOTHER = 0.5  # the share of the jitter that may be left
SOONER = 1.1  # how many times as long a run without momentum must take at least
ARRIVED = 1e-2  # the objective that a run must reach: about a tenth of the way is left
LEAST_RATE = 1e-4
FIRST = 10  # steps at that rate whose lengths along both axes are compared
# The valley's axes, its floor first, in Adam's coordinates.
AXES = {"aligned": np.eye(2), "rotated": np.array([[0.8, -0.6], [0.6, 0.8]])}


def averaged_sgd(learning_rate: Any, b1: adamlab.OneMinus) -> optax.GradientTransformation:
    """Gradient descent along an average of gradients, as Adam averages them; no division."""
    return adamlab.sgd(learning_rate * b1.value, momentum=1 - b1.value)


OPTIMIZERS = {"adam": adamlab.adam, "sgd": averaged_sgd}


def valley(axes: np.ndarray) -> adamlab.Problem:
    """The 2-D quadratic along `axes`, with noise on the gradients."""
    plain = adamlab.quadratic()

    def objective(params: jax.Array, **hyper: Any) -> Any:
        return plain.loss(axes @ params, None, **hyper)

    return replace(
        plain,
        name="noisy valley",
        # Not exactly from 1, from where Adam at a rate of 1 reaches the minimum in one step.
        init=lambda key, **_: jax.random.uniform(key, (2,), minval=0.5, maxval=1.5) @ axes,
        loss=lambda params, noise, **hyper: objective(params, **hyper) + noise @ params,
        batch=lambda key, _, **__: NOISE * jax.random.normal(key, (2,)),
        objective=objective,
        target=ARRIVED,
    )


def measure(lab: book.Lab) -> xr.Dataset:
    """Jitter, steps to arrive and the first steps' shape, over b1 x condition x rate."""
    import xarray as xr

    over = {
        "1-b1": np.geomspace(1e-2, 1, lab["b1s"]),
        "condition": np.geomspace(1, 1e4, lab["conditions"]),
        "learning_rate": np.geomspace(LEAST_RATE, 10, lab["rates"]),
    }
    valleys = {}
    for name, axes in AXES.items():
        found = lab.map(
            name, valley(axes), OPTIMIZERS, over, steps=lab["steps"], checkpoints=lab["steps"],
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
        kept = found[["late_loss"]].assign(steps=book.steps_to_target(found))
        valleys[name] = kept.assign(jitter=jitter, shape=shape, power=power)
    return book.side_by_side("valley", valleys)


def best_rate(steps: xr.DataArray) -> xr.DataArray:
    """The rate of greatest mean of 1 / steps: never arriving counts as 0."""
    return (1 / steps).mean("seed").idxmax("learning_rate")


def at_best(steps: xr.DataArray) -> xr.DataArray:
    """Steps at the best rate."""
    return steps.sel(learning_rate=best_rate(steps)).drop_vars("learning_rate")


def judge(dataset: xr.Dataset) -> book.Verdict:
    """Jitter, arrival and denominator, each in both valleys, b1 = .9 against 0."""
    numbers: dict[str, float | Interval] = {}
    kinds: dict[str, book.Kind] = {}
    remark = ""
    for name, here in book.each(dataset, "valley"):
        adam = here.sel(optimizer="adam").sel(condition=CONDITION, method="nearest")
        some, none = (adam.sel({"1-b1": b}, method="nearest") for b in (MOMENTUM, 1.0))
        times = (some / none).sel(learning_rate=RATE, method="nearest")
        jitter, late = book.over_seeds(times["jitter"]), book.over_seeds(times["late_loss"])
        # Where neither arrives, inf / inf, neither is faster.
        sooner = book.over_seeds((at_best(none["steps"]) / at_best(some["steps"])).fillna(1.0))
        power = {who: own["power"] for who, own in book.each(here, "optimizer")}
        longer = book.over_seeds(power["adam"] - power["sgd"])
        where = f"valley {name}"
        turning = none["jitter"].sel(learning_rate=RATE, method="nearest")
        numbers[f"jitter at b1 = 0, {where}"] = plain = book.over_seeds(turning)
        for b1, at in (("0", none), (".9", some)):
            rate = float(best_rate(at["steps"]))
            end = book.at_end(rate, at["learning_rate"].values)
            numbers[f"best rate at b1 = {b1}, {where}{end}"] = rate
        numbers[f"steps to arrive at the best b1, {where}"] = float(
            at_best(adam["steps"]).median("seed").min()
        )
        numbers[f"jitter at b1 = .9 over that at 0, {where}"] = jitter
        numbers[f"late loss at b1 = .9 over that at 0, {where}"] = late
        numbers[f"steps to arrive at b1 = 0 over those at .9, {where}"] = sooner
        for who, own in power.items():
            numbers[f"exponent of the first steps' shape, {who}, {where}"] = book.over_seeds(own)
        if plain.low > TURNING:
            kinds[f"momentum smooths ({name})"] = book.opposite(book.by_sign(jitter, SMOOTHER))
        else:
            remark = f"In the {name} valley there was no jitter to smooth."
        kinds[f"momentum arrives sooner ({name})"] = book.by_sign(sooner, SOONER)
        kinds[f"the denominator shortens steep steps ({name})"] = book.opposite(
            book.by_sign(longer)
        )
    return book.Verdict(kinds, numbers, remark)


def draw(dataset: xr.Dataset) -> Figure:
    """Jitter and arrival over b1, the shape of the first steps over the condition."""
    figure, (left, middle, right) = book.panels(3)
    styles = product(("-", "--"), ("C0", "C1"))
    cases = book.each(dataset, "valley", "optimizer")
    for (label, own), (line, color) in zip(cases, styles, strict=True):
        style: dict[str, Any] = {"color": color, "linestyle": line, "marker": ".", "label": label}
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


EXPERIMENT = book.Experiment(
    id="C27",
    question="What do momentum and the denominator do in a steep-walled, shallow valley?",
    claim="Momentum smooths jitter and carries through shallow valleys; the denominator shortens "
    "steps of large gradients.",
    asks="Does this hold in a valley aligned with Adam's coordinates, and in a rotated one?",
    criterion=f"Quadratic of two variables, starts around 1, gradient noise {NOISE:g}, its axes "
    f"aligned with Adam's coordinates or rotated, condition {CONDITION:g}. Adam's b1 = .9 beside "
    "0: the jitter (squared change from one step to the next over twice the squared step) at the "
    f"rate of 1e-2 is under half, judged where it is over {TURNING:g} without; the steps to a loss "
    f"of {ARRIVED:g}, kept to in the last quarter, each at its best rate, are over {SOONER:g} "
    "times fewer; and the ratio of steep to shallow length of the first "
    f"{FIRST} steps, at a rate of {LEAST_RATE:g}, grows with the condition by a lower power than "
    "SGD's. Supported if all hold in both valleys by their 95 % intervals, refuted if none does; "
    "it depends on the part if they differ.",
    measure=measure,
    judge=judge,
    draw=draw,
    settings={"seeds": 128, "b1s": 7, "conditions": 5, "rates": 21, "steps": 500},
    quick={"seeds": 2, "b1s": 3, "conditions": 3, "rates": 5, "steps": 200},
    check={"first_seed": 8000},
    caption="Solid: a valley aligned with Adam's coordinates; dashed: the same one rotated. Left "
    "and middle: jitter and steps to arrive over 1-b1 (dotted: b1 = .9). Right: how much longer "
    "the first steps are up the walls than along the floor, as the walls get steeper. Medians are "
    "over the runs that arrive; where none does there is no point. SGD is "
    "blind to coordinates: its two lines coincide.",
    symptom="The loss zigzags: steps bounce between the valley's walls and hardly move along its "
    "floor.",
    remedy="adam(1e-2, b1=0.9)  # smooths the jitter between walls along the coordinates; to "
    "arrive sooner, search b1 and the rate",
)

"""C27: what do momentum and the denominator do in a steep-walled, shallow valley?"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import adamlab
from adamlab.analysis import Interval, bootstrap
from experiments import book

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

MOMENTUM, CONDITION, RATE = 0.1, 100.0, 1e-2  # 1-b1, the valley and the rate that are judged
NOISE = 0.1
SMOOTHER = 0.5  # the share of the jitter that may be left
SOONER = 1.1  # how many times as long a run without momentum must take at least
ARRIVED = 1e-2  # the objective that a run must reach: about a tenth of the way along is left
FIRST = 10  # steps of which the lengths along both axes are compared
AXES = {  # the valley's axes, its floor first, in the coordinates that Adam sees
    "along": np.eye(2),
    "across": np.array([[0.8, -0.6], [0.6, 0.8]]),
}


def averaged_sgd(learning_rate: Any, b1: adamlab.OneMinus) -> optax.GradientTransformation:
    """Gradient descent along an average of gradients, as Adam averages them; no division."""
    return adamlab.sgd(learning_rate * b1.value, momentum=1 - b1.value)


OPTIMIZERS = {"adam": adamlab.adam, "sgd": averaged_sgd}


def valley(axes: str) -> adamlab.Problem:
    """The 2-D quadratic from around 1 along each of its axes, with noise on the gradients."""
    plain, frame = adamlab.quadratic(), AXES[axes]

    def init(key: jax.Array, **hyper: Any) -> jax.Array:
        # Not from 1 exactly, where a rate of 1 takes Adam to the minimum in one step.
        apart = jax.random.uniform(key, (2,), minval=0.5, maxval=1.5)
        return (apart * plain.init(key, **hyper)) @ jnp.asarray(frame, float)

    def objective(params: jax.Array, **hyper: Any) -> jax.Array:
        value: jax.Array = plain.loss(jnp.asarray(frame, float) @ params, None, **hyper)
        return value

    def loss(params: jax.Array, noise: jax.Array, **hyper: Any) -> jax.Array:
        return objective(params, **hyper) + noise @ params

    def batch(key: jax.Array, step: jax.Array, **_: Any) -> jax.Array:
        del step
        return NOISE * jax.random.normal(key, (2,))

    return replace(
        plain, name=f"noisy valley {axes} the coordinates", init=init, loss=loss, batch=batch,
        objective=objective, target=ARRIVED,
    )  # fmt: skip


def position(params: jax.Array, state: Any) -> dict[str, jax.Array]:
    """Where a run stands."""
    del state
    return {"x": params}


def measure(lab: book.Lab) -> xr.Dataset:
    """Jitter, steps to arrive and the first steps' shape, over b1 x condition x rate."""
    axes = {
        "1-b1": np.geomspace(1e-2, 1, lab["b1s"]),
        "condition": np.geomspace(1, 1e4, lab["conditions"]),
        "learning_rate": np.geomspace(1e-4, 1, lab["rates"]),
    }
    valleys = {}
    for name, frame in AXES.items():
        found = lab.map(
            name, valley(name), OPTIMIZERS, axes,
            steps=lab["steps"], checkpoints=lab["steps"], probe=position,
        )  # fmt: skip
        moves = np.diff(found["x"].values.astype(np.float64), axis=-2)
        with np.errstate(all="ignore"):
            turns = (np.diff(moves, axis=-2) ** 2).sum((-1, -2))
            jitter = turns / (2 * (moves**2).sum((-1, -2)))
            first = np.sqrt((((moves[..., :FIRST, :]) @ frame.T) ** 2).mean(-2))
            shape = first[..., 1] / first[..., 0]
        arrived = found["converged_step"].astype(float)
        plain = found["late_loss"]
        valleys[name] = (
            arrived.where(arrived >= 0, np.inf)
            .to_dataset(name="steps")
            .assign(
                jitter=plain.copy(data=np.where(np.isfinite(jitter), jitter, np.inf)),
                shape=plain.copy(data=np.where(np.isfinite(shape), shape, np.inf)),
                late=plain,
            )
        )
    return book.side_by_side("valley", valleys)


def at_best(steps: xr.DataArray) -> xr.DataArray:
    """Steps at the rate of greatest mean of 1 / steps: never arriving counts as 0."""
    return steps.isel(learning_rate=(1 / steps).mean("seed").argmax("learning_rate"), drop=True)


def exponents(shape: xr.DataArray) -> np.ndarray:
    """d log(steep over shallow length of the first steps) / d log(condition), for each seed."""
    part = shape.sel({"1-b1": MOMENTUM}, method="nearest").isel(learning_rate=0)
    ratios = part.transpose("condition", "seed").values
    return np.asarray(np.polyfit(np.log(part["condition"]), np.log(ratios), 1)[0])


def judge(dataset: xr.Dataset) -> book.Verdict:
    """Jitter, arrival and denominator, each in both valleys, b1 = .9 beside 0."""
    numbers: dict[str, float | Interval] = {}
    kinds: dict[str, book.Kind] = {}
    opposite: dict[book.Kind, book.Kind] = {"supported": "refuted", "refuted": "supported"}
    for valley_name in AXES:
        own = dataset.sel(valley=valley_name, optimizer="adam", drop=True)
        here = own.sel(condition=CONDITION, method="nearest")
        at_rate = here.sel(learning_rate=RATE, method="nearest")
        with_b1, without = (at_rate.sel({"1-b1": b}, method="nearest") for b in (MOMENTUM, 1.0))
        jitter = book.over_seeds(with_b1["jitter"] / without["jitter"])
        late = book.over_seeds(with_b1["late"] / without["late"])
        slow, fast = (
            at_best(here["steps"].sel({"1-b1": b}, method="nearest")) for b in (1.0, MOMENTUM)
        )
        # Where neither arrives neither is faster.
        sooner = book.over_seeds((slow / fast).where(np.isfinite(slow) | np.isfinite(fast), 1.0))
        adam, sgd = (
            exponents(dataset["shape"].sel(valley=valley_name, optimizer=name))
            for name in OPTIMIZERS
        )
        where = f"valley {valley_name} the coordinates"
        numbers |= {
            f"jitter at b1 = .9 over that at 0, {where}": jitter,
            f"late loss at b1 = .9 over that at 0, {where}": late,
            f"steps to arrive at b1 = 0 over those at .9, {where}": sooner,
            f"exponent of the first steps' shape, adam, {where}": bootstrap(adam),
            f"exponent of the first steps' shape, sgd, {where}": bootstrap(sgd),
        }
        kinds[f"smoother {valley_name}"] = opposite.get(book.by_sign(jitter, SMOOTHER), "undecided")
        kinds[f"sooner {valley_name}"] = book.by_sign(sooner, SOONER)
        kinds[f"shorter {valley_name}"] = opposite.get(
            book.by_sign(bootstrap(adam - sgd)), "undecided"
        )
    kind, sentence = book.together(kinds, "In valleys along and across Adam's coordinates?")
    return book.Verdict(kind, sentence, numbers)


def draw(dataset: xr.Dataset) -> Figure:
    """Jitter and arrival over b1, the shape of the first steps over the condition."""
    figure, (left, middle, right) = book.panels(3)
    here = dataset.sel(condition=CONDITION, method="nearest")
    for valley_name, line in zip(AXES, ("-", "--"), strict=True):
        for name, color in zip(OPTIMIZERS, ("tab:blue", "tab:orange"), strict=True):
            style: dict[str, Any] = {
                "color": color, "linestyle": line, "marker": ".", "label": f"{name}, {valley_name}"
            }  # fmt: skip
            part = here.sel(valley=valley_name, optimizer=name)
            jitter = part["jitter"].sel(learning_rate=RATE, method="nearest")
            book.draw_lines(left, jitter, "1-b1", log="xy", **style)
            book.draw_lines(middle, at_best(part["steps"]), "1-b1", log="xy", **style)
            shape = dataset["shape"].sel(valley=valley_name, optimizer=name)
            shape = shape.sel({"1-b1": MOMENTUM}, method="nearest").isel(learning_rate=0)
            book.draw_lines(right, shape, "condition", log="xy", **style)
    left.set_title(f"jitter, rate {RATE:g}, condition {CONDITION:g}")
    middle.set_title(f"steps to a loss of {ARRIVED:g}, best rate")
    right.set_title(f"steep over shallow, first {FIRST} steps")
    for ax in (left, middle):
        ax.axvline(MOMENTUM, color="k", linestyle=":")
    left.legend(fontsize=8)
    return figure


EXPERIMENT = book.Experiment(
    id="C27",
    question="What do momentum and the denominator do in a steep-walled, shallow valley?",
    claim="Momentum smooths jitter and carries through shallow valleys; the denominator shortens "
    "steps of large gradients.",
    criterion=f"Quadratic of two variables, starts around 1, gradient noise {NOISE:g}, its axes "
    f"along or across Adam's coordinates, condition {CONDITION:g}. Adam's b1 = .9 beside 0: the "
    "jitter (squared change from one step to the next over twice the squared step) at the rate of "
    f"1e-2 is under half; the steps to a loss of {ARRIVED:g}, each at its best rate, are over "
    f"{SOONER:g} times fewer; and the ratio of steep to shallow length of the first steps grows "
    "with the condition by a lower power than SGD's. Supported if all three hold in both valleys "
    "by their 95 % intervals, refuted if none, depends on the part if some are refuted.",
    measure=measure,
    judge=judge,
    draw=draw,
    settings={"seeds": 8, "b1s": 7, "conditions": 5, "rates": 17, "steps": 500},
    quick={"seeds": 2, "b1s": 3, "conditions": 3, "rates": 5, "steps": 200},
    check={"first_seed": 1000},
    symptom="The loss saws up and down the valley's walls and hardly moves along its floor.",
    remedy="adam(1e-2, b1=0.9)  # smooths the walls' jitter; along the floor the rate decides",
)

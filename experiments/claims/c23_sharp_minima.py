"""C23: at equal training loss, is Adam's minimum sharper than SGD's, and does it test worse?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import numpy as np
import optax

import adamlab
from adamlab.analysis import Interval, top_eigenvalue
from adamlab.problems import cross_entropy, digits, network, supervised
from experiments import book

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

LEVEL = 0.05  # the train loss at which the two are compared
ROWS = 256  # that loss and curvature are taken of
# What is not worth a word: decades of sharpness, and a share of the test images.
SMALL, FEW = 0.1, 0.01
MODEL = network((64, 32, 10))


def momentum_sgd(learning_rate: Any) -> optax.GradientTransformation:
    """Gradient descent with a momentum of .9."""
    return adamlab.sgd(learning_rate, momentum=0.9)


OPTIMIZERS = {"adam": (adamlab.adam, (3e-3, 1e-1)), "sgd": (momentum_sgd, (2e-2, 0.6))}


def look(params: Any, state: Any, data: Any) -> dict[str, jax.Array]:
    """Sharpness on the rows that the loss is taken of, and accuracy on the test rows."""
    del state

    def loss(at: Any) -> jax.Array:
        return cross_entropy(MODEL.apply(at, data.inputs[:ROWS]), data.targets[:ROWS])

    right = MODEL.apply(params, data.test_inputs).argmax(-1) == data.test_targets
    top = top_eigenvalue(loss, params, key=jax.random.key(0), iterations=12)
    return {"sharpness": top, "accuracy": right.mean(dtype=top.dtype)}


def measure(lab: book.Lab) -> xr.Dataset:
    """Train loss, sharpness and test accuracy over time for rates that span 1.5 decades each."""
    problem = supervised(digits(), MODEL, cross_entropy, batch_size=32, observed=ROWS)
    maps = {}
    for name, (optimizer, (low, high)) in OPTIMIZERS.items():
        rates = np.geomspace(low, high, lab["rates"])
        found = lab.map(
            name, problem, optimizer, {"learning_rate": rates}, steps=lab["steps"],
            checkpoints=lab["looks"], curve=True, probe=look,
        )  # fmt: skip
        numbered = found[["curve", "sharpness", "accuracy"]].rename(learning_rate="place")
        maps[name] = numbered.assign_coords(place=np.arange(len(rates))).assign(
            rate=("place", rates)
        )
    return book.side_by_side("optimizer", maps).transpose("optimizer", "seed", "place", "step")


def at_level(dataset: xr.Dataset) -> xr.Dataset:
    """Each run where its train loss is first at the level; NaN where it never is."""
    reached = dataset["curve"] <= LEVEL
    first = dataset[["sharpness", "accuracy"]].isel(step=reached.argmax("step"))
    steps = dataset["step"].isel(step=reached.argmax("step"))
    return first.assign(steps=steps).drop_vars("step").where(reached.any("step"))


def best_rates(found: xr.Dataset, by: str) -> dict[str, int]:
    """For each optimizer the place of its best rate: of the greatest mean accuracy, or fastest."""
    places = {}
    for name in OPTIMIZERS:
        at = found.sel(optimizer=name)
        arrives = at["steps"].notnull().all("seed")  # at every seed
        score = at["accuracy"].mean("seed") if by == "accuracy" else -at["steps"].mean("seed")
        places[name] = int(score.where(arrives, -np.inf).values.argmax()) if arrives.any() else -1
    return places


def kind_of(interval: Interval, small: float) -> book.Kind:
    """Supported where clearly above 0, refuted where clearly not above what is small."""
    if interval.low > 0:
        return "supported"
    return "refuted" if interval.high < small else "undecided"


def judge(dataset: xr.Dataset) -> book.Verdict:
    """Adam's sharpness and accuracy beside SGD's, seed by seed, each at its own best rate."""
    found = at_level(dataset)
    numbers: dict[str, float | Interval] = {}
    kinds = {}
    for by in ("accuracy", "steps"):
        places = best_rates(found, by)
        if -1 in places.values():
            return book.Verdict("undecided", f"No rate brings every seed to a loss of {LEVEL:g}.")
        adam, sgd = (found.sel(optimizer=n).isel(place=p) for n, p in places.items())
        ratio = adam["sharpness"] / sgd["sharpness"]
        sharper = book.over_seeds(ratio.copy(data=np.log10(ratio)))
        worse = book.over_seeds(sgd["accuracy"] - adam["accuracy"], np.mean)
        which = {"accuracy": "rates that test best", "steps": "fastest rates"}[by]
        kinds[which] = (kind_of(sharper, SMALL), kind_of(worse, FEW))
        numbers[f"decades that Adam is sharper by, {which}"] = sharper
        numbers[f"test accuracy that Adam lacks, {which}"] = worse
        for name, place in places.items():
            numbers[f"{name}'s rate, {which}"] = float(dataset["rate"].sel(optimizer=name)[place])
    flat = [kind for pair in kinds.values() for kind in pair]
    if set(flat) == {"supported"}:
        return book.Verdict("supported", "Adam is sharper and tests worse.", numbers)
    if "supported" not in flat and all("refuted" in pair for pair in kinds.values()):
        return book.Verdict("refuted", "Adam is not sharper, or does not test worse.", numbers)
    words = {"supported": "yes", "refuted": "no", "undecided": "open"}
    sentence = "; ".join(
        f"at the {which}: sharper, {words[sharp]}; worse in tests, {words[bad]}"
        for which, (sharp, bad) in kinds.items()
    )
    if set(flat) == {"undecided"}:
        return book.Verdict("undecided", f"{sentence}.", numbers)
    return book.Verdict(
        "depends", f"On the part of the claim and on the rate. {sentence}.", numbers
    )


def draw(dataset: xr.Dataset) -> Figure:
    """Sharpness and test accuracy over the rate at the level, and over the loss on the way."""
    figure, (sharp, accuracy, way) = book.panels(3)
    found = at_level(dataset)
    fastest = best_rates(found, "steps")
    for name, place in fastest.items():
        part = found.sel(optimizer=name)
        # Only rates that bring every seed to the level, or its best seeds would stand for all.
        part = part.where(part["steps"].notnull().all("seed"))
        rates = dataset["rate"].sel(optimizer=name).values
        part = part.assign_coords(place=rates).rename(place="learning_rate")
        book.draw_lines(sharp, part["sharpness"], "learning_rate", label=name, marker="o")
        book.draw_lines(accuracy, part["accuracy"], "learning_rate", label=name, marker="o")
        run = dataset.sel(optimizer=name).isel(place=place).median("seed")
        way.plot(run["curve"], run["sharpness"], label=f"{name}, rate {float(run['rate']):.2g}")
    sharp.set_title(f"top Hessian eigenvalue at train loss {LEVEL:g}")
    accuracy.set_title("test accuracy there")
    way.axvline(LEVEL, color="gray", linestyle=":")
    way.set(title="on the way, fastest rates", xscale="log", yscale="log", xlabel="train loss")
    way.set_ylabel("top Hessian eigenvalue")
    way.invert_xaxis()
    for ax in (sharp, way):
        ax.legend()
    for ax in (sharp, accuracy):  # even where no run came to the level
        ax.set_xlim(2e-3, 1)
    return figure


EXPERIMENT = book.Experiment(
    id="C23",
    question="At equal training loss, is Adam's minimum sharper than SGD's, and worse in tests?",
    claim="Adam reaches sharper minima than SGD and tests worse on images.",
    criterion="64-32-10 on the 8x8 digits, batch 32; Adam and SGD with a momentum of .9, each seen "
    f"where its loss on {ROWS} train rows is first at {LEVEL:g}, at its own best of the rates that "
    "bring every seed there: (a) the one that tests best there, (b) the fastest. By seed: the log "
    "ratio of the Hessian's top eigenvalues (median) and the difference of test accuracies "
    f"(mean), 95 % intervals. Sharper, worse: above 0; not so: below {SMALL:g} decades, "
    f"{FEW:g} in accuracy. Supported if Adam is sharper and worse by (a) and (b); refuted if by "
    "each it is not sharper or not worse, and neither anywhere; undecided if all is open; "
    "otherwise it depends on the part of the claim and on the rate.",
    measure=measure,
    judge=judge,
    draw=draw,
    settings={"seeds": 16, "rates": 7, "steps": 600, "looks": 30},
    quick={"seeds": 2, "rates": 2, "steps": 48, "looks": 8},
    check={"first_seed": 1000},
    symptom="SGD reaches the same train loss and is better on new images.",
    remedy="sgd(1e-1, momentum=0.9)  # or a larger rate for Adam: what rests there is flatter",
)

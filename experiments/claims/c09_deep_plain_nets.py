"""C09: does a deep plain ReLU net learn slowly, and do batch norm or residual links cure it?"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

import adamlab
from adamlab.analysis import Interval
from adamlab.problems import cross_entropy, digits, network, supervised
from experiments import book

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

RATE, RATES = 1e-3, np.array([3e-4, 1e-3, 3e-3, 1e-2, 3e-2])
LEARNT = 0.1  # losses below count as this
WORSE = 2.0  # times the cure's loss, from which on it is slow
WIDTH = 32
KINDS: dict[str, dict[str, Any]] = {
    "plain": {}, "batch norm": {"batch_norm": True}, "residual": {"residual": True},
}  # fmt: skip
# Plain nets with other beginnings or another activation, at the greatest depth. The first three
# kinds begin as Flax does, which is to deep layers of one width what Keras does.
OTHERS: dict[str, dict[str, Any]] = {
    "plain, He": {"initializer": "he_normal"},
    "plain, torch": {"initializer": "torch"},
    "plain, tanh": {"activation": "tanh"},
}


PLAIN, CURES = ("plain", "plain, He", "plain, torch"), ("batch norm", "residual")


def problem_of(depth: int, pixels: int, width: int, **options: Any) -> adamlab.Problem:
    """The digits, to be learnt by a net of `depth` hidden layers."""
    model = network((pixels**2, *[width] * depth, 10), **options)
    return supervised(digits(pixels), model, cross_entropy, batch_size=64, observed=128)


def first_over_last(problem: adamlab.Problem, key: jax.Array) -> jax.Array:
    """At the start the gradient of the first layer's weights over the last's, root mean squares."""
    assert problem.data is not None
    assert problem.objective is not None
    values = {name: jnp.asarray(value) for name, value in problem.hyperparameters.items()}
    data, params = problem.data(key, **values), problem.init(key, **values)
    layers = jax.grad(problem.objective)(params, data, **values)["linears"]
    first, last = (jnp.square(layers[i]["kernel"]).mean() for i in (0, len(layers) - 1))
    return jnp.sqrt(first / last)


def measure(lab: book.Lab) -> xr.Dataset:
    """Late loss over rate, kind of net and depth; and the gradients at the start."""
    import xarray as xr

    # The article's net costs most and is trained for half as long.
    sizes = {lab["own"]: (3, lab["pixels"], lab["width"], lab["steps"] // 2)}
    sizes |= {f"{depth} x {WIDTH}": (depth, 8, WIDTH, lab["steps"]) for depth in lab["depths"]}
    kinds = {kind: KINDS[kind] for kind in lab["kinds"]}
    nets = {}
    for place, (net, (depth, pixels, width, steps)) in enumerate(sizes.items()):
        all_kinds = kinds | (OTHERS if 0 < place == len(sizes) - 1 else {})
        problems = {k: problem_of(depth, pixels, width, **o) for k, o in all_kinds.items()}
        parts = {}
        for kind, problem in problems.items():
            name = f"{net}-{kind}".replace(", ", "-").replace(" ", "-")
            axes = {"learning_rate": RATES}
            parts[kind] = lab.map(name, problem, adamlab.adam, axes, steps=steps)[["late_loss"]]
        found = book.side_by_side("kind", parts).reindex(kind=[*KINDS, *OTHERS])
        # Eagerly: to compile deep nets for so little takes longer.
        keys = jax.vmap(jax.random.key)(lab.seeds)
        starts = [jax.vmap(partial(first_over_last, each))(keys) for each in problems.values()]
        ratios = xr.DataArray(np.array(starts), {"kind": list(problems), "seed": lab.seeds})
        nets[net] = found.assign(gradients=ratios.reindex(kind=found["kind"]))
    return book.side_by_side("net", nets)


def left(dataset: xr.Dataset, net: str, kind: str) -> xr.DataArray:
    """The late loss, at least what counts as learnt; infinite where a run broke."""
    late = dataset["late_loss"].sel(net=net, kind=kind)
    return late.where(np.isfinite(late), np.inf).clip(LEARNT)


def at_best(late: xr.DataArray) -> xr.DataArray:
    """The losses of each seed at the rate whose median is least."""
    return late.isel(learning_rate=int(late.median("seed").values.argmin()))


def at_usual(late: xr.DataArray) -> xr.DataArray:
    """The losses of each seed at the usual rate."""
    return late.sel(learning_rate=RATE)


def judge(dataset: xr.Dataset) -> book.Verdict:
    """How many times the loss of the better cure a plain net is left with, for each depth."""
    numbers: dict[str, float | Interval] = {}
    kinds: dict[str, tuple[book.Kind, book.Kind]] = {}
    for net in dataset["net"].values:
        there = dataset["gradients"].sel(net=net).dropna("kind", how="all")
        for kind in there["kind"].values:
            best = book.over_seeds(at_best(left(dataset, net, kind)))
            numbers[f"late loss at its best rate, {net}, {kind}"] = best
            ratio = book.over_seeds(there.sel(kind=kind))
            numbers[f"first over last layer's gradient at the start, {net}, {kind}"] = ratio
        for kind in (k for k in PLAIN if k in there["kind"]):
            signs = []
            for where, chosen in {"best rates": at_best, f"rate {RATE:g}": at_usual}.items():
                cures = [chosen(left(dataset, net, k)) for k in CURES if k in there["kind"]]
                better = min(cures, key=lambda cure: float(cure.median()))
                ratio = book.over_seeds(chosen(left(dataset, net, kind)) / better)
                signs.append(book.by_sign(ratio, WORSE))
                numbers[f"late loss over the better cure's, {net}, {kind}, {where}"] = ratio
            kinds[f"{net}, {kind}"] = (signs[0], signs[1])
    flat = {sign for pair in kinds.values() for sign in pair}
    if flat == {"refuted"}:
        sentence = f"A plain net is never left with {WORSE:g} times the loss."
        return book.Verdict("refuted", sentence, numbers)
    if flat == {"supported"}:
        sentence = f"A plain net is always left with over {WORSE:g} times the loss."
        return book.Verdict("supported", sentence, numbers)
    if "supported" not in flat:
        return book.Verdict("undecided", f"An interval holds {WORSE:g}.", numbers)
    words = {"supported": "yes", "refuted": "no", "undecided": "open"}
    said = "; ".join(
        f"{net}: {words[best]} at the best rates, {words[usual]} at {RATE:g}"
        for net, (best, usual) in kinds.items()
    )
    sentence = f"On depth, beginning and rate. Left with {WORSE:g} times the loss? {said}."
    return book.Verdict("depends", sentence, numbers)


def draw(dataset: xr.Dataset) -> Figure:
    """Late loss over the rate for each net, and the gradients at the start."""
    nets = dataset["net"].values
    figure, axes = book.panels(len(nets) + 1)
    for ax, net in zip(axes, nets, strict=False):
        for kind in dataset["gradients"].sel(net=net).dropna("kind", how="all")["kind"].values:
            late = dataset["late_loss"].sel(net=net, kind=kind)
            style = "-" if kind in KINDS else ":"
            book.draw_lines(ax, late, "learning_rate", log="xy", label=kind, linestyle=style)
        ax.axvline(RATE, color="gray", linestyle="--")
        ax.axhline(LEARNT, color="gray", linestyle="--")
        ax.set(title=f"late loss, hidden layers: {net}")
    handles, labels = axes[len(nets) - 1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=6)
    slopes = dataset["gradients"].median("seed")
    for place, net in enumerate(nets):
        found = slopes.sel(net=net).dropna("kind")
        axes[-1].plot(found["kind"], found, "os"[place % 2], label=net)
    axes[-1].axhline(1, color="gray", linestyle="--")
    axes[-1].set(title="gradient at the start, first over last layer", yscale="log")
    axes[-1].tick_params(axis="x", rotation=30)
    axes[-1].legend(fontsize=7)
    return figure


EXPERIMENT = book.Experiment(
    id="C09",
    question="Does a deep plain ReLU net learn slowly, and do batch norm or residual links cure "
    "it?",
    claim="A deep plain ReLU net (784-128-128-128-10) learns slowly or not at all: vanishing "
    "gradients; batch norm or residual links cure it.",
    criterion="The digits, batch 64, Adam: plain, batch norm, residual; the article's net on "
    "digits interpolated to 28x28, 160 steps (7 epochs, not 100), and 16 hidden layers of 32 on "
    "8x8, 320 steps, there plain as He and PyTorch begin it as well. Over seeds the median ratio "
    f"of a plain net's late train loss to the better cure's, losses below {LEARNT:g} counting as "
    f"that, each at its best rate, and all at {RATE:g}. Supported if every 95 % interval lies "
    f"above {WORSE:g}, refuted if all lie below; else it depends on depth, beginning and rate.",
    measure=measure,
    judge=judge,
    draw=draw,
    settings={
        "seeds": 8, "own": "3 x 128, 784 inputs", "pixels": 28, "width": 128, "depths": [16],
        "kinds": list(KINDS), "steps": 320,
    },
    quick={
        "seeds": 2, "own": "3 x 16", "pixels": 8, "width": 16, "depths": [],
        "kinds": ["plain", "batch norm"], "steps": 64,
    },
    check={"first_seed": 1000},
    symptom="The loss of a deep net rests at that of guessing, for long or for good.",
    remedy="network(widths, batch_norm=True)  # or residual=True, or initializer='he_normal'",
)  # fmt: skip

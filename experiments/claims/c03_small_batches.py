"""C03: does too small a batch make Adam bounce and never settle, and does a larger one smooth
it?"""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import xarray as xr

import adamlab
from adamlab.analysis import gradient_noise_scale
from adamlab.problems import cross_entropy, digits, network, noisy_quadratic, supervised
from experiments import book

MODEL = network((64, 32, 10))
DEFAULT, PROBLEMS = 1e-3, ("quadratic", "digits")
KEPT = {"late_loss": "late", "late_spread": "bounce"}
COUNTS = 0.1  # decades


def noise(params: Any, state: Any, data: Any) -> dict[str, Any]:
    """The noise scale of the digits' gradient at `params`: a probe."""
    del state

    def gradient(key: jax.Array, size: int) -> Any:
        rows = jax.random.randint(key, (size,), 0, len(data.inputs))
        inputs, targets = data.inputs[rows], data.targets[rows]
        return jax.grad(lambda p: cross_entropy(MODEL.apply(p, inputs), targets))(params)

    key = jax.random.key(0)
    return {"noise": gradient_noise_scale(gradient, key, small=4, big=256, repeats=16).scale}


def measure(lab: book.Lab) -> xr.Dataset:
    """Late loss and bounce over batch size x rate on both problems, and the digits' noise scale."""
    adam, steps = adamlab.adam, lab["steps"]
    axes = {
        "batch_size": np.geomspace(0.1, 1e3, lab["batches"]),
        "learning_rate": np.geomspace(1e-3, 1, lab["rates"]),
    }
    found = {"quadratic": lab.map("quadratic", noisy_quadratic(), adam, axes, steps=steps)}
    sizes, rates = {}, {"learning_rate": np.geomspace(1e-4, 1, lab["rates"])}
    smallest, *_, largest = lab["sizes"]
    for size in lab["sizes"]:
        problem = supervised(digits(), MODEL, cross_entropy, batch_size=size, observed=512)
        sizes[size] = lab.map(f"digits-{size}", problem, adam, rates, steps=steps)[[*KEPT]]
        if size == smallest:
            as_many = steps * largest // smallest
            longer = lab.map("digits-longer", problem, adam, rates, steps=as_many)["late_loss"]
    found["digits"] = book.side_by_side("batch_size", sizes)
    early = lab.map(
        "digits-noise", problem, adam, {"learning_rate": [DEFAULT]},
        steps=steps, checkpoints=8, probe=noise,
    )["noise"].isel(step=0, learning_rate=0, drop=True)  # fmt: skip
    parts = []
    for name, part in found.items():
        logs = part[[*KEPT]].map(book.decades, least=1e-30).rename(KEPT)
        parts.append(logs.rename({n: f"{n}_{name}" for n in (*logs, *axes)}))
    equal = book.decades(longer).rename(learning_rate="learning_rate_digits")
    return xr.merge(parts, combine_attrs="drop").assign(longer=equal, noise=early)


def part_of(dataset: xr.Dataset, problem: str) -> xr.Dataset:
    """What was measured on one of the problems, under its plain names."""
    own = dataset[[f"{name}_{problem}" for name in KEPT.values()]]
    return own.rename({name: str(name).removesuffix(f"_{problem}") for name in own.variables})


def judge(dataset: xr.Dataset) -> book.Verdict:
    """The smallest batch against the largest: at the latter's best rate, and each at its own."""
    numbers: book.Numbers = {}
    kinds = {}
    for problem in PROBLEMS:
        part = part_of(dataset, problem)
        late, bounce = part["late"], part["bounce"]
        rate = book.best_rate(late.isel(batch_size=-1, drop=True))
        ways = {
            "bounces more at one rate": bounce.sel(learning_rate=rate),
            "settles higher at one rate": late.sel(learning_rate=rate),
            "settles higher, each at its best rate": book.at_best(late),
        }
        for way, values in ways.items():
            more = book.over_seeds(values.isel(batch_size=0) - values.isel(batch_size=-1))
            numbers[f"{problem}: decades that the smallest batch {way}"] = more
            kinds[f"{problem}: {way}"] = book.by_sign(more, COUNTS)
        for place, which in ((0, "smallest"), (-1, "largest")):
            best = float(book.best_rate(late.isel(batch_size=place, drop=True)))
            end = book.at_end(best, late["learning_rate"].values)
            numbers[f"{problem}: best rate of the {which} batch{end}"] = best
    longer = dataset["longer"].rename(learning_rate_digits="learning_rate")
    way = "digits: settles higher on as many examples, each at its best rate"
    more = book.over_seeds(book.at_best(longer) - book.at_best(late.isel(batch_size=-1)))
    numbers[f"{way}: decades"], kinds[way] = more, book.by_sign(more, COUNTS)
    numbers["digits: noise scale early on, in examples"] = book.over_seeds(dataset["noise"])
    return book.Verdict(kinds, numbers)


def draw(dataset: xr.Dataset) -> book.Figure:
    """Late loss and bounce over batch size x rate, a row for each problem."""
    figure, axes = book.panels(2, 2)
    for row, problem in zip((axes[:2], axes[2:]), PROBLEMS, strict=True):
        own = part_of(dataset, problem)
        judged = float(book.best_rate(own["late"].isel(batch_size=-1, drop=True)))
        part = own.median("seed")
        for ax, name, what in zip(row, ("late", "bounce"), ("late loss", "bounce"), strict=True):
            known = part[name].where(np.isfinite(part[name])).rename(f"{what} [decades]")
            style = {"vmax": known.quantile(0.9).item(), "cmap": "viridis_r"}
            book.draw_heat(ax, known, "batch_size", "learning_rate", **style)
            if problem == "digits":
                ax.axvline(dataset["noise"].median("seed"), color="red", label="noise scale")
            ax.axhline(judged, color="white", linestyle="--", label="judged rate")
            ax.set_title(f"{problem}: {what}")
        row[0].legend(fontsize="small", facecolor="silver")
    return figure


CLAIM = book.Claim(
    says="Too small a batch makes Adam bounce and never settle; a larger one smooths.",
    asks="Does the smallest batch do this, compared with the largest?",
    criterion="A noisy quadratic and digits (64-32-10), equal numbers of steps. The smallest "
    "batch less the largest: decades of the late loss's standard deviation (the bounce) and "
    "decades of late loss, both at the largest's best rate, and decades of late loss each at its "
    "own best rate; on digits also after equal numbers of examples, when the smallest batch takes "
    f"64 times the steps. Supported if the 95 % intervals of all lie above {COUNTS} on both "
    "problems, refuted if all lie below; it depends on the way or the problem if they differ, and "
    "is undecided otherwise.",
    settings={"seeds": 24, "batches": 13, "rates": 17, "sizes": (2, 8, 32, 128), "steps": 800},
    quick={"seeds": 2, "batches": 3, "rates": 3, "sizes": (32, 64), "steps": 40},
    check={"first_seed": 3000},
    caption="Late loss (left) and bounce, the standard deviation of the late loss (right), over "
    "batch size and rate; lighter is better, and the darkest colour stands for all that is worse. "
    "All runs take the same number of steps, so a larger batch sees more data. On the quadratic "
    "(top) the batch size only divides the noise and may be below 1. Red: the digits' gradient "
    "noise scale early in training. Dashed: the best rate of the largest batch, at which the "
    "smallest and the largest are compared.",
)

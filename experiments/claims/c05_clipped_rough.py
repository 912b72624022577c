"""C05: on a rough loss, does clipping the global norm at 1 tame Adam's jumps?"""

from __future__ import annotations

from typing import Any

import numpy as np
import optax
import xarray as xr

import adamlab
from adamlab.problems import rough_loss
from experiments import book

STEPS = 200
RATE, NORM = 1e-4, 1.0
TOO_FAST = 10  # times the best rate: where jumps can be expected
LEAST = 0.01  # of the initial loss: a smaller climb is too small to see, and counts as this
TAMED = 0.1  # decades of climb: a fifth of it
UNCLIPPED = 1e6  # far above every gradient here, so that no gradient is touched


def clipped_adam(learning_rate: Any, max_norm: Any) -> optax.GradientTransformation:
    """Adam on gradients whose global norm is at most `max_norm`."""
    return adamlab.chain(adamlab.clip_by_global_norm(max_norm), adamlab.adam(learning_rate))


def measure(lab: book.Lab) -> xr.Dataset:
    """Rate x norm; the climb of a run is the sum of its upward steps, in initial losses."""
    axes = {
        "learning_rate": np.geomspace(1e-5, 10, lab["rates"]),
        "max_norm": np.append(np.geomspace(1e-2, 1e2, lab["norms"]), UNCLIPPED),
    }
    found = lab.map(
        "clipped", rough_loss(), clipped_adam, axes, steps=STEPS, checkpoints=STEPS, curve=True
    )
    first = found["initial_loss"]
    curve = xr.concat([first.expand_dims(step=[0]), found["curve"]], "step")
    climb = curve.diff("step").clip(min=0).sum("step", skipna=False) / first
    # A broken run counts as climbing for ever.
    return found[["late_loss"]].assign(climb=climb.where(np.isfinite(climb), np.inf))


def judge(dataset: xr.Dataset) -> book.Verdict:
    """How much less a clipped run climbs: at the claim's rate, at the best and at ten times it."""
    numbers: book.Numbers = {}
    kinds: dict[str, book.Kind] = {}
    late = dataset["late_loss"]
    # One rate for both: the climb grows with the rate, and which rate is best is partly chance.
    best_rate = book.best_rate(late).sel(max_norm=UNCLIPPED, drop=True)
    end = book.at_end(float(best_rate), late["learning_rate"].values)
    numbers[f"best rate without clipping{end}"] = float(best_rate)
    rates = {
        f"at {RATE:g}": RATE, "at the best rate": best_rate,
        "at ten times the best rate": TOO_FAST * best_rate,
    }  # fmt: skip
    places = {w: dataset.sel(learning_rate=rate, method="nearest") for w, rate in rates.items()}
    for where, runs in places.items():
        plain, clipped = (
            runs["climb"].sel(max_norm=norm, method="nearest") for norm in (UNCLIPPED, NORM)
        )
        climbs = [book.decades(climb.clip(LEAST, 1 / LEAST**4)) for climb in (plain, clipped)]
        less = book.over_seeds(climbs[0] - climbs[1])
        numbers[f"climb without clipping, {where}"] = book.over_seeds(plain)
        numbers[f"decades of climb removed by clipping, {where}"] = less
        if float(plain.median("seed")) > LEAST:  # otherwise there is nothing to tame
            kinds[where] = book.by_sign(less, TAMED)
    lower, there = (
        runs.sel(max_norm=UNCLIPPED, method="nearest")
        for runs in (
            dataset.sel(learning_rate=best_rate / TOO_FAST, method="nearest"),
            places["at the best rate"],
        )
    )
    lost = book.decades(lower["late_loss"]) - book.decades(there["late_loss"])
    numbers["climb without clipping, at a tenth of the best rate"] = book.over_seeds(lower["climb"])
    numbers["decades of late loss lost there"] = book.over_seeds(lost)
    best = book.decades(late.sel(max_norm=[UNCLIPPED, NORM], method="nearest")).min("learning_rate")
    gain = book.over_seeds(best.isel(max_norm=0) - best.isel(max_norm=1))
    numbers["decades of late loss gained by clipping, best rates"] = gain
    untold = [where for where in places if where not in kinds]
    remark = f"There are no jumps to tame {' or '.join(untold)}." if untold else ""
    return book.Verdict(kinds, numbers, remark)


def draw(dataset: xr.Dataset) -> book.Figure:
    """Climb and late loss over the rate, with and without clipping."""
    figure, axes = book.panels(2)
    least = dataset["late_loss"].sel(max_norm=UNCLIPPED).min("learning_rate")
    best = float(book.best_rate(dataset["late_loss"].sel(max_norm=UNCLIPPED)))
    shown = (dataset["climb"], dataset["late_loss"] / least)
    for ax, array in zip(axes, shown, strict=True):
        for norm in (UNCLIPPED, 100, NORM, 0.01):
            label = "no clipping" if norm == UNCLIPPED else f"norm at most {norm:g}"
            part = array.sel(max_norm=norm, method="nearest")
            book.draw_lines(ax, part, "learning_rate", log="x", label=label)
        for rate, line in ((RATE, ":"), (best, "--"), (TOO_FAST * best, "-.")):
            ax.axvline(rate, color="grey", linestyle=line)
    axes[0].set_yscale("symlog", linthresh=LEAST)
    axes[0].axhline(LEAST, color="grey", linewidth=0.8)
    axes[0].set(title="sum of upward steps", ylabel="climb / initial loss", ylim=(0, None))
    axes[1].set(title="late loss", ylabel="late loss / least without clipping", yscale="log")
    axes[0].legend(fontsize="small", loc="upper left")
    return figure


CLAIM = book.Claim(
    says="On a rough loss, clipping the global norm at 1.0 tames the jumps of Adam.",
    asks="Does clipping remove a fifth of the upward jumps?",
    criterion="10-32-1 ReLU network, mean square + mean |sin(output)|, 100 samples, 200 "
    "full-batch steps. Climb: the sum of all upward steps of the loss, in units of the initial "
    "loss, at least 0.01. At each of three rates - 1e-4, the best one without clipping (of the "
    "least median late loss) and ten times that - at which runs without clipping climb by more, "
    "clipping tames jumps if the 95 % interval over seeds of the decades of climb that it removes "
    "lies above 0.1, and not if below. Supported or refuted if all agree; it depends on the rate "
    "if they differ.",
    settings={"seeds": 48, "rates": 25, "norms": 9},
    quick={"seeds": 2, "rates": 6, "norms": 3},
    check={"first_seed": 3000},
    caption="The sum of all upward steps of the loss (left) and the late loss (right), over the "
    "rate, for four limits on the gradient's norm; the lines nearly coincide, except at the "
    "highest rates on the right. Vertical: the claim's rate (dotted), the best (dashed), ten "
    "times it (dash-dotted); horizontal: the least climb that counts.",
)

"""C11: do faults in the bias correction show only early in training?"""

from __future__ import annotations

from typing import Any

import numpy as np
import optax
import xarray as xr

import adamlab
from adamlab.problems import digits_mlp
from adamlab.stages import track_nu
from experiments import book

RATE, B2 = 1e-3, 1e-3  # the rate and 1-b2 that the claim is made for
GAP = 0.1  # decades of loss
EARLY = 0.05  # the share of the run that is early
LEARNED, GUESSING = 1e-6, float(np.log(10))  # less is rounding in float32; a broken run's loss


def half_corrected_adam(learning_rate: Any, b2: Any) -> optax.GradientTransformation:
    """Adam that corrects the first moment but not the second."""
    return adamlab.chain(
        adamlab.track_moments(0.9, None),
        adamlab.correct_bias(),
        track_nu(b2),
        adamlab.precondition(),
        adamlab.scale_by_learning_rate(learning_rate),
    )


FORMS = {
    "right": adamlab.adam,
    "left out": book.uncorrected_adam,
    "of the first moment alone": half_corrected_adam,
}


def measure(lab: book.Lab) -> xr.Dataset:
    """The loss over time, rate x 1-b2, for each form."""
    axes = {
        "learning_rate": np.geomspace(1e-4, 10**-0.5, lab["rates"]),
        "1-b2": np.geomspace(1e-5, 1e-1, lab["b2s"]),
    }
    maps = {
        name: lab.map(
            name, digits_mlp(), build, axes,
            steps=lab["steps"], checkpoints=lab["checkpoints"], curve=True,
        )[["curve", "late_loss"]]
        for name, build in FORMS.items()
    }  # fmt: skip
    return book.side_by_side("form", maps)


def above_right(losses: xr.Dataset) -> xr.Dataset:
    """What each fault adds to the right form's decades of loss, seed by seed."""
    return losses.drop_sel(form="right") - losses.sel(form="right", drop=True)


def gaps(dataset: xr.Dataset) -> xr.Dataset:
    """The decades of loss that each fault adds early in the run, and late, over 1-b2."""
    losses = dataset.map(book.decades, least=LEARNED, broken=GUESSING)
    places = book.at_rates(losses, RATE, losses["late_loss"])
    at_rate, at_best = (above_right(losses) for losses in places.values())
    early = at_rate["curve"].sel(step=slice(None, EARLY * float(dataset["step"][-1]) + 1))
    # Of the first checkpoints, the one where the fault shows most in either direction.
    widest = abs(early.median("seed")).argmax("step")
    at_rate[f"early at {RATE:g}"] = early.isel(step=widest).drop_vars("step")
    at_rate[f"late at {RATE:g}"] = at_rate["late_loss"]
    at_rate["late, each at its best rate"] = at_best["late_loss"]
    return at_rate.drop_vars(["curve", "late_loss"])


def judge(dataset: xr.Dataset) -> book.Verdict:
    """Whether each fault is gone late: at each 1-b2, at 1e-3 and each at its best rate."""
    numbers: dict[str, Any] = {
        f"{case}, {when}": book.over_seeds(gap)
        for case, found in book.each(gaps(dataset), "form", "1-b2")
        for when, gap in found.items()
    }
    kinds = {n: book.within(gap, -GAP, GAP) for n, gap in numbers.items() if "late" in n}
    for name, late in book.each(dataset[["late_loss"]], "form", "1-b2"):
        best = float(book.best_rate(late["late_loss"]))
        end = book.at_end(best, dataset["learning_rate"].values)
        numbers[f"best rate, correction {name}{end}"] = best
    return book.Verdict(kinds, numbers)


def draw(dataset: xr.Dataset) -> book.Figure:
    """The loss over time at 1e-3, and the gaps over 1-b2."""
    figure, axes = book.panels(2, 2)
    curve = dataset["curve"].sel(learning_rate=RATE, method="nearest")
    for ax, slow in zip(axes[:2], (B2, 1e-5), strict=True):
        part = curve.sel({"1-b2": slow}, method="nearest")
        for form in FORMS:
            book.draw_lines(ax, part.sel(form=form), "step", log="xy", label=form)
        ax.set(title=f"rate {RATE:g}, 1-b2 = {part['1-b2']:.0e}", ylabel="loss")
    axes[0].legend(title="correction", fontsize=8)
    for ax, (fault, found) in zip(axes[2:], book.each(gaps(dataset), "form"), strict=True):
        for when, gap in found.items():
            book.draw_lines(ax, gap, "1-b2", label=when, marker="o")
        ax.axhspan(-GAP, GAP, color="silver", zorder=0)
        ax.set(title=f"correction {fault}", ylabel="decades of loss it adds")
    axes[2].legend(fontsize=8)
    return figure


CLAIM = book.Claim(
    says="Faults of the bias correction show only early in training.",
    asks=f"Is the late loss within {GAP} decades of correct Adam's?",
    criterion="Digits, 64-32-10, b1 = .9; the correction left out, or made of the first moment "
    "alone. Gap: decades of loss above the right form's, seed by seed. Early: at the rate of "
    f"1e-3, where it is widest in the first {EARLY:.0%} of the run; late: over the last quarter, "
    "at 1e-3 and each at its best rate, for each 1-b2 from 1e-5 to 0.1. Late, the fault is gone "
    f"where its 95 % interval lies within +-{GAP}, and not where it lies beyond. Supported if it "
    "is gone in all of these cases, refuted if in none; it depends on the case if gone in some "
    "and not in others, and is undecided otherwise. The early gaps are told, and do not decide.",
    settings={"seeds": 24, "rates": 8, "b2s": 5, "steps": 4000, "checkpoints": 100},
    quick={"seeds": 2, "rates": 4, "b2s": 2, "steps": 60, "checkpoints": 30},
    check={"first_seed": 2000},
    caption="Top: the loss over time at a rate of 1e-3, with the default b2 (left) and with a "
    "longer memory (right). Bottom: the decades of loss that each fault adds, early and late, "
    "over 1-b2 (there colours are times); within the grey band the fault is gone.",
)

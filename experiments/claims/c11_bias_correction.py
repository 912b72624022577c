"""C11: do faults of the bias correction show only early in training?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import optax

import adamlab
from adamlab.analysis import Interval
from adamlab.problems import digits_mlp
from adamlab.stages import correct_mu_bias
from experiments import book

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

RATE, B2 = 1e-3, 1e-3  # the rate and 1-b2 that the claim is made for
GAP = 0.1  # decades of loss
EARLY = 0.05  # the share of the run that is early
LEARNED, GUESSING = 0.01, float(np.log(10))  # a lower loss says no more; a broken run's
EARLY_AT_RATE, LATE_AT_RATE = f"early at {RATE:g}", f"late at {RATE:g}"
LATE_AT_BEST = "late, each at its best rate"


def half_corrected_adam(learning_rate: Any, b2: Any) -> optax.GradientTransformation:
    """Adam that corrects the first moment and forgets the second."""
    return adamlab.chain(
        adamlab.track_moments(0.9, b2),
        correct_mu_bias(),
        adamlab.precondition(),
        adamlab.scale_by_learning_rate(learning_rate),
    )


FORMS = {
    "right": adamlab.adam,
    "left out": book.uncorrected_adam,
    "of the first moment alone": half_corrected_adam,
}
FAULTS = list(FORMS)[1:]


def measure(lab: book.Lab) -> xr.Dataset:
    """The loss over time, rate x 1-b2, for each form."""
    axes = {
        "learning_rate": np.geomspace(RATE, 10**-1.5, lab["rates"]),
        "1-b2": np.geomspace(1e-5, 1e-1, lab["b2s"]),
    }
    maps = {
        name: lab.map(
            name.replace(" ", "-"), digits_mlp(), build, axes,
            steps=lab["steps"], checkpoints=lab["checkpoints"], curve=True,
        )[["curve", "late_loss"]]
        for name, build in FORMS.items()
    }  # fmt: skip
    return book.side_by_side("form", maps)


def decades(loss: xr.DataArray) -> xr.DataArray:
    """log10 of a loss, at least that of fully learned; a broken run counts as one that guesses."""
    usable = loss.where(np.isfinite(loss), GUESSING).clip(min=LEARNED)
    return usable.copy(data=np.log10(usable))


def gaps(dataset: xr.Dataset, fault: str) -> dict[str, xr.DataArray]:
    """Decades by which the fault's loss lies above the right form's, seed by seed, over 1-b2."""
    curve, late = decades(dataset["curve"]), decades(dataset["late_loss"])
    # Of the first checkpoints, the one where the fault shows most in either direction.
    beginning = curve.sel(step=slice(None, EARLY * float(curve["step"][-1]) + 1)).sel(
        learning_rate=RATE, method="nearest"
    )
    apart = beginning.sel(form=fault) - beginning.sel(form="right")
    widest = abs(apart.median("seed")).argmax("step")
    best = {
        form: late.sel(form=form).isel(
            learning_rate=late.sel(form=form).median("seed").argmin("learning_rate")
        )
        for form in (fault, "right")
    }
    return {
        EARLY_AT_RATE: apart.isel(step=widest),
        LATE_AT_RATE: late.sel(form=fault).sel(learning_rate=RATE, method="nearest")
        - late.sel(form="right").sel(learning_rate=RATE, method="nearest"),
        LATE_AT_BEST: best[fault].drop_vars(["form", "learning_rate"])
        - best["right"].drop_vars(["form", "learning_rate"]),
    }


def judge(dataset: xr.Dataset) -> book.Verdict:
    """Where the gap is there early, where it is there late, and where it is surely gone."""
    numbers: dict[str, Interval] = {}
    shows: dict[str, list[str]] = {EARLY_AT_RATE: [], LATE_AT_RATE: [], LATE_AT_BEST: []}
    within = dict.fromkeys(shows, True)
    for fault in FAULTS:
        for when, gap in gaps(dataset, fault).items():
            for complement in gap["1-b2"].values:
                case = f"{fault} at 1-b2 = {complement:.0e}"
                found = book.over_seeds(gap.sel({"1-b2": complement}))
                numbers[f"{when}: {case}"] = found
                if found.low > GAP or found.high < -GAP:
                    shows[when].append(case)
                within[when] &= found.low > -GAP and found.high < GAP
    late = (LATE_AT_RATE, LATE_AT_BEST)
    default = {f"{fault} at 1-b2 = {B2:.0e}" for fault in FAULTS}
    if all(default <= set(shows[when]) for when in late):
        sentence = "At b2 = .999 the faults show in the last quarter too, at both rates."
        return book.Verdict("refuted", sentence, numbers)
    if any(shows[when] for when in late):
        cases = "; ".join(f"{when}: {', '.join(shows[when])}" for when in late if shows[when])
        return book.Verdict("depends", f"On b2, the rate and the fault. It shows {cases}.", numbers)
    if shows[EARLY_AT_RATE] and within[LATE_AT_RATE] and within[LATE_AT_BEST]:
        return book.Verdict("supported", "Faults show early and are gone late, at any b2.", numbers)
    return book.Verdict(
        "undecided", f"A late interval holds {GAP} decades, or none is early.", numbers
    )


def draw(dataset: xr.Dataset) -> Figure:
    """The gap over time at the rate, and where over rate x 1-b2 it stays."""
    figure, axes = book.panels(2, 2)
    curve = dataset["curve"].sel(learning_rate=RATE, method="nearest")
    for ax, at in zip(axes, (B2, float(curve["1-b2"].min())), strict=False):
        for form in FORMS:
            line = curve.sel(form=form).sel({"1-b2": at}, method="nearest")
            book.draw_lines(ax, line, "step", log="xy", label=form)
        ax.set(title=f"rate {RATE:g}, 1-b2 = {at:.0e}", ylabel="loss")
    axes[0].legend(title="correction", fontsize=8)
    late = decades(dataset["late_loss"])
    for ax, fault in zip(axes[2:], FAULTS, strict=True):
        gap = (late.sel(form=fault) - late.sel(form="right")).median("seed")
        gap = gap.rename("late gap, decades (red: worse)")
        book.draw_heat(ax, gap, "learning_rate", "1-b2", cmap="coolwarm", vmin=-1, vmax=1)
        ax.plot(RATE, B2, "k*", markersize=11)
        ax.set_title(f"correction {fault}")
    return figure


EXPERIMENT = book.Experiment(
    id="C11",
    question="Do faults of the bias correction show only early in training?",
    claim="Faults of the bias correction show only early in training.",
    criterion="Digits, 64-32-10, b1 = .9; the correction left out, or made of the first moment "
    "alone. Gap: decades of loss above the right form's, seed by seed, losses below "
    f"{LEARNED} counted as that. Early: at the rate of 1e-3, where it is widest in the first "
    f"{EARLY:.0%} of the run; late: over the last quarter, at 1e-3 and each at its best rate. It "
    f"shows where its 95 % interval lies beyond +-{GAP}. Supported if some show early and all late "
    "ones lie within, at every 1-b2 from 1e-5 to 0.1; refuted if at b2 = .999 both faults show "
    "late at both rates; otherwise it depends, if any shows late.",
    measure=measure,
    judge=judge,
    draw=draw,
    settings={"seeds": 8, "rates": 4, "b2s": 5, "steps": 2000, "checkpoints": 100},
    quick={"seeds": 2, "rates": 2, "b2s": 2, "steps": 60, "checkpoints": 30},
    check={"first_seed": 1000},
    symptom="The loss jumps in the first steps and is behind for a while, or for good.",
    remedy="adamlab.chain(track_moments(), correct_bias(), precondition(), "
    "scale_by_learning_rate(1e-3))",
)

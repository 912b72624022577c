"""C02: does too large a rate overshoot, and do badly set betas make training unstable?"""

from __future__ import annotations

import numpy as np
import xarray as xr

import adamlab
from adamlab.maps import converged_band
from adamlab.problems import digits_mlp
from experiments import book

DEFAULT_RATE, LARGE_RATE, B1, SLOWNESS = 1e-3, 1.0, 0.9, 1e-3  # of b2: 1 - .999
MOST = 0.5  # of 1-b2: nobody sets b2 to 0, where every run is unstable
OVERSHOT, MORE_OFTEN = 1.0, 0.2
"""Decades of loss above the best rate's, and the share of runs, that count."""


def measure(lab: book.Lab) -> xr.Dataset:
    """Outcomes over rate x 1-b2, and over 1-b1 x 1-b2 at the default rate and ten times it."""
    slow = np.union1d(np.geomspace(1e-4, MOST, lab["b2s"]), [SLOWNESS])
    rates = {"learning_rate": np.geomspace(1e-4, LARGE_RATE, lab["rates"]), "1-b2": slow}
    moments = {
        "learning_rate": np.array([1, 10]) * DEFAULT_RATE,
        "1-b1": np.geomspace(1e-3, 1, lab["b1s"]),
        "1-b2": slow,
    }
    problem, steps = digits_mlp(), lab["steps"]
    over_rate = lab.map("rates", problem, adamlab.adam, rates, fixed={"b1": B1}, steps=steps)
    over_b1 = lab.map("moments", problem, adamlab.adam, moments, steps=steps)
    kept = xr.Dataset({"late_loss": over_rate["late_loss"], "outcome": over_rate["outcome"]})
    return kept.assign(
        highest_rate=converged_band(over_rate, "learning_rate").high,
        of_betas=over_b1["outcome"].rename(learning_rate="rate"),
    )


def unstable(outcome: xr.DataArray) -> xr.DataArray:
    """Whether a run neither converged nor was still on its way."""
    kinds = adamlab.Outcome
    return ~outcome.isin([kinds.CONVERGED, kinds.SLOW])


def judge(dataset: xr.Dataset) -> book.Verdict:
    """The large rate against the best, and badly set betas against the others, at each rate."""
    late = book.decades(dataset["late_loss"]).sel({"1-b2": SLOWNESS}, method="nearest")
    over = book.over_seeds(late.isel(learning_rate=-1) - book.at_best(late))
    numbers: book.Numbers = {
        f"decades of loss at a rate of {LARGE_RATE:g} above the best rate's": over
    }
    kinds = {f"a rate of {LARGE_RATE:g} ends far above the best": book.by_sign(over, OVERSHOT)}
    remark = ""
    share = unstable(dataset["of_betas"])
    bad = (1 - dataset["1-b1"]) ** 2 > 1 - dataset["1-b2"]
    for rate in dataset["rate"].values:
        at = share.sel(rate=rate)
        badly, well = (at.where(part).mean(["1-b1", "1-b2"]) for part in (bad, ~bad))
        gap = book.over_seeds(badly - well)
        numbers[f"share unstable at {rate:g}, badly set"] = book.over_seeds(badly)
        numbers[f"share unstable at {rate:g}, badly set minus well set"] = gap
        kinds[f"bad betas are unstable at {rate:g}"] = book.by_sign(gap, MORE_OFTEN)
        most = float(at.where(bad).mean("seed").max())
        remark += f"At {rate:g} the worst of them make {most:.0%} of the runs unstable. "
    highest = dataset["highest_rate"].sel({"1-b2": [MOST, SLOWNESS, 1e-4]}, method="nearest")
    for b2, value in zip((f"{1 - MOST:g}", ".999", ".9999"), highest.values, strict=True):
        numbers[f"highest rate that converges (0: none), b2 = {b2}"] = float(np.nan_to_num(value))
    return book.Verdict(kinds, numbers, remark.strip())


def draw(dataset: xr.Dataset) -> book.Figure:
    """The share of unstable runs: over rate x 1-b2, and over 1-b1 x 1-b2 at each rate."""
    figure, axes = book.panels(3)
    share = unstable(dataset["outcome"]).mean("seed").rename("share of unstable runs")
    book.draw_heat(axes[0], share, "learning_rate", "1-b2", vmin=0, vmax=1, cmap="magma_r")
    axes[0].plot(DEFAULT_RATE, SLOWNESS, "o", color="C0")
    axes[0].set_title(f"b1 = {B1} (dot: the defaults)")
    for ax, rate in zip(axes[1:], dataset["rate"].values, strict=True):
        part = unstable(dataset["of_betas"]).sel(rate=rate).mean("seed").rename(share.name)
        book.draw_heat(ax, part, "1-b1", "1-b2", vmin=0, vmax=1, cmap="magma_r")
        b1 = 1 - np.geomspace(float(part["1-b1"].min()), 0.999, 300)
        ax.plot(1 - b1, 1 - b1**2, color="C2", label="b1 = sqrt(b2); above: badly set")
        ax.plot(1 - B1, SLOWNESS, "o", color="C0")
        ax.set(title=f"learning_rate = {rate:g}", ylim=axes[0].get_ylim())
        ax.legend(loc="lower left", fontsize="small", framealpha=0.5)
    return figure


CLAIM = book.Claim(
    says="Too large a rate overshoots; badly set b1, b2 make training unstable.",
    asks="Is this so?",
    criterion=f"Digits, 64-32-10, batch 64. Overshooting: late loss at a rate of {LARGE_RATE:g}, "
    f"default betas, more than {OVERSHOT:g} decade above the best rate's. Unstable: neither "
    f"converged nor still falling; its share of the runs with b1 > sqrt(b2), b2 from {1 - MOST:g} "
    "up, less that of the other runs, at the default rate and at ten times it, more than "
    f"{MORE_OFTEN}. Supported if the 95 % intervals over seeds of all three lie above, refuted if "
    "all lie below; it depends on the part if they differ, and is undecided otherwise.",
    settings={"seeds": 8, "rates": 13, "b1s": 10, "b2s": 10, "steps": 600},
    quick={"seeds": 2, "rates": 3, "b1s": 3, "b2s": 3, "steps": 40},
    check={"first_seed": 1000},
    caption="Share of seeds whose training is unstable (darker: more). Left: over the rate and "
    "1-b2; middle and right: over 1-b1 and 1-b2, at two rates. Dot: the defaults. Above the green "
    "line, b1 > sqrt(b2), the betas count as badly set.",
)

"""C06: do a few mislabelled samples keep Adam oscillating without converging?"""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

import adamlab
from adamlab import Outcome
from adamlab.plot import COLORS
from adamlab.problems import cross_entropy, digits, mislabelled, network, supervised
from experiments import book

RATE = 1e-3
FEW = 0.05  # of the labels
TARGET = 0.1  # cross-entropy over the train rows as they are labelled
NOISES = np.array([0, 0.02, FEW, 0.1, 0.3])
HELD = (Outcome.OSCILLATING, Outcome.STALLED, Outcome.SLOW)


def measure(lab: book.Lab) -> xr.Dataset:
    """Rate x share of wrong labels, digits, batches of 64."""
    problem = supervised(
        mislabelled(digits()), network((64, 32, 10)), cross_entropy, batch_size=64, target=TARGET
    )
    axes = {
        "learning_rate": np.geomspace(1e-4, 1e-1, lab["rates"]),
        "label_noise": NOISES[:: lab["stride"]],
    }
    found = lab.map("noise", problem, adamlab.adam, axes, steps=lab["steps"])
    kept = [
        "outcome",
        "late_loss",
        "late_spread",
        "late_rise",
        "average_loss",
        "test_accuracy",
        "test_loss",
    ]
    return found[kept]


def fluctuates(runs: xr.Dataset) -> xr.DataArray:
    """Whether runs oscillate by the rule of adamlab.Outcome, even if they converge."""
    late, rule = runs["late_loss"], adamlab.Criteria()
    least = rule.spread * late
    goes_up = (runs["late_spread"] >= least) & (runs["late_rise"] >= least)
    return goes_up | (late - runs["average_loss"] >= rule.gain * late)


def judge(dataset: xr.Dataset) -> book.Verdict:
    """Compared with clean labels: do runs fail to converge, and do most of them oscillate?"""
    clean, few = (dataset.sel(label_noise=noise, drop=True) for noise in (0, FEW))
    pairs = [book.at_rates(each, RATE, each["late_loss"]) for each in (clean, few)]
    numbers: book.Numbers = {}
    kinds: dict[str, book.Kind] = {}
    for where in pairs[0]:
        without, with_few = (pair[where] for pair in pairs)
        lost = [(run["outcome"] == Outcome.CONVERGED).astype(float) for run in (without, with_few)]
        less = book.over_seeds(lost[0] - lost[1], np.mean)
        numbers[f"share of runs that no longer converge, {where}"] = less
        kinds[f"runs no longer converge, {where}"] = book.by_sign(less, 0.5)
        for outcome in HELD:
            share = book.share(with_few["outcome"] == outcome)
            numbers[f"share of runs with the outcome {outcome.name.lower()}, {where}"] = share
        held = [
            (run["outcome"] == Outcome.OSCILLATING).astype(float) for run in (with_few, without)
        ]
        more = book.over_seeds(held[0] - held[1], np.mean)
        numbers[f"share of runs that oscillate and did not, {where}"] = more
        kinds[f"runs oscillate without converging, {where}"] = book.by_sign(more, 0.5)
        for labels, run in (("wrong", with_few), ("right", without)):
            name = f"deviation of the late loss with {labels} labels, {where}"
            numbers[name] = book.over_seeds(run["late_spread"])
            numbers[f"late loss with {labels} labels, {where}"] = book.over_seeds(run["late_loss"])
        cost = book.over_seeds(without["test_accuracy"] - with_few["test_accuracy"])
        numbers[f"test accuracy lost, {where}"] = cost
    return book.Verdict(kinds, numbers)


def draw(dataset: xr.Dataset) -> book.Figure:
    """Outcomes over the share of wrong labels, at the claim's rate and the best; test accuracy."""
    figure, axes = book.panels(3)
    shown = (Outcome.CONVERGED, *HELD)
    noise = dataset["label_noise"].values
    best = book.best_rate(dataset["late_loss"]).values
    places = np.arange(len(noise))
    rates = {f"at {RATE:g}": [RATE] * len(noise), "at the best rate": best}
    for ax, (where, chosen) in zip(axes, rates.items(), strict=False):
        rate = xr.DataArray(chosen, dims="label_noise")
        at = dataset.sel(learning_rate=rate, method="nearest").transpose("label_noise", "seed")
        below = np.zeros(len(noise))
        for outcome in shown:
            share = (at["outcome"] == outcome).mean("seed").values
            style: dict[str, Any] = {"color": COLORS[outcome], "label": outcome.name.lower()}
            ax.bar(places, share, bottom=below, **style)
            below = below + share
        swings = fluctuates(at).mean("seed").values
        ax.bar(
            places, swings, width=0.3, color="none", edgecolor="k", hatch="//", label="fluctuates"
        )
        named = [
            f"{n:g}\n({r:.1g})" for n, r in zip(noise, at["learning_rate"].values, strict=True)
        ]
        ax.set_xticks(places, named)
        ax.set(title=where, xlabel="share of wrong labels (rate)", ylim=(0, 1.3))
        ax.set_yticks(np.linspace(0, 1, 6))
    axes[0].set_ylabel("share of runs")
    axes[0].legend(fontsize="small", ncols=2, loc="upper center")
    for value in noise:
        part = dataset["test_accuracy"].sel(label_noise=value)
        book.draw_lines(axes[2], part, "learning_rate", label=f"{value:g}")
    axes[2].axvline(RATE, color="grey", linestyle=":")
    axes[2].set(title="accuracy on clean test rows", ylabel="test accuracy", ylim=(0.5, 1))
    axes[2].legend(fontsize="small", title="wrong labels", ncols=2)
    return figure


CLAIM = book.Claim(
    says="A few mislabelled samples keep Adam oscillating without converging.",
    asks="Do 5 % of wrong labels do this to more than half of the runs, in 67 epochs?",
    criterion="Digits, 64-32-10 ReLU network, batches of 64, 67 epochs, train labels wrong by 5 "
    "%. Converged: late loss over the train rows, as labelled, at most 0.1, which takes "
    "memorising: by the right labels alone, the wrong ones leave 0.3. Two questions, at the rate "
    "of 1e-3 and at the best one (least median late loss, for each share its own): is the share "
    "of runs that converge less than with right labels by more than half, and the share with the "
    "outcome oscillating (adamlab.Outcome: the late loss spreads, or averaged parameters do "
    "better, and the run has not converged) more by over half? Supported if the 95 % intervals "
    "over seeds of all four lie above 1/2, refuted if all lie below; depends on which if one does "
    "and another does not.",
    settings={"seeds": 192, "rates": 7, "stride": 1, "steps": 1500},
    quick={"seeds": 2, "rates": 4, "stride": 2, "steps": 100},
    check={"first_seed": 27_000},
    caption="Outcomes of the runs over the share of wrong labels, at 1e-3 (left) and at each "
    "share's best rate (middle); the rate is in brackets. Hatched: the runs whose loss fluctuates "
    "late, converged or not. Right: accuracy on clean test rows over the rate (dotted: 1e-3).",
)

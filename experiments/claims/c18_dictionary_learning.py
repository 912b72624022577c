"""C18: in dictionary learning, is Adam unstable or stuck where SGD is stable but slower?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

import adamlab
from adamlab.analysis import Interval
from adamlab.problems import dictionary_learning
from experiments import book

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

OPTIMIZERS = {"adam": adamlab.adam, "sgd": adamlab.sgd}
RATE, STEPS = 1e-2, 100
PENALTY = {0.0: "without L1", 1e-2: "with L1"}
STUCK = 0.05  # decades of loss above SGD's
UNSTABLE = 0.1  # the share of all the loss's moves that go up
BROKEN = 6.0  # what counts as the decades of loss of a run that met infinity


def measure(lab: book.Lab) -> xr.Dataset:
    """Rate x weight of the L1 penalty for both optimizers, 100 steps and ten times as many."""
    axes = {"learning_rate": np.geomspace(1e-4, 1, lab["rates"]), "l1": lab["l1"]}
    runs = {}
    for steps in (STEPS * factor for factor in lab["longer"]):
        found = lab.map(
            str(steps), dictionary_learning(), OPTIMIZERS, axes,
            steps=steps, checkpoints=STEPS, curve=True,
        )  # fmt: skip
        moves = found["curve"].diff("step")
        up, down = moves.clip(min=0).sum("step"), -moves.clip(max=0).sum("step")
        broken = ~np.isfinite(found["final_loss"])
        floor = found["floor"].where(~broken, 1.0)
        parts = {
            "loss": found["final_loss"] + floor,  # the objective leaves the floor out
            "mse": found["mse"],
        }
        shares = {n: (v / floor).where(~broken, 10**BROKEN) for n, v in parts.items()}
        decades = {n: v.copy(data=np.log10(v)) for n, v in shares.items()}
        rises = (up / (up + down).clip(min=1e-12)).where(~broken, 1.0)
        runs[f"{steps} steps"] = found[["dead_codes"]].assign(decades | {"rises": rises})
    return book.side_by_side("run", runs)


def judge(dataset: xr.Dataset) -> book.Verdict:
    """Adam's loss beside SGD's and how often it rises: at the claim's rate, each at its best."""
    claimed = abs(dataset["learning_rate"] - RATE).argmin("learning_rate")
    rates = {f"at {RATE:g}": claimed, "at best rates": dataset["loss"].argmin("learning_rate")}
    kinds: dict[str, book.Kind] = {}
    numbers: dict[str, Interval] = {}
    for where, place in rates.items():
        at_rate = dataset[["loss", "mse", "rises"]].isel(learning_rate=place)
        for run in dataset["run"].values:
            for l1 in PENALTY:
                adam, sgd = (at_rate.sel(run=run, l1=l1, optimizer=name) for name in OPTIMIZERS)
                name = f"{run} {where} {PENALTY[l1]}"
                behind = book.over_seeds(adam["loss"] - sgd["loss"])
                numbers[f"decades of loss, Adam's less SGD's: {name}"] = behind
                numbers[f"Adam's rises: {name}"] = book.over_seeds(adam["rises"])
                kinds[name] = worse(
                    book.by_sign(behind, STUCK),
                    book.by_sign(book.over_seeds(adam["rises"]), UNSTABLE),
                    book.by_sign(book.over_seeds(sgd["rises"]), UNSTABLE),
                )
                if place is claimed:
                    mse = {"Adam": adam["mse"], "SGD": sgd["mse"]}
                    for who, decades in mse.items():
                        numbers[f"decades of mse above PCA, {who}: {name}"] = book.over_seeds(
                            decades
                        )
    kind, sentence = book.together(kinds, "Is Adam stuck or unstable where SGD is stable?")
    return book.Verdict(kind, sentence, numbers)


def worse(stuck: book.Kind, unstable: book.Kind, sgd_unstable: book.Kind) -> book.Kind:
    """Whether Adam fails, in one way or the other, where SGD is stable."""
    if sgd_unstable == "supported" or (stuck, unstable) == ("refuted", "refuted"):
        return "refuted"
    fails = "supported" in (stuck, unstable)
    return "supported" if fails and sgd_unstable == "refuted" else "undecided"


def draw(dataset: xr.Dataset) -> Figure:
    """The loss over the rate for both, one row for each penalty, above what PCA leaves."""
    runs = list(dataset["run"].values)
    figure, axes = book.panels(len(runs), dataset.sizes["l1"])
    for row, l1 in enumerate(dataset["l1"].values):
        for column, run in enumerate(runs):
            ax = axes[row * len(runs) + column]
            for name in OPTIMIZERS:
                loss = 10 ** dataset["loss"].sel(run=run, l1=l1, optimizer=name)
                book.draw_lines(ax, loss, "learning_rate", log="xy", label=name)
            ax.axhline(1, color="black", linewidth=1, label="PCA of rank 5")
            ax.axvline(RATE, color="grey", linestyle=":", label="the claim's rate")
            ax.set(title=f"{run}, l1 = {l1:g}", ylabel="loss / PCA's mse", ylim=(0.8, 30))
    axes[0].legend()
    return figure


EXPERIMENT = book.Experiment(
    id="C18",
    question="In dictionary learning, is Adam unstable or stuck where SGD is stable but slower?",
    claim="In dictionary learning Adam is unstable or stuck where SGD at the same rate of .01 is "
    "stable but slower, without and with a penalty of .01 times the sum of absolute codes.",
    criterion="Encoder 10 to 8, dictionary 5 x 8, decoder to 10, 100 Gaussian samples. Eight "
    "settings: 100 and 1000 steps, l1 of 0 and .01, both optimizers at .01 and each at the rate "
    "with its least final loss. Adam is stuck where its final loss lies over .05 decades above "
    "SGD's, unstable where over a tenth of the loss's moves (by size, between 100 looks) go up. A "
    "setting supports the claim if Adam is one of them and SGD is not unstable, each by the 95 % "
    "interval over seeds, and refutes it if Adam is neither or SGD is unstable. Supported or "
    "refuted if all settings are; depends on the setting if they differ.",
    measure=measure,
    judge=judge,
    draw=draw,
    settings={"seeds": 12, "rates": 13, "l1": [0, 1e-4, 1e-2], "longer": [1, 10]},
    quick={"seeds": 2, "rates": 4, "l1": [0, 1e-2], "longer": [1]},
    check={"first_seed": 1000},
    symptom="The reconstruction stops improving, or jumps, while plain SGD creeps on.",
    remedy="adam(5e-2)  # and a penalty of 1e-4: it sums over all 100 samples",
)

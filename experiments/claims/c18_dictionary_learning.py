"""C18: in dictionary learning, is Adam unstable or stuck where SGD is stable but slower?"""

from __future__ import annotations

import numpy as np
import xarray as xr

import adamlab
from adamlab.problems import dictionary_learning
from experiments import book

OPTIMIZERS = {"adam": adamlab.adam, "sgd": adamlab.sgd}
RATE, LOOKS = 1e-2, 100
JUDGED = [0.0, 1e-2]  # weights of the L1 penalty
STUCK = 0.05  # decades of loss above SGD's
UNSTABLE = 0.1  # the share of all the loss's moves that go up
BROKEN = 1e6  # the loss that a run that met infinity counts as, in units of PCA's


def measure(lab: book.Lab) -> xr.Dataset:
    """Loss above PCA's, and rises, over rate x L1 for both optimizers, 100 and 1000 steps."""
    axes = {"learning_rate": np.geomspace(1e-4, 1, lab["rates"]), "l1": lab["l1"]}
    runs = {}
    for steps in lab["steps"]:
        found = lab.map(
            str(steps), dictionary_learning(), OPTIMIZERS, axes,
            steps=steps, checkpoints=LOOKS, curve=True,
        )  # fmt: skip
        moves = found["curve"].diff("step")
        up, down = moves.clip(min=0).sum("step"), -moves.clip(max=0).sum("step")
        rises = (up / (up + down).clip(min=1e-12)).where(np.isfinite(found["final_loss"]), 1.0)
        parts = {
            # The objective is the loss less PCA's floor.
            "loss": book.decades(found["final_loss"] / found["floor"] + 1, broken=BROKEN),
            "mse": book.decades(found["mse"] / found["floor"], broken=BROKEN),
        }
        runs[f"{steps} steps"] = found[["dead_codes"]].assign(parts | {"rises": rises})
    return book.side_by_side("run", runs)


def judge(dataset: xr.Dataset) -> book.Verdict:
    """Adam's loss against SGD's and how much it rises: at the claim's rate, each at its best."""
    kinds: dict[str, book.Kind] = {}
    numbers: book.Numbers = {}
    for where, at in book.at_rates(dataset, RATE, dataset["loss"]).items():
        for case, found in book.each(at.sel(l1=JUDGED), "run", "l1"):
            adam, sgd = (found.sel(optimizer=name) for name in OPTIMIZERS)
            behind = book.over_seeds(adam["loss"] - sgd["loss"])
            rises = book.over_seeds(adam["rises"])
            kinds[f"{case}, {where}"] = worse(
                book.by_sign(behind, STUCK),
                book.by_sign(rises, UNSTABLE),
                book.by_sign(book.over_seeds(sgd["rises"]), UNSTABLE),
            )
            numbers |= {
                f"decades of loss, Adam's less SGD's: {case}, {where}": behind,
                f"share of the loss's moves that go up, Adam: {case}, {where}": rises,
                f"decades of mse above PCA, Adam: {case}, {where}": book.over_seeds(adam["mse"]),
                f"decades of mse above PCA, SGD: {case}, {where}": book.over_seeds(sgd["mse"]),
            }
    for case, found in book.each(dataset.sel(l1=JUDGED), "run", "l1", "optimizer"):
        best = float(book.best_rate(found["loss"]))
        numbers[f"best rate: {case}{book.at_end(best, found['learning_rate'].values)}"] = best
    return book.Verdict(kinds, numbers)


def worse(stuck: book.Kind, unstable: book.Kind, sgd_unstable: book.Kind) -> book.Kind:
    """Whether Adam fails, in one way or the other, where SGD is stable."""
    if sgd_unstable == "supported" or (stuck, unstable) == ("refuted", "refuted"):
        return "refuted"
    fails = "supported" in (stuck, unstable)
    return "supported" if fails and sgd_unstable == "refuted" else "undecided"


def draw(dataset: xr.Dataset) -> book.Figure:
    """The loss over the rate for both, as a multiple of what PCA leaves, a row for each penalty."""
    figure, axes = book.panels(dataset.sizes["run"], dataset.sizes["l1"])
    for ax, (case, part) in zip(axes, book.each(dataset, "l1", "run"), strict=True):
        for name in OPTIMIZERS:
            loss = 10 ** part["loss"].sel(optimizer=name)
            book.draw_lines(ax, loss, "learning_rate", log="xy", label=name)
        ax.axhline(1, color="black", linewidth=1, label="PCA of rank 5")
        ax.axvline(RATE, color="grey", linestyle=":", label="the claim's rate")
        ax.set(title=case, ylabel="loss / PCA's mse", ylim=(0.8, 30))
    axes[0].legend()
    return figure


CLAIM = book.Claim(
    says="In dictionary learning Adam is unstable or stuck where SGD at the same rate of .01 is "
    "stable but slower, without and with a penalty of .01 times the sum of absolute codes.",
    asks="Is Adam stuck or unstable where SGD is stable?",
    criterion="Encoder 10 to 8, dictionary 5 x 8, decoder to 10, 100 Gaussian samples. Eight "
    "settings: 100 and 1000 steps, l1 of 0 and .01, both optimizers at .01 and each at its rate "
    "of least median final loss. Adam is stuck where its final loss lies over .05 decades above "
    "SGD's, unstable where over a tenth of the loss's moves (by size, between 100 looks) go up. "
    "A setting supports the claim if Adam is one of them and SGD is not unstable, each by the 95 "
    "% interval over seeds, and refutes it if Adam is neither or SGD is unstable. Supported or "
    "refuted if all settings are; depends on the setting if some do and some do not.",
    settings={"seeds": 24, "rates": 13, "l1": [0, 1e-4, 1e-2], "steps": [100, 1000]},
    quick={"seeds": 2, "rates": 4, "l1": [0, 1e-2], "steps": [100]},
    check={"first_seed": 2000},
    caption="Final loss over the mean squared error that PCA of the same rank leaves, over the "
    "rate: after 100 steps (left) and 1,000 (right). The L1 penalty grows from row to row; the "
    "middle row is not judged.",
)

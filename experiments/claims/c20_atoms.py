"""C20: do some atoms blow up while others vanish?"""

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
FACTOR = 3.0
BROKEN = 6.0  # what counts as the decades that the atoms of a broken run moved, up and down


def measure(lab: book.Lab) -> xr.Dataset:
    """How far the largest and the smallest atom moved, over rate x l1, 100 and 1000 steps."""
    problem = dictionary_learning()
    axes = {"learning_rate": np.geomspace(1e-4, 1, lab["rates"]), "l1": lab["l1"]}
    # At a rate of 0 the dictionary ends as it began.
    begin = lab.map("begin", problem, adamlab.sgd, {}, fixed={"learning_rate": 0.0}, steps=8)
    runs = {}
    for steps in (STEPS * factor for factor in lab["longer"]):
        found = lab.map(str(steps), problem, OPTIMIZERS, axes, steps=steps)
        growth = {
            "up": found["largest_atom"] / begin["largest_atom"],
            "down": begin["smallest_atom"] / found["smallest_atom"].clip(min=1e-9),
        }
        sound = np.isfinite(found["final_loss"])
        growth = {name: times.where(sound, 10**BROKEN) for name, times in growth.items()}
        decades = {name: times.copy(data=np.log10(times)) for name, times in growth.items()}
        runs[f"{steps} steps"] = found[["final_loss", "dead_codes"]].assign(decades)
    return book.side_by_side("run", runs)


def judge(dataset: xr.Dataset) -> book.Verdict:
    """How far the largest grew where one vanished: at the claim's rate and at the best."""
    loss = dataset["final_loss"].where(np.isfinite(dataset["final_loss"]), np.inf)
    claimed = abs(dataset["learning_rate"] - RATE).argmin("learning_rate")
    rates = {f"at {RATE:g}": claimed, "at the best rate": loss.argmin("learning_rate")}
    kinds: dict[str, book.Kind] = {}
    numbers: dict[str, Interval] = {}
    for where, place in rates.items():
        for run in dataset["run"].values:
            for l1 in PENALTY:
                at = dataset.isel(learning_rate=place).sel(run=run, l1=l1, optimizer="adam")
                name = f"{run} {where} {PENALTY[l1]}"
                unused = (at["dead_codes"] > 0) | (at["down"] > at["up"])
                both = book.over_seeds(at["up"].where(unused, at["down"]))
                kinds[name] = book.by_sign(both, np.log10(FACTOR))
                numbers |= {
                    f"decades that the largest atom grew: {name}": book.over_seeds(at["up"]),
                    f"decades that the smallest shrank: {name}": book.over_seeds(at["down"]),
                    f"codes dead of 8: {name}": book.over_seeds(at["dead_codes"]),
                }
    question = f"Does one atom grow {FACTOR:g}-fold while another vanishes?"
    return book.Verdict(*book.together(kinds, question), numbers)


def draw(dataset: xr.Dataset) -> Figure:
    """How many times larger the largest and the smallest atom became, over the rate."""
    runs = list(dataset["run"].values)
    figure, axes = book.panels(len(runs), dataset.sizes["l1"])
    for row, l1 in enumerate(dataset["l1"].values):
        for column, run in enumerate(runs):
            ax, part = axes[row * len(runs) + column], dataset.sel(run=run, l1=l1)
            for name, color in zip(OPTIMIZERS, ("C0", "C1"), strict=True):
                one = part.sel(optimizer=name)
                largest, smallest = 10 ** one["up"], 10 ** -one["down"]
                style = {"log": "xy", "color": color}
                book.draw_lines(ax, largest, "learning_rate", label=f"{name}, largest", **style)
                book.draw_lines(
                    ax, smallest, "learning_rate", label=f"{name}, smallest", linestyle="--",
                    **style,
                )  # fmt: skip
            for border in (FACTOR, 1 / FACTOR):
                ax.axhline(border, color="grey", linewidth=0.8)
            ax.axvline(RATE, color="grey", linestyle=":", label="the claim's rate")
            title = f"{run}, l1 = {l1:g}"
            ax.set(title=title, ylabel="length / initial length", ylim=(1e-2, 1e2))
    axes[0].legend(fontsize="small")
    return figure


EXPERIMENT = book.Experiment(
    id="C20",
    question="Do some atoms of a learnt dictionary blow up while others vanish?",
    claim="In dictionary learning with Adam at a rate of .01 some atoms blow up while others "
    "vanish.",
    criterion="As C18: 100 and 1000 steps, l1 of 0 and .01, Adam at .01 and at the rate with its "
    "least final loss. For each run the decades by which the largest atom outgrew the initially "
    "largest, or those by which the smallest fell below the initially smallest if they are fewer "
    "and each code is in use; with a code that is 0 for every sample its atom has vanished, and "
    "the growth alone counts. A setting supports the claim if the 95 % interval of the median "
    "over seeds lies above log10(3), and refutes it if below. Supported or refuted if all "
    "settings are; depends on the setting if they differ.",
    measure=measure,
    judge=judge,
    draw=draw,
    settings={"seeds": 12, "rates": 13, "l1": [0, 1e-4, 1e-2], "longer": [1, 10]},
    quick={"seeds": 2, "rates": 4, "l1": [0, 1e-2], "longer": [1]},
    check={"first_seed": 1000},
    symptom="The lengths of the dictionary's columns drift apart as it is trained.",
    remedy="adam(1e-2)  # a lower rate: the lengths hardly move in 100 steps of .01",
)

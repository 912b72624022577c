"""C20: do some atoms of a learnt dictionary blow up while others vanish?"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

import adamlab
from adamlab.problems import dictionary_learning
from experiments import book

OPTIMIZERS = {"adam": adamlab.adam, "sgd": adamlab.sgd}
RATE = 1e-2
FACTOR = 3.0
BROKEN = 1e6  # the factor by which a broken run's atoms count as grown and as shrunk
SHOWN = {
    "up": "decades that an atom grew at most",
    "down": "decades that one shrank at most",
    "dead_codes": "codes dead of 8",
}


def look(params: Any, state: Any, data: Any) -> dict[str, jax.Array]:
    """The length of every atom: a probe."""
    del state, data
    return {"length": jnp.linalg.norm(params["dictionary"], axis=0)}


def measure(lab: book.Lab) -> xr.Dataset:
    """The most that an atom grew, and that one shrank, over rate x l1, 100 and 1000 steps."""
    problem = dictionary_learning()
    axes = {"learning_rate": np.geomspace(1e-4, 1, lab["rates"]), "l1": lab["l1"]}
    # At a rate of 0 the dictionary stays as it starts: this gives the initial lengths.
    options: dict[str, Any] = {"checkpoints": 8, "probe": look}
    still = {"learning_rate": 0.0}
    begin = lab.map("begin", problem, adamlab.sgd, {}, fixed=still, steps=8, **options)
    runs = {}
    for steps in lab["steps"]:
        found = lab.map(str(steps), problem, OPTIMIZERS, axes, steps=steps, **options)
        sound = np.isfinite(found["final_loss"])
        before, after = (each["length"].isel(step=-1, drop=True) for each in (begin, found))
        growth = {
            "up": (after / before).max("length_1"),
            "down": (before / after.clip(min=1e-9)).max("length_1"),
        }
        decades = {n: book.decades(v.where(sound), broken=BROKEN) for n, v in growth.items()}
        runs[f"{steps} steps"] = found[["final_loss", "dead_codes"]].assign(decades)
    return book.side_by_side("run", runs)


def apart(found: xr.Dataset) -> xr.DataArray:
    """The decades that an atom grew or one shrank, the lesser; where one vanished, the growth."""
    gone = (found["dead_codes"] > 0) | (found["down"] > found["up"])
    return found["up"].where(gone, found["down"])


def judge(dataset: xr.Dataset) -> book.Verdict:
    """How far an atom grew where one vanished: at the claim's rate and at the best."""
    kinds: dict[str, book.Kind] = {}
    numbers: book.Numbers = {}
    own = dataset.sel(optimizer="adam")
    for setting, part in book.each(own, "run", "l1"):
        best = book.best_rate(part["final_loss"])
        numbers[f"best rate: {setting}"] = float(best)
        for where, found in book.at_rates(part, RATE, part["final_loss"]).items():
            if where == "at the best rate" and np.isclose(best, RATE):
                continue  # judged as the claim's
            case, both = f"{setting}, {where}", book.over_seeds(apart(found))
            kinds[case] = book.by_sign(both, np.log10(FACTOR))
            numbers[f"decades of the smaller of both, of growth where a code died: {case}"] = both
            for what, name in SHOWN.items():
                numbers[f"{name}: {case}"] = book.over_seeds(found[what])
    return book.Verdict(kinds, numbers)


def draw(dataset: xr.Dataset) -> book.Figure:
    """How many times longer and shorter atoms became, whichever is less, over the rate."""
    figure, axes = book.panels(dataset.sizes["run"], dataset.sizes["l1"])
    for ax, (case, part) in zip(axes, book.each(dataset, "l1", "run"), strict=True):
        for name in OPTIMIZERS:
            times = 10 ** apart(part.sel(optimizer=name))
            book.draw_lines(ax, times, "learning_rate", log="xy", label=name)
        ax.axhline(FACTOR, color="grey", linewidth=0.8)
        ax.axvline(RATE, color="grey", linestyle=":", label="the claim's rate")
        ax.set(title=case, ylabel="times grown and shrunk", ylim=(1, 10))
    axes[0].legend(fontsize="small")
    return figure


CLAIM = book.Claim(
    says="In dictionary learning with Adam at a rate of .01 some atoms blow up while others "
    "vanish.",
    asks=f"Does one atom grow {FACTOR:g}-fold while another vanishes?",
    criterion="As C18: 100 and 1000 steps, l1 of 0 and .01, Adam at .01 and at its rate of least "
    "median final loss. For each run the largest growth and the largest shrinkage of an atom's "
    "length, in decades, of which the smaller is judged; where a code is 0 for every sample its "
    "atom has vanished, and the growth alone is judged. A setting supports the claim if the 95 "
    "% interval of the median over seeds lies above log10(3), and refutes it if below. One whose "
    "best rate is .01 is judged once. Supported or refuted if all settings are; depends on the "
    "setting if some do and some do not.",
    settings={"seeds": 256, "rates": 13, "l1": [0, 1e-2], "steps": [100, 1000]},
    quick={"seeds": 2, "rates": 4, "l1": [0, 1e-2], "steps": [100]},
    check={"first_seed": 16000},
    caption="How many times longer the atom that grew most became, or how many times shorter the "
    "one that shrank most, whichever is less, over the rate (below 1, where no atom grew, not "
    "shown); where a code is 0 for every sample, the growth alone. Grey: a factor of three.",
)

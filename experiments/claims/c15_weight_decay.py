"""C15: does strong decay drive the weights to zero, does weak decay overfit, and do L1 and L2
combine?"""

from __future__ import annotations

import numpy as np
import xarray as xr

import adamlab
from adamlab.problems import penalized
from experiments import book

LABEL_NOISE = 0.2
RATE, STRENGTH = 1e-3, 1e-2  # the article's
EMPTY = 0.1  # of the norm without decay
GAINED = 0.01  # of the test images
NAMES = ["train_accuracy", "test_accuracy", "weight_norm"]


def measure(lab: book.Lab) -> xr.Dataset:
    """Accuracy and weight norm over rate x L2, and near the best over L1 x L2 at 1e-3."""
    problem = penalized(book.few_digits((64, 128, 10)))
    # All axes begin with no decay at all.
    l2 = np.r_[0, np.geomspace(1e-4, 1, lab["strengths"])]
    near = np.r_[0, np.geomspace(1e-2, 1e-1, lab["near"])]
    maps = {
        "alone": {"learning_rate": np.geomspace(1e-4, 1e-2, lab["rates"]), "l2": l2},
        "both": {"l1": np.r_[0, np.geomspace(1e-4, 1e-2, lab["l1s"])], "l2": near},
    }
    parts: dict[str, xr.DataArray] = {}
    for name, axes in maps.items():
        fixed = {"label_noise": LABEL_NOISE}
        fixed |= {} if "learning_rate" in axes else {"learning_rate": RATE}
        found = lab.map(name, problem, adamlab.adam, axes, fixed=fixed, steps=lab["steps"])
        # A run that broke counts as at chance, with hardly any weights.
        found = found.rename(l2="near_l2") if name == "both" else found
        parts |= {f"{n}_{name}": found[n].fillna(0.1) for n in NAMES}
    return xr.Dataset(parts)


def judge(dataset: xr.Dataset) -> book.Verdict:
    """Whether the norm vanishes, how much the best L2 gains, and whether a mixture gains more."""
    at = dataset.sel(learning_rate=RATE, method="nearest")
    test, train = at["test_accuracy_alone"], at["train_accuracy_alone"]
    norm = at["weight_norm_alone"] / at["weight_norm_alone"].sel(l2=0)
    both = dataset["test_accuracy_both"].rename(near_l2="l2")  # l2 is the coarser axis
    mixed = (both["l1"] > 0) & (both["l2"] > 0)
    mixture, l1_alone, l2_alone, best_l2 = (
        -book.best_for_others(-accuracy)
        for accuracy in (both.where(mixed, -np.inf), both.sel(l2=0), both.sel(l1=0), test)
    )
    better = l1_alone if l1_alone.mean() > l2_alone.mean() else l2_alone
    left = book.over_seeds(norm.isel(l2=-1))
    gain = book.over_seeds(best_l2 - test.sel(l2=0), np.mean)
    more = book.over_seeds(mixture - better, np.mean)
    numbers: book.Numbers = {
        "share of the weight norm left by L2 = 1": left,
        "test accuracy with L2 = 1": book.over_seeds(test.isel(l2=-1)),
        "train less test accuracy without decay": book.over_seeds((train - test).sel(l2=0)),
        "test accuracy gained by the best L2": gain,
        "test accuracy gained by L2 = .01": book.over_seeds(
            (test.sel(l2=STRENGTH, method="nearest") - test.sel(l2=0)), np.mean
        ),
        "test accuracy gained by L1 with L2 over the better alone": more,
    }
    for case, accuracy in {"alone": test, "beside L1": both}.items():
        mean = accuracy.mean("seed")
        best = mean.isel({str(d): i for d, i in mean.argmax(...).items()})
        where = " and ".join(f"{n} = {float(best[n]):.2g}" for n in mean.dims)
        numbers[f"test accuracy at the best L2 {case}, {where}"] = float(best)
    kinds = {
        f"strong L2 leaves under {EMPTY:.0%} of the norm": book.opposite(book.by_sign(left, EMPTY)),
        f"the best L2 tests {GAINED:g} better than none": book.by_sign(gain, GAINED),
        f"L1 with L2 tests {GAINED:g} better than either alone": book.by_sign(more, GAINED),
    }
    return book.Verdict(kinds, numbers)


def none_below(axis: xr.DataArray) -> xr.DataArray:
    """An axis whose first value is none, one step below the others, as for a logarithm."""
    return axis.where(axis > 0, axis[1] ** 2 / axis[2])


def draw(dataset: xr.Dataset) -> book.Figure:
    """Accuracies and norm over L2 at the article's rate, and the two maps of test accuracy."""
    figure, (lines, norm, rates, mixed) = book.panels(2, 2)
    shown = dataset.assign_coords({n: none_below(dataset[n]) for n in ("l1", "l2", "near_l2")})
    at, shown = shown.sel(learning_rate=RATE, method="nearest"), shown.mean("seed")
    for part in ("train", "test"):
        book.draw_lines(lines, at[f"{part}_accuracy_alone"], "l2", label=f"{part}")
    lines.set(title=f"L2 alone, rate {RATE:g}", ylim=(0, 1.02), ylabel="accuracy")
    lines.legend(loc="lower left")
    book.draw_lines(norm, at["weight_norm_alone"], "l2", log="xy")
    norm.set(title=f"L2 alone, rate {RATE:g}", ylabel="weight norm")
    for ax in (lines, norm):
        ax.axvline(STRENGTH, color="gray", linestyle=":")
    alone, both = (shown[f"test_accuracy_{n}"].rename("test accuracy") for n in ("alone", "both"))
    low, high = 0.1, float(both.max())
    book.draw_heat(rates, alone, "learning_rate", "l2", vmin=low, vmax=high)
    rates.plot(RATE, STRENGTH, "o", color="red", markerfacecolor="none")
    rates.set_title("L2 alone; circle: the article's setting")
    book.draw_heat(mixed, both, "l1", "near_l2", vmin=low, vmax=high)
    best = both.isel({str(d): i for d, i in both.argmax(...).items()})
    mixed.plot(float(best["l1"]), float(best["near_l2"]), "*", color="red")
    mixed.set(title=f"rate {RATE:g}; star: best", ylabel="l2")
    return figure


CLAIM = book.Claim(
    says="Too strong a weight decay drives the weights to zero, too weak a one overfits; L1 and "
    "L2 can be combined.",
    asks=f"Does this part of the claim hold at a rate of {RATE:g}?",
    criterion=f"64-128-10 on {book.FEW_IMAGES} standardised 8x8 digits (not 784 inputs: more "
    f"points for the time), a fifth mislabelled so that there is overfitting; Adam at {RATE:g}, "
    "100 epochs of batch 32, the kernels' sum of squares (L2) and of magnitudes (L1) added to the "
    "loss. Over seeds, 95 % intervals: the weight norm that L2 = 1 leaves, as a share of that "
    f"without decay (median), below {EMPTY:g}; the mean test accuracy gained by the best L2 above "
    f"{GAINED:g}; that of the best mixture of L1 and L2 over the better of them alone above "
    f"{GAINED:g}. A best point is chosen by the seeds of the other parity. Supported if "
    "all three hold, refuted if none does; depends on the part if some hold and some do not.",
    settings={"seeds": 96, "strengths": 9, "near": 15, "l1s": 9, "rates": 3, "steps": 400},
    quick={"seeds": 2, "strengths": 3, "near": 2, "l1s": 2, "rates": 3, "steps": 24},
    check={"first_seed": 24_000},
    caption="Top: accuracy and weight norm over L2 at a rate of 1e-3 (dotted: the article's L2). "
    "Bottom: mean test accuracy over rate and L2 (left), and near the best over L1 and L2 "
    "(right). The least value shown of L1 or L2 stands for no penalty.",
)

"""C17: do scaling and batch norm make Adam less sensitive to its rate?"""

from __future__ import annotations

import numpy as np
import xarray as xr

import adamlab
from adamlab.maps import longest_band
from adamlab.problems import cross_entropy, digits, network, rescaled, supervised
from experiments import book

RAW = 16.0  # the greatest pixel of the digits as they come
NEAR = 0.02  # how far below the variant's best a test accuracy still counts as good
WIDER = 0.2  # decades that a band must gain to be wider
TARGET = 0.1  # the train loss that counts as converged
# The factor on pixels in [0, 1], and whether there is batch norm.
VARIANTS = {
    "raw": (RAW, False),
    "scaled": (1.0, False),
    "raw, batch norm": (RAW, True),
    "scaled, batch norm": (1.0, True),
}
FROM, SCALED, NORMED, TO = VARIANTS


def measure(lab: book.Lab) -> xr.Dataset:
    """Late train loss and test accuracy over the rate for each variant."""
    axes = {"learning_rate": np.geomspace(1e-5, 10, lab["rates"])}
    maps = {}
    for name, (scale, norm) in VARIANTS.items():
        problem = supervised(
            rescaled(digits(lab["pixels"])),
            network((lab["pixels"] ** 2, 128, 10), batch_norm=norm, input_norm=norm),
            cross_entropy, batch_size=64, observed=256, target=TARGET,
        )  # fmt: skip
        found = lab.map(
            name, problem, adamlab.adam, axes, fixed={"feature_scale": scale}, steps=lab["steps"],
        )  # fmt: skip
        maps[name] = found[["late_loss", "test_accuracy"]].fillna({"test_accuracy": 0.0})
    return book.side_by_side("variant", maps)


def judge(dataset: xr.Dataset) -> book.Verdict:
    """By how many decades the two together widen the rates that converge and that test well."""
    accuracy = dataset["test_accuracy"]
    best = accuracy.median("seed").max("learning_rate")
    widths = {
        "that converge": longest_band(dataset["late_loss"] <= TARGET, "learning_rate").decades,
        "that test well": longest_band(accuracy >= best - NEAR, "learning_rate").decades,
    }
    kinds: dict[str, book.Kind] = {}
    numbers: book.Numbers = {}
    alone = []
    for what, wide in widths.items():
        gain = book.over_seeds(wide.sel(variant=TO) - wide.sel(variant=FROM), np.mean)
        kinds[f"rates {what}"] = book.by_sign(gain, WIDER)
        numbers[f"decades of rates {what} gained over raw"] = gain
        for variant in dataset["variant"].values:
            value = book.over_seeds(wide.sel(variant=variant), np.mean)
            numbers[f"decades of rates {what}, {variant}"] = value
        each = []
        for way, variant in (("scaling", SCALED), ("batch norm", NORMED)):
            gain = book.over_seeds(wide.sel(variant=variant) - wide.sel(variant=FROM), np.mean)
            numbers[f"decades of rates {what} gained by {way} alone"] = gain
            each.append(f"{gain.value:+.2f} by {way} alone")
        alone.append(f"{' and '.join(each)} for the rates {what}")
    return book.Verdict(kinds, numbers, f"In decades it is {', and '.join(alone)}.")


def draw(dataset: xr.Dataset) -> book.Figure:
    """Late loss and test accuracy over the rate for each variant."""
    figure, (loss, accuracy) = book.panels(2)
    for variant in dataset["variant"].values:
        part = dataset.sel(variant=variant)
        book.draw_lines(loss, part["late_loss"], "learning_rate", log="xy", label=variant)
        book.draw_lines(accuracy, part["test_accuracy"], "learning_rate")
    loss.axhline(TARGET, color="gray", linestyle=":")
    loss.set(title="dotted: converged", ylabel="late train loss", ylim=(1e-3, 1e1))
    loss.legend(loc="upper center", fontsize=7, ncols=2)
    accuracy.set(title="on the test rows", ylabel="accuracy", ylim=(0.7, 1))
    return figure


CLAIM = book.Claim(
    says="Scaling the inputs plus batch norm (BN-784-128-BN-10) makes Adam less sensitive to its "
    "rate.",
    asks="Do scaling and batch norm widen this band of rates?",
    criterion="784-128-10 on digits interpolated to 28 x 28, batch 64, 200 steps, raw pixels 0 to "
    "16. For each seed the longest stretch of rates, in decades, (a) with a late train loss of at "
    f"most {TARGET:g}, (b) with a test accuracy within {NEAR:g} of the variant's best. Batch norm "
    "takes the statistics of the rows at hand, in tests too. Supported if the 95 % interval of "
    f"the mean gain of scaling with batch norm over raw pixels lies above {WIDER:g} decades for "
    "both, refuted if below for both, depends if they differ.",
    settings={"seeds": 16, "rates": 31, "steps": 200, "pixels": 28},
    quick={"seeds": 2, "rates": 4, "steps": 30, "pixels": 8},
    check={"first_seed": 3000},
    caption="Late train loss (left; dotted: what counts as converged) and test accuracy (right) "
    "over the rate, for raw and for scaled pixels, without and with batch norm, of the inputs "
    "too. The wider the trough and the plateau, the less the rate matters.",
)

"""P06: is a linear warm-up over 2 / (1-b2) steps enough?"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
import optax
import xarray as xr

import adamlab
from adamlab.optimizers import radam
from adamlab.problems import cross_entropy, digits, network, supervised
from experiments import book

COMPLEMENTS, TIMES = [1e-2, 1e-3], 5  # 1-b2, and how many times 2 / (1-b2) steps a run lasts
RULE, LONGER = 1.0, 2.0  # the warm-up that is judged, and a longer one, in units of 2 / (1-b2)
HIGH = 0.1  # the high rate at which a warm-up is needed
MARGIN = 0.1  # decades of loss
# What the rule must be as good as; and last, at the high rate alone, better than.
JUDGED = {
    "twice as long": "beside twice its length", "RAdam": "beside RAdam", "none": "better than none",
}  # fmt: skip
LEARNED, GUESSING = 1e-6, float(np.log(10))  # less is rounding in float32; a broken run's loss


def warmed_adam(
    learning_rate: Any, b2: adamlab.OneMinus, warm_up: Any
) -> optax.GradientTransformation:
    """Adam whose rate grows linearly over `warm_up` times 2 / (1-b2) steps; 0 for no warm-up."""
    length = jnp.maximum(warm_up * 2 / b2.value, 1.0)
    return adamlab.adam(lambda step: learning_rate * jnp.minimum(1.0, (step + 1) / length), b2=b2)


def measure(lab: book.Lab) -> xr.Dataset:
    """The late loss over rate x warm-up, and RAdam's over the rate, for each b2."""
    problem = supervised(digits(), network((64, 32, 32, 10)), cross_entropy, batch_size=32)
    rates = {"learning_rate": np.geomspace(1e-3, HIGH, lab["rates"])}
    lengths = {"warm_up": np.r_[0.0, np.geomspace(0.1, RULE, lab["lengths"])]}
    parts = {}
    for complement in lab["complements"]:
        rule = round(2 / complement) // lab["shorter"]
        name = f"{complement:g}"
        fixed = {"1-b2": complement}
        warmed, longer, rectified = (
            lab.map(f"{label}-{name}", problem, build, axes, fixed=fixed, steps=round(times * rule))
            for label, build, axes, times in (
                ("warm-up", warmed_adam, {**rates, **lengths}, TIMES),
                # For the same sum of rates.
                ("longer", warmed_adam, {**rates, "warm_up": [LONGER]}, TIMES + 0.5),
                ("radam", radam, rates, TIMES),
            )
        )
        late = xr.concat([warmed["late_loss"], longer["late_loss"]], "warm_up")
        parts[name] = late.to_dataset().assign(radam=rectified["late_loss"])
    return book.side_by_side("1-b2", parts)


def forms(dataset: xr.Dataset) -> dict[str, xr.DataArray]:
    """The losses that are compared; a broken run counts as one that guesses."""
    loss, rectified = (book.decades(dataset[n], LEARNED, GUESSING) for n in ("late_loss", "radam"))
    return {
        "the rule": loss.sel(warm_up=RULE, drop=True),
        "twice as long": loss.sel(warm_up=LONGER, drop=True),
        "RAdam": rectified,
        "a tenth": loss.sel(warm_up=RULE / 10, method="nearest", drop=True),
        "none": loss.sel(warm_up=0.0, drop=True),
    }


def judge(dataset: xr.Dataset) -> book.Verdict:
    """Decades that more warm-up, or RAdam, gains over the rule; and what the rule gains."""
    numbers: book.Numbers = {}
    kinds: dict[str, book.Kind] = {}
    remark = ""
    for b2, part in book.each(dataset, "1-b2"):
        rule, *rivals = forms(part).items()
        for name, loss in rivals:
            pair = (rule[1], loss)
            cases = {
                "best rate": [book.at_best(one) for one in pair],
                "high rate": [one.sel(learning_rate=HIGH, method="nearest") for one in pair],
            }
            for case, (ours, theirs) in cases.items():
                gap = book.over_seeds(ours - theirs)
                numbers[f"decades gained over the rule by {name}, 1-b2 = {b2}, {case}"] = gap
                beats = name == "none"
                if name in JUDGED and (case == "high rate" or not beats):
                    kind = book.opposite(book.by_sign(gap, -MARGIN if beats else MARGIN))
                    kinds[f"{JUDGED[name]}, 1-b2 = {b2}, {case}"] = kind
        at_high = f"1-b2 = {b2}, high rate"
        if kinds[f"{JUDGED['none']}, {at_high}"] == "refuted":  # the high rate cannot tell
            kinds = {name: kind for name, kind in kinds.items() if not name.endswith(at_high)}
            remark += f"Not judged, as no warm-up does as well: {at_high}. "
        numbers[f"best rate with the rule, 1-b2 = {b2}"] = float(book.best_rate(rule[1]))
    return book.Verdict(kinds, numbers, remark.strip())


def draw(dataset: xr.Dataset) -> book.Figure:
    """The late loss over the warm-up's length for each rate, RAdam's beside it."""
    figure, axes = book.panels(dataset.sizes["1-b2"])
    for ax, b2 in zip(axes, dataset["1-b2"].values, strict=True):
        part = dataset.sel({"1-b2": b2})
        # No warm-up has no place on a log axis: it is put a decade before the shortest.
        lengths = part["warm_up"].values
        places = np.where(lengths > 0, lengths, lengths[lengths > 0].min() / 10)
        for number, rate in enumerate(part["learning_rate"].values):
            loss = part["late_loss"].sel(learning_rate=rate).assign_coords(warm_up=places)
            label = f"rate {rate:.2g}" + " (high)" * bool(np.isclose(rate, HIGH))
            book.draw_lines(
                ax, loss, "warm_up", log="xy", label=label, color=f"C{number}", marker="."
            )
            rectified = part["radam"].sel(learning_rate=rate).median("seed")
            ax.plot(places[-1] * 3, rectified, "D", color=f"C{number}")
        ax.axvline(RULE, color="k", linestyle=":")
        ax.set_xticks([*places, places[-1] * 3])
        ax.set_xticklabels([*(f"{v:.2g}" if v else "none" for v in lengths), "RAdam"], rotation=45)
        ax.tick_params(axis="x", which="minor", bottom=False)
        ax.set(title=f"1-b2 = {b2}", xlabel="warm-up, in units of 2 / (1-b2) steps")
    axes[0].set_ylabel("late loss")
    figure.legend(*axes[-1].get_legend_handles_labels(), loc="outside right upper")
    return figure


CLAIM = book.Claim(
    says="Linear warm-up over 2 / (1-b2) steps is enough: a longer one, or RAdam, gains nothing "
    "(Ma & Yarats 2019, arXiv 1910.04209).",
    asks="Is a warm-up by the rule enough here?",
    criterion="Digits, 64-32-32-10, batches of 32; b2 = .99 (1,000 steps) and .999 (10,000), five "
    "times the rule's warm-up. Gain: decades of late loss from the rule to a warm-up twice as "
    "long, and to RAdam, seed by seed; each at its best rate, and all at the high rate of "
    f"{HIGH:g}. Enough where the gain's 95 % interval lies below {MARGIN}, not where it lies "
    "above; beside none at the high rate, where the rule gains more than that; if it does not, "
    "that rate needs no warm-up and is not judged; the best is, needed or not, as more is to gain "
    "nothing. The run with the longer warm-up lasts a tenth longer: its rates have the same sum. "
    "Supported if enough in all cases judged, refuted if in none, depends on which otherwise.",
    settings={"seeds": 96, "rates": 4, "lengths": 2, "shorter": 1, "complements": COMPLEMENTS},
    quick={"seeds": 2, "rates": 2, "lengths": 2, "shorter": 20, "complements": [1e-2]},
    check={"first_seed": 8000},
    caption="Late loss over the length of the warm-up (dotted: the rule) for four rates; "
    "diamonds: RAdam. Left: b2 = .99; right: b2 = .999.",
)

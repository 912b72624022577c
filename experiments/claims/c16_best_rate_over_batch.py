"""C16: do smaller batches need smaller rates, and are larger ones slower unless it grows?"""

from __future__ import annotations

import numpy as np
import xarray as xr

import adamlab
from adamlab.analysis import power_law, refined_argmin
from adamlab.problems import cross_entropy, digits, network, supervised
from experiments import book

ROWS = 1437
# The optimizers, the range that holds their best rates, and the exponent that theory predicts.
OPTIMIZERS = {"adam": (adamlab.adam, (3e-4, 3e-1), 0.5), "sgd": (adamlab.sgd, (1e-2, 10.0), 1.0)}
GROWS, SLOWER = 0.1, 0.05
"""The exponent, and the decades of loss, that count."""


def measure(lab: book.Lab) -> xr.Dataset:
    """Late loss over batch size x rate, every run with the same number of samples."""
    parts = {}
    for name, (optimizer, ends, _) in OPTIMIZERS.items():
        rates = {"learning_rate": np.geomspace(*ends, lab["rates"])}
        sizes = {}
        for size in lab["sizes"]:
            problem = supervised(
                digits(), network((64, 32, 10)), cross_entropy, batch_size=size, observed=512
            )
            steps = lab["epochs"] * ROWS // size
            found = lab.map(f"{name}-{size}", problem, optimizer, rates, steps=steps)
            sizes[size] = book.decades(found["late_loss"]).to_dataset(name=name)
        parts[name] = book.side_by_side("batch", sizes).rename(learning_rate=f"rate_{name}")
    return xr.merge(parts.values(), combine_attrs="drop")


def best_rates(dataset: xr.Dataset, name: str) -> np.ndarray:
    """The refined best rate of an optimizer, (seeds, batches)."""
    rate = f"rate_{name}"
    late = dataset[name].transpose("seed", "batch", rate)
    return refined_argmin(late.values, dataset[rate].values)


def judge(dataset: xr.Dataset) -> book.Verdict:
    """The exponent of the best rate, and what the largest batch loses, at its best too."""
    numbers: book.Numbers = {}
    kinds: dict[str, book.Kind] = {}
    remark = ""
    sizes = dataset["batch"].values
    for name, (_, _, foretold) in OPTIMIZERS.items():
        best = best_rates(dataset, name)
        law = power_law(sizes, best)
        numbers[f"{name}: exponent of the best rate (theory {foretold:g})"] = law.exponent
        numbers[f"{name}: share of variance that the law explains"] = law.r_squared
        first, last = (power_law(sizes[at], best[:, at]).exponent for at in ([0, 1], [-2, -1]))
        numbers[f"{name}: exponent from batch {sizes[0]} to {sizes[1]}"] = first
        numbers[f"{name}: exponent from batch {sizes[-2]} to {sizes[-1]}"] = last
        remark += (
            f"The exponent for {name} is {first.value:.2f} from batch {sizes[0]} to {sizes[1]} "
            f"and {last.value:.2f} from {sizes[-2]} to {sizes[-1]}. "
        )
        ends = dataset[f"rate_{name}"].values[[0, -1]]
        # If it lies at an edge, the best rate is not known.
        at_edge = np.isin(np.median(best, axis=0), ends).any()
        kinds[f"{name}: the best rate grows"] = (
            "undecided" if at_edge else book.by_sign(law.exponent, GROWS)
        )
        late = dataset[name].rename({f"rate_{name}": "learning_rate"})
        small, large = late.isel(batch=0), late.isel(batch=-1)
        kept = {"learning_rate": float(np.median(best[:, 0]))}
        lost = book.over_seeds(large.sel(kept, method="nearest") - book.at_best(large))
        numbers[f"{name}: decades lost by batch {sizes[-1]} at the rate of {sizes[0]}"] = lost
        kinds[f"{name}: a large batch is slower at a small one's rate"] = book.by_sign(lost, SLOWER)
        behind = book.over_seeds(book.at_best(large) - book.at_best(small))
        numbers[f"{name}: decades by which batch {sizes[-1]} at its best rate is behind"] = behind
        kinds[f"{name}: a large batch is not slower at its own best"] = book.opposite(
            book.by_sign(behind, SLOWER)
        )
    return book.Verdict(kinds, numbers, remark.strip())


def draw(dataset: xr.Dataset) -> book.Figure:
    """Above the late loss over the rate for each batch; below the best rate over the batch."""
    figure, axes = book.panels(2, 2)
    sizes = dataset["batch"].values
    for above, below, name in zip(axes[:2], axes[2:], OPTIMIZERS, strict=True):
        for size in sizes:
            line = dataset[name].sel(batch=size)
            book.draw_lines(above, line, f"rate_{name}", label=f"batch {size}")
        above.set(title=f"{name}, equal samples", xlabel="learning_rate", ylabel="log10 late loss")
        best = best_rates(dataset, name)
        middle, theory = np.median(best, axis=0), OPTIMIZERS[name][2]
        below.loglog(sizes, middle, "o-", label="measured")
        below.fill_between(sizes, best.min(0), best.max(0), alpha=0.15)
        line = middle[0] * (sizes / sizes[0]) ** theory
        below.loglog(sizes, line, "--", color="grey", label=f"batch**{theory:g}")
        below.set(xlabel="batch size", ylabel="best rate")
        below.legend(loc="upper left")
    axes[0].legend(fontsize="small")
    return figure


CLAIM = book.Claim(
    says="Smaller batches need smaller rates; larger batches are slower unless the rate grows.",
    asks="Does this part of the claim hold?",
    criterion="Digits, 64-32-10, every batch size trained on the same number of samples, late "
    "loss over 512 train rows. For Adam and for SGD: the exponent of the best rate in the batch "
    f"size (threshold {GROWS}); the decades of loss that the largest batch loses at the "
    f"smallest's best rate (threshold {SLOWER}); and those by which it is behind the smallest, "
    f"each at its own best rate (not over {SLOWER}). Supported if the 95 % intervals of all six "
    "lie on that side, refuted if none does; a part is open if its interval holds its threshold "
    "or a best rate lies at the map's edge; it depends on the part or the optimizer if they "
    "differ, and is undecided otherwise. The theory's exponents, 1/2 and 1, stand beside and do "
    "not decide.",
    settings={"seeds": 8, "rates": 13, "sizes": (8, 32, 128, 512), "epochs": 10},
    quick={"seeds": 2, "rates": 4, "sizes": (64, 128), "epochs": 1},
    check={"first_seed": 1000},
    caption="Top: late loss over the rate after equal numbers of samples, for each batch size. "
    "Bottom: best rate over batch size (band: all seeds), beside the power that theory predicts; "
    "P05 finds that power where noise dominates.",
)

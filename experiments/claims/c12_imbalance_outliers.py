"""C12: do class imbalance and outliers make the cost fall less far?"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import xarray as xr

import adamlab
from adamlab import problems
from experiments import book

RATE = 1e-3
LOST = 0.1  # decades
LEAST = 1e-6  # of the cost at the start: less is rounding in float32
BALANCED, CURED = "imbalance, all classes weighing the same", "outliers, Huber's loss"
FAULTS = ("imbalance", BALANCED, "outliers")


def with_least(metrics: Any, params: Any, data: Any, **hyper: Any) -> dict[str, jax.Array]:
    """The metrics, and the least mean square that a linear model can have on the train rows."""
    rows = jnp.column_stack([data.inputs, jnp.ones(len(data.inputs))])
    rest = data.targets - rows @ jnp.linalg.lstsq(rows, data.targets)[0]
    return {**metrics(params, data, **hyper), "least": jnp.mean(rest**2)}


def with_balanced(
    model: Any, metrics: Any, params: Any, data: Any, **hyper: Any
) -> dict[str, jax.Array]:
    """The metrics, and the cost of the train rows, all classes that have some weighing the same."""
    outputs = model.apply(params, data.inputs)
    costs = optax.softmax_cross_entropy_with_integer_labels(outputs, data.targets)
    of_class = jax.nn.one_hot(data.targets, 10).T
    rows = of_class.sum(1)
    balanced = (of_class @ costs / jnp.maximum(rows, 1)).sum() / (rows > 0).sum()
    return {**metrics(params, data, **hyper), "balanced": balanced}


def measure(lab: book.Lab) -> xr.Dataset:
    """Rate x imbalance on the digits; rate x outliers' share on diabetes, for both losses."""
    table = problems.with_outliers(problems.standardized(problems.diabetes()))
    squares, robust = (
        problems.supervised(table, problems.network((10, 1)), loss, batch_size=32)
        for loss in (problems.squared_error, problems.huber)
    )
    metrics = partial(with_least, squares.metrics)
    # Both are tested by the mean square; the test rows have no outliers.
    squares, robust = (replace(problem, metrics=metrics) for problem in (squares, robust))
    deep, rare = problems.network((64, 32, 10)), problems.imbalanced(problems.digits())
    classes = problems.supervised(rare, deep, problems.cross_entropy, batch_size=64)
    classes = replace(classes, metrics=partial(with_balanced, deep, classes.metrics))
    levels = lab["levels"]
    ratios, shares = np.geomspace(1, 100, levels), np.linspace(0, 0.1, levels)
    tasks = {
        "imbalance": (classes, "imbalance", ratios),
        "outliers": (squares, "outliers", shares),
        CURED: (robust, "outliers", shares),
    }
    rates = np.geomspace(1e-4, 1e-1, lab["rates"])
    cases = {}
    for case, (problem, fault, amounts) in tasks.items():
        axes = {"learning_rate": rates, fault: amounts}
        found = lab.map(case, problem, adamlab.adam, axes, steps=lab["steps"])
        # From 0, no fault, to 1, most of it.
        found = found.rename({fault: "fault"}).assign_coords(fault=np.linspace(0, 1, levels))
        least = found["least"] if case == "outliers" else 0.0
        for name, late in {case: "late_loss", BALANCED: "balanced"}.items():
            if late in found:
                cost = ((found[late] - least) / (found["initial_loss"] - least)).clip(min=LEAST)
                cases[name] = xr.Dataset({"cost": cost, "test": found["test_loss"]})
    return book.side_by_side("case", cases)


def judge(dataset: xr.Dataset) -> book.Verdict:
    """By how many decades less the cost falls than without the fault; what Huber's loss gains."""
    numbers: book.Numbers = {}
    kinds: dict[str, book.Kind] = {}
    logs = dataset.map(book.decades, broken=1e30)
    for where, at in book.at_rates(logs, RATE, logs["cost"]).items():
        most = at.sel(fault=1)
        lost = most - at.sel(fault=0)
        for case in FAULTS:
            cost, test = (book.over_seeds(lost[name].sel(case=case)) for name in ("cost", "test"))
            numbers[f"decades of cost lost, {case} {where}"] = cost
            numbers[f"decades of test loss added, {case} {where}"] = test
            left = book.over_seeds(most["cost"].sel(case=case))
            numbers[f"log10 of the cost that is left with the fault, {case} {where}"] = left
            kinds[f"{case} {where}"] = book.by_sign(cost, LOST)
        cured = most["test"].sel(case="outliers") - most["test"].sel(case=CURED)
        name = f"decades of clean test error gained by Huber's loss, {where}"
        numbers[name] = book.over_seeds(cured)
    return book.Verdict(kinds, numbers)


def draw(dataset: xr.Dataset) -> book.Figure:
    """The cost above and the test loss below, over the rate, without the fault and with most."""
    figure, axes = book.panels(2, 2)
    for case, part in book.each(dataset, "case"):
        column = axes[::2] if case.startswith("imbalance") else axes[1::2]
        for fault, style in ((0, "--"), (1, "-")):
            label = f"{'with' if fault else 'no'} {case}"
            # Huber's cost is another function, with another least value.
            shown = {CURED: [1], BALANCED: [0]}.get(case, [0, 1])
            for ax, name in ((column[i], ("cost", "test")[i]) for i in shown):
                line = part[name].sel(fault=fault)
                book.draw_lines(ax, line, "learning_rate", log="xy", linestyle=style, label=label)
    for ax in axes:
        ax.axvline(RATE, color="grey", linestyle=":")
        ax.legend(fontsize="x-small")
    for ax, data in zip(axes, ("digits", "diabetes"), strict=False):
        ax.set_title(data)
    labels = "cost", "cost above the least", "test loss", "test mean square"
    for ax, label in zip(axes, labels, strict=True):
        ax.set_ylabel(f"{label} / initial" if ax in axes[:2] else label)
    return figure


CLAIM = book.Claim(
    says="Class imbalance and outliers keep the cost from falling.",
    asks=f"Does the fault make the cost fall less, by more than {LOST} decades?",
    criterion="Digits with half of the classes 100 times rarer (64-32-10 ReLU network, batches of "
    "64), and diabetes, standardized, with noise of ten deviations on a tenth of the train "
    "targets (linear model, mean square, batches of 32); 800 steps. Cost of the train rows at the "
    "end over that at the start: of the digits as it is minimised, and with all classes that have "
    "some rows weighing the same; on diabetes, both less the least that a linear model has there. "
    "Supported if the 95 % intervals over seeds of the decades by which it falls less than without "
    "the fault lie above 0.1, at the rate of 1e-3 and at the best rate (least median cost, each "
    "its own); refuted if all lie below; it depends on the fault, the cost or the rate if they "
    "differ. What Huber's loss gains is told, and does not decide.",
    settings={"seeds": 32, "rates": 10, "levels": 5, "steps": 800},
    quick={"seeds": 2, "rates": 4, "levels": 2, "steps": 40},
    check={"first_seed": 6000},
    caption="Cost (top) and test loss (bottom) over the rate (dotted: 1e-3), without the fault "
    "(dashed) and with most of it (solid); imbalance on the left, outliers on the right. The right "
    "cost is what lies above the least that a linear model can reach. Huber's loss has a cost of "
    "its own and is shown in the test alone.",
)

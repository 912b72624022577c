"""C26: without bias correction, are Adam's first averages too small, and how long are its first
steps?"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import xarray as xr
from jax.flatten_util import ravel_pytree

import adamlab
from adamlab.problems import digits_mlp
from experiments import book

FORMS = {"corrected": adamlab.adam, "uncorrected": book.uncorrected_adam}
RATE, FIRST, TOLERANCE = 1e-3, 10, 0.01
DEFAULTS = {"1-b1": 0.1, "1-b2": 1e-3}


def lengths(build: Any, steps: int, key: jax.Array, **rates: Any) -> dict[str, jax.Array]:
    """For `steps` steps on digits: their length in units of the rate, and both averages' sizes.

    The averages' sizes are shares: of the mean gradient so far, and of its mean square so far.
    """
    problem = digits_mlp()
    values = problem.hyperparameters
    b1, b2 = (adamlab.OneMinus(slow) for slow in (DEFAULTS | rates).values())
    tx = build(RATE, b1=b1, b2=b2)
    start_key, data_key, batch_key = jax.random.split(key, 3)
    assert problem.data is not None
    assert problem.batch is not None
    data, batch = problem.data(data_key, **values), problem.batch
    start, unravel = ravel_pytree(problem.init(start_key, **values))

    def loss(params: jax.Array, rows: Any) -> Any:
        return problem.loss(unravel(params), rows, **values)

    def step(carry: Any, t: jax.Array) -> Any:
        params, state, total, squares = carry
        rows = batch(jax.random.fold_in(batch_key, t), t, data, **values)
        gradient = jax.grad(loss)(params, rows)
        total, squares = total + gradient, squares + jnp.sum(gradient**2)
        updates, state = tx.update(gradient, state, params)
        mu, nu = (optax.tree.get(state, name) for name in ("mu", "nu"))
        # Pixels that are always 0 and dead units take no step and do not count.
        moved = jnp.sum(updates != 0)
        seen = {
            "step length": jnp.linalg.norm(updates) / (RATE * jnp.sqrt(moved)),
            "mu": jnp.linalg.norm(mu) / jnp.linalg.norm(total) * (t + 1),
            "nu": jnp.sum(nu) / squares * (t + 1),
        }
        return (params + updates, state, total, squares), seen

    carry = (start, tx.init(start), jnp.zeros_like(start), 0.0)
    return dict(jax.lax.scan(step, carry, jnp.arange(steps))[1])


def first_length(key: jax.Array, **rates: Any) -> jax.Array:
    """The length of the first uncorrected step in units of the rate."""
    return lengths(book.uncorrected_adam, 1, key, **rates)["step length"][0]


def measure(lab: book.Lab) -> xr.Dataset:
    """Both forms over time at the defaults, and the first uncorrected step over 1-b1 x 1-b2."""
    steps, seeds = lab["steps"], {"seed": lab.seeds}
    dims = {name: {"step": np.arange(1, steps + 1)} for name in ("step length", "mu", "nu")}
    forms = {
        form: lab.sweep(form, partial(lengths, build, steps), seeds, dims=dims)
        for form, build in FORMS.items()
    }
    grid = {"1-b1": np.geomspace(1e-2, 1, lab["b1s"]), "1-b2": np.geomspace(1e-4, 1, lab["b2s"])}
    first = lab.sweep("first", first_length, grid | seeds)["result"]
    return book.side_by_side("form", forms).assign(first=first)


def judge(dataset: xr.Dataset) -> book.Verdict:
    """The averages of the first steps as shares of what they estimate, and the steps' length."""
    early = dataset.sel(step=slice(1, FIRST)).mean("step")
    uncorrected, corrected = (early.sel(form=form) for form in ("uncorrected", "corrected"))
    mu, nu = book.over_seeds(uncorrected["mu"]), book.over_seeds(uncorrected["nu"])
    ratio = book.over_seeds(uncorrected["step length"] / corrected["step length"])
    at_defaults = book.over_seeds(dataset["first"].sel(DEFAULTS, method="nearest"))
    measured = dataset["first"].median("seed")
    closed = measured["1-b1"] / np.sqrt(measured["1-b2"])  # whatever the gradient
    off, too_long = float(abs(measured / closed - 1).max()), float((measured > 1).mean())
    numbers: book.Numbers = {
        f"gradient's average over its mean so far, first {FIRST} steps": mu,
        f"square's average over its mean so far, first {FIRST} steps": nu,
        f"uncorrected over corrected step, first {FIRST} steps": ratio,
        "first step in units of the rate, defaults": at_defaults,
        "greatest deviation from (1-b1) / sqrt(1-b2)": off,
        "share of the (b1, b2) plane where the first step is too long": too_long,
    }
    kinds = {
        "the gradient's average": book.opposite(book.by_sign(mu, 1)),
        "its square's average": book.opposite(book.by_sign(nu, 1)),
    }
    agrees = "agrees" if off <= TOLERANCE else "disagrees"
    steps = f"Over the first {FIRST} steps an uncorrected one is {ratio.value:.1f} times as long"
    first = f"the length of the very first {agrees} with theory, (1-b1) / sqrt(1-b2) times the rate"
    return book.Verdict(kinds, numbers, f"{steps} as a corrected one; {first}.")


def draw(dataset: xr.Dataset) -> book.Figure:
    """Step length and averages over time, and the first step over the plane."""
    figure, (left, middle, right) = book.panels(3)
    steps = dataset["step"]
    for form in FORMS:
        book.draw_lines(left, dataset["step length"].sel(form=form), "step", label=form)
    constant = (1 - 0.9**steps) / np.sqrt(1 - 0.999**steps)
    left.plot(steps, constant, "k:", label="uncorrected, constant gradient")
    left.set(title="step length, defaults", yscale="log", ylabel="length / rate")
    for name, b, label, style in (("mu", 0.9, "gradient", ":"), ("nu", 0.999, "its square", "--")):
        line = dataset[name].sel(form="uncorrected")
        book.draw_lines(middle, line, "step", log="xy", label=label)
        middle.plot(steps, 1 - b**steps, "k", linestyle=style, label=f"1 - {b}^t")
    middle.set(title="uncorrected averages", ylabel="share of the mean so far")
    shown = book.decades(dataset["first"].median("seed")).rename("log10(first step / rate)")
    book.draw_heat(right, shown, "1-b1", "1-b2", cmap="coolwarm", vmin=-2, vmax=2)
    edge = np.geomspace(1e-2, 1, 50)
    right.plot(edge, edge**2, "k--", label="(1-b1)² = 1-b2")
    right.plot(*DEFAULTS.values(), "k*", markersize=11, label="defaults")
    right.set(title="first step without correction")
    for ax in (left, middle, right):
        ax.legend(fontsize=8)
    return figure


CLAIM = book.Claim(
    says="Without bias correction the first averages are too small.",
    asks="Is this too small without bias correction?",
    criterion=f"Digits, 64-32-10, rate 1e-3, b1 = .9, b2 = .999. Over the first {FIRST} steps: "
    "the uncorrected averages as shares of the mean gradient and of its mean square so far. "
    "Supported if the 95 % intervals of both lie below 1, refuted if both lie above; it depends "
    "on which if they differ. Beside it, deciding nothing, the length of the uncorrected step "
    "over that of the corrected, and over (b1, b2) the first step against its closed form (1-b1) "
    f"/ sqrt(1-b2), to be met to {TOLERANCE:.0%}.",
    settings={"seeds": 16, "steps": 4000, "b1s": 21, "b2s": 25},
    quick={"seeds": 2, "steps": 60, "b1s": 3, "b2s": 5},
    check={"first_seed": 1000},
    caption="Left: the length of a step in units of the rate, with and without the correction. "
    "Middle: the uncorrected averages as shares of the means so far (black: theory for gradients "
    "that stay; that of squares is at most 10 (1-b2), by algebra). Right: how much too long (red) "
    "or too short (blue) the first uncorrected step is.",
)

"""C26: without bias correction, are Adam's first averages too small, and its first steps?"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import adamlab
from adamlab.analysis import Interval
from adamlab.problems import digits_mlp
from experiments import book

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

FORMS = {"corrected": adamlab.adam, "uncorrected": book.uncorrected_adam}
RATE, FIRST, TOLERANCE = 1e-3, 10, 0.01
DEFAULTS = {"1-b1": 0.1, "1-b2": 1e-3}


def lengths(build: Any, steps: int, key: jax.Array, **rates: Any) -> dict[str, jax.Array]:
    """Of `steps` steps on digits: their length in units of the rate, and both averages' size.

    The averages' sizes are shares: of the mean gradient so far, and of its mean square so far.
    """
    problem = digits_mlp()
    values = {name: jnp.asarray(value) for name, value in problem.hyperparameters.items()}
    tx = build(RATE, b1=adamlab.OneMinus(rates["1-b1"]), b2=adamlab.OneMinus(rates["1-b2"]))
    start_key, data_key, batch_key = jax.random.split(key, 3)
    assert problem.data is not None
    assert problem.batch is not None
    data, batch = problem.data(data_key, **values), problem.batch

    def step(carry: Any, t: jax.Array) -> Any:
        params, state, total, squares = carry
        rows = batch(jax.random.fold_in(batch_key, t), t, data, **values)
        gradient = jax.grad(problem.loss)(params, rows, **values)
        total = optax.tree.add(total, gradient)
        squares = squares + optax.tree.norm(gradient, squared=True)
        updates, state = tx.update(gradient, state, params)
        # Pixels that are always 0 and dead units take no step and have no say.
        moved = sum(jnp.sum(u != 0) for u in jax.tree.leaves(updates))
        seen = {
            "step length": optax.tree.norm(updates) / (RATE * jnp.sqrt(moved)),
            "mu": optax.tree.norm(optax.tree.get(state, "mu")) / optax.tree.norm(total) * (t + 1),
            "nu": optax.tree.sum(optax.tree.get(state, "nu")) / squares * (t + 1),
        }
        return (optax.apply_updates(params, updates), state, total, squares), seen

    params = problem.init(start_key, **values)
    start = (params, tx.init(params), optax.tree.zeros_like(params), jnp.zeros([]))
    return dict(jax.lax.scan(step, start, jnp.arange(steps))[1])


def measure(lab: book.Lab) -> xr.Dataset:
    """Step length over time at the defaults, and that of the first steps over 1-b1 x 1-b2."""
    grid = {"1-b1": np.geomspace(1e-2, 1, lab["b1s"]), "1-b2": np.geomspace(1e-4, 1, lab["b2s"])}
    found = []
    for name, steps, axes in (
        ("time", lab["steps"], {n: [value] for n, value in DEFAULTS.items()}),
        ("first", 1, grid),
    ):
        dims = {
            variable: {"step": np.arange(1, steps + 1)} for variable in ("step length", "mu", "nu")
        }
        parts = {
            form: lab.sweep(
                f"{name}-{form}", partial(lengths, build, steps), {**axes, "seed": lab.seeds},
                dims=dims,
            )
            for form, build in FORMS.items()
        }  # fmt: skip
        found.append(book.side_by_side("form", parts))
    time, first = found
    return time.isel({"1-b1": 0, "1-b2": 0}).assign(
        first=first["step length"].isel(step=0, drop=True)
    )


def closed_form(first: xr.DataArray) -> xr.DataArray:
    """The first uncorrected step in units of the rate, whatever the gradient."""
    return first["1-b1"] / np.sqrt(first["1-b2"])


def judge(dataset: xr.Dataset) -> book.Verdict:
    """The averages of the first steps as shares of what they estimate, and the steps' length."""
    early = dataset.sel(step=slice(1, FIRST), form="uncorrected").mean("step")
    mu, nu = book.over_seeds(early["mu"]), book.over_seeds(early["nu"])
    length = dataset["step length"].sel(step=slice(1, FIRST)).mean("step")
    ratio = book.over_seeds(length.sel(form="uncorrected") / length.sel(form="corrected"))
    first = dataset["first"].sel(form="uncorrected")
    off = np.abs(first.median("seed") / closed_form(first) - 1)
    numbers: dict[str, float | Interval] = {
        f"mean gradient's average over its size, first {FIRST} steps": mu,
        f"mean square's average over its size, first {FIRST} steps": nu,
        f"uncorrected over corrected step, first {FIRST} steps": ratio,
        "first step in units of the rate, defaults": book.over_seeds(
            first.sel(DEFAULTS, method="nearest")
        ),
        "greatest deviation from (1-b1) / sqrt(1-b2)": float(off.max()),
        "share of the (b1, b2) plane where the first step is too long": float(
            (first.median("seed") > 1).mean()
        ),
    }
    if book.by_sign(mu, 1) == book.by_sign(nu, 1) == "refuted":  # both intervals below 1
        form = "as" if float(off.max()) <= TOLERANCE else "not as"
        if ratio.high < 1:
            return book.Verdict(
                "supported", "The averages are too small, and so are the steps.", numbers
            )
        if ratio.low > 1:
            sentence = (
                "On what is looked at: both averages are too small, but the denominator's more so, "
                f"and the first steps are too long, {form} (1-b1) / sqrt(1-b2) says."
            )
            return book.Verdict("depends", sentence, numbers)
    elif mu.low > 1 or nu.low > 1:
        return book.Verdict("refuted", "An average is not too small.", numbers)
    return book.Verdict("undecided", "An interval holds 1.", numbers)


def draw(dataset: xr.Dataset) -> Figure:
    """Step length and averages over time, and the first step over the plane."""
    figure, (left, middle, right) = book.panels(3)
    steps = dataset["step"]
    for form in FORMS:
        book.draw_lines(left, dataset["step length"].sel(form=form), "step", label=form)
    constant = (1 - 0.9**steps) / np.sqrt(1 - 0.999**steps)
    left.plot(steps, constant, "k:", label="uncorrected, constant gradient")
    left.set(title="step length over the rate, defaults", yscale="log")
    left.legend(fontsize=8)
    for name, b, label in (("mu", 0.9, "gradient"), ("nu", 0.999, "squared gradient")):
        book.draw_lines(
            middle, dataset[name].sel(form="uncorrected"), "step", log="xy", label=label
        )
        middle.plot(steps, 1 - b**steps, "k:", label=f"1 - {b}^t")
    middle.set(title="uncorrected average over the mean so far")
    middle.legend(fontsize=8)
    first = dataset["first"].sel(form="uncorrected").median("seed")
    shown = first.copy(data=np.log10(first)).rename("log10(first step / rate)")
    book.draw_heat(right, shown, "1-b1", "1-b2", cmap="coolwarm", vmin=-2, vmax=2)
    edge = np.geomspace(1e-2, 1, 50)
    right.plot(edge, edge**2, "k--", label="(1-b1)² = 1-b2")
    right.plot(*DEFAULTS.values(), "k*", markersize=11, label="defaults")
    right.set(title="first step without correction")
    right.legend(fontsize=8, loc="lower right")
    return figure


EXPERIMENT = book.Experiment(
    id="C26",
    question="Without bias correction, are Adam's first averages too small, and its first steps?",
    claim="Without bias correction the first averages are too small.",
    criterion=f"Digits, 64-32-10, rate 1e-3, b1 = .9, b2 = .999. Over the first {FIRST} steps: "
    "the uncorrected averages as shares of the mean gradient and of its mean square so far, and "
    "the length of the uncorrected step over that of the corrected. Supported if all three 95 % "
    "intervals lie below 1; depends on what is looked at if both averages' do but the step's lies "
    "above 1; refuted if an average's lies above 1. Beside it, over (b1, b2), the first step "
    f"against its closed form (1-b1) / sqrt(1-b2), to be met to {TOLERANCE:.0%}.",
    measure=measure,
    judge=judge,
    draw=draw,
    settings={"seeds": 16, "steps": 4000, "b1s": 21, "b2s": 25},
    quick={"seeds": 2, "steps": 60, "b1s": 3, "b2s": 5},
    check={"first_seed": 1000},
    symptom="A hand-written Adam without the correction jumps in its first steps.",
    remedy="adamlab.chain(track_moments(), correct_bias(), precondition(), "
    "scale_by_learning_rate(1e-3))",
)

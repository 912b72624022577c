"""C21: is Adam here the published rule to within rounding, with the published defaults?"""

from __future__ import annotations

import inspect
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import xarray as xr

import adamlab
from adamlab.compat import keras, torch
from experiments import book

RATE, B1, EPS = 1e-3, 0.9, 1e-8
DEFAULTS = [RATE, B1, 0.999, EPS]
LIBRARIES: dict[str, Any] = {
    "PyTorch": torch.adam, "Keras": keras.adam, "Optax": optax.adam, "adamlab": adamlab.adam,
}  # fmt: skip
COORDINATES = 8
# The optimizer, the precision and the greatest deviation allowed.
RUNS = {
    "adamlab.adam, float64": (adamlab.adam, "float64", 1e-12),
    "optax.adam, float64": (optax.adam, "float64", 1e-12),
    "adamlab.adam, float32": (adamlab.adam, "float32", 1e-5),
    "optax.adam, float32": (optax.adam, "float32", np.inf),  # for comparison: 1 - b2 loses digits
}


def trajectory(build: Any, steps: int, key: jax.Array, scale: Any, **b2: Any) -> dict[str, Any]:
    """Random gradients, of a different size around `scale` in each coordinate, and Adam's path."""
    size_key, gradient_key = jax.random.split(key)
    sizes = scale * 10 ** jax.random.uniform(size_key, (COORDINATES,), minval=-2, maxval=2)
    gradients = sizes * (0.5 + jax.random.normal(gradient_key, (steps, COORDINATES)))
    slow = b2["1-b2"]
    given = adamlab.OneMinus(slow) if build is adamlab.adam else 1 - slow
    tx = build(RATE, b1=B1, b2=given, eps=EPS)

    def step(carry: Any, gradient: jax.Array) -> Any:
        place, state = carry
        updates, state = tx.update(gradient, state)
        place = optax.apply_updates(place, updates)
        return (place, state), place

    start = jnp.zeros(COORDINATES)
    _, places = jax.lax.scan(step, (start, tx.init(start)), gradients)
    return {"gradient": gradients, "place": places}


def published(gradients: np.ndarray, slow: np.ndarray) -> np.ndarray:
    """Kingma & Ba 2015, algorithm 1, in float64, from 0; `slow` is 1-b2, the last axis time."""
    m = v = place = np.zeros(gradients.shape[:-1])
    places = []
    for t, g in enumerate(np.moveaxis(gradients.astype(float), -1, 0), start=1):
        m = B1 * m + (1 - B1) * g
        v = (1 - slow) * v + slow * g**2
        m_hat = m / (1 - B1**t)
        v_hat = v / -np.expm1(t * np.log1p(-slow))  # 1 - b2**t without loss
        place = place - RATE * m_hat / (np.sqrt(v_hat) + EPS)
        places.append(place)
    return np.stack(places, axis=-1)


def measure(lab: book.Lab) -> xr.Dataset:
    """The deviation from the published rule as a share of the displacement, over scale x 1-b2."""
    axes = {
        "scale": np.geomspace(1e-10, 1e10, lab["scales"]),
        "1-b2": np.geomspace(1e-4, 1e-1, lab["b2s"]),
        "seed": lab.seeds,
    }
    layout = {"step": np.arange(1, lab["steps"] + 1), "coordinate": np.arange(COORDINATES)}
    runs = {}
    for name, (build, precision, _) in RUNS.items():
        run = partial(trajectory, build, lab["steps"])
        with jax.enable_x64(precision == "float64"):
            found = lab.sweep(name, run, axes, dims={"gradient": layout, "place": layout})
        slow = found["1-b2"].astype(precision).astype(float)  # as rounded in the run
        rule = xr.apply_ufunc(
            published, found["gradient"], slow,
            input_core_dims=[["step"], []], output_core_dims=[["step"]],
        )  # fmt: skip
        off = ((found["place"] - rule) ** 2).sum("coordinate", skipna=False)
        share = np.sqrt(off / (rule**2).sum("coordinate"))
        runs[name] = share.fillna(np.inf).max("seed").to_dataset(name="deviation")
    return book.side_by_side("run", runs)


def defaults(function: Any) -> list[Any]:
    """A library's default rate, b1, b2 and eps; they come first in every signature."""
    parameters = inspect.signature(function).parameters.values()
    return jax.tree.leaves([parameter.default for parameter in parameters])[:4]


def judge(dataset: xr.Dataset) -> book.Verdict:
    """The largest deviations against their bounds, and the signatures against the defaults."""
    worst = dataset["deviation"].max(["step", "scale", "1-b2"])
    numbers = {f"{name}, from the rule": float(worst.sel(run=name)) for name in RUNS}
    bounds = [bound for _, _, bound in RUNS.values()]
    met = all(off <= bound for off, bound in zip(numbers.values(), bounds, strict=True))
    kinds: dict[str, book.Kind] = {}
    for library, function in LIBRARIES.items():
        values = defaults(function)
        shown = (f"{v:g}" if isinstance(v, float) else "to be given" for v in values)
        # A rate without a default can be no other.
        same = values[1:] == DEFAULTS[1:] and values[0] in (RATE, inspect.Parameter.empty)
        kinds[f"{library} ({', '.join(shown)})"] = "supported" if same else "refuted"
    if not met:
        return book.Verdict(kinds, numbers, "A trajectory leaves the published rule.", "refuted")
    return book.Verdict(kinds, numbers, "The update rule is met to rounding.")


def draw(dataset: xr.Dataset) -> book.Figure:
    """The greatest deviation over the steps, the gradients' scale and 1-b2."""
    dims = ("step", "scale", "1-b2")
    figure, axes = book.panels(3)
    for ax, along in zip(axes, dims, strict=True):
        worst = dataset.max([dim for dim in dims if dim != along])
        for (name, at), style in zip(book.each(worst, "run"), ("-", "--") * 2, strict=True):
            book.draw_lines(ax, at["deviation"], along, log="xy", linestyle=style, label=name)
        for _, _, bound in RUNS.values():
            ax.axhline(bound, color="k", linestyle=":")
        ax.set(ylim=(1e-18, 1), ylabel="relative deviation", title=f"worst, by {along}")
    axes[1].set_xlabel(f"scale of the gradients (eps = {EPS:g})")
    axes[0].legend(fontsize=7, loc="upper left")
    return figure


CLAIM = book.Claim(
    says="The update rule with bias correction; defaults: rate .001, b1 .9, b2 .999, eps 1e-8 "
    "(Kingma & Ba 2015).",
    asks="Are these the published defaults (of PyTorch and Keras as in adamlab.compat)?",
    criterion="Random gradients of sizes from 1e-12 to 1e12; the rule written in NumPy in "
    "float64. Statistic: the greatest distance of adamlab.adam from it as a share of the "
    "displacement, over all steps, scales, 1-b2 and seeds; at most 1e-12 in float64 (optax.adam "
    "too), 1e-5 in float32, else refuted. Supported if also the signatures of PyTorch's, Keras's, "
    "Optax's form and adamlab.adam have these defaults, the rate's where it has one, refuted if "
    "none has, depends on the library if they differ.",
    settings={"seeds": 8, "scales": 7, "b2s": 4, "steps": 1000},
    quick={"seeds": 2, "scales": 3, "b2s": 2, "steps": 60},
    check={"first_seed": 1000},
    caption="The largest distance from the published rule, computed in float64, as a share of the "
    "displacement. Dotted: the bounds for float32 and float64; Optax in float32 is shown for "
    "comparison and not judged. The defaults, which decide, have no figure.",
)

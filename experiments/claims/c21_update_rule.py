"""C21: is Adam here the published rule to rounding, and are its defaults the published ones?"""

from __future__ import annotations

import inspect
from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import adamlab
from adamlab.compat import keras, torch
from experiments import book

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

RATE, B1, EPS = 1e-3, 0.9, 1e-8
COORDINATES = 8
BOUNDS = {"float64": 1e-12, "float32": 1e-5}
IMPLEMENTATIONS = {"adamlab.adam": adamlab.adam, "optax.adam": optax.adam}
OURS = "adamlab.adam"
DEFAULTS = (1e-3, 0.9, 0.999, 1e-8)
# Where each library writes the rate, both decay rates and eps.
SIGNATURES: dict[str, tuple[Any, tuple[str, ...]]] = {
    "PyTorch": (torch.adam, ("lr", "betas", "eps")),
    "Keras": (keras.adam, ("learning_rate", "beta_1", "beta_2", "epsilon")),
    "Optax": (optax.adam, ("learning_rate", "b1", "b2", "eps")),
    "adamlab": (adamlab.adam, ("learning_rate", "b1", "b2", "eps")),
}


def trajectory(build: Any, steps: int, key: jax.Array, scale: Any, **b2: Any) -> dict[str, Any]:
    """Random gradients, each coordinate of another size around `scale`, and where Adam goes."""
    size_key, gradient_key = jax.random.split(key)
    sizes = scale * 10 ** jax.random.uniform(size_key, (COORDINATES,), minval=-2, maxval=2)
    gradients = sizes * (0.5 + jax.random.normal(gradient_key, (steps, COORDINATES)))
    complement = b2["1-b2"]
    given = adamlab.OneMinus(complement) if build is adamlab.adam else 1 - complement
    tx = build(RATE, b1=B1, b2=given, eps=EPS)
    start = jnp.zeros(COORDINATES)

    def step(carry: Any, gradient: jax.Array) -> Any:
        updates, state = tx.update(gradient, carry[1])
        place = optax.apply_updates(carry[0], updates)
        return (place, state), place

    return {
        "gradient": gradients,
        "place": jax.lax.scan(step, (start, tx.init(start)), gradients)[1],
    }


def published(gradients: np.ndarray, complement: np.ndarray) -> np.ndarray:
    """Kingma & Ba 2015, algorithm 1, in float64: the places after each step, from 0.

    `gradients` has the steps first; 1 - b2 and its powers are formed from 1-b2 without loss.
    """
    gradients = gradients.astype(np.float64)
    m, v, place = (np.zeros_like(gradients[0]) for _ in range(3))
    places = []
    for t, g in enumerate(gradients, start=1):
        m = B1 * m + (1 - B1) * g
        v = (1 - complement) * v + complement * g**2
        m_hat = m / (1 - B1**t)
        v_hat = v / -np.expm1(t * np.log1p(-complement))
        place = place - RATE * m_hat / (np.sqrt(v_hat) + EPS)
        places.append(place)
    return np.stack(places)


def measure(lab: book.Lab) -> xr.Dataset:
    """The deviation from the published rule in both precisions, over scale x 1-b2."""
    steps, order = lab["steps"], ("step", "scale", "1-b2", "seed", "coordinate")
    axes = {
        "scale": np.geomspace(1e-10, 1e10, lab["scales"]),
        "1-b2": np.geomspace(1e-4, 1e-1, lab["b2s"]),
        "seed": lab.seeds,
    }
    layout = {"step": np.arange(1, steps + 1), "coordinate": np.arange(COORDINATES)}
    by_precision = {}
    for precision in BOUNDS:
        parts = {}
        for name, build in IMPLEMENTATIONS.items():
            with jax.enable_x64(precision == "float64"):
                found = lab.sweep(
                    f"{name}-{precision}", partial(trajectory, build, steps), axes,
                    dims={"gradient": layout, "place": layout},
                ).transpose(*order)  # fmt: skip
                kind = np.dtype(precision).type
                complement = axes["1-b2"].astype(kind).astype(np.float64)[:, None, None]
            place = found["place"].astype(np.float64)
            rule = place.copy(data=published(found["gradient"].values, complement))
            off = ((place - rule) ** 2).sum("coordinate") ** 0.5 / (rule**2).sum(
                "coordinate"
            ) ** 0.5
            parts[name] = (
                off.where(np.isfinite(off), np.inf).max("seed").to_dataset(name="deviation")
            )
        by_precision[precision] = book.side_by_side("implementation", parts)
    return book.side_by_side("precision", by_precision)


def defaults(library: str) -> tuple[Any, ...]:
    """The rate, b1, b2 and eps that a library takes unless told; None for one it asks for."""
    function, names = SIGNATURES[library]
    parameters = inspect.signature(function).parameters
    values = [parameters[name].default for name in names]
    flat = [part for value in values for part in (value if isinstance(value, tuple) else (value,))]
    return tuple(None if value is inspect.Parameter.empty else value for value in flat)


def judge(dataset: xr.Dataset) -> book.Verdict:
    """The greatest deviations against their bounds, and the signatures against the defaults."""
    worst = dataset["deviation"].max(["step", "scale", "1-b2"])
    numbers = {
        f"{name} from the rule, {precision}": float(
            worst.sel(implementation=name, precision=precision)
        )
        for precision in BOUNDS
        for name in IMPLEMENTATIONS
    }
    exact = all(float(worst.sel(implementation=OURS, precision=p)) <= b for p, b in BOUNDS.items())
    exact &= bool((worst.sel(precision="float64") <= BOUNDS["float64"]).all())
    if not exact:
        return book.Verdict("refuted", "A trajectory leaves the published rule.", numbers)
    same = [library for library in SIGNATURES if defaults(library) == DEFAULTS]
    others = {library: defaults(library) for library in SIGNATURES if library not in same}
    if not others:
        return book.Verdict(
            "supported", "The rule is met to rounding, the defaults by all.", numbers
        )
    differ = "; ".join(f"{library} {_shown(values)}" for library, values in others.items())
    sentence = (
        "The rule is met to rounding; its defaults depend on the library: as published in "
        f"{', '.join(same) or 'none'}; elsewhere (rate, b1, b2, eps) are: {differ}."
    )
    return book.Verdict("depends", sentence, numbers)


def _shown(values: tuple[Any, ...]) -> str:
    return f"({', '.join('to be given' if v is None else f'{v:g}' for v in values)})"


def draw(dataset: xr.Dataset) -> Figure:
    """The deviation over the steps, and over scale x 1-b2 in both precisions."""
    figure, (left, *others) = book.panels(3)
    off = dataset["deviation"]
    for precision, bound in BOUNDS.items():
        for name, style in zip(IMPLEMENTATIONS, ("-", "--"), strict=True):
            line = off.sel(precision=precision, implementation=name).max(["scale", "1-b2"])
            left.plot(line["step"], line, style, label=f"{name}, {precision}")
        left.axhline(bound, color="k", linestyle=":")
    left.set(
        title="greatest deviation from the rule", xscale="log", yscale="log", xlabel="step",
        ylabel="relative deviation (dotted: the bounds)", ylim=(1e-18, 1),
    )  # fmt: skip
    left.legend(fontsize=7, loc="upper left")
    for ax, precision in zip(others, BOUNDS, strict=True):
        ours = off.sel(precision=precision, implementation=OURS).max("step")
        shown = ours.copy(data=np.log10(ours.clip(1e-18))).rename("log10(relative deviation)")
        book.draw_heat(ax, shown, "scale", "1-b2", cmap="viridis_r")
        ax.set(title=f"{OURS}, {precision}", xlabel="scale of the gradients (eps = 1e-8)")
    return figure


EXPERIMENT = book.Experiment(
    id="C21",
    question="Is Adam here the published rule to rounding, and are its defaults the published?",
    claim="The update rule with bias correction; defaults: rate .001, b1 .9, b2 .999, eps 1e-8 "
    "(Kingma & Ba 2015).",
    criterion="Random gradients of sizes from 1e-12 to 1e12; the rule written in NumPy in float64. "
    "Statistic: the greatest distance of adamlab.adam from it as a share of the displacement, over "
    "all steps, scales, 1-b2 and seeds; at most 1e-12 in float64 (optax.adam too), 1e-5 in "
    "float32, else refuted. Supported if also the signatures of PyTorch's, Keras's, Optax's form "
    "and adamlab.adam have these defaults; depends on the library if some have others or none.",
    measure=measure,
    judge=judge,
    draw=draw,
    settings={"seeds": 8, "scales": 7, "b2s": 4, "steps": 1000},
    quick={"seeds": 2, "scales": 3, "b2s": 2, "steps": 60},
    check={"first_seed": 1000},
    symptom="Two libraries' Adam, told the same, train differently.",
    remedy="adamlab.compat.keras.adam(1e-3)  # or .torch: each library's own rule and defaults",
)

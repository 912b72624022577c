"""P04: is the border between training and diverging a fractal, and is Adam's as rough?"""

from __future__ import annotations

from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from scipy.ndimage import uniform_filter

import adamlab
from adamlab.analysis import Interval, boundary_pixels, box_dimension, null_dimension
from adamlab.problems import fractal_net
from experiments import book

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

PAPER = {"tanh": 1.66, "linear": 1.17}
MARGIN, LATE, CAP = 0.1, 20, 1e6


# The null: a coupled quadratic of two variables, whose border is smooth.
VALLEY = adamlab.Problem(
    "valley",
    init=lambda _: {"W0": jnp.ones([]), "W1": jnp.ones([])},
    loss=lambda w, _: (w["W0"] ** 2 + w["W0"] * w["W1"] + w["W1"] ** 2) / 2,
)
DIRECTIONS = {"gradient descent": optax.identity, "adam": adamlab.scale_by_adam}


def converges(
    problem: adamlab.Problem, direction: Any, steps: int, log_rate_0: Any, log_rate_1: Any
) -> jax.Array:
    """Whether the mean of the last 20 losses, capped at 1e6 times the first, is below the first."""
    tx = direction()
    start = problem.init(jax.random.key(0), **problem.hyperparameters)
    rates = {"W0": 10.0**log_rate_0, "W1": 10.0**log_rate_1}
    values = problem.hyperparameters
    batch = problem.batch
    rows = None if batch is None else batch(jax.random.key(0), jnp.zeros([], jnp.int32), **values)

    def step(carry: Any) -> Any:
        count, params, state, late, _ = carry
        loss, grads = jax.value_and_grad(problem.loss)(params, rows, **values)
        updates, state = tx.update(grads, state, params)
        params = jax.tree.map(lambda p, u, rate: p - rate * u, params, updates, rates)
        share = jnp.where(jnp.isfinite(loss), jnp.minimum(loss / first, CAP), CAP)
        late += jnp.where(count >= steps - LATE, share / LATE, 0)
        return count + 1, params, state, late, jnp.isfinite(loss)

    # A loss that is not finite stays so: nothing is left to compute.
    first = problem.loss(start, rows, **values)
    carry = jax.lax.while_loop(
        lambda carry: (carry[0] < steps) & carry[-1],
        step,
        (0, start, tx.init(start), jnp.zeros_like(first), jnp.isfinite(first)),
    )
    return (carry[0] == steps) & (carry[-2] < 1)


def roughest(image: np.ndarray, rates: np.ndarray, pixels: int) -> list[np.ndarray]:
    """The rates of an eighth of a map's window, around where its border is densest."""
    border = boundary_pixels(image).astype(float)
    density = uniform_filter(border, len(rates) // 8, mode="constant")
    half = (rates[-1] - rates[0]) / 16
    middle = rates[list(np.unravel_index(density.argmax(), density.shape))]
    return [np.linspace(at - half, at + half, pixels) for at in middle]


def image(lab: book.Lab, net: str, name: str, rates: Any, label: str = "") -> np.ndarray:
    """The map of a net and an optimizer over the rates of both layers."""
    problem = VALLEY if net == "quadratic" else fractal_net(net, draw=lab["draw"])
    run = partial(converges, problem, DIRECTIONS[name], lab["steps"])
    found = lab.sweep(
        f"{net}-{name.split()[0]}{label}", run, {"log_rate_0": rates[0], "log_rate_1": rates[1]},
        settings={"draw": lab["draw"], "net": net},
    )  # fmt: skip
    return np.asarray(found["result"])


def measure(lab: book.Lab) -> xr.Dataset:
    """The maps of all nets and optimizers; and the roughest eighth of the trained nets'."""
    import xarray as xr

    whole = np.linspace(-3, 6, lab["resolution"])
    maps = {}
    for net, name in product((*PAPER, "quadratic"), DIRECTIONS):
        maps[f"{net}, {name}"] = ("x", "y"), (found := image(lab, net, name, (whole, whole)))
        if net in PAPER:
            rates = roughest(found, whole, lab["zoomed"])
            part = image(lab, net, name, rates, " zoomed")
            maps[f"{net}, {name}, zoomed"] = ("zoom_x", "zoom_y"), part
    return xr.Dataset(maps)


def judge(dataset: xr.Dataset) -> book.Verdict:
    """The dimensions beside the paper's, each with two standard errors, and the null."""
    size = dataset.sizes["x"]
    found: dict[str, float] = {}
    null = null_dimension((size, size)).dimension
    numbers: dict[str, float | Interval] = {"a disc at this resolution": null}
    for name, image in dataset.data_vars.items():
        try:
            d = box_dimension(boundary_pixels(image.values), least=min(500, len(image)))
        except ValueError:  # too few pixels for a dimension
            continue
        spread = 2 * d.standard_error
        numbers[str(name)] = Interval(d.dimension, d.dimension - spread, d.dimension + spread)
        found[str(name)] = d.dimension
    maps = [f"{net}, {name}" for net, name in product(PAPER, DIRECTIONS)]
    if not found.keys() >= {*maps}:
        return book.Verdict("undecided", "A net's border has too few pixels.", numbers)
    rougher = found["tanh, adam"] - found["tanh, gradient descent"] > MARGIN
    zoomed = "; ".join(f"{name} {found.get(f'{name}, zoomed', np.nan):.2f}" for name in maps)
    beside = (
        f"On the tanh net Adam's is {'' if rougher else 'not '}rougher than gradient descent's. "
        f"Eight times enlarged where it is densest: {zoomed}."
    )
    if found["tanh, gradient descent"] <= null + MARGIN:
        return book.Verdict("refuted", f"The border is as smooth as a disc's. {beside}", numbers)
    off = [n for n, d in PAPER.items() if abs(found[f"{n}, gradient descent"] - d) > MARGIN]
    if off:
        missed = f"On the window: rough, but over {MARGIN} from the paper's for {' and '.join(off)}"
        return book.Verdict("depends", f"{missed}. {beside}", numbers)
    return book.Verdict("supported", f"The paper's dimensions are met. {beside}", numbers)


def draw(dataset: xr.Dataset) -> Figure:
    """The six maps, and the eighths of the nets' in which the border is densest."""
    figure, axes = book.panels(5, 2)
    columns = [*PAPER, "quadratic", *(f"{net} zoomed" for net in PAPER)]
    for ax, (name, column) in zip(axes, product(DIRECTIONS, columns), strict=True):
        net, *zoomed = column.split()
        title = ", ".join([net, name, *zoomed])
        extent = None if zoomed else (-3, 6, -3, 6)
        style = {"cmap": "cividis", "vmin": 0, "vmax": 1, "extent": extent}
        ax.imshow(dataset[title].values.T, origin="lower", aspect="auto", **style)
        ax.set_title(title, fontsize=10)
        ax.set_axis_off() if zoomed else ax.set(xlabel="log10 rate of layer 0")
    axes[0].set_ylabel("log10 rate of layer 1")
    return figure


EXPERIMENT = book.Experiment(
    id="P04",
    question="Is the border between training and diverging a fractal, and is Adam's as rough?",
    claim="The border between trainable and untrainable pairs of rates is fractal: box dimension "
    "1.66 for a tanh net, 1.17 for a linear one (Sohl-Dickstein 2024, arXiv 2402.06184).",
    criterion="Rates 1e-3 to 1e6 for each layer, 500 full-batch steps, float64; converged if the "
    "mean of the last 20 losses is below the first. Supported if gradient descent's box dimensions "
    "are both within 0.1 of the paper's and the tanh net's over 0.1 above a disc's at the same "
    "resolution; refuted if the tanh net's is not; depends on the window otherwise; undecided if a "
    "net's border has too few pixels.",
    measure=measure,
    judge=judge,
    draw=draw,
    settings={
        "seeds": 1,
        "resolution": 512,
        "zoomed": 128,
        "steps": 500,
        "draw": 0,
        "float64": True,
    },
    quick={"resolution": 64, "zoomed": 32, "steps": 20},
    check={"draw": 1, "resolution": 256},
    symptom="A rate that trains lies right beside one that diverges; reruns do not repeat.",
    remedy="adam(rate / 3)  # stay a factor away from the border: it has no clean edge",
)  # fmt: skip

"""P04: is the border between training and diverging a fractal, and is Adam's as rough?"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import adamlab
from adamlab.analysis import BoxDimension, Interval, boundary_pixels, box_dimension, null_dimension
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


def measure(lab: book.Lab) -> xr.Dataset:
    """The map over both layers' rates for each net and optimizer."""
    import xarray as xr

    rates = np.linspace(-3, 6, lab["resolution"])
    maps = {}
    for net in (*PAPER, "quadratic"):
        for name, direction in DIRECTIONS.items():
            problem = VALLEY if net == "quadratic" else fractal_net(net, draw=lab["draw"])
            found = lab.sweep(
                f"{net}-{name.split()[0]}",
                partial(converges, problem, direction, lab["steps"]),
                {"log_rate_0": rates, "log_rate_1": rates},
                settings={"draw": lab["draw"], "net": net},
            )
            maps[f"{net}, {name}"] = found["result"]
    return xr.Dataset(maps)


def judge(dataset: xr.Dataset) -> book.Verdict:
    """The dimensions beside the paper's, each with two standard errors, and the null."""
    size = dataset.sizes["log_rate_0"]
    found: dict[str, BoxDimension] = {}
    for name, image in dataset.data_vars.items():
        try:
            found[str(name)] = box_dimension(boundary_pixels(image.values), least=min(500, size))
        except ValueError as error:  # too few pixels for a dimension
            return book.Verdict("undecided", f"{name}: {error}")
    null = null_dimension((size, size)).dimension
    numbers: dict[str, float | Interval] = {"a disc at this resolution": null}
    for name, d in found.items():
        spread = 2 * d.standard_error
        numbers[name] = Interval(d.dimension, d.dimension - spread, d.dimension + spread)
    descent = {net: found[f"{net}, gradient descent"].dimension for net in PAPER}
    gap = found["tanh, adam"].dimension - descent["tanh"]
    than = "rougher than" if gap > MARGIN else "smoother than" if gap < -MARGIN else "as rough as"
    beside = f"Adam's border is {than} gradient descent's on the tanh net."
    if descent["tanh"] <= null + MARGIN:
        return book.Verdict("refuted", f"The border is as smooth as a disc's. {beside}", numbers)
    off = [net for net, paper in PAPER.items() if abs(descent[net] - paper) > MARGIN]
    if not off:
        return book.Verdict("supported", f"The paper's dimensions are met. {beside}", numbers)
    missed = f"rough, but more than {MARGIN} from the paper's for {' and '.join(off)}"
    return book.Verdict("depends", f"On the window and the draw: {missed}. {beside}", numbers)


def draw(dataset: xr.Dataset) -> Figure:
    """The six maps."""
    figure, axes = book.panels(3, 2)
    order = [f"{net}, {name}" for name in DIRECTIONS for net in (*PAPER, "quadratic")]
    for ax, name in zip(axes, order, strict=True):
        x = dataset["log_rate_0"]
        image = dataset[name].values.T.astype(float)
        ax.pcolormesh(x, x, image, cmap="cividis", shading="nearest", rasterized=True)
        ax.set(title=name, xlabel="log10 rate of layer 0", ylabel="log10 rate of layer 1")
    return figure


EXPERIMENT = book.Experiment(
    id="P04",
    question="Is the border between training and diverging a fractal, and is Adam's as rough?",
    claim="The border between trainable and untrainable pairs of rates is fractal: box dimension "
    "1.66 for a tanh net, 1.17 for a linear one (Sohl-Dickstein 2024, arXiv 2402.06184).",
    criterion="Rates 1e-3 to 1e6 for each layer, 500 full-batch steps, float64; converged if the "
    "mean of the last 20 losses is below the first. Supported if gradient descent's are both "
    "within 0.1 of the paper's and the tanh net's over 0.1 above a disc's at the same "
    "resolution; refuted if the tanh net's is not; depends on the window otherwise.",
    measure=measure,
    judge=judge,
    draw=draw,
    settings={"seeds": 1, "resolution": 512, "steps": 500, "draw": 0, "float64": True},
    quick={"resolution": 64, "steps": 20},
    check={"draw": 1, "resolution": 256},
    symptom="A rate that trains lies right beside one that diverges; reruns do not repeat.",
    remedy="adam(rate / 3)  # stay a factor away from the border: it has no clean edge",
)

"""P04: is the border between training and diverging a fractal, and how rough is Adam's?"""

from __future__ import annotations

from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import xarray as xr

import adamlab
from adamlab.analysis import Interval, boundary_corners, box_dimension
from adamlab.problems import fractal_net
from experiments import book

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAPER = {"tanh": 1.66, "linear": 1.17}
NETS = [*PAPER, "quadratic"]
MARGIN, LATE, CAP = 0.1, 20, 1e6
LOW, HIGH, NEARER = -3, 6, 8
AT_ONCE = 4  # few side by side, so that those that diverge are soon done
VALLEY = adamlab.Problem(  # the null: a coupled quadratic, whose border is smooth
    "valley", init=lambda _: {"W0": jnp.ones([]), "W1": jnp.ones([])},
    loss=lambda w, _: (w["W0"] ** 2 + w["W0"] * w["W1"] + w["W1"] ** 2) / 2,
)  # fmt: skip
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

    first = problem.loss(start, rows, **values)
    carry = jax.lax.while_loop(  # a loss that is not finite stays so
        lambda carry: (carry[0] < steps) & carry[-1], step,
        (0, start, tx.init(start), jnp.zeros_like(first), jnp.isfinite(first)),
    )  # fmt: skip
    return (carry[0] == steps) & (carry[-2] < 1)


def near(places: np.ndarray, run: Any, point: Any, across: Any, along: Any) -> jax.Array:
    """`run` at rates so many decades away from a place."""
    place = jnp.asarray(places)[point]
    return run(place[0] + across, place[1] + along)


def slopes(image: np.ndarray) -> np.ndarray:
    """The dimension of a map's border at each size of box; NaN where there is no border."""
    border = boundary_corners(image)
    if not border.any():
        return np.full(len(border).bit_length() - 1, np.nan)
    return box_dimension(border, least=1, largest=len(border)).slopes


def enlarged(lab: book.Lab, case: str, run: Any, image: np.ndarray, rates: np.ndarray) -> Any:
    """Maps about points drawn from a border, each 8 times nearer: shape (zoom, point, x, y)."""
    side, points = lab["side"], lab.seeds
    corners = np.argwhere(boundary_corners(image))
    if not len(corners):
        return np.zeros((lab["zooms"], len(points), side, side), bool)
    drawn = corners[np.random.default_rng(lab["draw"]).integers(len(corners), size=len(points))]
    places, half, found = (rates[drawn] + rates[drawn + 1]) / 2, (HIGH - LOW) / 2, []
    for zoom in range(lab["zooms"]):
        half /= NEARER
        steps = np.linspace(-half, half, side)
        axes = {"point": points, "across": steps, "along": steps}
        there = lab.sweep(f"{case}-{zoom}", partial(near, places, run), axes, lanes=AT_ONCE)
        found.append(there["result"].values)
        for point, one in enumerate(found[-1]):  # the border's place nearest to the middle is next
            border = np.argwhere(boundary_corners(one)) + 0.5 - (side - 1) / 2
            if len(border):
                places[point] += border[np.hypot(*border.T).argmin()] * (steps[1] - steps[0])
    return np.stack(found)


def measure(lab: book.Lab) -> xr.Dataset:
    """The maps, and the slopes in enlargements about points of their borders."""
    rates = np.linspace(LOW, HIGH, lab["resolution"])
    found = {}
    for net, (name, direction) in product(NETS, DIRECTIONS.items()):
        problem = VALLEY if net == "quadratic" else fractal_net(net, draw=lab["draw"])
        run = partial(converges, problem, direction, lab["steps"])
        case, axes = f"{net}-{name.split()[0]}", {"log_rate_0": rates, "log_rate_1": rates}
        settings = {"draw": lab["draw"], "net": net}
        image = lab.sweep(case, run, axes, settings=settings, lanes=AT_ONCE)["result"].values
        maps = enlarged(lab, case, run, image, rates)
        found[f"{net}, {name}"] = xr.Dataset({
            "converges": (("x", "y"), image), "enlarged": (("across", "along"), maps[1, 0]),
            "slopes": (("zoom", "seed", "size"), [[slopes(one) for one in zoom] for zoom in maps]),
        })  # fmt: skip
    return book.side_by_side("case", found)


def judge(dataset: xr.Dataset) -> book.Verdict:
    """The median over points beside the paper's, for each net under gradient descent."""
    kinds: dict[str, book.Kind] = {}
    numbers: dict[str, float | Interval] = {}
    medians = []
    for case, found in book.each(dataset, "case"):
        at_points = found["slopes"].median(["zoom", "size"])
        if at_points.isnull().all():  # all of it converges: there is no border
            continue
        numbers[case] = middle = book.over_seeds(at_points)
        low, high = at_points.quantile([0.25, 0.75]).values
        numbers[f"{case}: the middle half of the points"] = Interval(middle.value, low, high)
        numbers[f"{case}: all enlargements together"] = pooled = float(found["slopes"].median())
        numbers[f"{case}: the whole map"] = float(np.median(slopes(found["converges"].values)))
        medians.append(f"{case} {pooled:.2f} (half of the points {low:.2f} to {high:.2f})")
        net, direction = case.split(", ")
        if net in PAPER and direction == "gradient descent":
            kind = book.within(middle, PAPER[net] - MARGIN, PAPER[net] + MARGIN)
            kinds[net] = "depends" if high - low > 2 * MARGIN else kind
    kind, sentence = book.together(kinds, "One dimension, the paper's?")
    return book.Verdict(kind, f"{sentence} Of all enlargements: {'; '.join(medians)}.", numbers)


def draw(dataset: xr.Dataset) -> Figure:
    """The six maps, a place of the tanh net's borders 64 times enlarged, and the dimensions."""
    figure, axes = book.panels(5, 2)
    style = {"cmap": "cividis", "vmin": 0, "vmax": 1, "origin": "lower", "aspect": "auto"}
    for name, (*maps, inside, points) in zip(DIRECTIONS, np.reshape(axes, (2, 5)), strict=True):
        here = dataset.sel(case=[f"{net}, {name}" for net in NETS])
        for ax, net, image in zip(maps, NETS, here["converges"], strict=True):
            ax.imshow(image.T, extent=(LOW, HIGH, LOW, HIGH), **style)
            ax.set(title=f"{net}, {name}", xlabel="log10 rate of layer 0")
        maps[0].set_ylabel("log10 rate of layer 1")
        inside.imshow(here["enlarged"][0].T, **style)
        inside.set(title=f"tanh, {name}, {NEARER**2} times enlarged", xticks=[], yticks=[])
        points.plot(NETS, here["slopes"].median(["zoom", "size"]), "o", color="C0", alpha=0.5)
        points.plot(list(PAPER), list(PAPER.values()), "k_", markersize=30)
        points.set(title=f"dimensions and the paper's (line), {name}", ylim=(0.9, 2.1))
    return figure


EXPERIMENT = book.Experiment(
    id="P04",
    question="Is the border between training and diverging a fractal, and how rough is Adam's?",
    claim="The border between trainable and untrainable pairs of rates is fractal: box dimension "
    "1.66 for a tanh net, 1.17 for a linear one (Sohl-Dickstein 2024, arXiv 2402.06184).",
    criterion="Rates 1e-3 to 1e6 for each layer, 500 full-batch steps, float64; converged if the "
    "mean of the last 20 losses is below the first. At each of 16 points drawn from the border the "
    "dimension is, as the paper's, the median slope over sizes of boxes and enlargements. A net "
    "depends (on the place) if the middle half of its points spans over 0.2; else it is supported "
    "if the interval of gradient descent's median over points is within 0.1 of the paper's, "
    "refuted if none of it is.",
    measure=measure, judge=judge, draw=draw, settings={"seeds": 16, "resolution": 512, "side": 33,
    "zooms": 5, "steps": 500, "draw": 0, "float64": True},
    quick={"seeds": 4, "resolution": 33, "side": 9, "zooms": 2, "steps": 20},
    check={"draw": 2, "resolution": 256},
    caption="Yellow trains, blue does not. Right: a dot for each point drawn, all of one network.",
    symptom="A rate that trains lies right beside one that diverges; reruns do not repeat.",
    remedy="adam(rate / 3)  # stay a factor away from the border: it has no clean edge",
)  # fmt: skip

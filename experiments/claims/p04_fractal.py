"""P04: is the border between training and diverging a fractal, and how rough is Adam's?"""

from __future__ import annotations

from functools import partial
from itertools import product
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import xarray as xr

import adamlab
from adamlab.analysis import boundary_corners, box_dimension
from adamlab.problems import fractal_net
from experiments import book

PAPER = {"tanh": 1.66, "linear": 1.17}
NETS = [*PAPER, "quadratic"]
MARGIN, LATE, CAP, LOW, HIGH, NEARER = 0.1, 20, 1e6, -3, 6, 8
AT_ONCE = 4  # few side by side, so that lanes that diverge are soon done
DIRECTIONS = {"gradient descent": optax.identity, "adam": adamlab.scale_by_adam}


def converges(
    loss: Any, direction: Any, drawn: Any, steps: int, draw: Any, log_rate_0: Any, log_rate_1: Any
) -> jax.Array:
    """Whether the mean of the last 20 losses, capped at 1e6 times the first, is below the first."""
    tx = direction()
    start, rows = jax.tree.map(lambda x: x[draw], drawn)
    rates = {"W0": 10.0**log_rate_0, "W1": 10.0**log_rate_1}

    def step(carry: Any) -> Any:
        count, params, state, late, _ = carry
        now, grads = jax.value_and_grad(loss)(params, rows)
        updates, state = tx.update(grads, state, params)
        params = jax.tree.map(lambda p, u, rate: p - rate * u, params, updates, rates)
        share = jnp.where(jnp.isfinite(now), jnp.minimum(now / first, CAP), CAP)
        late += jnp.where(count >= steps - LATE, share / LATE, 0)
        return count + 1, params, state, late, jnp.isfinite(now)

    first = loss(start, rows)
    carry = jax.lax.while_loop(  # a loss that is not finite stays so
        lambda carry: (carry[0] < steps) & carry[-1], step,
        (0, start, tx.init(start), jnp.zeros_like(first), jnp.isfinite(first)),
    )  # fmt: skip
    return (carry[0] == steps) & (carry[-2] < 1)


def networks(net: str, draws: np.ndarray) -> tuple[Any, Any]:
    """The loss, and the starts and the data of each draw in one tree."""
    if net == "quadratic":  # the control: coupled, with a smooth border
        start = dict.fromkeys(("W0", "W1"), jnp.ones(len(draws)))
        return lambda w, _: w["W0"] ** 2 + w["W0"] * w["W1"] + w["W1"] ** 2, (start, None)
    each = [fractal_net(net, draw=int(draw)) for draw in draws]
    key, step = jax.random.key(0), jnp.zeros([], jnp.int32)  # neither is read
    starts = [one.init(key, **one.hyperparameters) for one in each]
    drawn = zip(starts, [one.batch(key, step) for one in each if one.batch], strict=True)
    return each[0].loss, jax.tree.map(lambda *leaves: jnp.stack(leaves), *drawn)


def near(places: np.ndarray, run: Any, draw: Any, across: Any, along: Any) -> jax.Array:
    """`run` at rates `across` and `along` decades away from a place."""
    place = jnp.asarray(places)[draw]
    return run(draw, place[0] + across, place[1] + along)


def slopes(image: np.ndarray) -> np.ndarray:
    """The dimension of a map's border at each size of box; NaN where there is no border."""
    border = boundary_corners(image)
    none = np.full(len(border).bit_length() - 1, np.nan)
    return box_dimension(border, least=1, largest=len(border)).slopes if border.any() else none


def enlarged(lab: book.Lab, case: str, run: Any) -> np.ndarray:
    """Maps around a point of each draw's border, each 8 times closer: zoom, draw, across, along."""
    draws, found = np.arange(len(lab.seeds)), []
    places = np.full((len(draws), 2), (LOW + HIGH) / 2)
    for zoom in range(lab["zooms"] + 1):
        side, half = lab["side"] if zoom else lab["coarse"], (HIGH - LOW) / 2 / NEARER**zoom
        steps = np.linspace(-half, half, side)
        axes = {"draw": draws, "across": steps, "along": steps}
        there = lab.sweep(f"{case}-{zoom}", partial(near, places, run), axes, lanes=AT_ONCE)
        found.append(there["result"].values)
        for draw, one in enumerate(found[-1]):
            border = np.argwhere(boundary_corners(one)) + 0.5 - (len(steps) - 1) / 2
            if len(border):  # the next place is that of the border nearest to the middle
                drawn = np.random.default_rng(lab.seeds[draw]).integers(len(border))
                chosen = border[np.hypot(*border.T).argmin() if zoom else drawn]
                places[draw] += chosen * (steps[1] - steps[0])
    return np.stack(found[1:])


def measure(lab: book.Lab) -> xr.Dataset:
    """A large map of the first draw, and the slopes in enlargements of every draw's border."""
    rates, found = np.linspace(LOW, HIGH, lab["resolution"]), {}
    for net, (name, direction) in product(NETS, DIRECTIONS.items()):
        loss, drawn = networks(net, lab.seeds)
        run = partial(converges, loss, direction, drawn, lab["steps"])
        case, axes = f"{net}-{name.split()[0]}", {"log_rate_0": rates, "log_rate_1": rates}
        image = lab.sweep(case, partial(run, 0), axes, lanes=AT_ONCE)["result"].values
        maps = enlarged(lab, case, run)
        found[f"{net}, {name}"] = xr.Dataset({
            "converges": (("x", "y"), image), "enlarged": (("across", "along"), maps[1, 0]),
            "slopes": (("zoom", "seed", "size"), [[slopes(one) for one in zoom] for zoom in maps]),
        })  # fmt: skip
    return book.side_by_side("case", found)


def judge(dataset: xr.Dataset) -> book.Verdict:
    """The median over networks against the paper's, for each net under gradient descent."""
    kinds: dict[str, book.Kind] = {}
    numbers: book.Numbers = {}
    told = []
    for case, found in book.each(dataset, "case"):
        of_each = found["slopes"].median(["zoom", "size"]).dropna("seed")
        if not of_each.size:
            told.append(f"{case} has no border")
            continue
        middle, (low, high) = book.over_seeds(of_each), of_each.quantile([0.25, 0.75]).values
        name, whole = f"box dimension, {case}", np.median(slopes(found["converges"].values))
        numbers |= {name: middle, f"{name}, of the first network's whole map": whole}
        numbers |= {f"{name}, lower quartile of the networks": low, f"{name}, upper quartile": high}
        told.append(f"{case} {middle.value:.2f} (half from {low:.2f} to {high:.2f})")
        net, direction = case.split(", ")
        if net in PAPER and direction == "gradient descent":
            kind = book.within(middle, PAPER[net] - MARGIN, PAPER[net] + MARGIN)
            kinds[net] = "depends" if high - low > 2 * MARGIN else kind
    return book.Verdict(kinds, numbers, f"Medians over networks: {'; '.join(told)}.")


def draw(dataset: xr.Dataset) -> book.Figure:
    """Maps of one network a case, a place of the tanh net's 64 times enlarged, the dimensions."""
    figure, axes = book.panels(5, 2)
    style = {"cmap": "cividis", "vmin": 0, "vmax": 1, "origin": "lower", "aspect": "auto"}
    for name, (*maps, inside, points) in zip(DIRECTIONS, np.reshape(axes, (2, 5)), strict=True):
        here = dataset.sel(case=[f"{net}, {name}" for net in NETS])
        for ax, net, image in zip(maps, NETS, here["converges"], strict=True):
            ax.imshow(image.T, extent=(LOW, HIGH, LOW, HIGH), **style)
            ax.set(title=f"{net}, {name}", xlabel="log10 rate of layer 0", ylabel="of layer 1")
        inside.imshow(here["enlarged"][0].T, **style)
        inside.set(title=f"tanh, {name}, {NEARER**2} times enlarged", xticks=[], yticks=[])
        found = here["slopes"].median(["zoom", "size"])
        points.plot(NETS, found, "C0o", alpha=0.3)
        points.plot(NETS, found.median("seed"), "C3_", markersize=40, label="median")
        points.plot(list(PAPER), list(PAPER.values()), "k_", markersize=40, label="the paper's")
        points.set(title=name, xlim=(-0.5, 2.5), ylim=(0.9, 2.1), ylabel="box dimension")
        points.legend(markerscale=0.5)
    return figure


CLAIM = book.Claim(
    says="The border between trainable and untrainable pairs of rates is fractal: box dimension "
    "1.66 for a tanh net, 1.17 for a linear one (Sohl-Dickstein 2024, arXiv 2402.06184).",
    asks=f"Is the dimension within {MARGIN} of the paper's, whatever the network and the place?",
    criterion="Rates 1e-3 to 1e6 a layer, 500 full-batch steps, float64; converged if the mean of "
    "the last 20 losses is below the first. Of each of 32 networks, at a point drawn from its "
    "border: the paper's median slope over sizes of boxes and enlargements. A kind of net depends "
    "(on draw and place) if the middle half of them spans over 0.2; else it is supported if the "
    "interval of the median is within 0.1 of the paper's, refuted if none of it is.",
    settings={"seeds": 32, "resolution": 512, "coarse": 32, "side": 33, "zooms": 5, "steps": 500,
              "float64": True},
    quick={"seeds": 2, "resolution": 17, "coarse": 17, "side": 9, "zooms": 2, "steps": 20},
    check={"first_seed": 32, "seeds": 16, "resolution": 32},
    caption="Yellow trains, over both layers' rates; column 4: "
    "the tanh net's border enlarged. Right: box dimension of 32 networks' borders, if any, at one "
    "place each. Top: gradient descent; bottom: Adam.",
)  # fmt: skip

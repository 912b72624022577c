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
from adamlab.analysis import boundary_corners, boundary_slopes
from adamlab.problems import fractal_net
from experiments import book

PAPER = {"tanh": 1.66, "linear": 1.17}
NETS = [*PAPER, "quadratic"]
DIRECTIONS = {"gradient descent": optax.identity, "adam": adamlab.scale_by_adam}
MARGIN, LATE, LOW, HIGH, NEARER = 0.1, 20, -3, 6, 8


def networks(net: str, draws: np.ndarray) -> tuple[Any, Any]:
    """The loss, and the starts and the data of each draw in one tree."""
    if net == "quadratic":  # the control: coupled, with a smooth border
        start = dict.fromkeys(("W0", "W1"), jnp.ones(len(draws)))
        return lambda w, _: w["W0"] ** 2 + w["W0"] * w["W1"] + w["W1"] ** 2, (start, None)
    each, key = [fractal_net(net, draw=int(one)) for one in draws], jax.random.key(0)  # not read
    drawn = [(one.init(key, offset=0.0), one.batch and one.batch(key, 0)) for one in each]
    return each[0].loss, jax.tree.map(lambda *leaves: jnp.stack(leaves), *drawn)


def converges(
    loss: Any, drawn: Any, direction: Any, steps: int, places: np.ndarray, draw: Any, x: Any, y: Any
) -> jax.Array:
    """Whether the mean of the last 20 losses is below the first.

    The layers' rates are `x` and `y` decades from the draw's place. The paper caps losses at 1e6
    times the first, which decides nothing here: a mean that has such a loss in it is above.
    """
    tx = direction()
    start, rows, place = jax.tree.map(lambda leaf: jnp.asarray(leaf)[draw], (*drawn, places))
    rates = {"W0": 10.0 ** (place[0] + x), "W1": 10.0 ** (place[1] + y)}

    def step(carry: Any) -> Any:
        count, params, state, late, _ = carry
        now, grads = jax.value_and_grad(loss)(params, rows)
        updates, state = tx.update(grads, state, params)
        params = jax.tree.map(lambda p, u, rate: p - rate * u, params, updates, rates)
        late += jnp.where(count >= steps - LATE, now, 0)
        return count + 1, params, state, late, now

    first = loss(start, rows)
    count, *_, late, _ = jax.lax.while_loop(  # a loss that is not finite stays so
        lambda carry: (carry[0] < steps) & jnp.isfinite(carry[-1]), step,
        (0, start, tx.init(start), jnp.zeros_like(first), first),
    )  # fmt: skip
    return (count == steps) & (late / LATE < first)


def maps(lab: book.Lab, case: str, run: Any) -> tuple[np.ndarray, np.ndarray]:
    """The first draw's whole map, and maps of ever closer places on each draw's border.

    Their shapes: (x, y) and (zoom, draw, x, y). Each zoom is 8 times closer than the one before.
    """
    places, found = np.full((len(lab.seeds), 2), (LOW + HIGH) / 2), []

    def around(name: str, of: Any, side: int, zoom: int = 0, **draws: Any) -> np.ndarray:
        """A map with few lanes side by side, so that those that diverge are soon done."""
        steps = np.linspace(LOW - HIGH, HIGH - LOW, side) / 2 / NEARER**zoom
        return lab.sweep(name, of, {**draws, "x": steps, "y": steps}, lanes=4)["result"].values

    whole = around(case, partial(run, places, 0), lab["resolution"])
    for zoom in range(lab["zooms"] + 1):
        side, draws = lab["side" if zoom else "coarse"], range(len(places))
        found.append(around(f"{case}-{zoom}", partial(run, places), side, zoom, draw=draws))
        for draw, image in enumerate(found[-1]):
            border = np.argwhere(boundary_corners(image)) - (side - 2) / 2
            if len(border):  # the next place is that of the border nearest to the middle
                drawn = np.random.default_rng(lab.seeds[draw]).integers(len(border))
                chosen = border[np.hypot(*border.T).argmin() if zoom else drawn]
                places[draw] += chosen * (HIGH - LOW) / (side - 1) / NEARER**zoom
    return whole, np.stack(found[1:])


def measure(lab: book.Lab) -> xr.Dataset:
    """A large map of the first draw, and the slopes in enlargements of every draw's border."""
    found = {}
    for net, name in product(NETS, DIRECTIONS):
        run = partial(converges, *networks(net, lab.seeds), DIRECTIONS[name], lab["steps"])
        whole, closer = maps(lab, f"{net}-{name.split()[0]}", run)
        slopes = [[boundary_slopes(image) for image in zoom] for zoom in closer]
        found[f"{net}, {name}"] = xr.Dataset({
            "converges": (("x", "y"), whole), "slopes": (("zoom", "seed", "size"), slopes),
            "enlarged": (("across", "along"), closer[1, 0]),
        })  # fmt: skip
    return book.side_by_side("case", found)


def judge(dataset: xr.Dataset) -> book.Verdict:
    """The median over networks against the paper's, for each net under gradient descent."""
    kinds, numbers, told = dict[str, book.Kind](), book.Numbers(), []
    for case, found in book.each(dataset, "case"):
        if not (of_each := found["slopes"].median(["zoom", "size"]).dropna("seed")).size:
            told.append(f"{case} has no border")
            continue
        middle, (low, high) = book.over_seeds(of_each), of_each.quantile([0.25, 0.75]).values
        name, whole = f"box dimension, {case}", np.median(boundary_slopes(found["converges"]))
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
    caption="Yellow trains; column 4: the tanh net's border enlarged. Right: box dimension of 32 "
    "networks' borders, if any, at one place each. Top: gradient descent; bottom: Adam.",
)  # fmt: skip

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
from experiments import book

PAPER, NETS = {"tanh": 1.66, "linear": 1.17}, ["tanh", "linear", "quadratic"]
GD, ADAM, OTHERS = "gradient descent", "adam", "other networks"  # than the paper's, under GD
KINDS = {GD: optax.identity(), ADAM: adamlab.scale_by_adam(), OTHERS: optax.identity()}
MARGIN, LATE, LOW, HIGH, NEARER = 0.1, 20, -3, 6, 8


def networks(net: str, draws: list[int | None]) -> tuple[Any, Any, Any]:
    """The loss, and the start and the data of each draw, None for the paper's own."""
    if net == "quadratic":  # the control: coupled, with a smooth border
        start = dict.fromkeys(("W0", "W1"), jnp.ones(len(draws)))
        return lambda w, _: w["W0"] ** 2 + w["W0"] * w["W1"] + w["W1"] ** 2, start, None
    each = [adamlab.problems.fractal_net(net, draw=one) for one in draws]  # whatever the key
    drawn = [(one.init(None, offset=0.0), one.batch and one.batch(None, 0)) for one in each]
    return each[0].loss, *jax.tree.map(lambda *leaves: jnp.stack(leaves), *drawn)


def converges(net: Any, tx: Any, steps: int, places: Any, draw: Any, x: Any, y: Any) -> jax.Array:
    """Whether the mean of the last 20 losses is below the first.

    The layers' rates are `x` and `y` decades from the draw's place. The paper caps losses at 1e6
    times the first, which decides nothing here: a mean that has such a loss in it is above.
    """
    loss, *drawn = net
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


def maps(lab: book.Lab, name: str, run: Any, own: bool) -> tuple[Any, Any]:
    """The whole map of the paper's `own` draw, or of all, and maps of ever closer border places.

    Their shapes: (draw, x, y) and (zoom, place, x, y). Each zoom is 8 times closer than the one
    before. The first places are drawn from coarse maps, of own and other draws alike: the finer a
    map, the more of its border lies where that is rough. Few lanes are side by side, so that those
    that diverge are soon done.
    """
    places, found, size = np.full((len(lab.seeds), 2), (LOW + HIGH) / 2), [], lab["side"]
    for zoom in range(lab["zoom"] + 1):
        draws = [0] if own and not zoom else range(len(places))
        side = lab["resolution"] if own and not zoom else size
        steps = np.linspace(LOW - HIGH, HIGH - LOW, side) / 2 / NEARER**zoom
        axes = {"draw": draws, "x": steps, "y": steps}
        images = lab.sweep(f"{name}-{zoom}", partial(run, places), axes, lanes=4)["result"].values
        at = np.linspace(0, side - 1, size, dtype=int)[:, None]
        for place, image in enumerate(np.resize(images[:, at, at.T], (len(places), size, size))):
            border = np.argwhere(boundary_corners(image)) - (size - 2) / 2
            if len(border):  # the next place is that of the border nearest to the middle
                drawn = np.random.default_rng(lab.seeds[place]).integers(len(border))
                chosen = border[np.hypot(*border.T).argmin() if zoom else drawn]
                places[place] += chosen * (HIGH - LOW) / (size - 1) / NEARER**zoom
        found.append(images)
    return found[0], np.stack(found[1:])


def measure(lab: book.Lab) -> xr.Dataset:
    """Maps of the paper's own networks, and the slopes in enlargements of theirs and of others."""
    whole, found, seeds = {}, {}, lab.seeds.tolist()
    for net, kind in [*product(NETS, [GD, ADAM]), *product(PAPER, [OTHERS])]:
        drawn = networks(net, seeds if kind == OTHERS else [None] * len(seeds))
        run, case = partial(converges, drawn, KINDS[kind], lab["steps"]), f"{net}, {kind}"
        images, closer = maps(lab, case, run, own=kind != OTHERS)
        if kind != OTHERS:
            whole[case] = xr.Dataset({"whole": (("x", "y"), images[0])})
        slopes = [[boundary_slopes(image) for image in zoom] for zoom in closer]
        inside = ("across", "along"), closer[1, 0]
        found[case] = xr.Dataset({"slopes": (("zoom", "seed", "size"), slopes), "inside": inside})
    return book.side_by_side("case", found).merge(book.side_by_side("map", whole))


def judge(dataset: xr.Dataset) -> book.Verdict:
    """The median over places, and over other networks, against the paper's."""
    kinds, numbers, told = dict[str, book.Kind](), book.Numbers(), []
    for case, slopes in ((case, found["slopes"]) for case, found in book.each(dataset, "case")):
        if not (of_each := slopes.median(["zoom", "size"]).dropna("seed")).size:
            told.append(f"{case} has no border")
            continue
        middle, (low, high) = book.over_seeds(of_each), of_each.quantile([0.25, 0.75]).values
        name, (net, kind) = f"box dimension, {case}", case.split(", ")
        numbers |= {name: middle, f"{name}, all maps together": float(slopes.median())}
        if case in dataset["map"]:
            numbers[f"{name}, whole map"] = np.median(boundary_slopes(dataset["whole"].loc[case]))
        numbers |= {f"{name}, lower quartile": low, f"{name}, upper quartile": high}
        told.append(f"{case} {middle.value:.2f} (half from {low:.2f} to {high:.2f})")
        if net in PAPER and kind != ADAM:
            said = book.within(middle, PAPER[net] - MARGIN, PAPER[net] + MARGIN)
            kinds[case] = "depends" if high - low > 2 * MARGIN else said
    return book.Verdict(kinds, numbers, f"Medians over places or networks: {'; '.join(told)}.")


def draw(dataset: xr.Dataset) -> book.Figure:
    """Maps of the paper's networks, a place 64 times enlarged, the dimensions at each place."""
    figure, axes = book.panels(5, 2)
    style = {"cmap": "cividis", "vmin": 0, "vmax": 1, "origin": "lower", "aspect": "auto"}
    for row, (*maps, inside, points) in zip([GD, ADAM], np.reshape(axes, (2, 5)), strict=True):
        for ax, net in zip(maps, NETS, strict=True):
            image = dataset["whole"].sel(map=f"{net}, {row}")
            ax.imshow(image.T, extent=(LOW, HIGH, LOW, HIGH), **style)
            ax.set(title=f"{net}, {row}", xlabel="log10 rate of layer 0", ylabel="of layer 1")
        inside.imshow(dataset["inside"].sel(case=f"tanh, {row}").T, **style)
        inside.set(title=f"tanh, {row}, {NEARER**2} times enlarged", xticks=[], yticks=[])
        for color, kind in enumerate([GD, OTHERS] if row == GD else [ADAM]):
            nets = list(PAPER) if kind == OTHERS else NETS
            found = dataset["slopes"].sel(case=[f"{net}, {kind}" for net in nets])
            found = found.median(["zoom", "size"])
            points.plot(nets, found, f"C{color}o", alpha=0.3)
            points.plot(nets, found.median("seed"), f"C{color}_", markersize=40, label=kind)
        points.plot(list(PAPER), list(PAPER.values()), "k_", markersize=40, label="the paper's")
        points.set(xlim=(-0.5, 2.5), ylim=(0.9, 2.1), ylabel="box dimension")
        points.legend(markerscale=0.5)
    return figure


CLAIM = book.Claim(
    says="The border between trainable and untrainable pairs of rates is fractal: box dimension "
    "1.66 for a tanh net, 1.17 for a linear one (Sohl-Dickstein 2024, arXiv 2402.06184).",
    asks=f"Is the dimension within {MARGIN} of the paper's, whatever the network and the place?",
    criterion="Rates 1e-3 to 1e6 a layer, 500 full-batch steps, float64; converged if the mean of "
    "the last 20 losses is below the first. At 16 points drawn from the border of the paper's own "
    "network, and at one of each of 16 others', on 33 x 33 maps: the paper's median slope over "
    "boxes' sizes and enlargements. If the middle half of them spans over 0.2, it depends; else it "
    "is supported if the median's interval is within 0.1 of the paper's, refuted if none of it is.",
    settings={"seeds": 16, "resolution": 512, "side": 33, "zoom": 5, "steps": 500, "float64": True},
    quick={"seeds": 2, "resolution": 17, "side": 9, "zoom": 2, "steps": 20},
    check={"first_seed": 30_000, "seeds": 8, "resolution": 33},
    caption="Yellow trains. Right: box dimension at points of the border, if any. Bottom: Adam.",
)  # fmt: skip

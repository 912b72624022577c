"""C09: does a deep plain ReLU net learn slowly, and do batch norm or residual links cure it?"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

import adamlab
from adamlab.problems import Model, Source, cross_entropy, digits, network, supervised
from experiments import book

RATE, RATES = 1e-3, (3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
LEARNT, WORSE = 0.1, 2.0
"""Losses below the first count as that; so many times the cure's loss is slow."""
WIDTH, ROWS = 32, 128
"""Of the deep nets' layers; and how many the train loss is taken of."""
CURES: dict[str, dict[str, Any]] = {
    "batch norm": {"batch_norm": True}, "residual": {"residual": True},
}  # fmt: skip
# For the deep nets alone. The others are initialized as in Flax, which for deep layers of one width
# is the same as in Keras.
OTHERS: dict[str, dict[str, Any]] = {
    "plain (He)": {"initializer": "he_normal"},
    "plain (torch)": {"initializer": "torch"},
    "tanh": {"activation": "tanh"},
}


def first_over_last(source: Source, model: Model, key: jax.Array) -> jax.Array:
    """The initial gradient of the first layer's weights over the last's, as root mean squares."""
    data = source.draw(key)

    def loss(params: Any) -> jax.Array:
        return cross_entropy(model.apply(params, data.inputs[:ROWS]), data.targets[:ROWS])

    slopes = jax.tree.leaves(jax.grad(loss)(model.init(key)))
    first, *_, last = (slope for slope in slopes if slope.ndim > 1)
    return jnp.sqrt(jnp.square(first).mean() / jnp.square(last).mean())


def measure(lab: book.Lab) -> xr.Dataset:
    """Late loss over rate, depth and kind of net; and the gradients at the start."""
    kinds = {kind: {"plain": {}, **CURES}[kind] for kind in lab["kinds"]}
    # The article's net costs most, so it is trained for half as long.
    sizes = {f"3 x {lab['width']}": (lab["pixels"], 3 * [lab["width"]], lab["steps"] // 2, kinds)}
    for depth in lab["depths"]:
        sizes[f"{depth} x {WIDTH}"] = (8, depth * [WIDTH], lab["steps"], kinds | OTHERS)
    nets = {}
    for size, (pixels, hidden, steps, all_kinds) in sizes.items():
        for kind, options in all_kinds.items():
            source, model = digits(pixels), network((pixels**2, *hidden, 10), **options)
            problem = supervised(source, model, cross_entropy, batch_size=64, observed=ROWS)
            net = f"{size}: {kind}"
            found = lab.map(net, problem, adamlab.adam, {"learning_rate": RATES}, steps=steps)
            # Not compiled: for so little work, compiling deep nets takes longer.
            keys = jax.vmap(jax.random.key)(lab.seeds)
            gradients = jax.vmap(partial(first_over_last, source, model))(keys)
            nets[net] = found[["late_loss"]].assign(gradients=("seed", np.asarray(gradients)))
    return book.side_by_side("net", nets)


def judge(dataset: xr.Dataset) -> book.Verdict:
    """A plain net's late loss as a multiple of the better cure's, for each depth."""
    late = dataset["late_loss"]
    left = late.where(np.isfinite(late), np.inf).clip(LEARNT).to_dataset(name="left")
    numbers: book.Numbers = {}
    for net, found in book.each(dataset.assign(best=book.at_best(late)), "net"):
        numbers[f"late loss at its best rate, {net}"] = book.over_seeds(found["best"])
        ratio = book.over_seeds(found["gradients"])
        numbers[f"first over last layer's gradient at the start, {net}"] = ratio
    nets, kinds = dataset["net"].values, {}
    for where, found in book.at_rates(left, RATE, late).items():
        for net in (n for n in nets if "plain" in n):
            cures = [n for n in nets if n in (f"{net.split(': ')[0]}: {cure}" for cure in CURES)]
            cured = found["left"].sel(net=cures)
            better = cured.isel(net=cured.median("seed").argmin("net"))
            ratio = book.over_seeds(found["left"].sel(net=net) / better)
            numbers[f"late loss over the better cure's, {net}, {where}"] = ratio
            kinds[f"{net} {where}"] = book.by_sign(ratio, WORSE)
    return book.Verdict(kinds, numbers)


def draw(dataset: xr.Dataset) -> book.Figure:
    """Late loss over the rate, and the gradients at the start, for each kind of net by size."""
    sizes: dict[str, list[str]] = {}
    for net in dataset["net"].values:
        size, kind = net.split(": ")
        sizes.setdefault(size, []).append(kind)
    figure, (*axes, start) = book.panels(len(sizes) + 1)
    for number, (ax, (size, kinds)) in enumerate(zip(axes, sizes.items(), strict=True)):
        for kind in kinds:
            late = dataset["late_loss"].sel(net=f"{size}: {kind}")
            book.draw_lines(ax, late, "learning_rate", log="xy", label=kind)
        ax.axvline(RATE, color="gray", linestyle="--")
        ax.axhline(LEARNT, color="gray", linestyle="--")
        ax.set(title=f"late loss, hidden layers: {size}")
        slopes = dataset["gradients"].sel(net=[f"{size}: {kind}" for kind in kinds])
        aside = np.arange(len(kinds)) + 0.15 * number
        start.plot(aside, slopes.median("seed"), "os"[number % 2], label=size)
        start.set_xticks(np.arange(len(kinds)), kinds)
    axes[0].set_ylabel("late train loss")
    figure.legend(*axes[-1].get_legend_handles_labels(), loc="outside lower center", ncols=6)
    start.axhline(1, color="gray", linestyle="--")
    start.set(title="gradient at the start", yscale="log", ylabel="first over last layer")
    start.tick_params(axis="x", rotation=30)
    start.legend(fontsize=7)
    return figure


CLAIM = book.Claim(
    says="A deep plain ReLU net (784-128-128-128-10) learns slowly or not at all: vanishing "
    "gradients; batch norm or residual links cure it.",
    asks=f"Does the plain net end with at least {WORSE:g} times the loss of the better cure, "
    f"losses below {LEARNT:g} counting as that?",
    criterion="The digits, batch 64, Adam: plain, batch norm, residual; the article's net on "
    "digits interpolated to 28x28, 160 steps (7 epochs, not 100), and 20 hidden layers of 32 on "
    "8x8, 320 steps, there plain as He and PyTorch begin it as well. Over seeds the median ratio "
    f"of a plain net's late train loss to the better cure's, losses below {LEARNT:g} counting as "
    f"that, each at its best rate, and all at {RATE:g}. Supported if every 95 % interval lies "
    f"above {WORSE:g}, refuted if all lie below; it depends on depth, beginning and rate if they "
    "differ, and is undecided otherwise.",
    settings={
        "seeds": 24, "pixels": 28, "width": 128, "depths": [20],
        "kinds": ["plain", *CURES], "steps": 320,
    },
    quick={
        "seeds": 2, "pixels": 8, "width": 16, "depths": [],
        "kinds": ["plain", "batch norm"], "steps": 64,
    },
    check={"first_seed": 9000},
    caption="Late train loss over the rate for nets of 3 hidden layers (left) and of 20 (middle, "
    "on another scale); He and torch are initializers. Dashed: the claim's rate and the loss that "
    "counts as learnt. Right: the first layer's gradient over the last layer's, before training "
    "(dashed: equal); it does not show where both shrink together.",
)  # fmt: skip

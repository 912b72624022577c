"""C04: do flat regions and saddles hold Adam, and what gets it out?"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import xarray as xr

import adamlab
from adamlab.problems import plateau, saddle
from experiments import book

# Each with the starts where gradients are small, and where they are 0 or far below eps.
PROBLEMS = {"saddle": (saddle(), (1e-6, 0.0)), "plateau": (plateau(), (5.0, 8.0))}
STARTS = ("small gradient", "no gradient")
REMEDIES = ("gradient noise", "parameter noise", "other starts")
RATE = 1e-2
GAIN = 0.1  # the share of starts that a remedy must get out at its best strength


def escape(
    name: str, steps: int, build: Any, key: jax.Array, learning_rate: Any, strength: Any,
    remedy: Any, start: Any,
) -> jax.Array:  # fmt: skip
    """Whether one run is out after `steps`; parameter noise is added to every update."""
    noise_key, start_key, run_key = jax.random.split(key, 3)
    on_gradient, on_parameters, scatter = strength * (jnp.arange(len(REMEDIES)) == remedy)
    if name == "saddle":
        place = {"offset": start, "scatter": scatter}
    else:  # another point of the plain, farther out or farther in
        place = {"distance": jnp.abs(start + scatter * jax.random.normal(start_key))}

    def shaken(learning_rate: Any) -> optax.GradientTransformation:
        return optax.chain(build(learning_rate), optax.add_noise(on_parameters**2, 0.0, noise_key))

    hyper = {"learning_rate": learning_rate, "noise": on_gradient, **place}
    return adamlab.train(PROBLEMS[name][0], shaken, run_key, hyper, steps=steps).metrics["escaped"]


def measure(lab: book.Lab) -> xr.Dataset:
    """Adam's escapes over rate x strength of each remedy, from both starts; SGD's without any."""
    momentum, found = partial(adamlab.sgd, momentum=0.9), {}
    for name, (_, starts) in PROBLEMS.items():
        axes = {
            "learning_rate": np.geomspace(1e-4, 1, lab["rates"]),
            "strength": np.r_[0.0, np.geomspace(1e-6, 10, lab["strengths"])],
            "remedy": np.arange(len(REMEDIES)),
            "start": starts,
            "seed": lab.seeds,
        }
        run, none = partial(escape, name, lab["steps"]), {"strength": [0.0], "remedy": [0]}
        adam = lab.sweep(f"{name} Adam", partial(run, adamlab.adam), axes)["result"]
        sgd = lab.sweep(f"{name} SGD", partial(run, momentum), {**axes, **none})["result"]
        both = {"Adam": adam, "SGD .9": sgd}
        alone = {who: out.sel(strength=0.0, remedy=0, drop=True) for who, out in both.items()}
        found[name] = xr.Dataset({"aided": adam, **alone}).assign_coords(start=list(STARTS))
    return book.side_by_side("problem", found).assign_coords(remedy=list(REMEDIES))


def judge(dataset: xr.Dataset) -> book.Verdict:
    """Where fewer than half get out at the rate of 1e-2 and at the best; what each remedy gains."""
    numbers: book.Numbers = {}
    kinds: dict[str, book.Kind] = {}
    for case, here in book.each(dataset, "problem", "start"):
        out = here["Adam"]
        best = out.mean("seed").idxmax("learning_rate")
        for when, rate in ((f"rate {RATE:g}", RATE), ("best rate", best)):
            share = book.share(out.sel(learning_rate=rate, method="nearest"))
            numbers[f"share out: {case}, {when}"] = share
            kinds[f"held ({case}, {when})"] = book.opposite(book.by_sign(share, 0.5))
    flat = dataset.sel(start="no gradient").sel(learning_rate=RATE, method="nearest")
    for case, here in book.each(flat, "problem", "remedy"):
        out = here["aided"]
        # The best strength for a seed is chosen by others.
        best = 1 - book.best_for_others(1 - out.astype(float))
        gain = book.over_seeds(best - out.sel(strength=0.0), np.mean)
        numbers[f"gain: {case}"] = gain
        numbers[f"best strength: {case}"] = float(out.mean("seed").idxmax("strength"))
        kinds[f"helped ({case})"] = book.by_sign(gain, GAIN)
        if case.endswith("other starts"):
            numbers[f"share out by 5 restarts: {case}"] = 1 - (1 - float(best.mean())) ** 5
    return book.Verdict(kinds, numbers)


def draw(dataset: xr.Dataset) -> book.Figure:
    """Above: who gets out alone, over the rate. Below: what each remedy does at 1e-2."""
    figure, axes = book.panels(2, 2)
    share = dataset.mean("seed")
    for (name, here), above, below in zip(
        book.each(share, "problem"), axes[:2], axes[2:], strict=True
    ):
        for (start, part), line in zip(book.each(here, "start"), ("-", "--"), strict=True):
            for who, color, width in (("Adam", "C0", 4), ("SGD .9", "C1", 1.5)):
                style: dict[str, Any] = {"color": color, "linestyle": line, "linewidth": width}
                label = f"{who}, {start}"
                book.draw_lines(above, part[who], "learning_rate", label=label, **style)
        above.axvline(RATE, color="k", linestyle=":")
        above.set(title=f"{name}, no remedy", ylim=(-0.05, 1.35), yticks=np.linspace(0, 1, 6))
        above.legend(fontsize=7, loc="upper left", ncols=2)
        flat = here.sel(start="no gradient").sel(learning_rate=RATE, method="nearest")
        for (remedy, part), line in zip(book.each(flat, "remedy"), ("-", "--", ":"), strict=True):
            aided = part["aided"].isel(strength=slice(1, None))
            book.draw_lines(below, aided, "strength", label=remedy, linestyle=line, marker=".")
        below.set(title=f"{name}, no gradient, Adam at {RATE:g}", ylim=(-0.05, 1.05))
        below.set_xlabel("standard deviation of the noise, of the start")
        below.legend(fontsize=8, loc="center left")
    for ax in axes:
        ax.set_ylabel("share of starts that get out")
    return figure


CLAIM = book.Claim(
    says="Flat regions and saddles hold Adam; noise in gradients or parameters, restarts and "
    "other initial points help.",
    asks="Is Adam held without a remedy, and does the remedy get a tenth of the runs out?",
    criterion="Share of starts that are out after the run. From the saddle's ridge 1e-6 aside and "
    "the plateau at distance 5 (small gradients), and from the ridge itself and distance 8 (no "
    "gradient: 0 and far below eps): held where the 95 % interval of Adam's share lies below 1/2, "
    "at the rate of 1e-2 and at the best. From the latter, a remedy helps where at its best "
    "strength (for each seed that of the seeds of the other parity), rate 1e-2, the gain's "
    f"interval lies above {GAIN:g}. Supported if Adam is held in all cases and all remedies help "
    "in both problems, refuted if in none; it depends on the place and the remedy if they differ.",
    settings={"seeds": 48, "rates": 5, "strengths": 15, "steps": 2000},
    quick={"seeds": 4, "rates": 3, "strengths": 4, "steps": 200},
    check={"first_seed": 2000},
    caption="Share of 48 starts that get out of a saddle (left) and off a plateau (right). Top: "
    "without a remedy, over the rate (dotted: 1e-2), for Adam and for SGD with momentum .9. "
    "Bottom: Adam at 1e-2 where there is no gradient, over the strength of each remedy. Lines "
    "that coincide hide one another.",
)

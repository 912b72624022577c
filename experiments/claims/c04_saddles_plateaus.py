"""C04: do flat regions and saddles hold Adam, and what helps it out?"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import adamlab
from adamlab.analysis import Interval
from adamlab.problems import plateau, saddle
from experiments import book

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

OPTIMIZERS = {"Adam": adamlab.adam, "SGD .9": partial(adamlab.sgd, momentum=0.9)}
PROBLEMS = {"saddle": saddle(), "plateau": plateau()}
# How a run begins: where gradients are small, and where they are 0 or far below eps.
STARTS = {
    "near": {"saddle": {"offset": 1e-6}, "plateau": {"distance": 5.0}},
    "held": {"saddle": {"offset": 0.0}, "plateau": {"distance": 8.0}},
}
REMEDIES = ("gradient noise", "parameter noise", "other starts")
RATE = 1e-2
TRIES = 5  # of a restart
GAIN = 0.1  # the share of starts that a remedy must help out at its best strength


def escape(
    name: str, build: Any, steps: int, key: jax.Array, learning_rate: Any, strength: Any,
    remedy: Any, start: Any,
) -> dict[str, jax.Array]:  # fmt: skip
    """Whether one run is out after `steps`; noise on parameters is that on updates, each step."""
    noise_key, start_key, run_key = jax.random.split(key, 3)
    gradient_noise, parameter_noise, scatter = (
        jnp.where(remedy == place, strength, 0.0) for place in range(len(REMEDIES))
    )
    near, held = (place[name] for place in STARTS.values())
    values: dict[str, Any] = {what: jnp.where(start == 0, near[what], held[what]) for what in near}
    if name == "saddle":
        values["scatter"] = scatter
    else:  # another point of the plain, farther out or farther in
        values["distance"] = jnp.abs(values["distance"] + scatter * jax.random.normal(start_key))

    def shaken(learning_rate: Any) -> optax.GradientTransformation:
        shake = optax.add_noise(parameter_noise**2, 0.0, noise_key)
        return optax.chain(build(learning_rate), shake)

    found = adamlab.train(
        PROBLEMS[name], shaken, run_key,
        {"learning_rate": learning_rate, "noise": gradient_noise, **values}, steps=steps,
    )  # fmt: skip
    return {"escaped": found.metrics["escaped"]}


def measure(lab: book.Lab) -> xr.Dataset:
    """Escapes over rate x strength of each remedy, from both starts, for both optimizers."""
    axes = {
        "learning_rate": np.geomspace(1e-4, 1, lab["rates"]),
        "strength": np.r_[0.0, np.geomspace(1e-6, 10, lab["strengths"])],
        "remedy": np.arange(len(REMEDIES)),
        "start": np.arange(len(STARTS)),
        "seed": lab.seeds,
    }
    unaided = {**axes, "strength": [0.0], "remedy": [0]}
    shares, alone = {}, {}
    for name in PROBLEMS:
        found = {
            optimizer: lab.sweep(
                f"{name}-{optimizer}", partial(escape, name, build, lab["steps"]), over
            )[["escaped"]]
            for (optimizer, build), over in zip(OPTIMIZERS.items(), (axes, unaided), strict=True)
        }
        shares[name] = found["Adam"]
        bare = {o: part.isel(strength=0, remedy=0, drop=True) for o, part in found.items()}
        alone[name] = book.side_by_side("optimizer", bare)["escaped"].to_dataset(name="alone")
    both = book.side_by_side("problem", shares).merge(book.side_by_side("problem", alone))
    return both.assign_coords(remedy=list(REMEDIES), start=list(STARTS))


def judge(dataset: xr.Dataset) -> book.Verdict:
    """Where fewer than half get out at the rate of 1e-2 and at the best; what each remedy gains."""
    numbers: dict[str, float | Interval] = {}
    held: dict[str, book.Kind] = {}
    helps: dict[str, book.Kind] = {}
    flip: dict[book.Kind, book.Kind] = {"supported": "refuted", "refuted": "supported"}
    for name in PROBLEMS:
        for start in STARTS:
            here = dataset["alone"].sel(problem=name, start=start, optimizer="Adam", drop=True)
            share = {
                f"rate {RATE:g}": here.sel(learning_rate=RATE, method="nearest"),
                "best rate": here.isel(learning_rate=here.mean("seed").argmax("learning_rate")),
            }
            for when, escaped in share.items():
                case = f"{name}, {start}, {when}"
                numbers[f"share out: {case}"] = found = book.over_seeds(escaped, np.mean)
                held[case] = flip.get(book.by_sign(found, 0.5), "undecided")
        for remedy in REMEDIES:
            here = dataset["escaped"].sel(problem=name, start="held", remedy=remedy, drop=True)
            here = here.sel(learning_rate=RATE, method="nearest")
            best = here.isel(strength=here.mean("seed").argmax("strength"))
            gain = book.over_seeds(best - here.sel(strength=0.0), np.mean)
            numbers[f"gain by {remedy}: {name}"] = gain
            helps[f"{remedy}: {name}"] = book.by_sign(gain, GAIN)
        once = float(best.mean())  # of the last remedy, other starts
        numbers[f"share out by {TRIES} restarts: {name}"] = 1 - (1 - once) ** TRIES
    kinds = {*held.values(), *helps.values()}
    if "undecided" in kinds:
        return book.Verdict("undecided", "An interval of a share holds its threshold.", numbers)
    if len(kinds) == 1:
        kind = kinds.pop()
        word = "hold Adam, and each remedy helps" if kind == "supported" else "do not hold Adam"
        return book.Verdict(kind, f"Saddle and plateau {word}.", numbers)
    holds = [case for case, kind in held.items() if kind == "supported"]
    cures = [case for case, kind in helps.items() if kind == "supported"]
    no_cures = [case for case, kind in helps.items() if kind == "refuted"]
    sentence = (
        f"On the place and the remedy. Held: {'; '.join(holds) or 'nowhere'}. "
        f"Helps: {'; '.join(cures) or 'nothing'}. Does not: {'; '.join(no_cures) or 'none'}."
    )
    return book.Verdict("depends", sentence, numbers)


def draw(dataset: xr.Dataset) -> Figure:
    """Above: who gets out alone, over the rate. Below: what each remedy does at 1e-2."""
    figure, axes = book.panels(2, 2)
    alone, share = dataset["alone"].mean("seed"), dataset["escaped"].mean("seed")
    for ax, name in zip(axes, PROBLEMS, strict=False):
        for start, line in zip(STARTS, ("-", "--"), strict=True):
            for optimizer, color in zip(OPTIMIZERS, ("tab:blue", "tab:orange"), strict=True):
                part = alone.sel(problem=name, start=start, optimizer=optimizer)
                label = f"{optimizer}, {_place(name, start)}"
                ax.plot(part["learning_rate"], part, line, color=color, marker=".", label=label)
        ax.axvline(RATE, color="k", linestyle=":")
        ax.set(title=f"{name}, no remedy", xscale="log", xlabel="learning_rate", ylim=(-0.05, 1.35))
        ax.legend(fontsize=7, loc="upper left", ncols=2)
    for ax, name in zip(axes[2:], PROBLEMS, strict=True):
        here = share.sel(problem=name, start="held")
        here = here.sel(learning_rate=RATE, method="nearest").isel(strength=slice(1, None))
        for remedy, line in zip(REMEDIES, ("-o", "--s", ":^"), strict=True):
            ax.plot(here["strength"], here.sel(remedy=remedy), line, markersize=4, label=remedy)
        ax.set(title=f"Adam at {RATE:g}, {_place(name, 'held')}", xscale="log", ylim=(-0.05, 1.05))
        ax.set_xlabel("standard deviation of the noise, of the start")
        ax.legend(fontsize=8, loc="center left")
    for ax in axes:
        ax.set_ylabel("share of starts that get out")
    return figure


def _place(name: str, start: str) -> str:
    return ", ".join(f"{what} {value:g}" for what, value in STARTS[start][name].items())


EXPERIMENT = book.Experiment(
    id="C04",
    question="Do flat regions and saddles hold Adam, and what helps it out?",
    claim="Flat regions and saddles hold Adam; noise in gradients or parameters, restarts and "
    "other initial points help.",
    criterion="Share of starts that are out after the run. From the saddle's ridge 1e-6 aside and "
    "the plateau at distance 5 (near: small gradients), and from the ridge itself and distance 8 "
    "(held: gradients of 0 and far below eps): held where the 95 % interval of Adam's share lies "
    f"below 1/2, at the rate of 1e-2 and at the best. From the latter, a remedy helps where at its "
    f"best strength, rate 1e-2, the gain's interval lies above {GAIN:g}. Supported if Adam is held "
    "in all cases and all remedies help in both problems, refuted if in none, else it depends on "
    "the place and the remedy.",
    measure=measure,
    judge=judge,
    draw=draw,
    settings={"seeds": 48, "rates": 5, "strengths": 15, "steps": 2000},
    quick={"seeds": 4, "rates": 3, "strengths": 4, "steps": 200},
    check={"first_seed": 1000},
    symptom="The loss rests on a level from the first step on; gradients are tiny.",
    remedy="adam(1e-2, eps=1e-16)  # far out, where eps hides the gradient; noise on a ridge",
)

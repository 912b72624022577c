"""P07: can a converged run rebound unless eps is above Adam's stability threshold?"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import xarray as xr

import adamlab
from adamlab.analysis import adam_stability_threshold
from adamlab.problems import linear_data, squared_error
from experiments import book

ROWS, RATE, B2, B1S = 64, 1e-3, 0.99, (0.0, 0.9)
CONVERGED, REBOUND, ROUNDING = 1e-6, 10.0, 1e-20
"""A run converges below the first share of its first loss and rebounds where it comes back to so
many times its least loss since; below the last share a loss is rounding."""
STRETCHES = 20
"""Of a run: momentum swings through the minimum, so only the worst loss of each counts."""
NEAR = 0.1
"""Share of the threshold that the border is sought to."""


def interpolation(features: int) -> adamlab.Problem:
    """Least squares with fewer rows than weights, scaled so that its Hessian's largest value is 1.

    A problem of its own because a network's last layer has a bias, whose curvature is 2.
    """
    source = linear_data(ROWS, features, noise=0.0)

    def data(key: jax.Array) -> tuple[jax.Array, jax.Array]:
        found = source.draw(key)
        largest = jnp.linalg.eigvalsh(2 * found.inputs @ found.inputs.T / ROWS)[-1]
        return found.inputs / jnp.sqrt(largest), found.targets[:, 0]

    return adamlab.Problem(
        f"interpolation, {features} weights",
        init=lambda _: jnp.zeros(features),
        data=data,
        loss=lambda weights, rows: squared_error(rows[0] @ weights, rows[1]),
    )


def adam_at(eps_share: Any, b1: Any) -> optax.GradientTransformation:
    """Adam with eps as a share of the threshold for the curvature 1."""
    return adamlab.adam(RATE, b1=b1, b2=B2, eps=eps_share / adam_stability_threshold(RATE, b1))


def measure(lab: book.Lab) -> xr.Dataset:
    """The loss over time for each share of the threshold and b1, full batch, interpolating."""
    around = np.geomspace(1 / 1.5, 1.5, lab["around"])
    shares = np.unique(np.r_[np.geomspace(1e-2, 1e2, lab["shares"]), around].round(6))
    found = lab.map(
        "shares", interpolation(lab["features"]), adam_at, {"eps_share": shares, "b1": B1S},
        steps=lab["steps"], checkpoints=lab["steps"] // 8, curve=True,
    )  # fmt: skip
    return found[["curve", "initial_loss"]]


def rebound(dataset: xr.Dataset) -> xr.DataArray:
    """How many times its least loss so far a run returns to, once converged; NaN if it never was.

    A run that breaks returns to infinity.
    """
    curve = (dataset["curve"] / dataset["initial_loss"]).fillna(np.inf).clip(ROUNDING)
    worst = curve.coarsen(step=curve.sizes["step"] // STRETCHES).max().transpose("step", ...)
    least = worst.copy(data=np.minimum.accumulate(worst.values))
    return (worst / least).where(least < CONVERGED).max("step")


def judge(dataset: xr.Dataset) -> book.Verdict:
    """Whether runs rebound below the threshold and none does above it."""
    back, shares = rebound(dataset), dataset["eps_share"]
    if (back.isnull() | (shares <= 1)).all():
        return book.Verdict({}, remark="No run above the threshold converged.")
    borders = dataset.assign(
        safe=shares.where(back < REBOUND, np.inf).min("eps_share"),
        unsafe=shares.where(back >= REBOUND, 0.0).max("eps_share"),
    )
    numbers, kinds = {}, {}
    for b1, border in book.each(borders, "b1"):
        safe, unsafe = book.over_seeds(border["safe"]), book.over_seeds(border["unsafe"])
        numbers[f"least eps without a rebound over the threshold, {b1}"] = safe
        numbers[f"greatest eps with one over the threshold, {b1}"] = unsafe
        kinds[f"every converged run below the threshold rebounds, {b1}"] = book.within(
            safe, 1 - NEAR, np.inf
        )
        kinds[f"no run above it rebounds, {b1}"] = book.within(unsafe, 0, 1 + NEAR)
    above = [kind for name, kind in kinds.items() if name.startswith("no run above")]
    return book.Verdict(kinds, numbers, ruling="refuted" if "refuted" in above else None)


def draw(dataset: xr.Dataset) -> book.Figure:
    """The loss of one seed over time, and how far each share of the threshold rebounds."""
    figure, (over_time, over_eps) = book.panels(2)
    for wanted, line in zip((0.01, 0.8, 1.2, 100), book.STYLES, strict=True):
        part = dataset.sel(b1=0.9).sel(eps_share=wanted, method="nearest").isel(seed=0)
        loss = (part["curve"] / part["initial_loss"]).clip(1e-33)
        over_time.plot(part["step"], loss, label=f"{float(part['eps_share']):.3g}", linestyle=line)
    over_time.set(title="b1 = .9, one seed", yscale="log", xlabel="step")
    over_time.set_ylabel("loss / first loss")
    over_time.legend(title="eps / threshold", fontsize=8, loc="center right", ncols=2)
    for b1, back in book.each(rebound(dataset).to_dataset(name="times"), "b1"):
        book.draw_lines(over_eps, back["times"], "eps_share", log="xy", label=b1, marker=".")
    over_eps.axvline(1, color="black", linestyle=":")
    over_eps.axhline(REBOUND, color="gray", linestyle="--")
    over_eps.set(title="rebound", xlabel="eps / threshold")
    over_eps.set_ylabel("worst loss of a stretch / least before")
    over_eps.legend()
    return figure


CLAIM = book.Claim(
    says="Adam is stable near a minimum only if eps >= lambda_max(H) lr (1 - b1) / (2 + 2 b1); "
    "below it a run that has converged can rebound (corollary of Cohen et al. 2022, "
    "arXiv 2207.14484).",
    asks="Is this so?",
    criterion=f"Least squares with {ROWS} rows and 1,000 weights, so that the loss reaches 0; "
    f"full batch, float64, rate {RATE:g}, b2 = {B2:g}, 4,000 steps, b1 = 0 and .9. A run rebounds "
    f"if the worst loss of a twentieth of it, once below {CONVERGED:g} of the first, comes back "
    f"to {REBOUND:g} times the least such (losses below {ROUNDING:g} of the first count as that; "
    "a run that is never so low counts as neither). For each seed the least eps without a "
    "rebound and the greatest with one, over the threshold. Supported if the 95 % intervals of "
    f"their medians lie at or above {1 - NEAR:g} and at or below {1 + NEAR:g} for both b1; "
    "refuted if runs rebound above; depends if some below do not; undecided if no run above "
    "converges.",
    settings={
        "seeds": 8, "features": 1000, "around": 11, "shares": 5, "steps": 4000, "float64": True,
    },
    quick={"seeds": 2, "features": 100, "around": 2, "shares": 3, "steps": 1600},
    check={"first_seed": 1000},
    caption="Left: the loss of one run for four values of eps, in units of the threshold. Right: "
    "how many times the worst loss of a later stretch is the least before it, over eps (dotted: "
    "the threshold); above the dashed line a run has rebounded.",
)  # fmt: skip

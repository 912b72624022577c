"""P07: can a run that has converged rebound, unless eps is above its stability threshold?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import adamlab
from adamlab.analysis import adam_stability_threshold
from adamlab.problems import linear_data, squared_error
from experiments import book

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

ROWS = 64
RATE, B2 = 1e-3, 0.99
B1S = (0.0, 0.9)
NEAR = 0.1  # share of the threshold that the border is sought to
REBOUND = 10.0  # how many times its least loss so far a run comes back to
CONVERGED = 1e-6  # of the first loss: a run that has been there had converged
STRETCHES = 20  # of a run: the worst losses of each are compared
ROUNDING = 1e-20  # of the first loss; below it growth is rounding


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
        objective=lambda weights, rows: squared_error(rows[0] @ weights, rows[1]),
    )


def adam_at(eps_share: Any, b1: Any) -> optax.GradientTransformation:
    """Adam with eps as a share of the threshold for the curvature 1."""
    return adamlab.adam(RATE, b1=b1, b2=B2, eps=eps_share / adam_stability_threshold(RATE, b1))


def measure(lab: book.Lab) -> xr.Dataset:
    """The loss over time for each share of the threshold and b1, full batch, interpolating."""
    around = np.geomspace(1 / 1.5, 1.5, lab["around"])
    axes = {
        "eps_share": np.unique(np.r_[np.geomspace(1e-2, 1e2, lab["shares"]), around].round(6)),
        "b1": np.array(B1S),
    }
    return lab.map(
        "shares", interpolation(lab["features"]), adam_at, axes, steps=lab["steps"],
        checkpoints=lab["steps"] // 8, curve=True,
    )[["curve", "initial_loss"]]  # fmt: skip


def rebound(dataset: xr.Dataset) -> xr.DataArray:
    """The greatest ratio of a stretch's worst loss to the least of those before, once converged.

    NaN for a run that never was: it cannot come back.

    Momentum swings through the minimum, where the loss is 0 for a moment: hence worst losses.
    """
    first = dataset["initial_loss"]
    curve = (dataset["curve"] / first).fillna(np.inf).clip(ROUNDING).transpose(..., "step").values
    stretches = np.stack([part.max(-1) for part in np.array_split(curve, STRETCHES, -1)], -1)
    least = np.minimum.accumulate(stretches, axis=-1)
    ratio = np.where(least < CONVERGED, stretches / least, -np.inf).max(-1)
    return first.copy(data=np.where(np.isfinite(ratio), ratio, np.nan))


def borders(dataset: xr.Dataset, b1: float) -> tuple[np.ndarray, np.ndarray]:
    """For each seed the least share of eps without a rebound, and the greatest with one."""
    back = rebound(dataset).sel(b1=b1).transpose("seed", "eps_share").values
    shares = dataset["eps_share"].values
    low = [shares[row < REBOUND].min(initial=np.inf) for row in back]
    high = [shares[row >= REBOUND].max(initial=0.0) for row in back]
    return np.array(low), np.array(high)


def judge(dataset: xr.Dataset) -> book.Verdict:
    """Whether runs rebound below the threshold and none does above it."""
    numbers, above, below = {}, [], []
    for b1 in B1S:
        low, high = (
            book.over_seeds(dataset["seed"].copy(data=end)) for end in borders(dataset, b1)
        )
        numbers[f"least eps without a rebound over the threshold, b1 = {b1:g}"] = low
        numbers[f"greatest eps with one over the threshold, b1 = {b1:g}"] = high
        below.append(low)
        above.append(high)
    if any(high.low > 1 + NEAR for high in above):
        return book.Verdict("refuted", "Runs rebound above the threshold as well.", numbers)
    if any(high.high > 1 + NEAR for high in above):
        return book.Verdict("undecided", "An interval holds the range's upper end.", numbers)
    if all(low.low >= 1 - NEAR for low in below):
        return book.Verdict(
            "supported", "Runs rebound below the threshold, none above it.", numbers
        )
    if any(low.high < 1 - NEAR for low in below):
        sentence = "On b1 or on the time given: none rebounds above it, nor do all below."
        return book.Verdict("depends", sentence, numbers)
    return book.Verdict("undecided", "An interval holds the range's lower end.", numbers)


def draw(dataset: xr.Dataset) -> Figure:
    """The loss of one seed over time, and how far each share of the threshold rebounds."""
    figure, (over_time, over_eps) = book.panels(2)
    shares = dataset["eps_share"].values
    for wanted in (0.01, 0.8, 1.2, 100):
        part = dataset.sel(b1=0.9).sel(eps_share=wanted, method="nearest").isel(seed=0)
        loss = (part["curve"] / part["initial_loss"]).clip(1e-33)
        label = f"{float(part['eps_share']):.3g}"
        over_time.plot(dataset["step"], loss, label=label, linewidth=1)
    over_time.set(title="b1 = .9, one seed", yscale="log", xlabel="step")
    over_time.set_ylabel("loss / first loss")
    over_time.legend(title="eps / threshold", fontsize=8, loc="upper right", ncols=2)
    for b1 in B1S:
        back = rebound(dataset).sel(b1=b1)
        book.draw_lines(over_eps, back, "eps_share", log="xy", label=f"b1 = {b1:g}", marker=".")
    over_eps.axvline(1, color="black", linestyle=":")
    over_eps.axhline(REBOUND, color="gray", linestyle="--")
    over_eps.set(title="rebound", xlim=(shares[0], shares[-1]), xlabel="eps / threshold")
    over_eps.set_ylabel("worst loss of a stretch / least before")
    over_eps.legend()
    return figure


EXPERIMENT = book.Experiment(
    id="P07",
    question="Can a converged run rebound, unless eps is above Adam's stability threshold?",
    claim="Adam is stable near a minimum only if eps >= lambda_max(H) lr (1 - b1) / (2 + 2 b1); "
    "below it a run that has converged can rebound (corollary of Cohen et al. 2022, "
    "arXiv 2207.14484).",
    criterion=f"Least squares with {ROWS} rows and 1,000 weights, so that the loss reaches 0; full "
    f"batch, float64, rate {RATE:g}, b2 = {B2:g}, 4,000 steps, b1 = 0 and .9. A run rebounds if "
    f"the worst loss of a twentieth of it, once below {CONVERGED:g} of the first, comes back to "
    f"{REBOUND:g} times the least such (losses below {ROUNDING:g} of the first count as that; a "
    "run that is never so low counts as neither). For each seed the least eps without a rebound "
    "and the greatest with one, over the threshold. Supported if the 95 % intervals of their "
    f"medians lie at or above {1 - NEAR:g} and at or below {1 + NEAR:g} for both b1; refuted if "
    "runs rebound above; depends if some below do not.",
    measure=measure,
    judge=judge,
    draw=draw,
    settings={
        "seeds": 8, "features": 1000, "around": 11, "shares": 5, "steps": 4000, "float64": True,
    },
    quick={"seeds": 2, "features": 100, "around": 2, "shares": 3, "steps": 800},
    check={"first_seed": 1000},
    symptom="A loss that had reached 0 jumps up by many decades, again and again.",
    remedy="adam(1e-3, eps=1e-4)  # at least curvature * rate * (1 - b1) / (2 + 2 * b1)",
)  # fmt: skip

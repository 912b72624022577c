"""Dual averaging: weighted sums of all gradients, and steps from the start."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from adamlab._checks import ScalarOrSchedule, check_number
from adamlab.stages._kinds import DirectionBeforeRate, GradientToMoments
from adamlab.stages._moments import Moments
from adamlab.stages.numerics import at_step, real, scalar, tame, widen
from adamlab.stages.second_moment import square


class WeightedSumsState(NamedTuple):
    """State of `track_weighted_sums`."""

    count: Any
    mu: Any
    nu: Any


def track_weighted_sums(weight: ScalarOrSchedule = 1.0) -> GradientToMoments:
    """Sum the gradients and their squares, each times `weight`: a number or a schedule.

    The moments of dual averaging (Defazio & Jelassi 2022, MADGRAD, algorithm 1). Sums have no bias.

    Raises:
        ValueError: `weight` is negative or not finite.
    """
    check_number("weight", weight, low=0)

    def init(params: Any) -> WeightedSumsState:
        mu = jax.tree.map(lambda p: jnp.zeros_like(widen(p)), params)
        nu = jax.tree.map(lambda p: jnp.zeros_like(real(widen(p))), params)
        return WeightedSumsState(jnp.zeros([], jnp.int32), mu, nu)

    def update(updates: Any, state: WeightedSumsState, **_: Any) -> tuple[Any, WeightedSumsState]:
        updates = jax.tree.map(tame, updates)
        now = at_step(weight, state.count)
        count = optax.safe_increment(state.count)
        mu = jax.tree.map(lambda m, g: m + scalar(now, m.dtype) * widen(g), state.mu, updates)
        nu = jax.tree.map(
            lambda v, g: v + scalar(now, v.dtype) * square(widen(g)), state.nu, updates
        )
        return Moments(updates, count, mu, nu), WeightedSumsState(count, mu, nu)

    return GradientToMoments.from_update(
        "track_weighted_sums", init, update, marks=("tracks mu", "tracks nu")
    )


class AnchorState(NamedTuple):
    """State of `anchor_to_start`."""

    start: Any


def anchor_to_start() -> DirectionBeforeRate:
    """Measure the direction from the initial parameters: `u + theta - theta_0`.

    A full step then ends at `theta_0 - u`, a shorter one on the way there: dual averaging (Defazio
    & Jelassi 2022, MADGRAD, algorithm 1).

    Raises:
        ValueError: `update` gets no parameters.
    """

    def update(updates: Any, state: AnchorState, params: Any, **_: Any) -> tuple[Any, AnchorState]:
        new = jax.tree.map(
            lambda u, p, start: u + (p - start).astype(u.dtype), updates, params, state.start
        )
        return new, state

    return DirectionBeforeRate.from_update(
        "anchor_to_start", lambda params: AnchorState(jax.tree.map(jnp.array, params)), update,
        needs=("params",),
    )  # fmt: skip

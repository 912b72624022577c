"""moments -> moments: what feeds the first moment, and with what weight."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from adamlab._checks import (
    Scalar,
    check_number,
)
from adamlab.stages._average import NOTHING_LEFT, fold, start_log_decay, step_at
from adamlab.stages._decay_rate import (
    ConstantDecay,
    DecayRate,
    check_decay,
    complement_of,
    mass_of,
)
from adamlab.stages._forms import gradient_like, zeros_over
from adamlab.stages._kinds import MomentsToMoments
from adamlab.stages._moments import Moments
from adamlab.stages.norms import norm
from adamlab.stages.numerics import gradient_change, lerp, tame, tree_mean, widen


class AddDifferenceState(NamedTuple):
    """State of `add_difference`."""

    previous: Any
    difference: Any
    difference_log_decay: jax.Array | None


def add_difference(b2: DecayRate = 0.92, gain: Scalar | None = None) -> MomentsToMoments:
    """Add its change `d = g_t - g_{t-1}` to the gradient, as `g + b2 d`, and d's average to `mu`.

    `mu + b2 w / (1 - b2^t)` with w the average of d (Xie et al. 2022, Adan, algorithm 1). Goes
    after `correct_bias`, before the second moment is tracked. On the first step d is zero.

    Args:
        b2: decay rate of the average of d, and the weight of d.
        gain: another weight of d; None for b2.

    Raises:
        ValueError: b2 is outside [0, 1), or `gain` is not finite.
    """
    check_decay("b2", b2)
    if gain is not None:
        check_number("gain", gain, scheduled=False)

    def init(params: Any) -> AddDifferenceState:
        like = gradient_like(params)
        previous, difference = (jax.tree.map(jnp.zeros_like, like) for _ in range(2))
        return AddDifferenceState(previous, difference, start_log_decay(b2))

    def update(
        moments: Moments, state: AddDifferenceState, **_: Any
    ) -> tuple[Moments, AddDifferenceState]:
        now = step_at(b2, state.difference_log_decay, moments.steps_done)
        factor = 1 - now.weight if gain is None else gain
        change = jax.tree.map(
            lambda g, old: jnp.where(moments.count > 1, gradient_change(g, old), 0),
            moments.grad, state.previous,
        )  # fmt: skip
        difference = fold(state.difference, change, now.weight)

        def add(x: jax.Array, d: jax.Array, share: Any = 1) -> jax.Array:
            most = float(jnp.finfo(x.dtype).max)
            total = widen(tame(x)) + jnp.asarray(factor / share, d.dtype) * d
            if not jnp.iscomplexobj(total):
                total = jnp.clip(total, -most, most)
            return total.astype(x.dtype)

        mu = jax.tree.map(lambda m, w: add(m, w, now.mass), moments.mu, difference)
        grad = jax.tree.map(add, moments.grad, change)
        new = AddDifferenceState(moments.grad, difference, now.log_decay)
        return moments._replace(mu=mu, grad=grad), new

    return MomentsToMoments.from_update(
        "add_difference", init, update, needs=("mu",), marks=("mixes", "feeds nu")
    )


class TrackMuByVarianceState(NamedTuple):
    """State of `track_mu_by_variance`."""

    mu: Any
    mu_log_decay: Any


def track_mu_by_variance(b0: Scalar = 0.1, eps: Scalar = 1e-3) -> MomentsToMoments:
    """Average each element of the gradient with its own decay rate, lower where `nu` is larger.

    `b1 = clip(1 - b0 nu / mean(nu), 0, 1 - eps)` with the mean over all elements of all leaves
    (Xie et al. 2020, Adai, algorithm 2), but at least eps, as in pytorch_optimizer, so that small
    gradients are averaged longer. Goes after `correct_bias`; `mu_mass` is then a tree.

    Raises:
        ValueError: `b0` is not a finite number > 0, `eps` is outside (0, 1], or there is a first
            moment already.
    """
    check_number("b0", b0, low=0, open_low=True, scheduled=False)
    check_number("eps", eps, low=0, high=1, open_low=True, scheduled=False)

    def init(params: Any) -> TrackMuByVarianceState:
        like = jax.tree.map(widen, gradient_like(params))
        return TrackMuByVarianceState(*(jax.tree.map(jnp.zeros_like, like) for _ in range(2)))

    def update(
        moments: Moments, state: TrackMuByVarianceState, **_: Any
    ) -> tuple[Moments, TrackMuByVarianceState]:
        mean = jnp.maximum(tree_mean(moments.nu), eps)
        weight = jax.tree.map(lambda v: jnp.clip(b0 * v / mean.astype(v.dtype), eps, 1), moments.nu)
        mu = jax.tree.map(
            lambda m, g, w: lerp(m, tame(g).astype(m.dtype), w), state.mu, moments.grad, weight
        )
        log = jax.tree.map(
            lambda old, w: old + jnp.where(w < 1, jnp.log1p(-jnp.where(w < 1, w, 0)), NOTHING_LEFT),
            state.mu_log_decay, weight,
        )  # fmt: skip
        return moments.with_mu(mu, jax.tree.map(mass_of, log)), TrackMuByVarianceState(mu, log)

    return MomentsToMoments.from_update(
        "track_mu_by_variance", init, update, needs=("nu",), marks=("tracks mu",)
    )


class LengthenShortState(NamedTuple):
    """State of `lengthen_short_gradients`."""

    norm: Any


def lengthen_short_gradients(decay: ConstantDecay = 0.95) -> MomentsToMoments:
    """Stretch a leaf's gradient to its average norm where it is shorter.

    `g e / |g|` where `e`, the average of |g|, is larger (Dubey et al. 2022, AdaNorm, algorithm 1).
    Goes after the second moment, which sees the gradient as it is, and before `track_mu`.

    Raises:
        ValueError: `decay` is outside [0, 1).
    """
    complement = complement_of("decay", decay)

    def init(params: Any) -> LengthenShortState:
        norms = jax.tree.map(_no_norm, gradient_like(params))
        return LengthenShortState(norms)

    def update(
        moments: Moments, state: LengthenShortState, **_: Any
    ) -> tuple[Moments, LengthenShortState]:
        norms = jax.tree.map(norm, moments.grad)
        average = fold(state.norm, norms, complement)
        grad = jax.tree.map(_stretch, moments.grad, norms, average)
        return moments._replace(grad=grad), LengthenShortState(average)

    return MomentsToMoments.from_update(
        "lengthen_short_gradients", init, update, marks=("feeds", "by leaf")
    )


def _no_norm(p: jax.Array) -> jax.Array:
    return zeros_over(p, tuple(range(p.ndim))).reshape([])


def _stretch(g: jax.Array, length: jax.Array, average: jax.Array) -> jax.Array:
    short = (length > 0) & (average > length)
    unit = widen(tame(g)) / jnp.where(short, length, 1)
    return (unit * jnp.where(short, average, 1)).astype(g.dtype)

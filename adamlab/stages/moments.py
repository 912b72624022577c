"""gradient -> moments, in one stage or one by one: averages of the gradient and its square."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from adamlab._checks import Scalar, check_number
from adamlab.stages._about import label_of
from adamlab.stages._average import NOTHING_LEFT
from adamlab.stages._decay_rate import DecayRate, mass_of
from adamlab.stages._forms import gradient_like, is_floating, same_form, unpack
from adamlab.stages._kinds import GradientToMoments, MomentsToMoments
from adamlab.stages._moments import Moments
from adamlab.stages._trackers import MuTracker, NuTracker
from adamlab.stages.norms import tree_mean
from adamlab.stages.numerics import after, lerp, real, tame, widen, within_range
from adamlab.stages.second_moment import SecondMoment, second_moment_of


class TrackMomentsState(NamedTuple):
    """State of `track_moments`."""

    count: Any
    mu: Any
    """A tree like the parameters."""
    nu: Any
    """As `mu`; a `PerLeaf` where the second moment is kept in factors."""
    mu_log_decay: jax.Array | None
    """Sum of log b1 over the steps done; None unless b1 follows a schedule."""
    nu_log_decay: jax.Array | None
    """Sum of log b2 over the steps done; None unless b2 follows a schedule."""


def track_moments(
    b1: DecayRate | None = 0.9,
    b2: DecayRate | SecondMoment | None = 0.999,
    *,
    initial_mu: Scalar = 0.0,
) -> GradientToMoments:
    """Keep exponential moving averages of the gradient and of its square.

    `mu += (1 - b1) (g - mu)` and `nu += (1 - b2) (g² - nu)` from zero, along with their masses
    `1 - b1^t` and `1 - b2^t` (Kingma & Ba 2015, algorithm 1, lines 5 and 6).

    Args:
        b1: decay rate of the first moment; None tracks none, and the gradient itself is then
            preconditioned.
        b2: decay rate of the second moment, or another second moment such as `yogi(0.999)`; None
            tracks none.
        initial_mu: where `mu` starts.

    Raises:
        ValueError: b1 or b2 is outside [0, 1), both are None, or `initial_mu` is not finite.
        TypeError: one of them is not a number.
    """
    if b1 is None and b2 is None:
        raise ValueError("b1=None, b2=None: track_moments needs at least one of them to track")
    first = None if b1 is None else MuTracker(b1, initial_mu)
    second = None if b2 is None else NuTracker(second_moment_of(b2))

    def init(params: optax.Params) -> TrackMomentsState:
        mu, mu_log = (None, None) if first is None else first.start(params)
        nu, nu_log = (None, None) if second is None else second.start(params)
        return TrackMomentsState(jnp.zeros([], jnp.int32), mu, nu, mu_log, nu_log)

    def update(
        updates: optax.Updates, state: TrackMomentsState, **_: Any
    ) -> tuple[Moments, TrackMomentsState]:
        updates = _within_range(updates, state.mu, state.nu)
        moments = Moments(updates, optax.safe_increment(state.count))
        before: Any = None
        mu: Any = None
        nu: Any = None
        mu_log = nu_log = None
        if first is not None:
            before = jax.tree.map(widen, state.mu)
            moments, mu_log = first.step(moments, before, state.mu_log_decay)
            mu = moments.mu
        if second is not None:
            moments, nu, nu_log = second.step(moments, before, state.nu, state.nu_log_decay)
            if second.rule.previous_mu and same_form(mu, nu):
                mu = jax.tree.map(after, mu, nu)
        return moments, TrackMomentsState(moments.count, mu, nu, mu_log, nu_log)

    trackers = [tracker for tracker in (first, second) if tracker is not None]
    label = label_of(None if second is None else second.rule, "squares")
    lagging = ("nu",) if second is not None and second.rule.previous else ()
    return GradientToMoments.from_update(
        "track_moments",
        init,
        update,
        lagging=lagging,
        label=label,
        marks=tuple(mark for tracker in trackers for mark in tracker.marks),
        decays={field: rate for tracker in trackers for field, rate in tracker.decays.items()},
    )


def _within_range(updates: Any, *averages: Any) -> Any:
    """The gradients, each cut off at the limits of the dtypes that its averages are kept in."""

    def leaf(g: jax.Array, *kept: Any) -> jax.Array:
        return within_range(g, [x.dtype for x in jax.tree.leaves(kept) if is_floating(x)])

    return jax.tree.map(leaf, updates, *(unpack(a, updates) for a in averages if a is not None))


class TrackMuState(NamedTuple):
    """State of `track_mu`."""

    mu: Any
    mu_log_decay: jax.Array | None


def track_mu(b1: DecayRate = 0.9) -> MomentsToMoments:
    """Average the gradient, as earlier stages have left it, into `mu`.

    For variants whose first and second moments are fed with different gradients.

    Raises:
        ValueError: b1 is outside [0, 1), or there is a first moment already.
    """
    first = MuTracker(b1)

    def init(params: Any) -> TrackMuState:
        return TrackMuState(*first.start(gradient_like(params)))

    def update(moments: Moments, state: TrackMuState, **_: Any) -> tuple[Moments, TrackMuState]:
        moments, log = first.step(moments, state.mu, state.mu_log_decay)
        return moments, TrackMuState(moments.mu, log)

    return MomentsToMoments.from_update(
        "track_mu", init, update, marks=first.marks, decays=first.decays
    )


class TrackNuState(NamedTuple):
    """State of `track_nu`."""

    nu: Any
    nu_log_decay: jax.Array | None


def track_nu(b2: DecayRate | SecondMoment = 0.999) -> MomentsToMoments:
    """Average the square of the gradient, as earlier stages have left it, into `nu`.

    For variants whose first and second moments are fed with different gradients.

    Args:
        b2: decay rate, or another second moment.

    Raises:
        ValueError: b2 is outside [0, 1), or there is a second moment already.
    """
    second = NuTracker(second_moment_of(b2))

    def init(params: Any) -> TrackNuState:
        return TrackNuState(*second.start(gradient_like(params)))

    def update(moments: Moments, state: TrackNuState, **_: Any) -> tuple[Moments, TrackNuState]:
        log = state.nu_log_decay
        if log is not None:  # a window still filling hands on zeros, at a count of 1
            log = jnp.where(moments.count > 1, log, 0)
        moments, nu, log = second.step(moments, None, state.nu, log)
        return moments, TrackNuState(nu, log)

    return MomentsToMoments.from_update(
        "track_nu", init, update,
        label=label_of(second.rule, "squares"), marks=second.marks, decays=second.decays,
    )  # fmt: skip


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
        log = jax.tree.map(lambda x: jnp.zeros_like(real(x)), like)
        return TrackMuByVarianceState(jax.tree.map(jnp.zeros_like, like), log)

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

"""moments -> moments: what is done to the first moment, or to the gradient that feeds it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from adamlab._checks import Scalar, ScalarOrSchedule, check_function, check_number
from adamlab.stages._about import Mark
from adamlab.stages._average import fold, start_log_decay, step_at
from adamlab.stages._decay_rate import (
    ConstantDecay,
    DecayRate,
    check_constant_decay,
    check_decay,
    complement_of,
    decay_at,
)
from adamlab.stages._forms import gradient_like, zero_of
from adamlab.stages._kinds import MomentsToMoments
from adamlab.stages._moments import Moments
from adamlab.stages.norms import norm
from adamlab.stages.numerics import at_step, lerp, scalar, tame, widen
from adamlab.stages.second_moment import square


def change_mu(
    name: str,
    function: Callable[[jax.Array, jax.Array], jax.Array],
    *,
    marks: tuple[Mark, ...] = ("mixes",),
) -> MomentsToMoments:
    """Your own stage, called `name`: each leaf's `mu` becomes `function(mu, gradient)`.

    It goes after the bias correction, if any: what `function` adds to the average has no bias. The
    gradient comes in `mu`'s dtype, float32 or wider, cut off where its squares would overflow, so
    that a step stays finite whatever the gradient. The `marks` are those of `MomentsToMoments`:
    add "by leaf" where `function` looks at more than one element at a time.

    Raises:
        TypeError: `function` does not take two arguments; in `update`, if it does not return an
            array of `mu`'s shape, of a floating dtype.
    """

    def each(m: jax.Array, g: jax.Array) -> jax.Array:
        new = function(m, tame(g).astype(m.dtype))
        shape = getattr(new, "shape", None)
        if shape != m.shape:
            found = f"shape {shape}" if shape is not None else type(new).__name__
            raise TypeError(f"{name} gave {found} for a mu of shape {m.shape}: must be the same")
        return new

    def change(moments: Moments) -> Moments:
        return moments._replace(mu=jax.tree.map(each, moments.mu, moments.grad))

    stage = MomentsToMoments.from_function(name, change, needs=("mu",), marks=marks)
    check_function("function", function, "mu", "gradient")  # after the name, which comes first
    return stage


class NesterovState(NamedTuple):
    """State of `nesterov`."""

    momentum_log: jax.Array | None


def nesterov(momentum: DecayRate) -> MomentsToMoments:
    """Look one step ahead: mix the first moment, corrected for the next step, with the gradient.

    `mu = m_{t+1} mu / (1 - m_1 ... m_{t+1}) + (1 - m_t) g / (1 - m_1 ... m_t)` with the momentum
    `m_t`, a constant b1 or a schedule (Dozat 2016, algorithm 8). It corrects the bias of `mu`;
    `correct_bias` after it corrects `nu` alone.

    Raises:
        ValueError: `momentum` is outside [0, 1).
    """
    check_decay("momentum", momentum)

    def init(params: Any) -> NesterovState:
        del params
        return NesterovState(start_log_decay(momentum))

    def update(moments: Moments, state: NesterovState, **_: Any) -> tuple[Moments, NesterovState]:
        now = step_at(momentum, state.momentum_log, moments.steps_done)
        ahead = step_at(momentum, now.log_decay, moments.count)

        def mix(m: jax.Array, g: jax.Array) -> jax.Array:
            coming = scalar((1 - ahead.weight) / ahead.mass, m.dtype)
            present = scalar(now.weight / now.mass, m.dtype)
            return coming * m + present * tame(g).astype(m.dtype)

        mu = jax.tree.map(mix, moments.mu, moments.grad)
        return moments._replace(mu=mu, mu_mass=None), NesterovState(now.log_decay)

    return MomentsToMoments.from_update(
        "nesterov", init, update,
        needs=("mu", "mu_mass"), marks=("corrects", "mixes"), decays={"mu": momentum},
    )  # fmt: skip


def mix_gradient(share: Scalar) -> MomentsToMoments:
    """Mix the first moment with the gradient: `mu = share mu + (1 - share) g`.

    The numerator of quasi-hyperbolic Adam (Ma & Yarats 2018, equation 10), and Lion's interpolation
    (Chen et al. 2023, algorithm 2).

    Raises:
        ValueError: `share` is negative or not finite.
    """
    check_number("share", share, low=0, scheduled=False)
    return change_mu("mix_gradient", partial(_mixed, share))


def mix_square(share: Scalar) -> MomentsToMoments:
    """Mix the second moment with the gradient's square: `nu = share nu + (1 - share) g²`.

    The denominator of quasi-hyperbolic Adam (Ma & Yarats 2018, equation 10).

    Raises:
        ValueError: `share` is outside [0, 1].
    """
    check_number("share", share, low=0, high=1, scheduled=False)

    def each(v: jax.Array, g: jax.Array) -> jax.Array:
        return _mixed(share, v, square(widen(g)).astype(v.dtype))

    def mix(moments: Moments) -> Moments:
        return moments._replace(nu=jax.tree.map(each, moments.nu, moments.grad))

    return MomentsToMoments.from_function(
        "mix_square", mix, needs=("nu",), marks=("mixes", "takes root")
    )


def _mixed(share: Scalar, average: jax.Array, new: jax.Array) -> jax.Array:
    return lerp(new, average, scalar(share, jnp.finfo(average.dtype).dtype))


class MixSlowAverageState(NamedTuple):
    """State of `mix_slow_average`."""

    mu_slow: Any


def mix_slow_average(b3: DecayRate = 0.9999, alpha: ScalarOrSchedule = 5.0) -> MomentsToMoments:
    """Add `alpha` times a much slower average of the gradient, its bias left uncorrected.

    Pagliardini, Ablin & Grangier 2024, algorithm 1 (AdEMAMix); after `correct_bias`. `b3` and
    `alpha` may be schedules, such as the paper's warm-up.

    Raises:
        ValueError: b3 is outside [0, 1), or `alpha` is not finite.
    """
    check_decay("b3", b3)
    check_number("alpha", alpha)

    def init(params: Any) -> MixSlowAverageState:
        slow = jax.tree.map(lambda p: jnp.zeros_like(widen(p)), gradient_like(params))
        return MixSlowAverageState(slow)

    def update(
        moments: Moments, state: MixSlowAverageState, **_: Any
    ) -> tuple[Moments, MixSlowAverageState]:
        weight = decay_at(b3, moments.steps_done).complement
        slow = fold(state.mu_slow, jax.tree.map(tame, moments.grad), weight)
        share = at_step(alpha, moments.steps_done)
        mu = jax.tree.map(lambda m, s: m + scalar(share, m.dtype) * s, moments.mu, slow)
        return moments._replace(mu=mu), MixSlowAverageState(slow)

    return MomentsToMoments.from_update(
        "mix_slow_average", init, update, needs=("mu",), marks=("mixes",)
    )


class PositiveNegativeState(NamedTuple):
    """State of `positive_negative_momentum`."""

    mu: Any
    mu_previous: Any


def positive_negative_momentum(b1: ConstantDecay = 0.9, b3: Scalar = 1.0) -> MomentsToMoments:
    """The first moment as a difference of two, each fed with every other gradient.

    `mu = ((1 + b3) mu_t - b3 mu_{t-1}) / sqrt((1 + b3)² + b3²)`, where both decay by b1² (Xie et
    al. 2021, AdaPNM, algorithm 3). Takes the place of `track_mu`.

    Raises:
        ValueError: b1 is outside [0, 1), b3 is negative, or there is a first moment already.
    """
    check_constant_decay("b1", b1)
    check_number("b3", b3, low=0, scheduled=False)
    length = ((1 + b3) ** 2 + b3**2) ** 0.5

    def init(params: Any) -> PositiveNegativeState:
        like = gradient_like(params)
        return PositiveNegativeState(*(jax.tree.map(jnp.zeros_like, like) for _ in range(2)))

    def update(
        moments: Moments, state: PositiveNegativeState, **_: Any
    ) -> tuple[Moments, PositiveNegativeState]:
        now = step_at(b1, None, moments.steps_done)
        new = fold(
            state.mu_previous, jax.tree.map(tame, moments.grad), now.weight * (2 - now.weight)
        )  # 1 - b1²
        mu = jax.tree.map(
            lambda m, old: scalar((1 + b3) / length, m.dtype) * m
            - scalar(b3 / length, m.dtype) * widen(old),
            new, state.mu,
        )  # fmt: skip
        return moments.with_mu(mu, now.mass), PositiveNegativeState(new, state.mu)

    return MomentsToMoments.from_update(
        "positive_negative_momentum", init, update, marks=("tracks mu",)
    )


def drop_mu() -> MomentsToMoments:
    """Drop the first moment: the gradient itself is then preconditioned."""
    return MomentsToMoments.from_function(
        "drop_mu", lambda moments: moments._replace(mu=None, mu_mass=None), marks=("drops mu",)
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
        norms = jax.tree.map(zero_of, gradient_like(params))
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


def _stretch(g: jax.Array, length: jax.Array, average: jax.Array) -> jax.Array:
    short = (length > 0) & (average > length)
    unit = widen(tame(g)) / jnp.where(short, length, 1)
    return (unit * jnp.where(short, average, 1)).astype(g.dtype)

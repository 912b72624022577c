"""Rates: a multiplier for each element of the first moment, in place of a division.

`to_rate` makes them from the second moment, other stages change them, `apply_rate` makes the
direction. `to_rate() · apply_rate()` is `precondition()`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from adamlab._checks import Scalar, ScalarOrSchedule, check_number
from adamlab.stages._about import label_of
from adamlab.stages._average import fold
from adamlab.stages._decay_rate import (
    ConstantDecay,
    DecayRate,
    check_constant_decay,
    check_decay,
    decay_at,
)
from adamlab.stages._forms import zeros_like_field
from adamlab.stages._kinds import MomentsToDirection, MomentsToMoments
from adamlab.stages._moments import Moments, refuse_biased
from adamlab.stages.denominator import Denominator, denominator_of
from adamlab.stages.direction import numerator
from adamlab.stages.norms import tree_norm
from adamlab.stages.numerics import (
    at_step,
    average_dtype,
    cast_within,
    scalar,
    sqrt,
    squared_magnitude,
)


def to_rate(
    eps: ScalarOrSchedule | Denominator = 1e-8, eps_root: ScalarOrSchedule = 0.0
) -> MomentsToMoments:
    """The reciprocal of `precondition`'s denominator: `1 / (sqrt(nu + eps_root) + eps)`.

    Args and errors as for `precondition`: `eps` may be another denominator.
    """
    denominator = denominator_of(eps, eps_root)

    def rate(moments: Moments) -> Moments:
        return moments._replace(rate=jax.tree.map(_inverse, denominator.of(moments)))

    return MomentsToMoments.from_function(
        "to_rate",
        rate,
        needs=("nu",),
        label=label_of(denominator, "root"),
        marks=("makes rates", *denominator.marks),
    )


def to_variance_rate(b: ConstantDecay = 0.9) -> MomentsToMoments:
    """The share of the first moment that is not noise: `mu² / (mu² + rho s)`.

    `s = (nu - mu²) / (1 - rho)` estimates the gradient's variance and `rho s` that of `mu`, both
    moments averaged with the same `b` and corrected (Balles & Hennig 2018, M-SVAG, algorithm 2).

    Raises:
        ValueError: b is outside [0, 1), or a moment is not corrected.
    """
    check_constant_decay("b", b)

    def rate(moments: Moments) -> Moments:
        refuse_biased("to_variance_rate", moments.mu_mass, moments.nu_mass)
        mass = moments.mu_gathered
        weight = decay_at(b, moments.count).complement
        rho = jnp.minimum((2 - mass) / mass * (weight / (2 - weight)), 0.9999)

        def leaf(m: jax.Array, v: jax.Array) -> jax.Array:
            square = squared_magnitude(m)
            noise = rho.astype(v.dtype) / (1 - rho).astype(v.dtype) * (v - square)
            whole = noise + square
            return jnp.clip(
                jnp.where(whole == 0, 0, square / jnp.where(whole == 0, 1, whole)), 0, 1
            )

        return moments._replace(rate=jax.tree.map(leaf, moments.mu, moments.nu))

    needs = ("mu", "nu", "mu_gathered")
    return MomentsToMoments.from_function(
        "to_variance_rate", rate, needs=needs,
        marks=("makes rates", "takes variance"),
        decays={"mu": b, "nu": b},
    )  # fmt: skip


def rectify_rate(b2: DecayRate, threshold: Scalar = 5.0) -> MomentsToMoments:
    """Damp the rate while the second moment rests on few gradients; at first make it 1.

    With `rho_inf = 2 / (1 - b2) - 1` and `rho = rho_inf - 2 t b2^t / (1 - b2^t)` the rate is
    multiplied by `sqrt((rho - 4)(rho - 2) rho_inf / ((rho_inf - 4)(rho_inf - 2) rho))` where
    `rho >= threshold`, and is 1 elsewhere (Liu et al. 2019, RAdam, algorithm 2).

    Raises:
        ValueError: b2 is outside [0, 1), or `threshold` is not above 4.
    """
    check_decay("b2", b2)
    check_number("threshold", threshold, low=4, open_low=True, scheduled=False)

    def rectify(moments: Moments) -> Moments:
        decay = decay_at(b2, moments.steps_done)
        log = scalar(-decay.log, average_dtype())  # -log b2
        rest = scalar(2 / decay.complement - 1, average_dtype())
        # The two large terms of rho cancel for a young average; with y = t log(1/b2) their
        # difference is 2 (1 - y / expm1(y)) / log(1/b2) up to a term below 1.
        mass = moments.nu_gathered
        young = mass < 1  # as far as its digits show
        y = jnp.where(young, jnp.minimum(-jnp.log1p(-jnp.where(young, mass, 0)), 80.0), 80.0)
        series = y / 2 - y**2 / 12 + y**4 / 720 - y**6 / 30240 + y**8 / 1209600
        far = jnp.where(y < 0.1, 1, y)
        share = jnp.where(y < 0.1, series, 1 - far / jnp.expm1(far))
        offset = _constant(decay)
        rho = offset + 2 / log * share
        known = rho >= threshold
        safe = jnp.where(known, rho, 5.0)
        end = jnp.where(known, rest, 5.0)
        factor = sqrt((safe - 4) * (safe - 2) * end / ((end - 4) * (end - 2) * safe))
        rate = jax.tree.map(lambda r: jnp.where(known, factor.astype(r.dtype) * r, 1), moments.rate)
        return moments._replace(rate=rate)

    return MomentsToMoments.from_function(
        "rectify_rate", rectify, needs=("rate", "nu_gathered"),
        marks=("replaces rates",), decays={"nu": b2},
    )  # fmt: skip


def _constant(decay: Any) -> Any:
    """`2 / (1 - b) - 1 - 2 / log(1/b)`, which goes to zero as (1 - b) / 6: by series near 1."""
    w = decay.complement
    small = w / 6 + w**2 / 12 + 19 * w**3 / 360 + 3 * w**4 / 80
    if isinstance(w, float):
        return small if w < 1e-3 else 2 / w - 1 - (0.0 if w == 1.0 else 2 / -decay.log)
    return jnp.where(w < 1e-2, small, 2 / w - 1 - 2 / -decay.log)


def scale_rate(learning_rate: ScalarOrSchedule) -> MomentsToMoments:
    """Put the learning rate and both bias corrections into the rate.

    `learning_rate sqrt(nu_mass) / mu_mass rate`, for uncorrected moments: the final step size of
    each element, which `bound_rate` and `limit_rate` act on.

    Raises:
        ValueError: `learning_rate` is negative or not finite.
    """
    check_number("learning_rate", learning_rate, low=0)

    def scale(moments: Moments) -> Moments:
        rate_now = at_step(learning_rate, moments.steps_done)
        factor = rate_now * jnp.sqrt(moments.nu_mass) / moments.mu_mass
        rate = jax.tree.map(lambda r: factor.astype(r.dtype) * r, moments.rate)
        # The masses stay: the moments are not corrected.
        return moments._replace(rate=rate)

    return MomentsToMoments.from_function(
        "scale_rate", scale, needs=("rate", "mu_mass", "nu_mass"),
        marks=("corrects", "scales rates"),
    )  # fmt: skip


def bound_rate(final_rate: ScalarOrSchedule = 0.1, gamma: Scalar = 1e-3) -> MomentsToMoments:
    """Clip the rate between bounds that close in on `final_rate`.

    `final_rate (1 - 1 / (gamma t + 1))` and `final_rate (1 + 1 / (gamma t))` (Luo et al. 2019,
    AdaBound, algorithm 2). The bounds do not depend on the learning rate: where that follows a
    schedule, let `final_rate` follow it too, or the steps will not shrink with it.

    Args:
        final_rate: a finite number > 0, or a schedule of the number of steps done.
        gamma: how fast the bounds close in.

    Raises:
        ValueError: `final_rate` or `gamma` is not a finite number > 0.
    """
    check_number("final_rate", final_rate, low=0, open_low=True)
    check_number("gamma", gamma, low=0, open_low=True, scheduled=False)

    def bound(moments: Moments) -> Moments:
        time = scalar(gamma, average_dtype()) * moments.count.astype(average_dtype())
        end = scalar(at_step(final_rate, moments.steps_done), average_dtype())
        # 1 - 1 / (1 + x) would lose the digits of a small x.
        low, high = end * (time / (time + 1)), end * ((time + 1) / time)
        rate = jax.tree.map(
            lambda r: jnp.clip(r, low.astype(r.dtype), high.astype(r.dtype)), moments.rate
        )
        return moments._replace(rate=rate)

    return MomentsToMoments.from_function(
        "bound_rate", bound, needs=("rate",), marks=("limits rates", "needs scaled rates")
    )


class LimitRateState(NamedTuple):
    """State of `limit_rate`."""

    rate: Any


def limit_rate(b3: DecayRate = 0.999) -> MomentsToMoments:
    """Keep the rate below its own running average (Ding et al. 2019, AdaMod, algorithm 1).

    Raises:
        ValueError: b3 is outside [0, 1).
    """
    check_decay("b3", b3)

    def init(params: Any) -> LimitRateState:
        return LimitRateState(zeros_like_field("rate", params))

    def update(moments: Moments, state: LimitRateState, **_: Any) -> tuple[Moments, LimitRateState]:
        weight = decay_at(b3, moments.steps_done).complement
        average = fold(state.rate, moments.rate, weight)
        rate = jax.tree.map(jnp.minimum, moments.rate, average)
        return moments._replace(rate=rate), LimitRateState(average)

    return MomentsToMoments.from_update(
        "limit_rate", init, update, needs=("rate",), marks=("limits rates",)
    )


def normalize_rate() -> MomentsToMoments:
    """Divide the rates by their root mean square over all leaves.

    Savarese et al. 2019, AvaGrad, algorithm 2: `eps` then sets how adaptive the step is, and the
    learning rate how long.
    """

    def normalize(moments: Moments) -> Moments:
        # Each rate counts as often as there are elements that share it.
        weighted = jax.tree.map(
            lambda g, r: r * scalar((g.size / max(r.size, 1)) ** 0.5, r.dtype),
            moments.grad, moments.rate,
        )  # fmt: skip
        mean = tree_norm(weighted) / max(optax.tree.size(moments.grad), 1) ** 0.5
        safe = jnp.where(mean > 0, mean, 1)
        rate = jax.tree.map(lambda r: r / safe.astype(r.dtype), moments.rate)
        return moments._replace(rate=rate)

    return MomentsToMoments.from_function(
        "normalize_rate", normalize, needs=("rate",), marks=("replaces rates",)
    )


def apply_rate() -> MomentsToDirection:
    """`rate mu`, or `rate g` where no first moment is tracked; in the gradient's dtype."""

    def apply(moments: Moments) -> Any:
        return jax.tree.map(
            lambda g, m, r: cast_within(r * m, g.dtype),
            moments.grad, numerator(moments), moments.rate,
        )  # fmt: skip

    return MomentsToDirection.from_function("apply_rate", apply, needs=("rate",))


def _inverse(size: jax.Array) -> jax.Array:
    return jnp.where(size == 0, 0, 1 / jnp.where(size == 0, 1, size))

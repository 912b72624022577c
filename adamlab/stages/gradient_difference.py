"""By how the gradient has changed since the last step: to correct it, to mix in, to brake."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from adamlab._checks import Scalar, check_number
from adamlab.stages._average import fold, start_log_decay, step_at
from adamlab.stages._decay_rate import DecayRate, check_decay
from adamlab.stages._forms import gradient_like, like_gradients
from adamlab.stages._kinds import GradientToGradient, MomentsToMoments
from adamlab.stages._moments import Moments
from adamlab.stages.norms import norm
from adamlab.stages.numerics import cast_within, scalar, tame, widen


class AddGradientDifferenceState(NamedTuple):
    """State of `add_gradient_difference`."""

    previous: Any


def add_gradient_difference(gain: Scalar, max_norm: Scalar | None = 1.0) -> GradientToGradient:
    """Correct the gradient by its change: `g_t + gain (g_t - g_{t-1})`, each leaf's norm clipped.

    Yuan et al. 2024, MARS, equations 4 and 5 with gain = gamma b1 / (1 - b1). The previous step's
    gradient, 0 at first, stands in for this batch's gradient at the old parameters (MARS-approx),
    unless `update` gets the latter as the extra argument `previous_grad` (exact MARS).

    Args:
        gain: weight of the change.
        max_norm: the norm to which a longer leaf is scaled down; None for no clipping.

    Raises:
        ValueError: `gain` is not finite, or `max_norm` not above zero.
    """
    check_number("gain", gain, scheduled=False)
    if max_norm is not None:
        check_number("max_norm", max_norm, low=0, open_low=True, scheduled=False)

    def init(params: Any) -> AddGradientDifferenceState:
        return AddGradientDifferenceState(optax.tree.zeros_like(params))

    def leaf(g: jax.Array, old: jax.Array) -> jax.Array:
        change = _change(g, old)
        new = widen(tame(g)) + scalar(gain, change.dtype) * change
        if max_norm is not None:
            new = new / jnp.maximum(norm(new) / max_norm, 1).astype(new.dtype)
        return new.astype(g.dtype)

    def update(
        updates: Any, state: AddGradientDifferenceState,
        previous_grad: Any = None, **_: Any,
    ) -> tuple[Any, AddGradientDifferenceState]:  # fmt: skip
        old = state.previous
        if previous_grad is not None:
            old = like_gradients("previous_grad", previous_grad, updates)
        return jax.tree.map(leaf, updates, old), AddGradientDifferenceState(updates)

    return GradientToGradient.from_update(
        "add_gradient_difference",
        init,
        update,
        lagging=("previous",),
        raw=("previous_grad",),
        marks=() if max_norm is None else ("by leaf",),
    )


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
            lambda g, old: jnp.where(moments.count > 1, _change(g, old), 0),
            moments.grad, state.previous,
        )  # fmt: skip
        difference = fold(state.difference, change, now.weight)

        def add(x: jax.Array, d: jax.Array, share: Any = 1) -> jax.Array:
            return cast_within(widen(tame(x)) + scalar(factor / share, d.dtype) * d, x.dtype)

        mu = jax.tree.map(lambda m, w: add(m, w, now.mass), moments.mu, difference)
        grad = jax.tree.map(add, moments.grad, change)
        new = AddDifferenceState(moments.grad, difference, now.log_decay)
        return moments._replace(mu=mu, grad=grad), new

    return MomentsToMoments.from_update(
        "add_difference", init, update, needs=("mu",), marks=("mixes", "feeds nu")
    )


class FrictionState(NamedTuple):
    """State of `friction`."""

    previous: Any


def friction() -> MomentsToMoments:
    """Brake where the gradient changes little: `mu sigmoid(|g_{t-1} - g_t|)`.

    Dubey et al. 2019, diffGrad, equation 6; the gradient before the first is zero.
    """

    def init(params: Any) -> FrictionState:
        return FrictionState(jax.tree.map(jnp.zeros_like, gradient_like(params)))

    def update(moments: Moments, state: FrictionState, **_: Any) -> tuple[Moments, FrictionState]:
        mu = jax.tree.map(
            lambda m, g, old: m * jax.nn.sigmoid(jnp.abs(_change(g, old))),
            moments.mu, moments.grad, state.previous,
        )  # fmt: skip
        return moments._replace(mu=mu), FrictionState(moments.grad)

    return MomentsToMoments.from_update("friction", init, update, needs=("mu",))


def _change(new: jax.Array, old: jax.Array) -> jax.Array:
    """How a gradient has changed, in float32 or wider; both are cut off at the limit of `new`.

    The one that was kept may be in a wider dtype.
    """
    return widen(tame(new)) - widen(tame(old, new.dtype))

"""direction -> direction: momentum after preconditioning."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from adamlab._checks import Scalar, check_flags, check_number
from adamlab.stages._average import fold, start_log_decay, step_at
from adamlab.stages._decay_rate import ConstantDecay, DecayRate, check_decay, plain_decay
from adamlab.stages._kinds import DirectionToDirection
from adamlab.stages.numerics import cast_like


def trace(decay: ConstantDecay, nesterov: bool = False) -> DirectionToDirection:
    """Heavy-ball momentum: a running sum `m = g + decay * m` (`optax.trace`).

    Polyak 1964; with `nesterov`, Sutskever et al. 2013, equations 3 and 4.

    Raises:
        ValueError: `decay` is outside [0, 1).
    """
    check_flags(nesterov=nesterov)
    decay = plain_decay("decay", decay)
    return DirectionToDirection.from_optax("trace", optax.trace(decay, nesterov))


class EmaState(NamedTuple):
    """State of `ema`."""

    count: Any
    ema: Any
    log_decay: jax.Array | None


def ema(b1: DecayRate = 0.9, *, correct: bool = False) -> DirectionToDirection:
    """The direction's exponential average, from zero: momentum after preconditioning.

    Args:
        b1: its decay rate.
        correct: whether it is divided by the weight it has gathered.

    Raises:
        ValueError: b1 is outside [0, 1).
        TypeError: `correct` is not True or False.
    """
    check_decay("b1", b1)
    check_flags(correct=correct)

    def init(params: Any) -> EmaState:
        average = optax.tree.zeros_like(params)
        return EmaState(jnp.zeros([], jnp.int32), average, start_log_decay(b1))

    def update(updates: Any, state: EmaState, **_: Any) -> tuple[Any, EmaState]:
        now = step_at(b1, state.log_decay, state.count)
        average = fold(state.ema, updates, now.weight)
        new = EmaState(optax.safe_increment(state.count), average, now.log_decay)
        if correct:
            average = jax.tree.map(lambda x: x / now.mass.astype(x.dtype), average)
        return cast_like(average, updates), new

    return DirectionToDirection.from_update("ema", init, update)


def extrapolate(alpha: Scalar = 1.0, beta: Scalar = 1.0) -> DirectionToDirection:
    """Step past the direction, away from the last one: `(alpha + beta) u_t - beta u_{t-1}`.

    Daskalakis et al. 2018, optimistic Adam, algorithm 1 (`optax.scale_by_optimistic_gradient`).

    Raises:
        ValueError: `alpha` or `beta` is not finite.
    """
    check_number("alpha", alpha, scheduled=False)
    check_number("beta", beta, scheduled=False)
    return DirectionToDirection.from_optax(
        "extrapolate", optax.scale_by_optimistic_gradient(alpha, beta)
    )

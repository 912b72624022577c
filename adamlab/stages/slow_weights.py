"""What goes by the parameters' past: their start, their average, slow weights."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from adamlab._checks import (
    Scalar,
    check_count,
    check_number,
)
from adamlab.stages._average import fold, start_log_decay, step_at
from adamlab.stages._decay_rate import (
    DecayRate,
    check_decay,
)
from adamlab.stages._kinds import (
    DirectionAfterRate,
    DirectionBeforeRate,
)
from adamlab.stages.numerics import widen


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


class AverageParametersState(NamedTuple):
    """State of `average_parameters`."""

    count: Any
    average: Any
    log_decay: jax.Array | None


def average_parameters(decay: DecayRate = 0.999) -> DirectionAfterRate:
    """Keep an average of the parameters in the state, and pass the updates on unchanged.

    `average = ema(theta + update)`, starting at the initial parameters (Polyak & Juditsky 1992;
    with decay as in Tarvainen & Valpola 2017). It goes last. Read it with
    `optax.tree.get(state, "average")`.

    It is float32 or wider whatever the parameters' dtype, and does not see what is done to them
    after the update, such as a projection.

    Raises:
        ValueError: `decay` is outside [0, 1), or `update` gets no parameters.
    """
    check_decay("decay", decay)

    def init(params: Any) -> AverageParametersState:
        kept = jax.tree.map(lambda p: jnp.array(widen(p)), params)
        return AverageParametersState(jnp.zeros([], jnp.int32), kept, start_log_decay(decay))

    def update(
        updates: Any, state: AverageParametersState, *, params: Any, **_: Any
    ) -> tuple[Any, AverageParametersState]:
        now = step_at(decay, state.log_decay, state.count)
        moved = jax.tree.map(lambda p, u: widen(p) + widen(u), params, updates)
        average = fold(state.average, moved, now.weight)
        new = AverageParametersState(optax.safe_increment(state.count), average, now.log_decay)
        return updates, new

    return DirectionAfterRate.from_update(
        "average_parameters", init, update, needs=("params",), marks=("reads parameters",)
    )


class LookaheadState(NamedTuple):
    """State of `lookahead`."""

    steps_since_sync: Any
    slow: Any


def lookahead(sync_period: int = 6, slow_step_size: Scalar = 0.5) -> DirectionAfterRate:
    """Slow weights that every `sync_period` steps move towards the parameters and replace them.

    `slow += slow_step_size (theta + update - slow)`, from which the parameters continue (Zhang et
    al. 2019, algorithm 1). It goes last. The slow weights are float32 or wider; read them with
    `optax.tree.get(state, "slow")`. They see what is done to the parameters after the update, such
    as a projection, only at the next synchronisation. `optax.lookahead` instead wraps an optimizer
    and trains pairs of fast and slow parameters, so it cannot be part of a chain.

    Raises:
        ValueError: `sync_period` is not a whole number >= 1, `slow_step_size` is outside [0, 1], or
            `update` gets no parameters.
    """
    check_count("sync_period", sync_period)
    check_number("slow_step_size", slow_step_size, low=0, high=1, scheduled=False)

    def init(params: Any) -> LookaheadState:
        slow = jax.tree.map(lambda p: jnp.array(widen(p)), params)
        return LookaheadState(jnp.zeros([], jnp.int32), slow)

    def update(
        updates: Any, state: LookaheadState, params: Any, **_: Any
    ) -> tuple[Any, LookaheadState]:
        steps = (state.steps_since_sync + 1) % sync_period
        due = steps == 0
        fast = jax.tree.map(lambda p, u: widen(p) + widen(u), params, updates)
        slow = jax.tree.map(
            lambda s, new: jnp.where(due, new.astype(s.dtype), s),
            state.slow, fold(state.slow, fast, slow_step_size),
        )  # fmt: skip
        new = jax.tree.map(
            lambda u, p, s: jnp.where(due, (s - widen(p)).astype(u.dtype), u), updates, params, slow
        )
        return new, LookaheadState(steps, slow)

    return DirectionAfterRate.from_update(
        "lookahead", init, update, needs=("params",), marks=("sets parameters",)
    )

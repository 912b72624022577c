"""direction -> direction: averages of the parameters beside the training, or in its place."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from adamlab._checks import Scalar, ScalarOrSchedule, check_count, check_number
from adamlab.stages._average import fold, start_log_decay, step_at
from adamlab.stages._decay_rate import DecayRate, check_decay
from adamlab.stages._kinds import DirectionAfterRate
from adamlab.stages.numerics import at_step, average_dtype, ratio, real_dtype, widen


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


class ScheduleFreeState(NamedTuple):
    """State of `schedule_free`."""

    count: Any
    z: Any
    """The hidden iterate, which takes the steps; in float32 or wider."""
    b1: Any
    weight_sum: Any
    max_rate: Any


def schedule_free(
    learning_rate: ScalarOrSchedule, b1: Scalar = 0.9, *, weight_lr_power: Scalar = 2.0
) -> DirectionAfterRate:
    """Let a hidden iterate z take the steps, and keep the parameters between it and its mean.

    With x the mean of all z so far, each weighted by the largest learning rate until then to the
    power `weight_lr_power`, the parameters are `y = b1 x + (1 - b1) z`, where gradients are taken
    (Defazio et al. 2024, equations 2 to 5). The result of training is x, which
    `optax.contrib.schedule_free_eval_params` computes from this state and y. Goes last.

    Args:
        learning_rate: the chain's learning rate, a number or a schedule.
        b1: how near y is to x; in (0, 1).
        weight_lr_power: 0 for a plain mean.

    Raises:
        ValueError: an argument is out of range, or `update` gets no parameters.
    """
    check_number("learning_rate", learning_rate, low=0)
    check_number("b1", b1, low=0, high=1, open_low=True, open_high=True, scheduled=False)
    check_number("weight_lr_power", weight_lr_power, low=0, scheduled=False)

    def scalar(value: Any) -> jax.Array:
        return jnp.asarray(value, average_dtype())

    def init(params: Any) -> ScheduleFreeState:
        z = jax.tree.map(lambda p: jnp.array(widen(p)), params)
        return ScheduleFreeState(jnp.zeros([], jnp.int32), z, scalar(b1), scalar(0), scalar(0))

    def update(
        updates: Any, state: ScheduleFreeState, params: Any, **_: Any
    ) -> tuple[Any, ScheduleFreeState]:
        most = jnp.maximum(scalar(at_step(learning_rate, state.count)), state.max_rate)
        some = most > 0  # the slope of a power at 0 would be infinite
        power = scalar(weight_lr_power)
        weight = jnp.where(some, jnp.where(some, most, 1) ** power, scalar(power == 0))
        total = state.weight_sum + weight
        share = ratio(weight, total)  # of z in x

        # y' - y from the new z alone: XLA would keep a copy of the old one if it were still read.
        def step(y: jax.Array, z: jax.Array, u: jax.Array) -> jax.Array:
            mixed, own = (s.astype(real_dtype(y)) for s in (share, (1 - scalar(b1)) * (1 - share)))
            return (mixed * (z - widen(y)) + own * widen(u)).astype(u.dtype)

        z = jax.tree.map(lambda z, u: z + widen(u), state.z, updates)
        new = jax.tree.map(step, params, z, updates)
        count = optax.safe_increment(state.count)
        return new, ScheduleFreeState(count, z, state.b1, total, most)

    return DirectionAfterRate.from_update(
        "schedule_free",
        init,
        update,
        needs=("params",),
        marks=("sets parameters", "weighs by rate"),
    )

"""direction -> direction: decay, momentum after the fact, and the learning rate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from adamlab._checks import check_number
from adamlab.stages._kinds import DirectionToDirection


def scale_by_learning_rate(learning_rate: Any, *, flip_sign: bool = True) -> DirectionToDirection:
    """Multiply the direction by minus the learning rate (`optax.scale_by_learning_rate`).

    Args:
        learning_rate: a finite number >= 0, or a schedule of the number of steps done.
        flip_sign: False keeps the sign, for an ascent.

    Raises:
        ValueError: `learning_rate` is negative or not finite.
    """
    check_number("learning_rate", learning_rate, low=0)
    return DirectionToDirection.from_optax(
        "scale_by_learning_rate", optax.scale_by_learning_rate(learning_rate, flip_sign=flip_sign)
    )


def add_decayed_weights(weight_decay: Any, mask: Any = None) -> DirectionToDirection:
    """Add `weight_decay` times the parameters to the direction; before the learning rate.

    Decoupled decay as PyTorch and Optax count it, `learning_rate * weight_decay` a step
    (Loshchilov & Hutter 2019, algorithm 2, line 12; `optax.add_decayed_weights`).

    Args:
        weight_decay: a finite number >= 0, or a schedule of the number of steps done.
        mask: a tree of booleans like the parameters, or a function that makes one.

    Raises:
        ValueError: `weight_decay` is negative or not finite.
    """
    check_number("weight_decay", weight_decay, low=0)
    return DirectionToDirection.from_optax(
        "add_decayed_weights", optax.add_decayed_weights(weight_decay, mask)
    )


class AddIndependentDecayState(NamedTuple):
    """State of `add_independent_decay`."""

    count: Any


def add_independent_decay(
    weight_decay: Any,
    multiplier: Callable[[jax.Array], Any] | None = None,
    mask: Any = None,
) -> optax.GradientTransformationExtraArgs:
    """Take `weight_decay` times the parameters off, whatever the learning rate; after it.

    `update - multiplier(t) * weight_decay * params` (Loshchilov & Hutter 2019, algorithm 2,
    line 12, with their schedule multiplier and the learning rate apart).

    Args:
        weight_decay: a finite number >= 0: the share of the weights lost each step.
        multiplier: a schedule of the number of steps done, such as the learning rate's own
            divided by its peak; None for 1.
        mask: a tree of booleans like the parameters, or a function that makes one.

    Raises:
        ValueError: `weight_decay` is negative or not finite, or `update` gets no parameters.
    """
    check_number("weight_decay", weight_decay, low=0, scheduled=False)

    def init(params: optax.Params) -> AddIndependentDecayState:
        del params
        return AddIndependentDecayState(jnp.zeros([], jnp.int32))

    def update(
        updates: optax.Updates, state: AddIndependentDecayState, params: Any = None, **_: Any
    ) -> tuple[optax.Updates, AddIndependentDecayState]:
        if params is None:
            raise ValueError(
                "params=None: add_independent_decay needs the parameters; pass them "
                "to update(updates, state, params)"
            )
        share = weight_decay if multiplier is None else multiplier(state.count) * weight_decay
        decayed = jax.tree.map(lambda u, p: u - jnp.asarray(share, p.dtype) * p, updates, params)
        return decayed, AddIndependentDecayState(optax.safe_increment(state.count))

    update.__qualname__ = "add_independent_decay"
    decay = DirectionToDirection(init, update)
    return (
        decay
        if mask is None
        else DirectionToDirection.from_optax("add_independent_decay", optax.masked(decay, mask))
    )


def trace(
    decay: Any, nesterov: bool = False, accumulator_dtype: Any = None
) -> DirectionToDirection:
    """Heavy-ball momentum: a running sum `m = g + decay * m` (`optax.trace`).

    Polyak 1964; with `nesterov`, Sutskever et al. 2013, equations 3 and 4.

    Raises:
        ValueError: `decay` is outside [0, 1).
    """
    check_number("decay", decay, low=0, high=1, open_high=True, scheduled=False)
    return DirectionToDirection.from_optax("trace", optax.trace(decay, nesterov, accumulator_dtype))

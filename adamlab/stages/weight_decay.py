"""direction -> direction: weight decay, decoupled from the gradient."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import optax

from adamlab._checks import Scalar, ScalarOrSchedule, check_number
from adamlab.stages._about import name_of
from adamlab.stages._kinds import DirectionAfterRate, DirectionBeforeRate, DirectionToDirection
from adamlab.stages._moments import Moments, refuse_biased
from adamlab.stages.norms import rms, tree_mean
from adamlab.stages.numerics import (
    agree,
    at_step,
    cast_within,
    checked_schedule,
    sqrt,
    widen,
)

Mask = Callable[[Any], Any] | Any
"""Which leaves: a tree of booleans like the parameters, a function that makes one, None for all."""
StageT = TypeVar("StageT", bound=DirectionToDirection)


def add_decayed_weights(weight_decay: ScalarOrSchedule, mask: Mask = None) -> DirectionBeforeRate:
    """Add `weight_decay` times the parameters to the direction; before the learning rate.

    Decoupled decay in PyTorch's and Optax's convention, `learning_rate * weight_decay` a step
    (Loshchilov & Hutter 2019, algorithm 2, line 12; `optax.add_decayed_weights`).

    Args:
        weight_decay: a finite number >= 0, or a schedule of the number of steps done.
        mask: a tree of booleans like the parameters, or a function that makes one.

    Raises:
        ValueError: `weight_decay` is negative or not finite, or `update` gets no parameters.
        TypeError: `mask` holds something other than True and False.
    """
    check_number("weight_decay", weight_decay, low=0)
    decay = optax.add_decayed_weights(checked_schedule(weight_decay))
    return _where(mask, DirectionBeforeRate.from_optax(
        "add_decayed_weights", decay, needs=("params",)
    ))  # fmt: skip


def _where(mask: Mask, stage: StageT) -> StageT:
    """The stage for the leaves that `mask` chooses.

    Raises:
        TypeError: `mask` holds something other than True and False.
    """
    if mask is None:
        return stage
    if not callable(mask):
        _check_flags(mask)

    def chosen(params: Any) -> Any:
        """The mask as a tree."""
        flags = mask
        if callable(mask):
            flags = mask(params)
            _check_flags(flags)
        try:
            jax.tree.map(lambda *_: None, flags, params)
        except ValueError as error:
            raise ValueError(
                f"mask={flags!r}: must have the parameters' tree, {jax.tree.structure(params)}"
            ) from error
        return flags

    def update(updates: Any, old: Any, params: Any, **extra_args: Any) -> tuple[Any, Any]:
        # Optax would ask a function for the mask of the updates.
        masked = optax.masked(stage, chosen(params))
        return masked.update(updates, old, params, **extra_args)

    init = optax.masked(stage, chosen).init
    return type(stage).from_update(name_of(stage), init, update, needs=("params",))


def _check_flags(mask: Any) -> None:
    """Refuse a mask that is not a tree of True and False."""
    for flag in jax.tree.leaves(mask):
        single = isinstance(flag, bool) or str(getattr(flag, "dtype", "")) == "bool"
        if not single or np.ndim(flag):
            raise TypeError(
                f"mask={mask!r}: must be a tree of True and False like the parameters, or a "
                f"function from them to one, but holds {flag!r}"
            )


def add_independent_decay(weight_decay: ScalarOrSchedule, mask: Mask = None) -> DirectionAfterRate:
    """Subtract `weight_decay` times the parameters, after the learning rate and independent of it.

    `update - weight_decay * params` (Loshchilov & Hutter 2019, algorithm 2, line 12).

    Args:
        weight_decay: the share of the weights lost each step: a finite number >= 0, or a schedule,
            such as the learning rate's own over its peak, times a number.
        mask: a tree of booleans like the parameters, or a function that makes one.

    Raises:
        ValueError: `weight_decay` is negative or not finite, or `update` gets no parameters.
    """
    check_number("weight_decay", weight_decay, low=0)

    def decay(updates: Any, params: Any, share: Any) -> Any:
        return jax.tree.map(partial(_add, -jnp.asarray(share)), updates, params)

    return _where(mask, DirectionAfterRate.from_function(
        "add_independent_decay", decay, weight_decay, needs=("params",)
    ))  # fmt: skip


def add_cautious_decay(weight_decay: Scalar) -> DirectionBeforeRate:
    """Decay only the weights that the step shrinks anyway: where direction and weight agree.

    `u + weight_decay theta` where `u theta > 0` (Chen et al. 2025, algorithm 1); before the
    learning rate.

    Raises:
        ValueError: `weight_decay` is negative or not finite, or `update` gets no parameters.
    """
    check_number("weight_decay", weight_decay, low=0, scheduled=False)

    def decayed(u: jax.Array, p: jax.Array) -> jax.Array:
        return jnp.where(agree(u, p), _add(jnp.asarray(weight_decay), u, p), u)

    return DirectionBeforeRate.from_function(
        "add_cautious_decay", partial(jax.tree.map, decayed), needs=("params",)
    )


def add_stable_decay(weight_decay: Scalar, eps: ScalarOrSchedule = 1e-8) -> DirectionBeforeRate:
    """Decay with one step size for all: `weight_decay theta / (sqrt(mean(nu)) + eps)`.

    The mean is over all elements of all leaves of the corrected second moment (Xie et al. 2020,
    stable weight decay, AdamS, algorithm 3).

    Raises:
        ValueError: `weight_decay` or `eps` is negative or not finite, or `update` gets no
            parameters.
    """
    check_number("weight_decay", weight_decay, low=0, scheduled=False)
    check_number("eps", eps, low=0)

    def decay(updates: Any, params: Any, moments: Moments) -> Any:
        refuse_biased("add_stable_decay", moments.nu_mass)
        size = sqrt(tree_mean(moments.nu)) + at_step(eps, moments.steps_done)
        share = jnp.divide(weight_decay, jnp.where(size == 0, 1, size))
        return jax.tree.map(partial(_add, share), updates, params)

    return DirectionBeforeRate.from_function(
        "add_stable_decay",
        decay,
        needs=("params",),
        extra_args=("moments",),
        marks=("takes root",),
    )


def _add(share: jax.Array, u: jax.Array, p: jax.Array) -> jax.Array:
    """`u + share p` in u's dtype, which the product alone might overflow."""
    wide, weights = widen(u), widen(p)
    return cast_within(wide + share.astype(wide.dtype) * weights.astype(wide.dtype), u.dtype)


def add_preconditioned_decay(weight_decay: Scalar, max_rms: Scalar = 1.0) -> DirectionBeforeRate:
    """Decay by the same rates as the gradient: `weight_decay rate theta`, its RMS clipped.

    The natural gradient of an L2 penalty (Hwang 2024, FAdam, algorithm 1, lines 13 and 14). Goes
    after a direction made from rates, by `apply_rate`.

    Raises:
        ValueError: `weight_decay` is negative, or `max_rms` is not above zero; `update` gets no
            parameters.
    """
    check_number("weight_decay", weight_decay, low=0, scheduled=False)
    check_number("max_rms", max_rms, low=0, open_low=True, scheduled=False)

    def leaf(u: jax.Array, p: jax.Array, rate: jax.Array) -> jax.Array:
        pull = widen(p) * rate
        pull = pull / jnp.maximum(rms(pull) / max_rms, 1)
        return _add(jnp.asarray(weight_decay), u, pull)

    def decay(updates: Any, params: Any, moments: Moments) -> Any:
        if moments.rate is None:
            raise ValueError(
                "add_preconditioned_decay needs rates; make the direction with to_rate() and "
                "apply_rate()"
            )
        return jax.tree.map(leaf, updates, params, moments.rate)

    return DirectionBeforeRate.from_function(
        "add_preconditioned_decay",
        decay,
        needs=("params",),
        extra_args=("moments",),
        marks=("by leaf",),
    )


def decay_after_step(weight_decay: Scalar, learning_rate: ScalarOrSchedule) -> DirectionAfterRate:
    """Decay the updated parameters: `(theta + update) (1 - learning_rate weight_decay)`.

    LaProp's decay (Ziyin et al. 2020, the authors' code); goes after the learning rate, which it is
    given as well.

    Raises:
        ValueError: an argument is negative or not finite, or `update` gets no parameters.
    """
    check_number("weight_decay", weight_decay, low=0, scheduled=False)
    check_number("learning_rate", learning_rate, low=0)

    def decay(updates: Any, params: Any, rate: Any) -> Any:
        share = -jnp.asarray(rate * weight_decay)
        return jax.tree.map(lambda u, p: _add(share, u, widen(p) + widen(u)), updates, params)

    return DirectionAfterRate.from_function(
        "decay_after_step", decay, learning_rate, needs=("params",)
    )

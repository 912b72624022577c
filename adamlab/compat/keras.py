"""Keras's optimizers (Keras 3.15): their arguments, their defaults, their updates.

`weight_decay` is decoupled in all of them, `Adam` included, times the learning rate, and None means
none. Arguments about clipping, averaging of weights and loss scaling have stages of their own here.

Gradients are cut off at a magnitude of 2^48 (2^496 in float64), infinities too, except in `sgd`; in
the library an infinite one makes its parameter NaN, except in `Lion`.
"""

from __future__ import annotations

import typing
from typing import Any

from adamlab._checks import check_flags, check_number, is_constant, named
from adamlab.optimizers import Optimizer, nadam_scheduled
from adamlab.optimizers import lamb as plain_lamb
from adamlab.optimizers import lion as plain_lion
from adamlab.optimizers._finish import finish
from adamlab.optimizers._signature import takes_options
from adamlab.optimizers.blocks import growing_memory, relative_rate
from adamlab.stages import (
    ConstantDecay,
    DecayRate,
    DirectionToDirection,
    Scalar,
    ScalarOrSchedule,
    amsgrad_max,
    center_nu,
    chain,
    clip_by_block_rms,
    correct_bias,
    drop_mu,
    epsilon_hat,
    factored,
    largest,
    last_two,
    precondition,
    scale_by_learning_rate,
    scale_by_param_block_rms,
    squares,
    sums,
    trace,
    track_moments,
    unrooted,
)

__all__ = [
    "adafactor",
    "adagrad",
    "adam",
    "adamax",
    "adamw",
    "lamb",
    "lion",
    "nadam",
    "rmsprop",
    "sgd",
]

_named = named(b1="beta_1", b2="beta_2", eps="epsilon")


@takes_options
@_named
def adam(
    learning_rate: ScalarOrSchedule = 1e-3,
    beta_1: DecayRate = 0.9,
    beta_2: DecayRate = 0.999,
    epsilon: ScalarOrSchedule = 1e-7,
    amsgrad: bool = False,
    weight_decay: ScalarOrSchedule | None = None,
) -> Optimizer:
    """`keras.optimizers.Adam`: epsilon is added to the uncorrected root ("epsilon hat")."""
    check_flags(amsgrad=amsgrad)
    return chain(
        track_moments(beta_1, beta_2),
        *([amsgrad_max()] if amsgrad else []),
        correct_bias(),
        precondition(epsilon_hat(epsilon)),
        *finish(learning_rate, _number(weight_decay)),
    )


@takes_options
def adamw(
    learning_rate: ScalarOrSchedule = 1e-3,
    weight_decay: ScalarOrSchedule | None = 4e-3,
    beta_1: DecayRate = 0.9,
    beta_2: DecayRate = 0.999,
    epsilon: ScalarOrSchedule = 1e-7,
    amsgrad: bool = False,
) -> Optimizer:
    """`keras.optimizers.AdamW`: Keras's Adam with a decay of 4e-3."""
    return adam(learning_rate, beta_1, beta_2, epsilon, amsgrad, weight_decay)


@takes_options
@_named
def nadam(
    learning_rate: ScalarOrSchedule = 1e-3,
    beta_1: ConstantDecay = 0.9,
    beta_2: DecayRate = 0.999,
    epsilon: ScalarOrSchedule = 1e-7,
    weight_decay: ScalarOrSchedule | None = None,
) -> Optimizer:
    """`keras.optimizers.Nadam`: epsilon is added to the corrected root, despite its documentation.

    Its momentum warms up as `beta_1 (1 - 0.96^t / 2)`.
    """
    return nadam_scheduled(
        learning_rate, beta_1, beta_2, epsilon, 1.0, weight_decay=_number(weight_decay)
    )


@takes_options
@_named
def adamax(
    learning_rate: ScalarOrSchedule = 1e-3,
    beta_1: DecayRate = 0.9,
    beta_2: DecayRate = 0.999,
    epsilon: ScalarOrSchedule = 1e-7,
    weight_decay: ScalarOrSchedule | None = None,
) -> Optimizer:
    """`keras.optimizers.Adamax`: epsilon is added to the maximum."""
    return chain(
        track_moments(beta_1, largest(beta_2)),
        correct_bias(),
        precondition(unrooted(epsilon)),
        *finish(learning_rate, _number(weight_decay)),
    )


@takes_options
@named(b1="rho", b2="rho", eps_root="epsilon", decay="momentum")
def rmsprop(
    learning_rate: ScalarOrSchedule = 1e-3,
    rho: DecayRate = 0.9,
    momentum: ConstantDecay = 0.0,
    epsilon: ScalarOrSchedule = 1e-7,
    centered: bool = False,
    weight_decay: ScalarOrSchedule | None = None,
) -> Optimizer:
    """`keras.optimizers.RMSprop`: epsilon under the root; the learning rate inside the momentum."""
    check_flags(centered=centered)
    return chain(
        track_moments(rho if centered else None, squares(rho)),
        *([center_nu(), drop_mu()] if centered else []),
        precondition(0.0, epsilon),
        *_finish_within_momentum(learning_rate, weight_decay, momentum),
    )


@takes_options
@named(initial="initial_accumulator_value", eps_root="epsilon")
def adagrad(
    learning_rate: ScalarOrSchedule = 1e-3,
    initial_accumulator_value: Scalar = 0.1,
    epsilon: ScalarOrSchedule = 1e-7,
    weight_decay: ScalarOrSchedule | None = None,
) -> Optimizer:
    """`keras.optimizers.Adagrad`: epsilon under the root."""
    return chain(
        track_moments(None, sums(initial_accumulator_value)),
        precondition(0.0, epsilon),
        *finish(learning_rate, _number(weight_decay)),
    )


@takes_options
@_named
def lion(
    learning_rate: ScalarOrSchedule = 1e-3,
    beta_1: ConstantDecay = 0.9,
    beta_2: ConstantDecay = 0.99,
    weight_decay: ScalarOrSchedule | None = None,
) -> Optimizer:
    """`keras.optimizers.Lion`: without decay by default."""
    return plain_lion(learning_rate, beta_1, beta_2, weight_decay=_number(weight_decay))


@takes_options
@named(decay="momentum")
def sgd(
    learning_rate: ScalarOrSchedule = 1e-2,
    momentum: ConstantDecay = 0.0,
    nesterov: bool = False,
    weight_decay: ScalarOrSchedule | None = None,
) -> Optimizer:
    """`keras.optimizers.SGD`: the learning rate inside the momentum."""
    check_flags(nesterov=nesterov)
    return chain(*_finish_within_momentum(learning_rate, weight_decay, momentum, nesterov))


@takes_options
@_named
def lamb(
    learning_rate: ScalarOrSchedule = 1e-3,
    beta_1: DecayRate = 0.9,
    beta_2: DecayRate = 0.999,
    epsilon: ScalarOrSchedule = 1e-7,
) -> Optimizer:
    """`keras.optimizers.Lamb`, without its weight decay, which shrinks the weights beforehand."""
    return plain_lamb(learning_rate, beta_1, beta_2, epsilon)


@takes_options
@named(eps="epsilon_1", max_rms="clip_threshold", min_scale="epsilon_2")
def adafactor(
    learning_rate: ScalarOrSchedule = 1e-3,
    beta_2_decay: Scalar = -0.8,
    epsilon_1: Scalar = 1e-30,
    epsilon_2: Scalar = 1e-3,
    clip_threshold: Scalar = 1.0,
) -> Optimizer:
    """`keras.optimizers.Adafactor`: epsilon_1 in the squares, the learning rate caps 1/sqrt(t).

    It does so whatever `relative_step` is, which therefore has no counterpart here; nor has
    `weight_decay`, which shrinks the weights beforehand. Leaves of two axes or more are factored
    over the last two.
    """
    check_number("learning_rate", learning_rate, low=0)
    check_number("beta_2_decay", beta_2_decay, high=0, open_high=True, scheduled=False)

    return chain(
        track_moments(None, factored(growing_memory(-beta_2_decay), epsilon_1, 1, last_two)),
        precondition(0.0),
        clip_by_block_rms(clip_threshold),
        scale_by_learning_rate(relative_rate(learning_rate)),
        scale_by_param_block_rms(epsilon_2),
    )


def _finish_within_momentum(
    learning_rate: Any, weight_decay: Any, momentum: Any, nesterov: bool = False
) -> tuple[DirectionToDirection, ...]:
    """Decay, learning rate and the momentum of both; refused where there is decay and momentum."""
    stages = finish(learning_rate, _number(weight_decay))
    if is_constant(momentum, 0):
        return stages
    if len(stages) > 1:
        raise ValueError(
            f"weight_decay={weight_decay}: Keras keeps it out of the momentum; chain "
            "add_independent_decay after this"
        )
    return (*stages, trace(momentum, nesterov))


def _number(weight_decay: Any) -> Any:
    return 0.0 if weight_decay is None else weight_decay


if not typing.TYPE_CHECKING:  # or a type checker would accept any name
    from adamlab._lookup import lookup as _lookup

    __getattr__ = _lookup("adamlab.compat.keras", __all__)

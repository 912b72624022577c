"""Adam with another weight decay."""

from __future__ import annotations

from typing import Any

import jax

from adamlab._checks import check_number
from adamlab.optimizers._finish import Optimizer
from adamlab.optimizers._signature import takes_options
from adamlab.optimizers.adam import adam, scale_by_adam
from adamlab.stages import (
    DecayRate,
    Mask,
    Scalar,
    ScalarOrSchedule,
    add_cautious_decay,
    add_decayed_weights,
    add_independent_decay,
    add_stable_decay,
    chain,
    correct_bias,
    precondition,
    scale_by_learning_rate,
    track_moments,
)
from adamlab.stages.numerics import at_step


@takes_options
def adamw_independent(
    learning_rate: ScalarOrSchedule,
    b1: DecayRate = 0.9,
    b2: DecayRate = 0.999,
    eps: ScalarOrSchedule = 1e-8,
    *,
    weight_decay: Scalar = 1e-5,
    mask: Mask = None,
    peak: Scalar | None = None,
) -> Optimizer:
    """AdamW whose decay does not scale with the learning rate, only with its schedule.

    `theta -= learning_rate * direction + learning_rate / peak * weight_decay * theta` (Loshchilov &
    Hutter 2019, algorithm 2, line 12). The update of `optimi.AdamW(decouple_lr=True)`.

    Args:
        learning_rate: a number, or a schedule of the number of steps done.
        b1, b2, eps: as for `adam`.
        weight_decay: the share of the weights lost each step when the rate is at its peak.
        mask: a tree of booleans like the parameters, or a function that makes one.
        peak: the largest learning rate; needed with a schedule. Without it the decay is
            `weight_decay` at each step, whatever the learning rate.

    Raises:
        ValueError: `learning_rate` is a schedule and `peak` is None.
    """
    if peak is not None:
        check_number("peak", peak, low=0, open_low=True, scheduled=False)
    if callable(learning_rate) and peak is None:
        raise ValueError("peak=None: with a schedule, give the largest learning rate")

    check_number("weight_decay", weight_decay, low=0, scheduled=False)

    def share(steps_done: Any) -> Any:
        return at_step(learning_rate, steps_done) / peak * weight_decay

    decay = weight_decay if peak is None else share
    return chain(adam(learning_rate, b1, b2, eps), add_independent_decay(decay, mask))


@takes_options
def adamc(
    learning_rate: ScalarOrSchedule,
    b1: DecayRate = 0.9,
    b2: DecayRate = 0.999,
    eps: ScalarOrSchedule = 1e-8,
    *,
    weight_decay: ScalarOrSchedule = 1e-2,
    normalized: Mask,
    peak: Scalar,
) -> Optimizer:
    """AdamW whose decay scales with the schedule squared on layers that a norm follows.

    `learning_rate² / peak * weight_decay * theta` there, `learning_rate * weight_decay * theta`
    elsewhere (Defazio 2025, AdamC, algorithm 1). The update of `pytorch_optimizer.AdamC`,
    whose weight_decay is 0 by default.

    Args:
        learning_rate: a number, or a schedule of the number of steps done.
        b1, b2, eps: as for `adam`.
        weight_decay: decoupled weight decay.
        normalized: a tree of booleans like the parameters, or a function that makes one: True for
            those that a norm follows.
        peak: the largest learning rate.
    """

    check_number("peak", peak, low=0, open_low=True, scheduled=False)

    def others(params: Any) -> Any:
        chosen = normalized(params) if callable(normalized) else normalized
        return jax.tree.map(lambda yes: not yes, chosen)

    def share(steps_done: Any) -> Any:
        return at_step(learning_rate, steps_done) / peak * at_step(weight_decay, steps_done)

    return chain(
        scale_by_adam(b1, b2, eps),
        add_decayed_weights(share, normalized),
        add_decayed_weights(weight_decay, others),
        scale_by_learning_rate(learning_rate),
    )


@takes_options
def adamw_cautious_decay(
    learning_rate: ScalarOrSchedule,
    b1: DecayRate = 0.9,
    b2: DecayRate = 0.999,
    eps: ScalarOrSchedule = 1e-8,
    *,
    weight_decay: Scalar = 1e-2,
) -> Optimizer:
    """AdamW that decays only the weights that the step shrinks anyway.

    `u + weight_decay theta` where `u theta > 0` (Chen et al. 2025, cautious weight decay, algorithm
    1). The decay of `adam_atan2_pytorch.AdamAtan2(cautious_wd=True)`.
    """
    return chain(
        scale_by_adam(b1, b2, eps),
        add_cautious_decay(weight_decay),
        scale_by_learning_rate(learning_rate),
    )


@takes_options
def adams(
    learning_rate: ScalarOrSchedule,
    b1: DecayRate = 0.9,
    b2: DecayRate = 0.999,
    eps: ScalarOrSchedule = 1e-8,
    *,
    weight_decay: Scalar = 1e-4,
) -> Optimizer:
    """Adam with stable weight decay: the decay has one step size for the whole network.

    `theta -= learning_rate (direction + weight_decay theta / sqrt(mean(nu_hat)))` (Xie et al. 2020,
    AdamS, algorithm 3). The update of `pytorch_optimizer.AdamS`.
    """
    return chain(
        track_moments(b1, b2),
        correct_bias(),
        precondition(eps),
        add_stable_decay(weight_decay, eps),
        scale_by_learning_rate(learning_rate),
    )

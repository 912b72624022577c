"""Optimizers around an optimizer: two sets of weights, 8-bit state, low-precision parameters."""

from __future__ import annotations

from typing import Any

from adamlab.optimizers._finish import Optimizer, finish
from adamlab.optimizers._signature import takes_options
from adamlab.optimizers.adam import adam, adamw
from adamlab.optimizers.rates import radam
from adamlab.stages import (
    ConstantDecay,
    DecayRate,
    EightBit,
    Mask,
    Scalar,
    ScalarOrSchedule,
    chain,
    compensate_rounding,
    correct_bias,
    lookahead,
    plain_decay,
    precondition,
    round_stochastically,
    schedule_free,
    store_state,
    track_moments,
)


@takes_options
def schedule_free_adamw(
    learning_rate: ScalarOrSchedule,
    b1: ConstantDecay = 0.9,
    b2: DecayRate = 0.999,
    eps: ScalarOrSchedule = 1e-8,
    *,
    weight_decay: ScalarOrSchedule = 0.0,
    weight_lr_power: Scalar = 2.0,
) -> Optimizer:
    """AdamW without a schedule: gradients are taken between its iterates and their average.

    Defazio et al. 2024, algorithm 1, around RMS-normalised steps: the parameters that are trained
    are y; `optax.contrib.schedule_free_eval_params(state[-1], params)` gives x. The update of
    `schedulefree.AdamWScheduleFree`, its warm-up given as a schedule.
    """
    return chain(
        track_moments(None, b2),
        correct_bias(),
        precondition(eps),
        *finish(learning_rate, weight_decay),
        schedule_free(learning_rate, plain_decay("b1", b1), weight_lr_power=weight_lr_power),
    )


@takes_options
def lookahead_adam(
    learning_rate: ScalarOrSchedule,
    b1: DecayRate = 0.9,
    b2: DecayRate = 0.999,
    eps: ScalarOrSchedule = 1e-8,
    sync_period: int = 6,
    slow_step_size: Scalar = 0.5,
) -> Optimizer:
    """Adam with slow weights that follow it every `sync_period` steps (Zhang et al. 2019).

    Then `slow += slow_step_size (theta - slow)` and `theta = slow`. The parameters are the fast
    weights, as in `pytorch_optimizer.Lookahead` and in `optax.lookahead(optax.adam(...))`;
    `optax.tree.get(state, "slow")` gives the slow ones.
    """
    return chain(adam(learning_rate, b1, b2, eps), lookahead(sync_period, slow_step_size))


@takes_options
def ranger(
    learning_rate: ScalarOrSchedule,
    b1: DecayRate = 0.95,
    b2: DecayRate = 0.999,
    eps: ScalarOrSchedule = 1e-6,
    sync_period: int = 6,
    slow_step_size: Scalar = 0.5,
    *,
    weight_decay: ScalarOrSchedule = 0.0,
) -> Optimizer:
    """RAdam with slow weights, as in `lookahead_adam` (Wright 2019).

    Every `sync_period` steps `slow += slow_step_size (theta - slow)` and `theta = slow`. The update
    of `optimi.Ranger`, whose betas are .9 and .99.
    """
    return chain(
        radam(learning_rate, b1, b2, eps, weight_decay=weight_decay),
        lookahead(sync_period, slow_step_size),
    )


@takes_options
def adamw_8bit(
    learning_rate: ScalarOrSchedule,
    b1: DecayRate = 0.9,
    b2: DecayRate = 0.999,
    eps: ScalarOrSchedule = 1e-8,
    *,
    weight_decay: ScalarOrSchedule = 1e-2,
    mask: Mask = None,
    block: int = 256,
    min_size: int = 4096,
) -> Optimizer:
    """AdamW with both moments in 8 bits (Dettmers et al. 2021).

    `theta -= learning_rate (mu_hat / (sqrt(nu_hat) + eps) + weight_decay theta)`; between steps
    each `block` elements of mu and nu are stored as their largest magnitude and an 8-bit code for
    each element's share of it. Leaves of fewer than `min_size` elements are stored as in `adamw`.
    The form of `torchao.optim.AdamW8bit`, whose codes have no -1.
    """
    eight = EightBit(block, min_size)
    full = adamw(learning_rate, b1, b2, eps, weight_decay=weight_decay, mask=mask)
    return store_state(full, mu=eight, nu=eight)


@takes_options
def adamw_kahan(
    learning_rate: ScalarOrSchedule,
    b1: DecayRate = 0.9,
    b2: DecayRate = 0.999,
    eps: ScalarOrSchedule = 1e-8,
    *,
    weight_decay: ScalarOrSchedule = 1e-2,
    mask: Mask = None,
) -> Optimizer:
    """AdamW for bfloat16 parameters, with Kahan summation (Zamirai et al. 2020, algorithm 5).

    `theta' = round(theta + u + lost)` with AdamW's u, and `lost` the rounding error. Like
    `optimi.AdamW(kahan_sum=True)`, but with nu in float32; b2 and eps are .99 and 1e-6 there.
    """
    return chain(
        adamw(learning_rate, b1, b2, eps, weight_decay=weight_decay, mask=mask),
        compensate_rounding(),
    )


@takes_options
def adamw_stochastic_rounding(
    learning_rate: ScalarOrSchedule,
    key: Any,
    b1: DecayRate = 0.9,
    b2: DecayRate = 0.999,
    eps: ScalarOrSchedule = 1e-8,
    *,
    weight_decay: ScalarOrSchedule = 1e-2,
    mask: Mask = None,
) -> Optimizer:
    """AdamW for bfloat16 parameters, with stochastic rounding (Gupta et al. 2015).

    `theta + u`, u being AdamW's update, is rounded to its upper neighbour in bfloat16 with a
    probability proportional to its distance from the lower one (section 2.1). No package makes the
    same draws: torchao's `AdamW(bf16_stochastic_round=True)` is the same in the mean.

    Args:
        learning_rate, b1, b2, eps, weight_decay, mask: as for `adamw`.
        key: the random key that the rounding of all steps comes from.
    """
    return chain(
        adamw(learning_rate, b1, b2, eps, weight_decay=weight_decay, mask=mask),
        round_stochastically(key),
    )

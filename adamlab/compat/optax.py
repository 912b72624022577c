"""Optax's optimizers (Optax 0.2.8) where they differ from adamlab's of the same name.

The others agree, apart from Optax's numerical faults: `adamlab.adam`, `adamw`, `amsgrad`,
`rmsprop`, `sgd`, and `adamlab.optimizers`' `acprop`, `adabelief`, `adafactor`, `adagrad`, `adamax`,
`ademamix`, `adopt`, `lamb`, `lion`, `madgrad`, `nadam`, `novograd`, `radam`, `schedule_free_adamw`,
`signum`, `simplified_ademamix`, `sm3`, `yogi`. Their arguments may come in another order: pass them
by name.
"""

from __future__ import annotations

import typing

from adamlab._checks import named
from adamlab.compat._pairs import Betas, rates
from adamlab.optimizers import Optimizer, dadapt_adam
from adamlab.optimizers import prodigy as authors_prodigy
from adamlab.optimizers._finish import finish
from adamlab.optimizers._signature import takes_options
from adamlab.stages import (
    ConstantDecay,
    DecayRate,
    Scalar,
    ScalarOrSchedule,
    add_difference,
    chain,
    clip,
    correct_bias,
    extrapolate,
    means,
    nesterov,
    plain_decay,
    precondition,
    previous,
    scale_by_learning_rate,
    track_curvature,
    track_moments,
    track_nu,
    unrooted,
)

__all__ = [
    "adan",
    "dadapt_adamw",
    "optimistic_adam_v2",
    "prodigy",
    "sophia",
]


@takes_options
def adan(
    learning_rate: ScalarOrSchedule,
    b1: DecayRate = 0.98,
    b2: ConstantDecay = 0.92,
    b3: DecayRate = 0.99,
    eps: ScalarOrSchedule = 1e-8,
    eps_root: ScalarOrSchedule = 1e-8,
    weight_decay: ScalarOrSchedule = 0.0,
) -> Optimizer:
    """`optax.adan`: 1 - b2 where the paper and its code have b2, and decay that is not proximal."""
    rate = plain_decay("b2", b2)
    return chain(
        track_moments(b1, None),
        correct_bias(),
        add_difference(rate, gain=1 - rate),
        named(b2="b3")(track_nu)(b3),
        correct_bias(),
        precondition(eps, eps_root),
        *finish(learning_rate, weight_decay),
    )


_distance = named(
    b1="betas[0]", b2="betas[1]", initial_distance="estim_lr0", coefficient="estim_lr_coef"
)


@takes_options
@_distance
def prodigy(
    learning_rate: ScalarOrSchedule = 1.0,
    betas: Betas = (0.9, 0.999),
    *,
    eps: Scalar = 1e-8,
    estim_lr0: Scalar = 1e-6,
    estim_lr_coef: Scalar = 1.0,
    weight_decay: Scalar = 0.0,
) -> Optimizer:
    """`optax.contrib.prodigy`: always with bias correction, off by default in the authors' code."""
    return authors_prodigy(
        learning_rate, *rates("betas", betas), eps, weight_decay=weight_decay,
        initial_distance=estim_lr0, coefficient=estim_lr_coef, correct=True,
    )  # fmt: skip


@takes_options
@_distance
def dadapt_adamw(
    learning_rate: ScalarOrSchedule = 1.0,
    betas: Betas = (0.9, 0.999),
    eps: Scalar = 1e-8,
    estim_lr0: Scalar = 1e-6,
    weight_decay: Scalar = 0.0,
) -> Optimizer:
    """`optax.contrib.dadapt_adamw`: always with bias correction, like Optax's `prodigy`."""
    return dadapt_adam(
        learning_rate, *rates("betas", betas), eps, weight_decay=weight_decay,
        initial_distance=estim_lr0, correct=True,
    )  # fmt: skip


@takes_options
def optimistic_adam_v2(
    learning_rate: ScalarOrSchedule,
    *,
    alpha: Scalar = 1.0,
    beta: Scalar = 1.0,
    b1: DecayRate = 0.9,
    b2: DecayRate = 0.999,
    eps: ScalarOrSchedule = 1e-8,
    eps_root: ScalarOrSchedule = 0.0,
) -> Optimizer:
    """`optax.optimistic_adam_v2`: it extrapolates Nadam's direction.

    With `nesterov=False` it extrapolates Adam's, as `adamlab.optimizers.optimistic_adam` does.
    """
    return chain(
        track_moments(b1, b2),
        nesterov(b1),
        correct_bias(),
        precondition(eps, eps_root),
        extrapolate(alpha, beta),
        scale_by_learning_rate(learning_rate),
    )


@takes_options
@named(floor="eps", max_delta="clip_threshold", every="update_interval")
def sophia(
    learning_rate: ScalarOrSchedule,
    b1: DecayRate = 0.965,
    b2: DecayRate = 0.99,
    eps: ScalarOrSchedule = 1e-8,
    weight_decay: ScalarOrSchedule = 1e-4,
    *,
    gamma: ScalarOrSchedule = 0.01,
    clip_threshold: ScalarOrSchedule = 1.0,
    update_interval: int = 10,
) -> Optimizer:
    """`optax.contrib.sophia`: mu is corrected, and the curvature is that from before the step.

    Pass `hessian_diag` to `update`, in place of Optax's estimator.
    """
    return chain(
        track_moments(b1, None),
        correct_bias(),
        track_curvature(previous(means(b2), first=0.0), every=update_interval),
        precondition(unrooted(floor=eps, gamma=gamma)),
        clip(clip_threshold),
        *finish(learning_rate, weight_decay),
    )


if not typing.TYPE_CHECKING:  # or a type checker would accept any name
    from adamlab._lookup import lookup as _lookup

    __getattr__ = _lookup(
        "adamlab.compat.optax",
        __all__,
        beside={"adamlab.optimizers": "Optax's agrees with"},
    )

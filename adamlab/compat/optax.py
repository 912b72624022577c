"""Optax's optimizers (Optax 0.2.8) where they differ from adamlab's of the same name.

The others agree, apart from Optax's numerical faults: `adamlab.adam`, `adamw`, `amsgrad`,
`rmsprop`, `sgd`, and `adamlab.optimizers`' `adabelief`, `adagrad`, `adamax`, `ademamix`, `lamb`,
`lion`, `nadam`, `novograd`, `radam`, `sm3`, `yogi`.
"""

from __future__ import annotations

from typing import Any

from adamlab._checks import named
from adamlab._lookup import takes_options
from adamlab.optimizers import Optimizer
from adamlab.optimizers._finish import finish
from adamlab.stages import (
    DecayRate,
    add_decayed_weights,
    add_difference,
    chain,
    clip_direction,
    correct_bias,
    means,
    precondition,
    previous,
    scale_by_learning_rate,
    track_moments,
    track_nu,
    unrooted,
)
from adamlab.stages._decay_rate import plain_decay


@takes_options
def adan(
    learning_rate: Any,
    b1: DecayRate = 0.98,
    b2: float = 0.92,
    b3: DecayRate = 0.99,
    eps: Any = 1e-8,
    eps_root: Any = 1e-8,
    weight_decay: Any = 0.0,
) -> Optimizer:
    """`optax.adan`: 1 - b2 where the paper and its code have b2, and decay that is not proximal."""
    b2 = plain_decay("b2", b2)
    return chain(
        track_moments(b1, None),
        correct_bias(),
        add_difference(b2, gain=1 - b2),
        named(b2="b3")(track_nu)(b3),
        correct_bias(),
        precondition(eps, eps_root),
        *finish(learning_rate, weight_decay),
    )


@named(floor="eps", bound="clip_threshold", every="update_interval")
@takes_options
def sophia(
    learning_rate: Any,
    b1: DecayRate = 0.965,
    b2: DecayRate = 0.99,
    eps: float = 1e-8,
    weight_decay: Any = 1e-4,
    gamma: float = 0.01,
    clip_threshold: float = 1.0,
    update_interval: int = 10,
) -> Optimizer:
    """`optax.contrib.sophia`: mu is corrected, and the curvature is that from before the step.

    Pass `hessian_diag` to `update`, in place of Optax's estimator.
    """
    return chain(
        track_moments(b1, None),
        correct_bias(),
        track_nu(previous(means(b2), first=0.0), of="hessian_diag", every=update_interval),
        precondition(unrooted(floor=eps, gamma=gamma)),
        clip_direction(clip_threshold),
        add_decayed_weights(weight_decay),
        scale_by_learning_rate(learning_rate),
    )

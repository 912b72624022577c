"""What nearly every optimizer ends with."""

from __future__ import annotations

from typing import Any, TypeAlias

import optax

from adamlab._checks import is_constant
from adamlab.stages import (
    DirectionToDirection,
    GradientToGradient,
    Mask,
    add_decayed_weights,
    add_l2,
    scale_by_learning_rate,
)

Optimizer: TypeAlias = optax.GradientTransformationExtraArgs


def finish(
    learning_rate: Any, weight_decay: Any = 0.0, mask: Mask = None
) -> tuple[DirectionToDirection, ...]:
    """Decoupled decay, where there is any, and the learning rate.

    Without decay no parameters need to be passed to `update`.
    """
    rate = scale_by_learning_rate(learning_rate)
    if is_constant(weight_decay, 0):
        return (rate,)
    return add_decayed_weights(weight_decay, mask), rate


def coupled(weight_decay: Any) -> tuple[GradientToGradient, ...]:
    """The decay that is added to the gradient, where there is any; it goes first."""
    return () if is_constant(weight_decay, 0) else (add_l2(weight_decay),)

"""An optimizer that several experiments ask about and that nobody should use."""

from __future__ import annotations

from typing import Any

import optax

import adamlab


def uncorrected_adam(
    learning_rate: Any, b1: Any = 0.9, b2: Any = 0.999, eps: Any = 1e-8
) -> optax.GradientTransformation:
    """Adam with the averages as they are, from zero on: no correction of their bias."""
    return adamlab.chain(
        adamlab.track_moments(b1, b2),
        adamlab.precondition(eps),
        adamlab.scale_by_learning_rate(learning_rate),
    )

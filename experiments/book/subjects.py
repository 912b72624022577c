"""What several experiments share: an optimizer that nobody should use, and a problem."""

from __future__ import annotations

from typing import Any

import optax

import adamlab
from adamlab import problems

FEW_IMAGES = 128


def uncorrected_adam(
    learning_rate: Any, b1: Any = 0.9, b2: Any = 0.999, eps: Any = 1e-8
) -> optax.GradientTransformation:
    """Adam whose averages start at zero and stay biased: without bias correction."""
    return adamlab.chain(
        adamlab.track_moments(b1, b2),
        adamlab.precondition(eps),
        adamlab.scale_by_learning_rate(learning_rate),
    )


def few_digits(widths: tuple[int, ...]) -> adamlab.Problem:
    """Few digits, a share `label_noise` of them mislabelled, so that a network can overfit."""
    source = problems.standardized(problems.few(problems.digits(), FEW_IMAGES))
    return problems.supervised(
        problems.mislabelled(source), problems.network(widths), problems.cross_entropy,
        batch_size=32, observed=64,
    )  # fmt: skip

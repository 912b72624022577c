"""What more than one experiment is about: an optimizer that nobody should use, and a problem."""

from __future__ import annotations

from typing import Any

import optax

import adamlab
from adamlab import problems

FEW_IMAGES = 128


def uncorrected_adam(
    learning_rate: Any, b1: Any = 0.9, b2: Any = 0.999, eps: Any = 1e-8
) -> optax.GradientTransformation:
    """Adam with the averages as they are, from zero on: no correction of their bias."""
    return adamlab.chain(
        adamlab.track_moments(b1, b2),
        adamlab.precondition(eps),
        adamlab.scale_by_learning_rate(learning_rate),
    )


def few_digits(widths: tuple[int, ...]) -> adamlab.Problem:
    """So few digits, some mislabelled by `label_noise`, that a network has something to overfit."""
    source = problems.standardized(problems.few(problems.digits(), FEW_IMAGES))
    return problems.supervised(
        problems.mislabelled(source), problems.network(widths), problems.cross_entropy,
        batch_size=32, observed=64,
    )  # fmt: skip

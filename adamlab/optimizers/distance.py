"""Adam without a learning rate: by an estimate of the distance to the solution."""

from __future__ import annotations

from adamlab.optimizers._finish import Optimizer
from adamlab.optimizers._signature import takes_options
from adamlab.stages import (
    ConstantDecay,
    Scalar,
    ScalarOrSchedule,
    chain,
    scale_by_dadapt,
    scale_by_learning_rate,
    scale_by_prodigy,
)


@takes_options
def prodigy(
    learning_rate: ScalarOrSchedule = 1.0,
    b1: ConstantDecay = 0.9,
    b2: ConstantDecay = 0.999,
    eps: Scalar = 1e-8,
    *,
    weight_decay: Scalar = 0.0,
    initial_distance: Scalar = 1e-6,
    coefficient: Scalar = 1.0,
    correct: bool = False,
) -> Optimizer:
    """Adam with an estimated distance as its learning rate: leave `learning_rate` at 1.

    Mishchenko & Defazio 2023, algorithm 4. The update of the authors' `prodigyopt.Prodigy`; with
    `correct=True` that of `optax.contrib.prodigy`.
    """
    return chain(
        scale_by_prodigy(
            learning_rate, b1, b2, eps, weight_decay=weight_decay,
            initial_distance=initial_distance, coefficient=coefficient, correct=correct,
        ),
        scale_by_learning_rate(1.0),
    )  # fmt: skip


@takes_options
def dadapt_adam(
    learning_rate: ScalarOrSchedule = 1.0,
    b1: ConstantDecay = 0.9,
    b2: ConstantDecay = 0.999,
    eps: Scalar = 1e-8,
    *,
    weight_decay: Scalar = 0.0,
    initial_distance: Scalar = 1e-6,
    correct: bool = False,
) -> Optimizer:
    """Adam with D-Adaptation's estimated learning rate: leave `learning_rate` at 1.

    Defazio & Mishchenko 2023, algorithm 5. The update of the authors' `dadaptation.DAdaptAdam` with
    decoupled decay; with `correct=True` that of `optax.contrib.dadapt_adamw`.
    """
    return chain(
        scale_by_dadapt(
            learning_rate, b1, b2, eps, weight_decay=weight_decay,
            initial_distance=initial_distance, correct=correct,
        ),
        scale_by_learning_rate(1.0),
    )  # fmt: skip

"""Adam, with weight decay, with AMSGrad's maximum: the forms that libraries call Adam."""

from __future__ import annotations

from adamlab.optimizers._finish import Optimizer, finish
from adamlab.optimizers._signature import takes_options
from adamlab.stages import (
    DecayRate,
    Mask,
    ScalarOrSchedule,
    add_decayed_weights,
    add_l2,
    amsgrad_max,
    chain,
    correct_bias,
    epsilon_hat,
    precondition,
    scale_by_learning_rate,
    track_moments,
    track_mu,
)


@takes_options
def scale_by_adam(
    b1: DecayRate = 0.9,
    b2: DecayRate = 0.999,
    eps: ScalarOrSchedule = 1e-8,
    eps_root: ScalarOrSchedule = 0.0,
) -> Optimizer:
    """Adam's direction, before the learning rate: `mu_hat / (sqrt(nu_hat + eps_root) + eps)`.

    Kingma & Ba 2015, algorithm 1. The update of `optax.scale_by_adam`.
    """
    return chain(
        track_moments(b1, b2),
        correct_bias(),
        precondition(eps, eps_root),
    )


@takes_options
def adam(
    learning_rate: ScalarOrSchedule,
    b1: DecayRate = 0.9,
    b2: DecayRate = 0.999,
    eps: ScalarOrSchedule = 1e-8,
    eps_root: ScalarOrSchedule = 0.0,
) -> Optimizer:
    """Adam: `theta -= learning_rate * mu_hat / (sqrt(nu_hat + eps_root) + eps)`.

    Kingma & Ba 2015, algorithm 1. The update of `optax.adam` and `torch.optim.Adam`.
    """
    return chain(
        scale_by_adam(b1, b2, eps, eps_root),
        scale_by_learning_rate(learning_rate),
    )


@takes_options
def adamw(
    learning_rate: ScalarOrSchedule,
    b1: DecayRate = 0.9,
    b2: DecayRate = 0.999,
    eps: ScalarOrSchedule = 1e-8,
    eps_root: ScalarOrSchedule = 0.0,
    weight_decay: ScalarOrSchedule = 1e-4,
    mask: Mask = None,
) -> Optimizer:
    """Adam with decoupled decay: `theta -= learning_rate * (direction + weight_decay * theta)`.

    Loshchilov & Hutter 2019, algorithm 2. The update of `optax.adamw` and `torch.optim.AdamW`;
    PyTorch's default weight_decay is 1e-2.
    """
    return chain(
        scale_by_adam(b1, b2, eps, eps_root),
        add_decayed_weights(weight_decay, mask),
        scale_by_learning_rate(learning_rate),
    )


@takes_options
def adam_l2(
    learning_rate: ScalarOrSchedule,
    b1: DecayRate = 0.9,
    b2: DecayRate = 0.999,
    eps: ScalarOrSchedule = 1e-8,
    eps_root: ScalarOrSchedule = 0.0,
    weight_decay: ScalarOrSchedule = 1e-4,
) -> Optimizer:
    """Adam with an L2 penalty in the gradient: `g + weight_decay * theta` is averaged.

    Loshchilov & Hutter 2019, algorithm 2, line 6. The update of
    `torch.optim.Adam(weight_decay=...)`, whose default is 0.
    """
    return chain(
        add_l2(weight_decay),
        adam(learning_rate, b1, b2, eps, eps_root),
    )


@takes_options
def adam_epsilon_hat(
    learning_rate: ScalarOrSchedule,
    b1: DecayRate = 0.9,
    b2: DecayRate = 0.999,
    eps: ScalarOrSchedule = 1e-7,
    *,
    weight_decay: ScalarOrSchedule = 0.0,
    mask: Mask = None,
) -> Optimizer:
    """Adam with eps added to the root of the uncorrected second moment.

    `theta -= learning_rate * sqrt(1 - b2^t) / (1 - b1^t) * mu / (sqrt(nu) + eps)` (Kingma & Ba
    2015, the remark that ends section 2). The update of `keras.optimizers.Adam`, as in TensorFlow.
    """
    return chain(
        track_moments(b1, b2),
        correct_bias(),
        precondition(epsilon_hat(eps)),
        *finish(learning_rate, weight_decay, mask),
    )


@takes_options
def adamd(
    learning_rate: ScalarOrSchedule,
    b1: DecayRate = 0.9,
    b2: DecayRate = 0.999,
    eps: ScalarOrSchedule = 1e-8,
    *,
    weight_decay: ScalarOrSchedule = 0.0,
    mask: Mask = None,
) -> Optimizer:
    """Adam that corrects the second moment alone, and so starts with small steps.

    `theta -= learning_rate * mu / (sqrt(nu_hat) + eps)` (St John 2021, equation 3). The update of
    `pytorch_optimizer`'s classes with `adam_debias=True`.
    """
    return chain(
        track_moments(None, b2),
        correct_bias(),
        track_mu(b1),
        precondition(eps),
        *finish(learning_rate, weight_decay, mask),
    )


@takes_options
def scale_by_amsgrad(
    b1: DecayRate = 0.9,
    b2: DecayRate = 0.999,
    eps: ScalarOrSchedule = 1e-8,
    eps_root: ScalarOrSchedule = 0.0,
) -> Optimizer:
    """AMSGrad's direction in Optax's order: bias correction, then the running maximum.

    Reddi, Kale & Kumar 2018, algorithm 2, with Adam's bias correction, which the paper leaves out.
    The update of `optax.scale_by_amsgrad`.
    """
    return chain(
        track_moments(b1, b2),
        correct_bias(),
        amsgrad_max(),
        precondition(eps, eps_root),
    )


@takes_options
def amsgrad(
    learning_rate: ScalarOrSchedule,
    b1: DecayRate = 0.9,
    b2: DecayRate = 0.999,
    eps: ScalarOrSchedule = 1e-8,
    eps_root: ScalarOrSchedule = 0.0,
) -> Optimizer:
    """AMSGrad in Optax's order: the maximum of the bias-corrected second moment.

    `theta -= learning_rate mu_hat / (sqrt(nu_max) + eps)` with `nu_max = max(nu_max, nu_hat)`
    (Reddi, Kale & Kumar 2018, algorithm 2, and Adam's bias correction). The update of
    `optax.amsgrad`.
    """
    return chain(
        scale_by_amsgrad(b1, b2, eps, eps_root),
        scale_by_learning_rate(learning_rate),
    )


@takes_options
def amsgrad_torch(
    learning_rate: ScalarOrSchedule,
    b1: DecayRate = 0.9,
    b2: DecayRate = 0.999,
    eps: ScalarOrSchedule = 1e-8,
    eps_root: ScalarOrSchedule = 0.0,
) -> Optimizer:
    """AMSGrad in PyTorch's order: the maximum of the raw second moment, corrected afterwards.

    `theta -= learning_rate mu_hat / (sqrt(nu_max / (1 - b2^t)) + eps)` with
    `nu_max = max(nu_max, nu)` (Reddi, Kale & Kumar 2018, algorithm 2). The update of
    `torch.optim.Adam(amsgrad=True)` and of Keras's (which also adds eps in the "epsilon hat" form).
    """
    return chain(
        track_moments(b1, b2),
        amsgrad_max(),
        correct_bias(),
        precondition(eps, eps_root),
        scale_by_learning_rate(learning_rate),
    )

"""Named optimizers: each is one expression over stages, with Optax's argument names.

`learning_rate` may be a number, a traced scalar or a schedule of the number of steps done; so may
`eps`, `eps_root` and `weight_decay`. `b1` and `b2` may be `OneMinus` besides. A concrete value out
of range is a ValueError that names it.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import optax

from adamlab.stages import (
    DecayRate,
    add_decayed_weights,
    add_l2,
    amsgrad_max,
    center_nu,
    chain,
    correct_bias,
    precondition,
    scale_by_learning_rate,
    trace,
    track_moments,
)

Optimizer: TypeAlias = optax.GradientTransformationExtraArgs

__all__ = [
    "adam",
    "adam_l2",
    "adamw",
    "amsgrad",
    "amsgrad_torch",
    "rmsprop",
    "sgd",
]


def sgd(
    learning_rate: Any,
    momentum: Any = None,
    nesterov: bool = False,
    accumulator_dtype: Any = None,
) -> Optimizer:
    """Gradient descent: plain, with heavy-ball momentum, or with Nesterov's.

    `m = g + momentum * m`, `theta -= learning_rate * m` (Polyak 1964; Sutskever et al. 2013).
    The update of `optax.sgd`.
    """
    rate = scale_by_learning_rate(learning_rate)
    if momentum is None:
        return chain(rate)
    return chain(trace(momentum, nesterov, accumulator_dtype), rate)


def rmsprop(
    learning_rate: Any,
    decay: DecayRate = 0.9,
    eps: Any = 1e-8,
    initial_scale: float = 0.0,
    eps_in_sqrt: bool = True,
    centered: bool = False,
    momentum: Any = None,
    nesterov: bool = False,
    bias_correction: bool = False,
) -> Optimizer:
    """The gradient over the root of its running mean square.

    `theta -= learning_rate * g / sqrt(nu + eps)` (Hinton 2012, lecture 6e; centred: Graves 2013).
    The update of `optax.rmsprop`; `eps_in_sqrt=False` is PyTorch's form, `sqrt(nu) + eps`.
    """
    return chain(
        track_moments(decay if centered else None, decay, initial_nu=initial_scale),
        *([correct_bias()] if bias_correction else []),
        *([center_nu()] if centered else []),
        precondition(eps=0.0, eps_root=eps) if eps_in_sqrt else precondition(eps=eps),
        scale_by_learning_rate(learning_rate),
        *([] if momentum is None else [trace(momentum, nesterov)]),
    )


def scale_by_adam(
    b1: DecayRate = 0.9,
    b2: DecayRate = 0.999,
    eps: Any = 1e-8,
    eps_root: Any = 0.0,
    mu_dtype: Any = None,
) -> Optimizer:
    """Adam's direction, before the learning rate: `mu_hat / (sqrt(nu_hat + eps_root) + eps)`.

    Kingma & Ba 2015, algorithm 1. The update of `optax.scale_by_adam`.
    """
    return chain(
        track_moments(b1, b2, mu_dtype=mu_dtype), correct_bias(), precondition(eps, eps_root)
    )


def adam(
    learning_rate: Any,
    b1: DecayRate = 0.9,
    b2: DecayRate = 0.999,
    eps: Any = 1e-8,
    eps_root: Any = 0.0,
    mu_dtype: Any = None,
) -> Optimizer:
    """Adam: `theta -= learning_rate * mu_hat / (sqrt(nu_hat + eps_root) + eps)`.

    Kingma & Ba 2015, algorithm 1. The update of `optax.adam` and `torch.optim.Adam`.
    """
    return chain(
        scale_by_adam(b1, b2, eps, eps_root, mu_dtype), scale_by_learning_rate(learning_rate)
    )


def adamw(
    learning_rate: Any,
    b1: DecayRate = 0.9,
    b2: DecayRate = 0.999,
    eps: Any = 1e-8,
    eps_root: Any = 0.0,
    mu_dtype: Any = None,
    weight_decay: Any = 1e-4,
    mask: Any = None,
) -> Optimizer:
    """Adam with decoupled decay: `theta -= learning_rate * (direction + weight_decay * theta)`.

    Loshchilov & Hutter 2019, algorithm 2. The update of `optax.adamw` and `torch.optim.AdamW`;
    PyTorch's default weight_decay is 1e-2.
    """
    return chain(
        scale_by_adam(b1, b2, eps, eps_root, mu_dtype),
        add_decayed_weights(weight_decay, mask),
        scale_by_learning_rate(learning_rate),
    )


def adam_l2(
    learning_rate: Any,
    b1: DecayRate = 0.9,
    b2: DecayRate = 0.999,
    eps: Any = 1e-8,
    eps_root: Any = 0.0,
    mu_dtype: Any = None,
    weight_decay: Any = 1e-4,
) -> Optimizer:
    """Adam with an L2 penalty in the gradient: `g + weight_decay * theta` is what is averaged.

    Loshchilov & Hutter 2019, algorithm 2, line 6. The update of
    `torch.optim.Adam(weight_decay=...)`.
    """
    return chain(
        add_l2(weight_decay),
        adam(learning_rate, b1, b2, eps, eps_root, mu_dtype),
    )


def scale_by_amsgrad(
    b1: DecayRate = 0.9,
    b2: DecayRate = 0.999,
    eps: Any = 1e-8,
    eps_root: Any = 0.0,
    mu_dtype: Any = None,
) -> Optimizer:
    """AMSGrad's direction in Optax's order: bias correction, then the running maximum.

    Reddi, Kale & Kumar 2018, algorithm 2. The update of `optax.scale_by_amsgrad`.
    """
    return chain(
        track_moments(b1, b2, mu_dtype=mu_dtype),
        correct_bias(),
        amsgrad_max(),
        precondition(eps, eps_root),
    )


def amsgrad(
    learning_rate: Any,
    b1: DecayRate = 0.9,
    b2: DecayRate = 0.999,
    eps: Any = 1e-8,
    eps_root: Any = 0.0,
    mu_dtype: Any = None,
) -> Optimizer:
    """AMSGrad in Optax's order: the maximum of the bias-corrected second moment.

    Reddi, Kale & Kumar 2018, algorithm 2. The update of `optax.amsgrad`.
    """
    return chain(
        scale_by_amsgrad(b1, b2, eps, eps_root, mu_dtype), scale_by_learning_rate(learning_rate)
    )


def amsgrad_torch(
    learning_rate: Any,
    b1: DecayRate = 0.9,
    b2: DecayRate = 0.999,
    eps: Any = 1e-8,
    eps_root: Any = 0.0,
    mu_dtype: Any = None,
) -> Optimizer:
    """AMSGrad in PyTorch's order: the maximum of the raw second moment, corrected afterwards.

    Reddi, Kale & Kumar 2018, algorithm 2. The update of `torch.optim.Adam(amsgrad=True)` and of
    Keras's (which adds eps in the "epsilon hat" form besides).
    """
    return chain(
        track_moments(b1, b2, mu_dtype=mu_dtype),
        amsgrad_max(),
        correct_bias(),
        precondition(eps, eps_root),
        scale_by_learning_rate(learning_rate),
    )

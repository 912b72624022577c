"""Gradient descent and its relatives: by momentum, by signs, by the root of squares alone."""

from __future__ import annotations

from typing import Any

from adamlab._checks import check_flags, check_number, named
from adamlab.optimizers._finish import Optimizer, coupled, finish
from adamlab.optimizers._signature import takes_options
from adamlab.stages import (
    ConstantDecay,
    DecayRate,
    Mask,
    Scalar,
    ScalarOrSchedule,
    anchor_to_start,
    center_nu,
    chain,
    complement_of,
    correct_bias,
    cube_root,
    drop_mu,
    mix_gradient,
    plain_decay,
    precondition,
    scale_by_learning_rate,
    sign,
    squares,
    sums,
    trace,
    track_moments,
    track_weighted_sums,
)
from adamlab.stages.numerics import at_step, step_number


@takes_options
@named(decay="momentum")
def sgd(
    learning_rate: ScalarOrSchedule,
    momentum: ConstantDecay | None = None,
    nesterov: bool = False,
) -> Optimizer:
    """Gradient descent: plain, with heavy-ball momentum, or with Nesterov's.

    `m = g + momentum * m`, `theta -= learning_rate * m` (Polyak 1964; Sutskever et al. 2013).
    The update of `optax.sgd`.
    """
    check_flags(nesterov=nesterov)
    rate = scale_by_learning_rate(learning_rate)
    if momentum is None:
        return chain(rate)
    return chain(trace(momentum, nesterov), rate)


@takes_options
@named(b1="decay", b2="decay", initial="initial_scale", eps_root="eps", decay="momentum")
def rmsprop(
    learning_rate: ScalarOrSchedule,
    decay: DecayRate = 0.9,
    eps: ScalarOrSchedule = 1e-8,
    initial_scale: Scalar = 0.0,
    eps_in_sqrt: bool = True,
    centered: bool = False,
    momentum: ConstantDecay | None = None,
    nesterov: bool = False,
    bias_correction: bool = False,
) -> Optimizer:
    """The gradient over the root of its running mean square.

    `theta -= learning_rate * g / sqrt(nu + eps)` (Hinton 2012, lecture 6e; centred: Graves 2013).
    The update of `optax.rmsprop`; `eps_in_sqrt=False` is PyTorch's form, `sqrt(nu) + eps`.
    """
    check_flags(
        eps_in_sqrt=eps_in_sqrt, centered=centered, nesterov=nesterov,
        bias_correction=bias_correction,
    )  # fmt: skip
    return chain(
        track_moments(decay if centered else None, squares(decay, initial_scale)),
        *([correct_bias()] if bias_correction else []),
        *([center_nu(), drop_mu()] if centered else []),
        precondition(eps=0.0, eps_root=eps) if eps_in_sqrt else precondition(eps=eps),
        scale_by_learning_rate(learning_rate),
        *([] if momentum is None else [trace(momentum, nesterov)]),
    )


@takes_options
@named(initial="initial_accumulator_value", eps_root="eps")
def adagrad(
    learning_rate: ScalarOrSchedule,
    initial_accumulator_value: Scalar = 0.1,
    eps: ScalarOrSchedule = 1e-7,
) -> Optimizer:
    """The gradient over the root of the sum of all its squares.

    `theta -= learning_rate * g / sqrt(sum + eps)` (Duchi et al. 2011, figure 1). The update of
    `optax.adagrad`; PyTorch adds eps outside the root (`adamlab.compat.torch.adagrad`).
    """
    return chain(
        track_moments(None, sums(initial_accumulator_value)),
        precondition(0.0, eps),
        scale_by_learning_rate(learning_rate),
    )


@takes_options
def madgrad(
    learning_rate: ScalarOrSchedule,
    momentum: ConstantDecay = 0.9,
    eps: Scalar = 1e-6,
    *,
    weight_decay: ScalarOrSchedule = 0.0,
) -> Optimizer:
    """Dual averaging with cube roots: steps from the initial parameters, not the current ones.

    `z = theta_0 - s / (cbrt(nu) + eps)`, `theta = momentum theta + (1 - momentum) z`, s and nu sums
    of g and g² weighted by `learning_rate sqrt(t)` (Defazio & Jelassi 2022, algorithm 1). The
    update of `madgrad.MADGRAD`, which adds eps to the learning rate; decay is coupled.
    """
    check_number("learning_rate", learning_rate, low=0)
    check_number("eps", eps, low=0, scheduled=False)

    def weight(n: Any) -> Any:
        return (at_step(learning_rate, n) + eps) * step_number(n) ** 0.5

    return chain(
        *coupled(weight_decay),
        track_weighted_sums(weight),
        precondition(cube_root(eps)),
        anchor_to_start(),
        scale_by_learning_rate(complement_of("momentum", momentum)),
    )


@takes_options
def signum(
    learning_rate: ScalarOrSchedule,
    b1: DecayRate = 0.9,
    *,
    weight_decay: ScalarOrSchedule = 0.0,
    mask: Mask = None,
) -> Optimizer:
    """The sign of the momentum: `sign(mu)`.

    Bernstein et al. 2018, algorithm 1. The update of `optax.signum`; with decay that of
    `pytorch_optimizer.Tiger` (Su 2023).
    """
    return chain(
        track_moments(b1, None),
        sign(),
        *finish(learning_rate, weight_decay, mask),
    )


@takes_options
def lion(
    learning_rate: ScalarOrSchedule,
    b1: ConstantDecay = 0.9,
    b2: ConstantDecay = 0.99,
    *,
    weight_decay: ScalarOrSchedule = 1e-3,
    mask: Mask = None,
) -> Optimizer:
    """The sign of momentum mixed with the gradient: `sign(b1 mu + (1 - b1) g)`; mu decays by b2.

    Chen et al. 2023, algorithm 2. The update of `lion_pytorch.Lion` and `optax.lion`. With mu the
    new average, which includes this gradient, the mixture is `b1 / b2 mu + (1 - b1 / b2) g`.

    Raises:
        ValueError: b1 or b2 is outside [0, 1), or b2 is 0.
    """
    fast, slow = plain_decay("b1", b1), plain_decay("b2", b2)
    check_number("b2", slow, low=0, high=1, open_low=True, open_high=True, scheduled=False)
    return chain(
        track_moments(b2, None),
        mix_gradient(fast / slow),
        sign(),
        *finish(learning_rate, weight_decay, mask),
    )

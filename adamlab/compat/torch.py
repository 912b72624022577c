"""PyTorch's optimizers (torch 2.13): their arguments, their defaults, their updates.

`weight_decay` is coupled, added to the gradient, unless the function says otherwise. Arguments
about execution (`foreach`, `fused`, `capturable`, `differentiable`) have no counterpart here.

Gradients are cut off at a magnitude of 2^48 (2^496 in float64), infinities too, except in `sgd`; in
the library an infinite one makes its parameter NaN.
"""

from __future__ import annotations

import typing
from typing import Any

import jax
import jax.numpy as jnp
import optax

from adamlab._checks import check_flags, check_number, is_constant, named
from adamlab.compat._pairs import Betas, pair, rates
from adamlab.optimizers import Optimizer, nadam_scheduled
from adamlab.optimizers import sgd as plain_sgd
from adamlab.optimizers._finish import coupled, finish
from adamlab.optimizers._signature import takes_options
from adamlab.optimizers.blocks import growing_memory, relative_rate
from adamlab.stages import (
    ConstantDecay,
    DecayRate,
    Moments,
    MomentsToMoments,
    Scalar,
    ScalarOrSchedule,
    add_independent_decay,
    amsgrad_max,
    apply_rate,
    center_nu,
    chain,
    clip_by_block_rms,
    correct_bias,
    drop_mu,
    epsilon_hat,
    factored,
    largest,
    last_two,
    precondition,
    rectify_rate,
    scale_by_learning_rate,
    scale_by_param_block_rms,
    squares,
    sums,
    to_rate,
    trace,
    track_moments,
    unrooted,
)
from adamlab.stages.numerics import at_step, ratio

__all__ = ["adafactor", "adagrad", "adam", "adamax", "adamw", "nadam", "radam", "rmsprop", "sgd"]

_named = named(learning_rate="lr", b1="betas[0]", b2="betas[1]")


@takes_options
@_named
def sgd(
    lr: ScalarOrSchedule = 1e-3,
    momentum: ConstantDecay = 0.0,
    dampening: Scalar = 0.0,
    weight_decay: ScalarOrSchedule = 0.0,
    nesterov: bool = False,
) -> Optimizer:
    """`torch.optim.SGD`: `m = momentum m + (1 - dampening) g`, the first gradient undamped.

    Raises:
        ValueError: `nesterov` without momentum or with dampening, which PyTorch refuses as well.
    """
    check_flags(nesterov=nesterov)
    check_number("dampening", dampening, scheduled=False)
    if nesterov and (is_constant(momentum, 0) or not is_constant(dampening, 0)):
        raise ValueError(
            "nesterov=True: needs a momentum above 0 and no dampening, got "
            f"momentum={momentum!r}, dampening={dampening!r}"
        )
    if is_constant(momentum, 0):
        return chain(*coupled(weight_decay), plain_sgd(lr))

    def damped(steps_done: Any) -> Any:
        return jnp.where(steps_done == 0, 1.0, 1.0 - dampening)

    return chain(
        *coupled(weight_decay),
        *([] if is_constant(dampening, 0) else [optax.scale_by_schedule(damped)]),
        plain_sgd(lr, momentum, nesterov),
    )


@takes_options
@_named
def adam(
    lr: ScalarOrSchedule = 1e-3,
    betas: Betas = (0.9, 0.999),
    eps: ScalarOrSchedule = 1e-8,
    weight_decay: ScalarOrSchedule = 0.0,
    amsgrad: bool = False,
    *,
    decoupled_weight_decay: bool = False,
) -> Optimizer:
    """`torch.optim.Adam`: eps outside the corrected root; AMSGrad's maximum before correction."""
    check_flags(amsgrad=amsgrad, decoupled_weight_decay=decoupled_weight_decay)
    return chain(
        *coupled(0.0 if decoupled_weight_decay else weight_decay),
        track_moments(*rates("betas", betas)),
        *([amsgrad_max()] if amsgrad else []),
        correct_bias(),
        precondition(eps),
        *finish(lr, weight_decay if decoupled_weight_decay else 0.0),
    )


@takes_options
def adamw(
    lr: ScalarOrSchedule = 1e-3,
    betas: Betas = (0.9, 0.999),
    eps: ScalarOrSchedule = 1e-8,
    weight_decay: ScalarOrSchedule = 1e-2,
    amsgrad: bool = False,
) -> Optimizer:
    """`torch.optim.AdamW`: decoupled decay of 1e-2 by default, times the learning rate."""
    return adam(lr, betas, eps, weight_decay, amsgrad, decoupled_weight_decay=True)


@takes_options
@_named
def nadam(
    lr: ScalarOrSchedule = 2e-3,
    betas: tuple[float, Any] = (0.9, 0.999),
    eps: ScalarOrSchedule = 1e-8,
    weight_decay: ScalarOrSchedule = 0.0,
    momentum_decay: Scalar = 4e-3,
    decoupled_weight_decay: bool = False,
) -> Optimizer:
    """`torch.optim.NAdam`: the momentum warms up as `b1 (1 - 0.96^(t momentum_decay) / 2)`."""
    check_flags(decoupled_weight_decay=decoupled_weight_decay)
    b1, b2 = rates("betas", betas)
    if decoupled_weight_decay:
        return nadam_scheduled(lr, b1, b2, eps, momentum_decay, weight_decay=weight_decay)
    return chain(*coupled(weight_decay), nadam_scheduled(lr, b1, b2, eps, momentum_decay))


@takes_options
@_named
def radam(
    lr: ScalarOrSchedule = 1e-3,
    betas: Betas = (0.9, 0.999),
    eps: ScalarOrSchedule = 1e-8,
    weight_decay: ScalarOrSchedule = 0.0,
    decoupled_weight_decay: bool = False,
) -> Optimizer:
    """`torch.optim.RAdam`: eps is added to the uncorrected root."""
    check_flags(decoupled_weight_decay=decoupled_weight_decay)
    b1, b2 = rates("betas", betas)
    return chain(
        *coupled(0.0 if decoupled_weight_decay else weight_decay),
        track_moments(b1, b2),
        correct_bias(),
        to_rate(epsilon_hat(eps)),
        rectify_rate(b2),
        apply_rate(),
        *finish(lr, weight_decay if decoupled_weight_decay else 0.0),
    )


@takes_options
@_named
def adamax(
    lr: ScalarOrSchedule = 2e-3,
    betas: Betas = (0.9, 0.999),
    eps: Scalar = 1e-8,
    weight_decay: ScalarOrSchedule = 0.0,
) -> Optimizer:
    """`torch.optim.Adamax`: eps is added to the gradient's magnitude, inside the maximum."""
    b1, b2 = rates("betas", betas)
    return chain(
        *coupled(weight_decay),
        track_moments(b1, largest(b2, eps)),
        correct_bias(),
        precondition(unrooted()),
        scale_by_learning_rate(lr),
    )


@takes_options
@named(learning_rate="lr", b1="alpha", b2="alpha", decay="momentum")
def rmsprop(
    lr: ScalarOrSchedule = 1e-2,
    alpha: DecayRate = 0.99,
    eps: ScalarOrSchedule = 1e-8,
    weight_decay: ScalarOrSchedule = 0.0,
    momentum: ConstantDecay = 0.0,
    centered: bool = False,
) -> Optimizer:
    """`torch.optim.RMSprop`: eps outside the root; the momentum before the learning rate."""
    check_flags(centered=centered)
    return chain(
        *coupled(weight_decay),
        track_moments(alpha if centered else None, squares(alpha)),
        *([center_nu(), drop_mu()] if centered else []),
        precondition(eps),
        *([] if is_constant(momentum, 0) else [trace(momentum)]),
        scale_by_learning_rate(lr),
    )


@takes_options
@named(initial="initial_accumulator_value")
def adagrad(
    lr: ScalarOrSchedule = 1e-2,
    lr_decay: Scalar = 0.0,
    weight_decay: ScalarOrSchedule = 0.0,
    initial_accumulator_value: Scalar = 0.0,
    eps: ScalarOrSchedule = 1e-10,
) -> Optimizer:
    """`torch.optim.Adagrad`: eps outside the root, sum from 0, `lr / (1 + (t - 1) lr_decay)`."""
    check_number("lr", lr, low=0)
    check_number("lr_decay", lr_decay, low=0, scheduled=False)

    def rate(steps_done: Any) -> Any:
        return at_step(lr, steps_done) / (1 + steps_done * lr_decay)

    return chain(
        *coupled(weight_decay),
        track_moments(None, sums(initial_accumulator_value)),
        precondition(eps),
        scale_by_learning_rate(lr if is_constant(lr_decay, 0) else rate),
    )


@takes_options
@named(max_rms="d", min_scale="eps[1]")
def adafactor(
    lr: ScalarOrSchedule = 1e-2,
    beta2_decay: Scalar = -0.8,
    eps: tuple[float | None, float] = (None, 1e-3),
    d: Scalar = 1.0,
    weight_decay: Scalar = 0.0,
) -> Optimizer:
    """`torch.optim.Adafactor`: the learning rate is a cap, `min(lr, 1 / sqrt(t))`.

    Leaves of two axes or more are factored over the last two. There is no eps inside the squares:
    `eps[0]` (None: that of each leaf's dtype) bounds the root of the second moment and the mean
    that `row col` is divided by from below, `eps[1]` the root mean square of the parameters.
    """
    check_number("lr", lr, low=0)
    check_number("beta2_decay", beta2_decay, high=0, open_high=True, scheduled=False)
    check_number("d", d, low=1, scheduled=False)
    least, min_scale = pair("eps", eps)
    if least is not None:
        check_number("eps[0]", least, low=0, scheduled=False)

    check_number("weight_decay", weight_decay, low=0, scheduled=False)

    def share(steps_done: Any) -> Any:
        return at_step(lr, steps_done) * weight_decay

    return chain(
        track_moments(None, factored(growing_memory(-beta2_decay), 0.0, 1, last_two)),
        _bound_from_below(least),
        precondition(0.0),
        clip_by_block_rms(d),
        scale_by_learning_rate(relative_rate(lr)),
        scale_by_param_block_rms(min_scale),
        *([] if is_constant(weight_decay, 0) else [add_independent_decay(share)]),
    )


def _bound_from_below(eps: float | None) -> MomentsToMoments:
    """Keep the root of `nu` at least at eps, and the mean that factors are divided by as well."""

    def leaf(g: jax.Array, v: jax.Array) -> jax.Array:
        least = jnp.asarray(jnp.finfo(g.dtype).eps if eps is None else eps, v.dtype)
        if v.ndim > 1:  # row col / mean(row) has the mean of the row itself
            mean = v.mean((-2, -1), keepdims=True)
            v = v * ratio(mean, jnp.maximum(mean, least))
        return jnp.maximum(v, least * least)

    def bound(moments: Moments) -> Moments:
        return moments._replace(nu=jax.tree.map(leaf, moments.grad, moments.nu))

    return MomentsToMoments.from_function("bound_from_below", bound, needs=("nu",))


if not typing.TYPE_CHECKING:  # or a type checker would accept any name
    from adamlab._lookup import lookup as _lookup

    __getattr__ = _lookup("adamlab.compat.torch", __all__)

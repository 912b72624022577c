"""Optimizers that work leaf by leaf: coarser second moments, trust ratios, projections."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from adamlab._checks import check_number, is_constant, named
from adamlab.optimizers._finish import Optimizer, finish
from adamlab.optimizers._signature import takes_options
from adamlab.optimizers.adam import scale_by_adam
from adamlab.stages import (
    ConstantDecay,
    DecayRate,
    Mask,
    OneMinus,
    Scalar,
    ScalarOrSchedule,
    all_axes,
    block_squares,
    chain,
    clip_by_block_rms,
    correct_bias,
    decay_after_step,
    ema,
    epsilon_hat,
    factored,
    from_first,
    in_basis,
    last_two,
    per_axis,
    per_row,
    plain_decay,
    precondition,
    project_radially,
    scale_by_confidence,
    scale_by_learning_rate,
    scale_by_param_block_rms,
    scale_by_trust_ratio,
    trace,
    track_moments,
)
from adamlab.stages.numerics import at_step, step_number


@takes_options
@named(rate="b2")
def novograd(
    learning_rate: ScalarOrSchedule,
    b1: ConstantDecay = 0.9,
    b2: DecayRate = 0.25,
    eps: ScalarOrSchedule = 1e-6,
    *,
    weight_decay: ScalarOrSchedule = 0.0,
) -> Optimizer:
    """Momentum of gradients normalised leaf by leaf, with the decay inside the momentum.

    `mu = b1 mu + g / (sqrt(nu) + eps) + weight_decay theta`, nu the average of `|g|²`, started at
    its first value (Ginsburg et al. 2019, algorithm 1). The update of `optax.novograd`.
    """
    *decay, rate = finish(learning_rate, weight_decay)
    return chain(
        track_moments(None, block_squares(from_first(b2), all_axes, jnp.sum)),
        precondition(eps),
        *decay,
        trace(plain_decay("b1", b1)),
        rate,
    )


@takes_options
def lamb(
    learning_rate: ScalarOrSchedule,
    b1: DecayRate = 0.9,
    b2: DecayRate = 0.999,
    eps: ScalarOrSchedule = 1e-6,
    *,
    weight_decay: ScalarOrSchedule = 0.0,
    mask: Mask = None,
) -> Optimizer:
    """AdamW whose steps are as long as each leaf's weights: `u |theta| / |u|`.

    You et al. 2020, algorithm 2. The update of `optax.lamb`.
    """
    *decay, rate = finish(learning_rate, weight_decay, mask)
    return chain(scale_by_adam(b1, b2, eps), *decay, scale_by_trust_ratio(), rate)


@takes_options
def adamp(
    learning_rate: ScalarOrSchedule,
    b1: DecayRate = 0.9,
    b2: DecayRate = 0.999,
    eps: Scalar = 1e-8,
    delta: Scalar = 0.1,
    wd_ratio: Scalar = 0.1,
    *,
    weight_decay: Scalar = 0.0,
) -> Optimizer:
    """Adam without the part of its step that only lengthens scale-invariant weights.

    `u - theta <theta, u> / |theta|²` in place of u where `|cos(g, theta)| < delta / sqrt(dim)`, per
    channel or per leaf (Heo et al. 2021, algorithm 2). The update of the authors' `adamp.AdamP`.
    """
    return chain(
        track_moments(b1, b2),
        correct_bias(),
        precondition(eps),
        project_radially(delta, wd_ratio, weight_decay, eps),
        scale_by_learning_rate(learning_rate),
    )


def growing_memory(power: Scalar) -> Callable[[Any], OneMinus]:
    """The schedule `b2_t = 1 - t^-power` (Shazeer & Stern 2018, section 7.2)."""
    return lambda steps_done: OneMinus(step_number(steps_done) ** -power)


def relative_rate(learning_rate: Any) -> Callable[[Any], Any]:
    """The schedule `min(learning_rate, 1 / sqrt(t))` (Shazeer & Stern 2018, section 9)."""
    return lambda n: jnp.minimum(at_step(learning_rate, n), step_number(n) ** -0.5)


@takes_options
@named(max_rms="clip")
def adafactor(
    learning_rate: ScalarOrSchedule,
    min_dim_size: int = 128,
    decay_rate: Scalar = 0.8,
    eps: Scalar = 1e-30,
    clip: Scalar = 1.0,
    min_scale: Scalar = 1e-3,
    b1: DecayRate | None = None,
    *,
    weight_decay: ScalarOrSchedule = 0.0,
    mask: Mask = None,
) -> Optimizer:
    """Adam in sublinear memory: row and column means in place of the second moment, relative steps.

    `nu = row col / mean(row)` with `b2_t = 1 - t^-decay_rate`, the direction's RMS clipped, the
    step scaled by the RMS of the weights (Shazeer & Stern 2018, algorithm 4). The update of
    `optax.adafactor`; the decay is a share per step, not multiplied by the learning rate.
    """

    check_number("decay_rate", decay_rate, low=0, open_low=True, scheduled=False)

    return chain(
        track_moments(None, factored(growing_memory(decay_rate), eps, min_dim_size)),
        precondition(0.0),
        clip_by_block_rms(clip),
        scale_by_learning_rate(learning_rate, flip_sign=False),
        scale_by_param_block_rms(min_scale),
        *([] if b1 is None else [ema(b1)]),
        *finish(1.0, weight_decay, mask),
    )


@takes_options
@named(max_rms="clip")
def came(
    learning_rate: ScalarOrSchedule,
    b1: ConstantDecay = 0.9,
    b2: DecayRate = 0.999,
    b3: ConstantDecay = 0.9999,
    eps: Scalar = 1e-30,
    eps_confidence: Scalar = 1e-16,
    clip: Scalar = 1.0,
    min_dim_size: int = 1,
    *,
    weight_decay: ScalarOrSchedule = 0.0,
    mask: Mask = None,
) -> Optimizer:
    """Adafactor whose momentum is damped where it disagrees with the update.

    `m = ema(u)`, `m / sqrt(ema_b3((u - m)² + eps))`, both second moments factored over the last two
    axes (Luo et al. 2023, algorithm 2). The update of the authors' `came_pytorch.CAME`.
    """
    return chain(
        track_moments(None, factored(b2, eps, min_dim_size, last_two)),
        precondition(0.0),
        clip_by_block_rms(clip),
        named(eps="eps_confidence")(scale_by_confidence)(b1, b3, eps_confidence, min_dim_size),
        *finish(learning_rate, weight_decay, mask),
    )


@takes_options
@named(b1="momentum", eps_root="eps")
def sm3(
    learning_rate: ScalarOrSchedule,
    momentum: DecayRate = 0.9,
    eps: ScalarOrSchedule = 1e-8,
    *,
    weight_decay: ScalarOrSchedule = 0.0,
    mask: Mask = None,
) -> Optimizer:
    """AdaGrad with one accumulator for each index of each axis.

    `ema(g / sqrt(nu + eps))`, `nu = min over axes of their maxima + g²` (Anil et al. 2019, SM3-II).
    The update of `optax.sm3` and `pytorch_optimizer.SM3`.
    """
    return chain(
        track_moments(None, per_axis()),
        precondition(0.0, eps),
        ema(momentum),
        *finish(learning_rate, weight_decay, mask),
    )


@takes_options
def adam_mini(
    learning_rate: ScalarOrSchedule,
    b1: DecayRate = 0.9,
    b2: DecayRate = 0.999,
    eps: ScalarOrSchedule = 1e-8,
    axes: Callable[..., Any] | None = None,
    *,
    weight_decay: ScalarOrSchedule = 0.0,
    mask: Mask = None,
) -> Optimizer:
    """Adam with one second moment per block of parameters: `nu` averages `mean(g²)`.

    Zhang et al. 2024, algorithm 1. The update of the authors' `adam_mini.Adam_mini`, which chooses
    the blocks by the parameters' names; here `axes` maps a leaf's shape to the axes that share one:
    `per_row` (None), `all_axes` or your own. Use `optax.partition` for several rules. The authors'
    blocks of one attention head each cross axes: reshape such a leaf to have one for the heads.
    """
    return chain(
        track_moments(b1, block_squares(b2, per_row if axes is None else axes)),
        correct_bias(),
        precondition(eps),
        *finish(learning_rate, weight_decay, mask),
    )


@takes_options
def soap(
    learning_rate: ScalarOrSchedule,
    b1: DecayRate = 0.95,
    b2: DecayRate = 0.95,
    eps: ScalarOrSchedule = 1e-8,
    shampoo_beta: DecayRate | None = None,
    precondition_frequency: int = 10,
    max_precond_dim: int = 10_000,
    *,
    weight_decay: Scalar = 0.0,
) -> Optimizer:
    """Adam in the eigenbasis of Shampoo's preconditioner: `Q_L adam(Q_Lᵀ G Q_R) Q_Rᵀ`.

    Vyas et al. 2024, algorithm 3; see `in_basis`. The update of the authors' SOAP and of
    `pytorch_optimizer.SOAP`: eps added to the root of the uncorrected second moment, a first step
    that moves nothing, decay after the step (1e-2 by default there).

    Args:
        learning_rate, b1, b2, eps, weight_decay: as for `adamw`.
        shampoo_beta: decay rate of the preconditioner; None for b2.
        precondition_frequency: steps between two updates of the basis.
        max_precond_dim: the longest side of a leaf that is turned.
    """
    of_basis = "b2" if shampoo_beta is None else "shampoo_beta"
    run_in_basis = named(decay=of_basis, every="precondition_frequency", max_dim="max_precond_dim")(
        in_basis
    )

    def rate_of_decay(steps_done: Any) -> Any:
        return jnp.where(steps_done == 0, 0, at_step(learning_rate, steps_done))

    return chain(
        run_in_basis(
            track_moments(b1, b2),
            correct_bias(),
            precondition(epsilon_hat(eps)),
            decay=b2 if shampoo_beta is None else shampoo_beta,
            every=precondition_frequency,
            max_dim=max_precond_dim,
        ),
        scale_by_learning_rate(learning_rate),
        *([] if is_constant(weight_decay, 0) else [decay_after_step(weight_decay, rate_of_decay)]),
    )

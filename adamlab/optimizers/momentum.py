"""Adam with another first moment."""

from __future__ import annotations

from typing import Any

import jax

from adamlab._checks import check_number, named
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
    chain,
    change_mu,
    complement_of,
    correct_bias,
    cross_correct,
    extrapolate,
    mix_gradient,
    mix_slow_average,
    mix_square,
    nesterov,
    plain_decay,
    positive_negative_momentum,
    precondition,
    take_mu,
    track_moments,
    track_mu,
    track_mu_by_variance,
)
from adamlab.stages.numerics import scalar, step_number


@takes_options
@named(momentum="b1")
def nadam(
    learning_rate: ScalarOrSchedule,
    b1: DecayRate = 0.9,
    b2: DecayRate = 0.999,
    eps: ScalarOrSchedule = 1e-8,
    *,
    weight_decay: ScalarOrSchedule = 0.0,
    mask: Mask = None,
) -> Optimizer:
    """Adam with Nesterov's look-ahead.

    `mu = b1 mu / (1 - b1^(t+1)) + (1 - b1) g / (1 - b1^t)` over Adam's denominator (Dozat 2016,
    algorithm 8, with a constant momentum). The update of `optax.nadam`.
    """
    return chain(
        track_moments(b1, b2),
        nesterov(b1),
        correct_bias(),
        precondition(eps),
        *finish(learning_rate, weight_decay, mask),
    )


@takes_options
def nadam_scheduled(
    learning_rate: ScalarOrSchedule,
    b1: ConstantDecay = 0.9,
    b2: DecayRate = 0.999,
    eps: ScalarOrSchedule = 1e-8,
    momentum_decay: Scalar = 4e-3,
    *,
    weight_decay: ScalarOrSchedule = 0.0,
    mask: Mask = None,
) -> Optimizer:
    """Nadam with the momentum warm-up of its paper: `b1 (1 - 0.96^(t momentum_decay) / 2)`.

    Dozat 2016, algorithm 8 and section 3.2. The update of `torch.optim.NAdam`, whose decay is an L2
    penalty by default; with `momentum_decay=1` that of `keras.optimizers.Nadam`.
    """
    rate = plain_decay("b1", b1)
    check_number("momentum_decay", momentum_decay, low=0, scheduled=False)

    def momentum(steps_done: Any) -> OneMinus:
        t = step_number(steps_done)
        return OneMinus(1 - rate * (1 - 0.5 * 0.96 ** (t * momentum_decay)))

    return chain(
        track_moments(b1, b2),
        nesterov(momentum),
        correct_bias(),
        precondition(eps),
        *finish(learning_rate, weight_decay, mask),
    )


@takes_options
def qhadam(
    learning_rate: ScalarOrSchedule,
    b1: DecayRate = 0.995,
    b2: DecayRate = 0.999,
    v1: Scalar = 0.7,
    v2: Scalar = 1.0,
    eps: ScalarOrSchedule = 1e-8,
    *,
    weight_decay: ScalarOrSchedule = 0.0,
    mask: Mask = None,
) -> Optimizer:
    """Adam whose averages are mixed with the gradient and its square.

    `(v1 mu_hat + (1 - v1) g) / (sqrt(v2 nu_hat + (1 - v2) g²) + eps)` (Ma & Yarats 2018, equation
    10). The update of `qhoptim.pyt.QHAdam`, whose defaults (b1 = .9, v1 = 1) are plain Adam, and
    whose decay is an L2 penalty.

    Raises:
        ValueError: v1 is negative or not finite, or v2 is outside [0, 1].
    """
    check_number("v1", v1, low=0, scheduled=False)
    check_number("v2", v2, low=0, high=1, scheduled=False)
    return chain(
        track_moments(b1, b2),
        correct_bias(),
        mix_gradient(v1),
        mix_square(v2),
        precondition(eps),
        *finish(learning_rate, weight_decay, mask),
    )


@takes_options
def ademamix(
    learning_rate: ScalarOrSchedule,
    b1: DecayRate = 0.9,
    b2: DecayRate = 0.999,
    b3: DecayRate = 0.9999,
    alpha: ScalarOrSchedule = 5.0,
    eps: ScalarOrSchedule = 1e-8,
    *,
    weight_decay: ScalarOrSchedule = 0.0,
    mask: Mask = None,
) -> Optimizer:
    """Adam with a second, much slower first moment added.

    `(mu_hat + alpha mu_slow) / (sqrt(nu_hat) + eps)` (Pagliardini et al. 2024, algorithm 1). The
    update of the authors' code and `optax.contrib.ademamix`; `b3` and `alpha` may be schedules.
    """
    return chain(
        track_moments(b1, b2),
        correct_bias(),
        mix_slow_average(b3, alpha),
        precondition(eps),
        *finish(learning_rate, weight_decay, mask),
    )


@takes_options
def simplified_ademamix(
    learning_rate: ScalarOrSchedule,
    b1: ConstantDecay = 0.99,
    b2: DecayRate = 0.95,
    alpha: Scalar = 0.0,
    eps: ScalarOrSchedule = 1e-8,
    *,
    weight_decay: ScalarOrSchedule = 0.0,
    mask: Mask = None,
) -> Optimizer:
    """Adam with a decayed sum of gradients as its first moment, plus the gradient itself.

    `m = b1 m + g`, `(m + alpha g) / (sqrt(nu_hat) + eps)` (Morwani et al. 2025, algorithm 1). The
    update of `optax.contrib.simplified_ademamix`.
    """
    check_number("alpha", alpha, low=0, scheduled=False)
    of_sum = 1 / complement_of("b1", b1)

    def add(mu: jax.Array, g: jax.Array) -> jax.Array:
        return scalar(of_sum, mu.dtype) * mu + scalar(alpha, mu.dtype) * g

    return chain(
        track_moments(None, b2),
        correct_bias(),
        track_mu(b1),
        change_mu("sum_with_gradient", add),
        precondition(eps),
        *finish(learning_rate, weight_decay, mask),
    )


@takes_options
def adapnm(
    learning_rate: ScalarOrSchedule,
    b1: ConstantDecay = 0.9,
    b2: DecayRate = 0.999,
    b3: Scalar = 1.0,
    eps: ScalarOrSchedule = 1e-8,
    *,
    weight_decay: ScalarOrSchedule = 0.0,
    mask: Mask = None,
) -> Optimizer:
    """Adam with positive-negative momentum: two first moments fed in turn, one subtracted.

    Xie et al. 2021, algorithm 3. The update of `pytorch_optimizer.AdaPNM(ams_bound=False)`.
    """
    return chain(
        track_moments(None, b2),
        positive_negative_momentum(b1, b3),
        correct_bias(),
        precondition(eps),
        *finish(learning_rate, weight_decay, mask),
    )


@takes_options
def exadam(
    learning_rate: ScalarOrSchedule,
    b1: DecayRate = 0.9,
    b2: DecayRate = 0.999,
    eps: Scalar = 1e-8,
    *,
    weight_decay: ScalarOrSchedule = 0.0,
    mask: Mask = None,
) -> Optimizer:
    """Adam whose moments correct one another, with the gradient added to the first.

    Adam with `mu' = (mu_hat + g / (1 - b1^t)) (1 + nu / (nu + eps) b2^t)` and
    `nu' = nu_hat (1 + mu² / (mu² + eps) b1^t)` (Adly 2024, equations 5 to 9). The update of
    `pytorch_optimizer.EXAdam`.
    """
    return chain(
        track_moments(b1, b2),
        cross_correct(eps),
        precondition(eps),
        *finish(learning_rate, weight_decay, mask),
    )


@takes_options
def adai(
    learning_rate: ScalarOrSchedule,
    b0: Scalar = 0.1,
    b2: DecayRate = 0.99,
    eps: Scalar = 1e-3,
    *,
    weight_decay: ScalarOrSchedule = 0.0,
    mask: Mask = None,
) -> Optimizer:
    """Momentum whose inertia adapts to the gradient's second moment; no preconditioning.

    `b1 = clip(1 - b0 nu_hat / max(mean(nu_hat), eps), 0, 1 - eps)` for each element (Xie et al.
    2020, algorithm 2, without the floor). The update of `pytorch_optimizer.Adai`, whose decay is an
    L2 penalty by default.
    """
    return chain(
        track_moments(None, b2),
        correct_bias(),
        track_mu_by_variance(b0, eps),
        correct_bias(),
        take_mu(),
        *finish(learning_rate, weight_decay, mask),
    )


@takes_options
def optimistic_adam(
    learning_rate: ScalarOrSchedule,
    b1: DecayRate = 0.9,
    b2: DecayRate = 0.999,
    eps: ScalarOrSchedule = 1e-8,
    alpha: Scalar = 1.0,
    beta: Scalar = 1.0,
    *,
    weight_decay: ScalarOrSchedule = 0.0,
    mask: Mask = None,
) -> Optimizer:
    """Adam that extrapolates: `(alpha + beta) u_t - beta u_{t-1}` for games.

    Daskalakis et al. 2018, algorithm 1. The update of `optax.optimistic_adam_v2(nesterov=False)`.
    """
    return chain(
        scale_by_adam(b1, b2, eps),
        extrapolate(alpha, beta),
        *finish(learning_rate, weight_decay, mask),
    )

"""Adam by rates: a multiplier for each element that is bounded, averaged or rectified."""

from __future__ import annotations

from adamlab._checks import named
from adamlab.optimizers._finish import Optimizer, finish
from adamlab.optimizers._signature import takes_options
from adamlab.stages import (
    ConstantDecay,
    DecayRate,
    Mask,
    Scalar,
    ScalarOrSchedule,
    add_preconditioned_decay,
    amsgrad_max,
    apply_rate,
    bound_rate,
    chain,
    clip_by_block_rms,
    correct_bias,
    ema,
    gradient_eps,
    limit_rate,
    normalize_rate,
    previous,
    rectify_rate,
    root_power,
    scale_by_learning_rate,
    scale_rate,
    squares,
    to_rate,
    to_variance_rate,
    track_moments,
)


@takes_options
def radam(
    learning_rate: ScalarOrSchedule,
    b1: DecayRate = 0.9,
    b2: DecayRate = 0.999,
    eps: ScalarOrSchedule = 1e-8,
    threshold: Scalar = 5.0,
    *,
    weight_decay: ScalarOrSchedule = 0.0,
    mask: Mask = None,
) -> Optimizer:
    """Adam whose rates are damped while they rest on few gradients, and 1 at first.

    Liu et al. 2019, algorithm 2. The update of `optax.radam`; PyTorch adds eps to the uncorrected
    root (`adamlab.compat.torch.radam`).
    """
    return chain(
        track_moments(b1, b2),
        correct_bias(),
        to_rate(eps),
        rectify_rate(b2, threshold),
        apply_rate(),
        *finish(learning_rate, weight_decay, mask),
    )


@takes_options
@named(power="partial")
def padam(
    learning_rate: ScalarOrSchedule,
    b1: DecayRate = 0.9,
    b2: DecayRate = 0.999,
    partial: ScalarOrSchedule = 0.25,
    eps: ScalarOrSchedule = 1e-8,
) -> Optimizer:
    """Partially adaptive Adam: `mu / (sqrt(nu) + eps)^(2 partial)`, with Adam's step size.

    `learning_rate sqrt(1 - b2^t) / (1 - b1^t)` times that (Chen et al. 2018, equation 3.1, without
    its maximum over time). The update of `pytorch_optimizer.PAdam`; at `partial=1/2` it is Adam in
    the epsilon-hat form.
    """
    return chain(
        track_moments(b1, b2),
        to_rate(root_power(partial, eps)),
        scale_rate(learning_rate),
        apply_rate(),
        scale_by_learning_rate(1.0),
    )


@takes_options
@named(b1="b")
def msvag(
    learning_rate: ScalarOrSchedule,
    b: ConstantDecay = 0.9,
    *,
    weight_decay: ScalarOrSchedule = 0.0,
    mask: Mask = None,
) -> Optimizer:
    """Momentum damped by its own variance: `mu_hat³ / (mu_hat² + rho s)`.

    Balles & Hennig 2018, algorithm 2. The update of `pytorch_optimizer.MSVAG`.
    """
    return chain(
        track_moments(b, b),
        correct_bias(),
        to_variance_rate(b),
        apply_rate(),
        *finish(learning_rate, weight_decay, mask),
    )


@takes_options
def avagrad(
    learning_rate: ScalarOrSchedule,
    b1: DecayRate = 0.9,
    b2: DecayRate = 0.999,
    eps: ScalarOrSchedule = 0.1,
    *,
    weight_decay: ScalarOrSchedule = 0.0,
    mask: Mask = None,
) -> Optimizer:
    """Adam by the previous step's second moment, its rates normalised over the network.

    `rate mu_hat / rms(rate)` with `rate = 1 / (sqrt(nu_hat_{t-1}) + eps)`; no step at t = 1
    (Savarese et al. 2019, algorithm 2, which corrects no bias and steps by `mu` alone at t = 1).
    The authors' code corrects both moments too, but divides by the RMS of rates a step older.
    """
    return chain(
        track_moments(b1, previous(squares(b2))),
        correct_bias(),
        to_rate(eps),
        normalize_rate(),
        apply_rate(),
        *finish(learning_rate, weight_decay, mask),
    )


@takes_options
def adabound(
    learning_rate: ScalarOrSchedule,
    b1: DecayRate = 0.9,
    b2: DecayRate = 0.999,
    final_rate: ScalarOrSchedule = 0.1,
    gamma: Scalar = 1e-3,
    eps: ScalarOrSchedule = 1e-8,
) -> Optimizer:
    """Adam whose element-wise steps are clipped to bounds that close in on SGD's.

    `clip(learning_rate sqrt(1 - b2^t) / (1 - b1^t) / (sqrt(nu) + eps), low_t, high_t) mu` (Luo et
    al. 2019, algorithm 2). The update of the authors' `adabound.AdaBound`.

    The bounds do not follow a schedule of the learning rate: at rate 0 the lower one still moves
    the parameters. To match the authors' code under a schedule, give `final_rate` the same
    schedule, `lambda n: 0.1 * learning_rate(n) / base`, where base is the initial learning rate.
    """
    return chain(
        track_moments(b1, b2),
        to_rate(eps),
        scale_rate(learning_rate),
        bound_rate(final_rate, gamma),
        apply_rate(),
        scale_by_learning_rate(1.0),
    )


@takes_options
def amsbound(
    learning_rate: ScalarOrSchedule,
    b1: DecayRate = 0.9,
    b2: DecayRate = 0.999,
    final_rate: ScalarOrSchedule = 0.1,
    gamma: Scalar = 1e-3,
    eps: ScalarOrSchedule = 1e-8,
) -> Optimizer:
    """AdaBound over the largest second moment so far (Luo et al. 2019, algorithm 3).

    As `adabound`, with `max(nu_max, nu)` for nu. The update of the authors'
    `adabound.AdaBound(amsbound=True)`; for schedules see `adabound`.
    """
    return chain(
        track_moments(b1, b2),
        amsgrad_max(),
        to_rate(eps),
        scale_rate(learning_rate),
        bound_rate(final_rate, gamma),
        apply_rate(),
        scale_by_learning_rate(1.0),
    )


@takes_options
def adamod(
    learning_rate: ScalarOrSchedule,
    b1: DecayRate = 0.9,
    b2: DecayRate = 0.999,
    b3: DecayRate = 0.999,
    eps: ScalarOrSchedule = 1e-8,
) -> Optimizer:
    """Adam whose element-wise steps stay below their own running average.

    `min(rate, s) mu` with `rate = learning_rate sqrt(1 - b2^t) / (1 - b1^t) / (sqrt(nu) + eps)` and
    its average `s = b3 s + (1 - b3) rate` (Ding et al. 2019, algorithm 1). The update of
    `torch_optimizer.AdaMod`.
    """
    return chain(
        track_moments(b1, b2),
        to_rate(eps),
        scale_rate(learning_rate),
        limit_rate(b3),
        apply_rate(),
        scale_by_learning_rate(1.0),
    )


@takes_options
@named(max_rms="clip")
def fadam(
    learning_rate: ScalarOrSchedule,
    b1: DecayRate = 0.9,
    b2: DecayRate = 0.999,
    eps: Scalar = 1e-8,
    eps_gradient: Scalar = 1e-2,
    clip: Scalar = 1.0,
    *,
    weight_decay: Scalar = 0.1,
) -> Optimizer:
    """Adam as natural gradient: normalise, clip, then average; the decay is preconditioned too.

    `ema(clip(g / (sqrt(nu_hat) + eps_t)))` (Hwang 2024, algorithm 1). The update of
    `pytorch_optimizer.FAdam`.
    """
    return chain(
        track_moments(None, b2),
        correct_bias(),
        to_rate(gradient_eps(eps, eps_gradient)),
        apply_rate(),
        clip_by_block_rms(clip),
        ema(b1),
        add_preconditioned_decay(weight_decay, clip),
        scale_by_learning_rate(learning_rate),
    )

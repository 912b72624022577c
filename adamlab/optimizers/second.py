"""Adam with another second moment."""

from __future__ import annotations

from adamlab._checks import check_flags, is_constant, named
from adamlab.optimizers._finish import Optimizer, finish
from adamlab.optimizers._signature import takes_options
from adamlab.stages import (
    DecayRate,
    Mask,
    Scalar,
    ScalarOrSchedule,
    chain,
    correct_bias,
    decay_after_step,
    deviations,
    drop_mu,
    ema,
    from_first,
    largest,
    means,
    precondition,
    precondition_atan2,
    previous,
    root_or_eps,
    scale_by_gradient_rms,
    scale_by_learning_rate,
    squares,
    track_curvature,
    track_moments,
    unrooted,
)
from adamlab.stages import clip as clip_elements
from adamlab.stages import yogi as yogi_squares


@takes_options
def adamax(
    learning_rate: ScalarOrSchedule,
    b1: DecayRate = 0.9,
    b2: DecayRate = 0.999,
    eps: Scalar = 1e-8,
    *,
    weight_decay: ScalarOrSchedule = 0.0,
    mask: Mask = None,
) -> Optimizer:
    """Adam over a decayed maximum: `mu_hat / u` with `u = max(b2 u, |g| + eps)`.

    Kingma & Ba 2015, algorithm 2. The update of `optax.adamax`, and of `torch.optim.Adamax` except
    for its decay, an L2 penalty; Keras adds eps to u (`adamlab.compat.keras.adamax`).
    """
    return chain(
        track_moments(b1, largest(b2, eps)),
        correct_bias(),
        precondition(unrooted()._replace(least=eps)),  # `largest` is at least eps
        *finish(learning_rate, weight_decay, mask),
    )


@takes_options
def adabelief(
    learning_rate: ScalarOrSchedule,
    b1: DecayRate = 0.9,
    b2: DecayRate = 0.999,
    eps: ScalarOrSchedule = 1e-16,
    eps_root: Scalar = 1e-16,
    *,
    weight_decay: ScalarOrSchedule = 0.0,
    mask: Mask = None,
) -> Optimizer:
    """Adam that divides by the gradient's deviation from its own average.

    `nu += (1 - b2) ((g - mu)² - nu) + eps_root`, eps_root accumulating (Zhuang et al. 2020,
    algorithm 2). The update of `optax.adabelief` and of
    `adabelief_pytorch.AdaBelief(rectify=False)`.
    """
    return chain(
        track_moments(b1, named(eps="eps_root")(deviations)(b2, eps_root)),
        correct_bias(),
        precondition(eps),
        *finish(learning_rate, weight_decay, mask),
    )


@takes_options
@named(initial="initial_accumulator_value")
def yogi(
    learning_rate: ScalarOrSchedule,
    b1: DecayRate = 0.9,
    b2: DecayRate = 0.999,
    eps: ScalarOrSchedule = 1e-3,
    initial_accumulator_value: Scalar = 1e-6,
    *,
    weight_decay: ScalarOrSchedule = 0.0,
    mask: Mask = None,
) -> Optimizer:
    """Adam whose second moment moves by at most its newest square.

    `nu -= (1 - b2) sign(nu - g²) g²` (Zaheer et al. 2018, algorithm 2). The update of `optax.yogi`,
    which starts both moments at the same small value and still corrects their bias.
    """
    start = initial_accumulator_value
    return chain(
        track_moments(b1, yogi_squares(b2, start), initial_mu=start),
        correct_bias(),
        precondition(eps),
        *finish(learning_rate, weight_decay, mask),
    )


@takes_options
@named(rate="b2")
def adopt(
    learning_rate: ScalarOrSchedule,
    b1: DecayRate = 0.9,
    b2: DecayRate = 0.9999,
    eps: ScalarOrSchedule = 1e-6,
    *,
    clip: bool = True,
    weight_decay: ScalarOrSchedule = 0.0,
    mask: Mask = None,
) -> Optimizer:
    """Momentum of gradients that are normalised by the previous step's second moment.

    `mu = ema(clip(g / max(sqrt(nu_{t-1}), eps), t^(1/4)))`, t from 0, nu from the first square; no
    step at t = 0 (Taniguchi et al. 2024, algorithm 2). The update of the authors' code, whose decay
    is an L2 penalty by default, and of `optax.contrib.adopt`. `clip=False` omits the clip.
    """
    check_flags(clip=clip)
    return chain(
        track_moments(None, previous(squares(from_first(b2)))),
        precondition(root_or_eps(eps)),
        *([clip_elements(lambda n: n.astype(float) ** 0.25)] if clip else []),
        ema(b1),
        *finish(learning_rate, weight_decay, mask),
    )


@takes_options
def acprop(
    learning_rate: ScalarOrSchedule,
    b1: DecayRate = 0.9,
    b2: DecayRate = 0.999,
    eps: ScalarOrSchedule = 1e-16,
    eps_root: Scalar = 1e-16,
    *,
    weight_decay: ScalarOrSchedule = 0.0,
    mask: Mask = None,
) -> Optimizer:
    """The gradient over the root of the previous step's mean squared deviation.

    `g / (sqrt(nu_hat_{t-1}) + eps)`, nu the average of `(g - mu_{t-1})²`, 1 at first (Zhuang et al.
    2021, algorithm 1). The update of `optax.contrib.acprop`.
    """
    spread = named(eps="eps_root")(deviations)(b2, eps_root, from_previous=True)
    return chain(
        track_moments(b1, previous(spread, first=1.0)),
        correct_bias(),
        drop_mu(),
        precondition(eps),
        *finish(learning_rate, weight_decay, mask),
    )


@takes_options
def laprop(
    learning_rate: ScalarOrSchedule,
    b1: DecayRate = 0.9,
    b2: DecayRate = 0.999,
    eps: ScalarOrSchedule = 1e-15,
    *,
    weight_decay: Scalar = 0.0,
) -> Optimizer:
    """Momentum of normalised gradients: Adam with its two halves in the other order.

    `mu = ema(g / (sqrt(nu_hat) + eps)) / (1 - b1^t)`, the decay after the step (Ziyin et al. 2020,
    algorithm 1). The update of `timm.optim.LaProp` and of the authors' code at a constant learning
    rate; both put that rate into the average, which differs under a schedule.
    """
    return chain(
        track_moments(None, b2),
        correct_bias(),
        precondition(eps),
        ema(b1, correct=True),
        scale_by_learning_rate(learning_rate),
        *([] if is_constant(weight_decay, 0) else [decay_after_step(weight_decay, learning_rate)]),
    )


@takes_options
def adam_atan2(
    learning_rate: ScalarOrSchedule,
    b1: DecayRate = 0.9,
    b2: DecayRate = 0.999,
    a: Scalar = 1.27,
    b: Scalar = 1.0,
    *,
    weight_decay: ScalarOrSchedule = 0.0,
    mask: Mask = None,
) -> Optimizer:
    """Adam without eps: `a atan2(mu_hat, b sqrt(nu_hat))`.

    Everett et al. 2024, section 4. The update of `adam_atan2_pytorch.AdamAtan2`, whose
    b2 is .99.
    """
    return chain(
        track_moments(b1, b2),
        correct_bias(),
        precondition_atan2(a, b),
        *finish(learning_rate, weight_decay, mask),
    )


@takes_options
def stable_adamw(
    learning_rate: ScalarOrSchedule,
    b1: DecayRate = 0.9,
    b2: DecayRate = 0.99,
    eps: ScalarOrSchedule = 1e-6,
    *,
    weight_decay: ScalarOrSchedule = 1e-2,
    mask: Mask = None,
) -> Optimizer:
    """AdamW whose step is shortened where the second moment lags behind the gradient.

    A leaf's step over `max(1, rms(g / sqrt(max(nu_hat, eps²))))` (Wortsman et al. 2023, algorithm
    2). The update of `optimi.StableAdamW`, which shortens the decay with it.
    """
    *decay, rate = finish(learning_rate, weight_decay, mask)
    return chain(
        track_moments(b1, b2),
        correct_bias(),
        precondition(eps),
        *decay,
        scale_by_gradient_rms(eps),
        rate,
    )


@takes_options
def adahessian(
    learning_rate: ScalarOrSchedule,
    b1: DecayRate = 0.9,
    b2: DecayRate = 0.999,
    eps: ScalarOrSchedule = 1e-8,
    every: int = 1,
    *,
    weight_decay: ScalarOrSchedule = 0.0,
    mask: Mask = None,
) -> Optimizer:
    """Adam that divides by the Hessian's diagonal: pass `hessian_diag` to `update`.

    `mu_hat / (sqrt(ema(D²)_hat) + eps)` (Yao et al. 2021, algorithm 1). The update of
    `pytorch_optimizer.AdaHessian` without its averaging over blocks; its eps is 1e-16.

    `adamlab.analysis.hessian_diagonal` gives an estimate, which `train` and the maps pass by
    themselves; `optax.masked` hands it on with `mask_compatible_extra_args=True`.
    """
    return chain(
        track_moments(b1, None),
        track_curvature(b2, every=every),
        correct_bias(),
        precondition(eps),
        *finish(learning_rate, weight_decay, mask),
    )


@takes_options
@named(floor="eps", max_delta="clip")
def sophia(
    learning_rate: ScalarOrSchedule,
    b1: DecayRate = 0.965,
    b2: DecayRate = 0.99,
    eps: ScalarOrSchedule = 1e-12,
    gamma: ScalarOrSchedule = 0.01,
    clip: ScalarOrSchedule = 1.0,
    every: int = 10,
    *,
    weight_decay: ScalarOrSchedule = 1e-4,
    mask: Mask = None,
) -> Optimizer:
    """Clipped Newton steps: pass an estimate of the Hessian's diagonal as `hessian_diag`.

    `clip(mu / max(gamma h, eps), 1)` with h the diagonal's average, read on the first of every
    `every` steps (Liu et al. 2023, algorithm 3). The update of `pytorch_optimizer.SophiaH`,
    which has no gamma (1), no decay, b1 = .96 and clips at .01; `optax.contrib.sophia` corrects mu
    and uses h from before the step, as the authors' training loop does.

    `adamlab.analysis.hessian_diagonal` gives an estimate, which `train` and the maps pass by
    themselves; `optax.masked` hands it on with `mask_compatible_extra_args=True`.
    """
    return chain(
        track_moments(b1, None),
        track_curvature(means(b2), every=every),
        precondition(unrooted(floor=eps, gamma=gamma)),
        clip_elements(clip),
        *finish(learning_rate, weight_decay, mask),
    )

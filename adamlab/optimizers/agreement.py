"""Adam that compares the gradient with its average, or with the gradient before it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from adamlab._checks import check_number, named
from adamlab.optimizers._finish import Optimizer, finish
from adamlab.optimizers._signature import takes_options
from adamlab.optimizers.adam import scale_by_adam
from adamlab.stages import (
    ConstantDecay,
    DecayRate,
    Mask,
    Scalar,
    ScalarOrSchedule,
    add_difference,
    add_gradient_difference,
    all_axes,
    block_squares,
    cautious_mask,
    chain,
    change_mu,
    complement_of,
    correct_bias,
    epsilon_hat,
    friction,
    lengthen_short_gradients,
    precondition,
    track_moments,
    track_mu,
    track_nu,
    track_window,
)
from adamlab.stages import yogi as yogi_squares


@takes_options
def cautious_adamw(
    learning_rate: ScalarOrSchedule,
    b1: DecayRate = 0.9,
    b2: DecayRate = 0.999,
    eps: ScalarOrSchedule = 1e-8,
    *,
    weight_decay: ScalarOrSchedule = 1e-2,
    mask: Mask = None,
) -> Optimizer:
    """AdamW that steps only where momentum and gradient agree in sign.

    `u mask / max(mean(mask), 1e-3)` of Adam's direction u (Liang et al. 2024, algorithm 1). The
    update of `timm.optim.AdamW(caution=True)`.
    """
    return chain(
        scale_by_adam(b1, b2, eps),
        cautious_mask(),
        *finish(learning_rate, weight_decay, mask),
    )


@takes_options
def grams(
    learning_rate: ScalarOrSchedule,
    b1: DecayRate = 0.9,
    b2: DecayRate = 0.999,
    eps: ScalarOrSchedule = 1e-8,
    *,
    weight_decay: ScalarOrSchedule = 0.0,
    mask: Mask = None,
) -> Optimizer:
    """Adam's step sizes with the gradient's signs: `sign(g) |mu_hat| / (sqrt(nu_hat) + eps)`.

    Cao et al. 2024, algorithm 1; eps is added to the uncorrected root. The update of the authors'
    `grams.Grams`.
    """
    return chain(
        track_moments(b1, b2),
        correct_bias(),
        change_mu("sign_of_gradient", lambda m, g: jnp.sign(g) * jnp.abs(m)),
        precondition(epsilon_hat(eps)),
        *finish(learning_rate, weight_decay, mask),
    )


@takes_options
def ano(
    learning_rate: ScalarOrSchedule,
    b1: DecayRate = 0.92,
    b2: DecayRate = 0.99,
    eps: ScalarOrSchedule = 1e-8,
    *,
    weight_decay: ScalarOrSchedule = 0.0,
    mask: Mask = None,
) -> Optimizer:
    """The momentum's sign with the gradient's size, over a decayed Yogi second moment.

    `sign(mu) |g| / (sqrt(nu_hat) + eps)` (Kegreisz 2025, algorithm 1). The update of
    `pytorch_optimizer.Ano`.
    """
    return chain(
        track_moments(b1, yogi_squares(b2, 0.0, decayed=True)),
        correct_bias(),
        change_mu("size_of_gradient", lambda m, g: jnp.sign(m) * jnp.abs(g)),
        precondition(eps),
        *finish(learning_rate, weight_decay, mask),
    )


@takes_options
def diffgrad(
    learning_rate: ScalarOrSchedule,
    b1: DecayRate = 0.9,
    b2: DecayRate = 0.999,
    eps: ScalarOrSchedule = 1e-8,
    *,
    weight_decay: ScalarOrSchedule = 0.0,
    mask: Mask = None,
) -> Optimizer:
    """Adam with friction where the gradient changes little: `mu_hat sigmoid(|g_{t-1} - g_t|)`.

    Dubey et al. 2019, equation 6; eps is added to the uncorrected root. The update of
    `torch_optimizer.DiffGrad`, except for its decay, which is an L2 penalty.
    """
    return chain(
        track_moments(b1, b2),
        correct_bias(),
        friction(),
        precondition(epsilon_hat(eps)),
        *finish(learning_rate, weight_decay, mask),
    )


@takes_options
def adan(
    learning_rate: ScalarOrSchedule,
    b1: DecayRate = 0.98,
    b2: DecayRate = 0.92,
    b3: DecayRate = 0.99,
    eps: ScalarOrSchedule = 1e-8,
    *,
    weight_decay: Scalar = 0.0,
) -> Optimizer:
    """Adam on the gradient corrected by its own change.

    With `d = g_t - g_{t-1}`: `(mu_hat + b2 d_hat) / (sqrt(nu_hat) + eps)`, nu the average of
    `(g + b2 d)²`, then `theta / (1 + learning_rate weight_decay)` (Xie et al. 2022, algorithm 1).
    The update of the authors' code and of `pytorch_optimizer.Adan`; `optax.adan` weights d by
    `1 - b2`.
    """
    return chain(
        track_moments(b1, None),
        correct_bias(),
        add_difference(b2),
        named(b2="b3")(track_nu)(b3),
        correct_bias(),
        precondition(eps),
        *finish(_proximal(learning_rate, weight_decay), weight_decay),
    )


def _proximal(learning_rate: Any, weight_decay: Any) -> Any:
    """The rate at which decoupled decay is the proximal step of an L2 penalty.

    `theta - rate (d + weight_decay theta)` is `(theta - learning_rate d) / (1 + learning_rate
    weight_decay)` (Zhuang et al. 2022) at `learning_rate / (1 + learning_rate weight_decay)`.
    """
    check_number("learning_rate", learning_rate, low=0)
    check_number("weight_decay", weight_decay, low=0, scheduled=False)
    if not callable(learning_rate):
        return learning_rate / (1 + learning_rate * weight_decay)
    return lambda n: _proximal(learning_rate(n), weight_decay)


@takes_options
@named(decay="r")
def adanorm(
    learning_rate: ScalarOrSchedule,
    b1: DecayRate = 0.9,
    b2: DecayRate = 0.99,
    r: ConstantDecay = 0.95,
    eps: ScalarOrSchedule = 1e-8,
    *,
    weight_decay: ScalarOrSchedule = 0.0,
    mask: Mask = None,
) -> Optimizer:
    """Adam whose first moment is fed with gradients of at least their average norm.

    `mu = b1 mu + (1 - b1) g max(1, e / |g|)` with `e = r e + (1 - r) |g|` for each leaf, `nu` of g
    itself (Dubey et al. 2022, algorithm 1). The update of `pytorch_optimizer.AdaNorm` (4.1.0).
    """
    return chain(
        track_moments(None, b2),
        lengthen_short_gradients(r),
        track_mu(b1),
        correct_bias(),
        precondition(eps),
        *finish(learning_rate, weight_decay, mask),
    )


@takes_options
def mars(
    learning_rate: ScalarOrSchedule,
    b1: ConstantDecay = 0.95,
    b2: DecayRate = 0.99,
    gamma: Scalar = 0.025,
    eps: ScalarOrSchedule = 1e-8,
    *,
    weight_decay: ScalarOrSchedule = 0.0,
    mask: Mask = None,
) -> Optimizer:
    """AdamW on a variance-reduced gradient: `g_t + gamma b1 / (1 - b1) (g_t - g_{t-1})`, clipped.

    Yuan et al. 2024, algorithm 1. The update of the authors' code and of
    `pytorch_optimizer.MARS(mars_type="adamw")`; pass `previous_grad` to `update` for exact MARS.
    """
    newest = complement_of("b1", b1)
    check_number("gamma", gamma, scheduled=False)
    return chain(
        add_gradient_difference(gamma * (1 - newest) / newest),
        scale_by_adam(b1, b2, eps),
        *finish(learning_rate, weight_decay, mask),
    )


@takes_options
@named(length="keep_num")
def adashift(
    learning_rate: ScalarOrSchedule,
    b1: ConstantDecay = 0.9,
    b2: DecayRate = 0.999,
    eps: ScalarOrSchedule = 1e-8,
    keep_num: int = 10,
    reduce: Callable[..., Any] | str | None = "max",
    *,
    weight_decay: ScalarOrSchedule = 0.0,
    mask: Mask = None,
) -> Optimizer:
    """Adam whose second moment sees only gradients that its first moment has forgotten.

    The mean of the last `keep_num` gradients over the root of the average of `g_{t-keep_num}²`,
    reduced over each leaf (Zhou et al. 2019, algorithm 2). The update of
    `pytorch_optimizer.AdaShift`, whose eps is 1e-10; `reduce` is "max", a function such as
    `jnp.mean`, or None for one second moment per element.
    """
    whole: Any = jnp.max if isinstance(reduce, str) and reduce == "max" else reduce
    second = b2 if whole is None else block_squares(b2, all_axes, whole)
    return chain(
        track_window(b1, keep_num),
        track_nu(second),
        correct_bias(),
        precondition(eps),
        *finish(learning_rate, weight_decay, mask),
    )

"""gradient -> gradient: Optax's own transforms, arguments checked and kinds known."""

from __future__ import annotations

from typing import Any

import jax
import optax

from adamlab._checks import check_number
from adamlab.stages._kinds import GradientToGradient


def clip(max_delta: Any) -> GradientToGradient:
    """Clip each element of the gradient to [-max_delta, max_delta] (`optax.clip`).

    Raises:
        ValueError: `max_delta` is not a finite number > 0.
    """
    check_number("max_delta", max_delta, low=0, open_low=True, scheduled=False)
    return GradientToGradient.from_optax("clip", optax.clip(max_delta))


def clip_by_global_norm(max_norm: Any) -> GradientToGradient:
    """Scale the whole gradient down to the norm `max_norm` where it is longer.

    Pascanu, Mikolov & Bengio 2013, algorithm 1 (`optax.clip_by_global_norm`).

    Raises:
        ValueError: `max_norm` is not a finite number > 0.
    """
    check_number("max_norm", max_norm, low=0, open_low=True, scheduled=False)
    return GradientToGradient.from_optax("clip_by_global_norm", optax.clip_by_global_norm(max_norm))


def adaptive_grad_clip(clipping: Any, eps: Any = 1e-3) -> GradientToGradient:
    """Clip each unit's gradient to `clipping` times the norm of the unit's own weights.

    Brock et al. 2021, equation 3 (`optax.adaptive_grad_clip`); `eps` is the least weight norm
    counted.

    Raises:
        ValueError: `clipping` or `eps` is not a finite number > 0.
    """
    check_number("clipping", clipping, low=0, open_low=True, scheduled=False)
    check_number("eps", eps, low=0, open_low=True, scheduled=False)
    return GradientToGradient.from_optax(
        "adaptive_grad_clip", optax.adaptive_grad_clip(clipping, eps)
    )


def add_noise(eta: Any, gamma: Any, key: jax.Array) -> GradientToGradient:
    """Add Gaussian noise of variance `eta / (1 + t)**gamma` to the gradient.

    Neelakantan et al. 2015, equation 1 (`optax.add_noise`).

    Args:
        eta: variance at the start, >= 0.
        gamma: exponent of its decay, >= 0.
        key: the random key that the noise of all steps comes from.

    Raises:
        ValueError: `eta` or `gamma` is negative or not finite.
    """
    check_number("eta", eta, low=0, scheduled=False)
    check_number("gamma", gamma, low=0, scheduled=False)
    return GradientToGradient.from_optax("add_noise", optax.add_noise(eta, gamma, key))


def add_l2(weight_decay: Any) -> GradientToGradient:
    """Add `weight_decay` times the parameters to the gradient: an L2 penalty in the loss.

    Before the moments the penalty is averaged and preconditioned with the gradient, which
    decoupled decay avoids (Loshchilov & Hutter 2019, algorithm 2, line 6).

    Raises:
        ValueError: `weight_decay` is negative or not finite.
    """
    check_number("weight_decay", weight_decay, low=0)
    return GradientToGradient.from_optax("add_l2", optax.add_decayed_weights(weight_decay))


def centralize() -> GradientToGradient:
    """Take the mean over all but the last axis off each gradient of two or more axes.

    Yong et al. 2020, equation 1 (`optax.centralize`).
    """
    return GradientToGradient.from_optax("centralize", optax.centralize())

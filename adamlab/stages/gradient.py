"""gradient -> gradient: clipping, noise and coupled decay."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax

from adamlab._checks import Scalar, ScalarOrSchedule, check_number
from adamlab.stages._kinds import GradientToGradient
from adamlab.stages.norms import scale_and_norm, scale_and_norm_over
from adamlab.stages.numerics import checked_schedule, widen


def clip_by_global_norm(max_norm: Scalar) -> GradientToGradient:
    """Scale the whole gradient down to the norm `max_norm` where its own is larger.

    Pascanu, Mikolov & Bengio 2013, algorithm 1. Unlike `optax.clip_by_global_norm` it works at any
    magnitude: no square overflows, and a gradient with infinite elements becomes its limit, in
    which these share the norm and the others are zero. A NaN makes the whole gradient NaN.

    Raises:
        ValueError: `max_norm` is not a finite number > 0.
    """
    check_number("max_norm", max_norm, low=0, open_low=True, scheduled=False)

    def clip_all(updates: Any) -> Any:
        infinite = jnp.any(
            jnp.stack([jnp.any(jnp.isinf(g)) for g in jax.tree.leaves(updates)] or [False])
        )
        finite = jax.tree.map(lambda g: jnp.where(infinite, _limit(g), g), updates)
        scale, length = scale_and_norm(finite)
        longer = infinite | ~(length <= max_norm / scale)  # a NaN is longer too

        return jax.tree.map(lambda g: _shorten(g, longer, scale, length, max_norm), finite)

    return GradientToGradient.from_function("clip_by_global_norm", clip_all)


def _shorten(
    g: jax.Array, longer: jax.Array, scale: jax.Array, length: jax.Array, most: Any
) -> jax.Array:
    """`g`, of norm `scale * length`, brought to the norm `most` where `longer` says so."""
    wide = widen(g)
    unit = wide / scale.astype(wide.dtype)
    clipped = unit * (most / jnp.where(longer, length, 1)).astype(wide.dtype)
    return jnp.where(longer, clipped, wide).astype(g.dtype)


def _limit(g: jax.Array) -> jax.Array:
    """The sign of infinite elements, zero for finite ones, NaN for NaN."""
    if jnp.iscomplexobj(g):
        return jax.lax.complex(_limit(jnp.real(g)), _limit(jnp.imag(g)))
    return jnp.where(jnp.isinf(g), jnp.sign(g), jnp.where(jnp.isnan(g), g, 0)).astype(g.dtype)


def adaptive_grad_clip(clipping: Scalar, eps: Scalar = 1e-3) -> GradientToGradient:
    """Clip each unit's gradient to `clipping` times the norm of the unit's own weights.

    Brock et al. 2021, equation 3 (`optax.adaptive_grad_clip`); a smaller weight norm counts as
    `eps`.

    Raises:
        ValueError: `clipping` or `eps` is not a finite number > 0.
    """
    check_number("clipping", clipping, low=0, open_low=True, scheduled=False)
    check_number("eps", eps, low=0, open_low=True, scheduled=False)

    def leaf(g: jax.Array, p: jax.Array) -> jax.Array:
        over = _unit_axes(g.shape)
        scale, length = scale_and_norm_over(g, over)
        weights, weight_length = scale_and_norm_over(p, over)
        most = clipping * jnp.maximum(weights * weight_length, eps)
        longer = length > most / scale
        return _shorten(g, longer, scale, length, most)

    return GradientToGradient.from_function(
        "adaptive_grad_clip", partial(jax.tree.map, leaf), needs=("params",), marks=("by leaf",)
    )


def _unit_axes(shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """The axes within a unit: all of a vector, the first of a matrix, all but a kernel's last."""
    if sum(n != 1 for n in shape) < 2:
        return None
    return (0,) if len(shape) < 4 else tuple(range(len(shape) - 1))


def add_noise(eta: Scalar, gamma: Scalar, key: jax.Array) -> GradientToGradient:
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
    noise = optax.add_noise(eta, gamma, key)

    def init(params: Any) -> Any:
        # A copy, since donating the state would otherwise delete the caller's key.
        return jax.tree.map(jnp.copy, noise.init(params))

    return GradientToGradient.from_optax("add_noise", noise._replace(init=init))


def add_l2(weight_decay: ScalarOrSchedule) -> GradientToGradient:
    """Add `weight_decay` times the parameters to the gradient: an L2 penalty in the loss.

    Placed before the moments, the penalty is averaged and preconditioned with the gradient, which
    decoupled decay avoids (Loshchilov & Hutter 2019, algorithm 2, line 6).

    Raises:
        ValueError: `weight_decay` is negative or not finite, or `update` gets no parameters.
    """
    check_number("weight_decay", weight_decay, low=0)
    return GradientToGradient.from_optax(
        "add_l2", optax.add_decayed_weights(checked_schedule(weight_decay)), needs=("params",)
    )


def centralize() -> GradientToGradient:
    """Subtract from each gradient of two or more axes its mean over all axes but the first.

    Yong et al. 2020, equation 1 (`optax.centralize`).
    """
    return GradientToGradient.from_optax("centralize", optax.centralize(), marks=("by leaf",))

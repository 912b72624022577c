"""direction -> direction: clipping, and scaling leaf by leaf."""

from __future__ import annotations

import math
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from adamlab._checks import Scalar, ScalarOrSchedule, check_number
from adamlab.stages._average import fold
from adamlab.stages._decay_rate import ConstantDecay, complement_of
from adamlab.stages._forms import map_pairs, pack, unpack
from adamlab.stages._kinds import DirectionBeforeRate, DirectionToDirection
from adamlab.stages._moments import Moments, refuse_biased
from adamlab.stages.norms import norm, norm_at_two_scales, rms
from adamlab.stages.numerics import (
    agree,
    at_step,
    cast_within,
    ratio,
    real_dtype,
    real_product,
    scalar,
    sqrt,
    tame,
    widen,
)
from adamlab.stages.reduced_second_moment import AxisPair, factored, factored_axes, last_two
from adamlab.stages.second_moment import Seen


def clip(max_delta: ScalarOrSchedule) -> DirectionToDirection:
    """Clip each element of the gradient or direction to [-max_delta, max_delta] (`optax.clip`).

    A complex element keeps its direction.

    Args:
        max_delta: a finite number > 0, or a schedule of the number of steps done.

    Raises:
        ValueError: `max_delta` is not a finite number > 0.
    """
    check_number("max_delta", max_delta, low=0, open_low=True)

    def leaf(u: jax.Array, limit: Any) -> jax.Array:
        most = scalar(limit, jnp.finfo(u.dtype).dtype)
        if jnp.iscomplexobj(u):
            size = jnp.abs(u)
            longer = size > most
            return u * jnp.where(longer, most / jnp.where(longer, size, 1), 1).astype(u.dtype)
        return jnp.clip(u, -most, most)

    return DirectionToDirection.from_function(
        "clip", lambda updates, limit: jax.tree.map(partial(leaf, limit=limit), updates), max_delta
    )


def cautious_mask(floor: Scalar = 1e-3) -> DirectionToDirection:
    """Keep the elements with the gradient's sign, scaled up to make up for the others.

    `u mask / max(mean(mask), floor)` with the mask 1 where `u g > 0` and its mean over the leaf
    (Liang et al. 2024, algorithm 1, with the floor of timm's code in place of the paper's + 1).

    Raises:
        ValueError: `floor` is not a number in (0, 1].
    """
    check_number("floor", floor, low=0, high=1, open_low=True, scheduled=False)

    def keep(u: jax.Array, g: jax.Array) -> jax.Array:
        mask = agree(u, g)
        share = jnp.mean(mask, dtype=real_dtype(u)) if mask.size else jnp.ones([], real_dtype(u))
        return (widen(u) * mask / jnp.maximum(share, floor)).astype(u.dtype)

    return DirectionToDirection.from_function(
        "cautious_mask",
        partial(jax.tree.map, keep),
        extra_args=("gradient",),
        marks=("agrees", "by leaf"),
    )


def clip_by_block_rms(max_rms: Scalar = 1.0) -> DirectionToDirection:
    """Scale a leaf's direction down to the root mean square `max_rms` where it is larger.

    Shazeer & Stern 2018, algorithm 4, line 9 (`optax.clip_by_block_rms`).

    Raises:
        ValueError: `max_rms` is not a finite number > 0.
    """
    check_number("max_rms", max_rms, low=0, open_low=True, scheduled=False)

    def clip(u: jax.Array) -> jax.Array:
        scale, length = norm_at_two_scales(u, 0, 5 / 8)
        most = scalar(max_rms, length.dtype) * math.sqrt(max(u.size, 1))
        # Two factors: their product may be too small for a float.
        unit, factor = widen(u) * (1 / scale), 1 / jnp.maximum(length / most, 1 / scale)
        return (unit * factor).astype(u.dtype)

    return DirectionToDirection.from_function(
        "clip_by_block_rms", lambda updates: jax.tree.map(clip, updates), marks=("by leaf",)
    )


def scale_by_param_block_rms(min_scale: Scalar = 1e-3) -> DirectionToDirection:
    """Multiply a leaf's direction by the root mean square of its parameters, at least `min_scale`.

    Shazeer & Stern 2018, algorithm 4, line 3 (`optax.scale_by_param_block_rms`).

    Raises:
        ValueError: `min_scale` is not a finite number > 0, or `update` gets no parameters.
    """
    check_number("min_scale", min_scale, low=0, open_low=True, scheduled=False)

    def leaf(u: jax.Array, p: jax.Array) -> jax.Array:
        size = jnp.maximum(rms(p), min_scale).astype(real_dtype(u))
        return cast_within(widen(u) * size, u.dtype)

    return DirectionToDirection.from_function(
        "scale_by_param_block_rms",
        partial(jax.tree.map, leaf),
        needs=("params",),
        marks=("by leaf",),
    )


def scale_by_trust_ratio() -> DirectionBeforeRate:
    """Give a leaf's direction the length of its parameters: `u |theta| / |u|`.

    You et al. 2020, LAMB, algorithm 2, line 11 (`optax.scale_by_trust_ratio`). Where either length
    is zero the direction is left as it is. In float32 the parameters' length is right from 1e-19 to
    1.8e19, the direction's from 1e-33 to 1e33.

    Raises:
        ValueError: `update` gets no parameters.
    """

    def leaf(u: jax.Array, p: jax.Array) -> jax.Array:
        length, (scale, own) = norm(p).astype(real_dtype(u)), norm_at_two_scales(u, -3 / 8, 3 / 8)
        both = (length > 0) & (own > 0)
        quotient = jnp.where(both, length, scale) / jnp.where(both, own, 1)
        # Two factors: their product may be too large for a float, or too small.
        return (widen(u) * (1 / scale) * quotient).astype(u.dtype)

    return DirectionBeforeRate.from_function(
        "scale_by_trust_ratio", partial(jax.tree.map, leaf), needs=("params",), marks=("by leaf",)
    )


def scale_by_gradient_rms(eps: ScalarOrSchedule = 1e-8) -> DirectionToDirection:
    """Shorten a leaf's step where its gradient is larger than its second moment suggests.

    Divides by `max(1, rms(g / sqrt(max(nu, eps²))))` (Wortsman et al. 2023, StableAdamW,
    algorithm 2). Goes after decay, which it shortens too.

    Raises:
        ValueError: eps is negative or not finite.
    """
    check_number("eps", eps, low=0)

    def leaf(u: jax.Array, g: jax.Array, v: jax.Array, floor: Any) -> jax.Array:
        size = jnp.maximum(sqrt(v), scalar(floor, v.dtype))
        # Cut off once more so that XLA computes the quotient in one pass, not its parts in two.
        quotient = tame(ratio(widen(tame(g)), size))
        return (widen(u) / jnp.maximum(rms(quotient), 1)).astype(u.dtype)

    def shorten(updates: Any, moments: Moments) -> Any:
        refuse_biased("scale_by_gradient_rms", moments.nu_mass)
        now = partial(leaf, floor=at_step(eps, moments.steps_done))
        return jax.tree.map(now, updates, moments.grad, moments.nu)

    return DirectionToDirection.from_function(
        "scale_by_gradient_rms",
        shorten,
        extra_args=("moments",),
        marks=("by leaf", "takes root", "reads corrected"),
    )


class ConfidenceState(NamedTuple):
    """State of `scale_by_confidence`."""

    ema: Any
    residual: Any


def scale_by_confidence(
    b1: ConstantDecay = 0.9,
    b3: ConstantDecay = 0.9999,
    eps: Scalar = 1e-16,
    min_dim_size: int = 1,
    axes: AxisPair = last_two,
) -> DirectionBeforeRate:
    """The direction's average divided by the root of its mean squared deviation, kept factored.

    `m = ema(u)`, `m / sqrt(ema_b3((u - m)² + eps))` for leaves of two axes or more, `m` for the
    others (Luo et al. 2023, CAME, algorithm 2). Neither average is bias-corrected. `min_dim_size`
    and `axes` are `factored`'s.

    Raises:
        ValueError: b1 or b3 is outside [0, 1), or `eps` is negative.
    """
    newest, newest_deviation = complement_of("b1", b1), complement_of("b3", b3)
    deviations = factored(b3, eps, min_dim_size, axes)

    def init(params: Any) -> ConfidenceState:
        residual = jax.tree.map(
            lambda p: deviations.init(p) if _is_factored(p) else jnp.zeros([], real_dtype(p)),
            params,
        )
        return ConfidenceState(optax.tree.zeros_like(params), pack(residual, params))

    def _is_factored(p: jax.Array) -> bool:
        return factored_axes(p.shape, min_dim_size, axes) is not None

    def update(updates: Any, state: ConfidenceState, **_: Any) -> tuple[Any, ConfidenceState]:
        average = fold(state.ema, updates, newest)

        def leaf(u: jax.Array, m: jax.Array, old: Any) -> tuple[jax.Array, Any]:
            if not _is_factored(u):
                return cast_within(m, u.dtype), old
            weight = scalar(newest_deviation, real_dtype(u))
            residual, size = deviations.fold(old, Seen(widen(u) - m, None, None), weight)
            root = sqrt(size)
            return cast_within(ratio(m, root), u.dtype), residual

        residual = unpack(state.residual, updates)
        new, residuals = map_pairs(leaf, updates, average, residual)
        return new, ConfidenceState(average, pack(residuals, updates))

    return DirectionBeforeRate.from_update("scale_by_confidence", init, update, marks=("by leaf",))


def project_radially(
    delta: Scalar = 0.1, wd_ratio: Scalar = 0.1, weight_decay: Scalar = 0.0, eps: Scalar = 1e-8
) -> DirectionBeforeRate:
    """Remove the part of the direction that only changes the length of scale-invariant weights.

    Where every channel's (or else the whole leaf's) gradient is nearly orthogonal to its weights,
    `|cos(g, theta)| < delta / sqrt(dim)`, the direction loses its part along them and the decay is
    multiplied by `wd_ratio` (Heo et al. 2021, AdamP, algorithm 2 and appendix).

    Raises:
        ValueError: an argument is negative or not finite, or `update` gets no parameters.
    """
    for name, value in (("delta", delta), ("wd_ratio", wd_ratio), ("eps", eps)):
        check_number(name, value, low=0, scheduled=False)
    check_number("weight_decay", weight_decay, low=0, scheduled=False)

    def leaf(u: jax.Array, p: jax.Array, g: jax.Array) -> jax.Array:
        weights, direction = widen(p), widen(u)
        share = jnp.ones([], weights.dtype)
        if p.ndim > 1 and p.size:
            direction, scale_free = _projected(direction, weights, widen(g), delta, eps)
            share = jnp.where(scale_free, wd_ratio, 1).astype(weights.dtype)
        return (direction + weight_decay * share * weights).astype(u.dtype)

    def project(updates: Any, params: Any, moments: Moments) -> Any:
        return jax.tree.map(leaf, updates, params, moments.grad)

    return DirectionBeforeRate.from_function(
        "project_radially", project, needs=("params",), extra_args=("moments",), marks=("by leaf",)
    )


def _projected(
    u: jax.Array, p: jax.Array, g: jax.Array, delta: Any, eps: Any
) -> tuple[jax.Array, jax.Array]:
    """`u` without its part along `p` where `g` is orthogonal to it, and whether it is."""
    direction, weights, gradient = (x.reshape(len(p), -1) for x in (u, p, g))
    lengths, slopes = jax.vmap(norm)(weights), jax.vmap(norm)(gradient)
    inner = jnp.sum(real_product(gradient, weights), axis=1)
    unit = ratio(weights, (lengths + eps)[:, None])
    along = jnp.sum(real_product(direction, unit), axis=1)

    def orthogonal(inner: jax.Array, length: jax.Array, slope: jax.Array, size: int) -> jax.Array:
        cosine = jnp.abs(ratio(ratio(inner, jnp.maximum(length, eps)), jnp.maximum(slope, eps)))
        return jnp.max(cosine) < delta / math.sqrt(size)

    # A sum over the whole leaf is the sum over its channels.
    length, slope = norm(lengths), norm(slopes)
    share = ratio(lengths + eps, length + eps)
    by_channel = orthogonal(inner, lengths, slopes, weights.shape[1])
    by_leaf = orthogonal(jnp.sum(inner), length, slope, weights.size)
    off = jnp.where(by_channel, along, jnp.where(by_leaf, share * jnp.sum(along * share), 0))
    return (direction - unit * off[:, None]).reshape(u.shape), by_channel | by_leaf

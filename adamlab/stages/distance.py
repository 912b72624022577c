"""gradient -> direction: Adam's step, scaled by an estimated distance to the solution.

Both put the whole learning rate into the direction; `scale_by_learning_rate(1.0)` after them turns
it into an update. They reduce over all leaves.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from adamlab._checks import Scalar, ScalarOrSchedule, check_flags, check_number
from adamlab.stages._average import fold, step_at
from adamlab.stages._decay_rate import (
    ConstantDecay,
    Decay,
    DecayRate,
    check_constant_decay,
    decay_at,
)
from adamlab.stages._kinds import GradientToDirection
from adamlab.stages.numerics import (
    after,
    at_step,
    average_dtype,
    divide,
    expm1,
    ratio,
    real,
    real_product,
    scalar,
    sqrt,
    tame,
    widen,
)
from adamlab.stages.second_moment import square


class DistanceState(NamedTuple):
    """State of `scale_by_prodigy` and `scale_by_dadapt`."""

    count: Any
    mu: Any
    nu: Any
    grad_sum: Any
    start: Any
    """The first parameters; None where they are not needed."""
    distance: jax.Array
    """The estimate d: a lower bound of the distance from the start to the solution."""
    numerator: jax.Array


def scale_by_prodigy(
    learning_rate: ScalarOrSchedule = 1.0,
    b1: ConstantDecay = 0.9,
    b2: ConstantDecay = 0.999,
    eps: Scalar = 1e-8,
    *,
    b3: Scalar | None = None,
    initial_distance: Scalar = 1e-6,
    coefficient: Scalar = 1.0,
    weight_decay: Scalar = 0.0,
    correct: bool = False,
) -> GradientToDirection:
    """Prodigy's step: the learning rate is an estimated distance to the solution.

    `d = max(d, coefficient r / |s|_1)` with `r = b3 r + d² rate / d_0 <g, theta_0 - theta>` and
    `s = b3 s + d² rate / d_0 g`; from Adam's moments of `d g`, the direction is
    `mu / (sqrt(nu) + d eps)` times `d rate`; only `d eps` has the new d (Mishchenko & Defazio 2023,
    algorithm 4).

    Args:
        learning_rate: a factor on the distance, a number or a schedule.
        b1, b2, eps: as for Adam.
        b3: decay of r and s; None for sqrt(b2).
        initial_distance: d_0, a safe underestimate.
        coefficient: a factor on the estimate.
        weight_decay: decoupled.
        correct: whether the rate carries Adam's bias correction.

    Raises:
        ValueError: a hyperparameter is out of range, or `update` gets no parameters.
        TypeError: `correct` is not True or False.
    """
    _check(learning_rate, b1, b2, eps, initial_distance, weight_decay, correct)
    check_number("coefficient", coefficient, low=0, open_low=True, scheduled=False)
    if b3 is not None:
        check_number("b3", b3, low=0, high=1, open_high=True, scheduled=False)

    def init(params: Any) -> DistanceState:
        return _start(params, initial_distance)._replace(start=jax.tree.map(jnp.array, params))

    def update(
        updates: Any, state: DistanceState, *, params: Any, **_: Any
    ) -> tuple[Any, DistanceState]:
        grads = jax.tree.map(widen, updates)
        d, rate = state.distance, _rate(learning_rate, b1, b2, state, correct)
        way = jax.tree.map(lambda p0, p: widen(p0) - widen(p), state.start, params)
        first, second = (decay_at(b, state.count) for b in (b1, b2))
        decay = _root(second)[0] if b3 is None else b3
        numerator = decay * state.numerator + d / initial_distance * rate * _inner(grads, way)
        scaled = jax.tree.map(lambda g: d.astype(g.dtype) * g, grads)
        mu = fold(state.mu, jax.tree.map(tame, scaled), first.complement)
        nu = fold(state.nu, jax.tree.map(square, scaled), second.complement)
        grad_sum = jax.tree.map(
            lambda s, g: decay * s + tame((rate / initial_distance).astype(g.dtype) * g),
            state.grad_sum, scaled,
        )  # fmt: skip
        new_d = _longer(d, coefficient * numerator, _total(grad_sum))

        least = initial_distance * eps  # the distance does not shrink

        def leaf(m: jax.Array, v: jax.Array, p: jax.Array, u: jax.Array) -> jax.Array:
            size = sqrt(v) + new_d.astype(v.dtype) * eps
            direction = ratio(m, size.astype(m.dtype), least) + weight_decay * widen(p)
            return (rate.astype(m.dtype) * direction).astype(u.dtype)

        direction = jax.tree.map(leaf, mu, nu, params, updates)
        count = optax.safe_increment(state.count)
        return direction, DistanceState(count, mu, nu, grad_sum, state.start, new_d, numerator)

    return GradientToDirection.from_update(
        "scale_by_prodigy", init, update, needs=("params",), marks=("estimates rate",)
    )


def scale_by_dadapt(
    learning_rate: ScalarOrSchedule = 1.0,
    b1: ConstantDecay = 0.9,
    b2: ConstantDecay = 0.999,
    eps: Scalar = 1e-8,
    *,
    initial_distance: Scalar = 1e-6,
    weight_decay: Scalar = 0.0,
    correct: bool = False,
) -> GradientToDirection:
    """D-Adaptation's Adam step: the learning rate is an estimated distance to the solution.

    With `q = sqrt(b2)`, `rate = d learning_rate` and the previous s and nu:
    `r = q r + (1 - q) rate <g, s / (sqrt(nu) + eps)>`, `s = q s + (1 - q) rate g`,
    `d = max(d, r / ((1 - q) |s|_1))`; the direction is the average of `rate g` over
    `sqrt(nu) + eps` (Defazio & Mishchenko 2023, algorithm 5).

    Args and errors as for `scale_by_prodigy`.
    """
    _check(learning_rate, b1, b2, eps, initial_distance, weight_decay, correct)

    def init(params: Any) -> DistanceState:
        return _start(params, initial_distance)

    def update(
        updates: Any, state: DistanceState, *, params: Any, **_: Any
    ) -> tuple[Any, DistanceState]:
        grads = jax.tree.map(widen, updates)
        d, rate = state.distance, _rate(learning_rate, b1, b2, state, correct)

        # Where eps is known to be above 0, XLA need not look at the divisor twice.
        known = isinstance(eps, float) and eps >= jnp.finfo(jnp.float32).tiny
        quotient = divide if known else ratio

        def over(x: jax.Array, v: jax.Array) -> jax.Array:
            return quotient(x, (sqrt(v) + eps).astype(x.dtype))

        before = jax.tree.map(over, state.grad_sum, state.nu)
        first, second = (decay_at(b, state.count) for b in (b1, b2))
        q, rest = _root(second)
        numerator = q * state.numerator + rest * rate * _inner(grads, before)
        scaled = jax.tree.map(lambda g: rate.astype(g.dtype) * g, grads)
        mu = fold(state.mu, jax.tree.map(tame, scaled), first.complement)
        nu = fold(state.nu, jax.tree.map(square, grads), second.complement)
        grad_sum = fold(state.grad_sum, jax.tree.map(tame, scaled), rest)
        # The estimate reads the old values of both, of which XLA would otherwise keep copies.
        nu, grad_sum = jax.tree.map(lambda new: after(new, numerator), (nu, grad_sum))
        new_d = _longer(d, numerator, rest * _total(grad_sum))

        def leaf(m: jax.Array, v: jax.Array, p: jax.Array, u: jax.Array) -> jax.Array:
            pull = weight_decay * rate.astype(m.dtype) * widen(p)
            return (over(m, v) + pull).astype(u.dtype)

        direction = jax.tree.map(leaf, mu, nu, params, updates)
        count = optax.safe_increment(state.count)
        return direction, DistanceState(count, mu, nu, grad_sum, None, new_d, numerator)

    return GradientToDirection.from_update(
        "scale_by_dadapt", init, update, needs=("params",), marks=("estimates rate",)
    )


def _check(
    learning_rate: Any, b1: Any, b2: Any, eps: Any, initial_distance: Any, weight_decay: Any,
    correct: Any,
) -> None:  # fmt: skip
    check_constant_decay("b1", b1)
    check_constant_decay("b2", b2)
    check_number("learning_rate", learning_rate, low=0)
    check_number("eps", eps, low=0, scheduled=False)
    check_number("initial_distance", initial_distance, low=0, open_low=True, scheduled=False)
    check_number("weight_decay", weight_decay, low=0, scheduled=False)
    check_flags(correct=correct)


def _root(decay: Decay) -> tuple[jax.Array, jax.Array]:
    """sqrt(b) and 1 - sqrt(b)."""
    half = jnp.asarray(decay.log, average_dtype()) / 2
    return jnp.exp(half), -expm1(half)


def _start(params: Any, distance: Scalar) -> DistanceState:
    mu, grad_sum = (jax.tree.map(lambda p: jnp.zeros_like(widen(p)), params) for _ in range(2))
    nu = jax.tree.map(lambda p: jnp.zeros_like(real(widen(p))), params)
    number = jnp.zeros([], average_dtype())
    return DistanceState(
        jnp.zeros([], jnp.int32), mu, nu, grad_sum, None, number + distance, number
    )


def _rate(
    learning_rate: Any, b1: DecayRate, b2: DecayRate, state: DistanceState, correct: bool
) -> Any:
    factor = scalar(at_step(learning_rate, state.count), average_dtype())
    if correct:
        first, second = (step_at(b, None, state.count).mass for b in (b1, b2))
        factor = factor * jnp.sqrt(second) / first
    return state.distance * factor


def _longer(d: jax.Array, numerator: jax.Array, denominator: jax.Array) -> jax.Array:
    estimate = numerator / jnp.where(denominator > 0, denominator, 1)
    return jnp.where(denominator > 0, jnp.maximum(d, estimate), d)


def _inner(one: Any, other: Any) -> jax.Array:
    def leaf(a: jax.Array, b: jax.Array) -> jax.Array:
        # The sum is cut off, as XLA would keep copies of factors cut off; infinity times zero is 0.
        total = jnp.sum(real_product(a, b)).astype(average_dtype())
        most = 2.0 ** (jnp.finfo(average_dtype()).maxexp * 3 // 4)
        return jnp.nan_to_num(jnp.clip(total, -most, most))

    parts = jax.tree.map(leaf, one, other)
    return sum(jax.tree.leaves(parts), start=jnp.zeros([], average_dtype()))


def _total(tree: Any) -> jax.Array:
    parts = [jnp.sum(jnp.abs(x)).astype(average_dtype()) for x in jax.tree.leaves(tree)]
    return sum(parts, start=jnp.zeros([], average_dtype()))

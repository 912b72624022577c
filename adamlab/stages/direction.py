"""moments -> direction: the first moment divided by a measure of its size."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax

from adamlab._checks import check_number
from adamlab.stages._kinds import Moments, MomentsToDirection
from adamlab.stages._numerics import sqrt, widen
from adamlab.stages.correction import require_second_moment


def precondition(eps: Any = 1e-8, eps_root: Any = 0.0) -> MomentsToDirection:
    """`mu / (sqrt(nu + eps_root) + eps)` (Kingma & Ba 2015, algorithm 1, line 9).

    Where no first moment is tracked the gradient itself is divided. The result has the gradient's
    dtype. Where numerator and denominator are both zero it is zero.

    Args:
        eps: added to the root; a number >= 0 or a schedule.
        eps_root: added under the root; a number >= 0 or a schedule.

    Raises:
        ValueError: eps or eps_root is negative or not finite.
        TypeError: one of them is no number.
    """
    return _divide("precondition", eps, eps_root, lambda eps_now, _: eps_now)


def precondition_epsilon_hat(eps: Any = 1e-7, eps_root: Any = 0.0) -> MomentsToDirection:
    """`mu / (sqrt(nu + eps_root) + eps / sqrt(nu_mass))`: Adam in the "epsilon hat" form.

    After `correct_bias` this is the form of TensorFlow and Keras, where eps is added to the root
    of the uncorrected second moment (Kingma & Ba 2015, the remark that ends section 2). In young
    averages it damps more than `precondition` with the same eps.

    Args and errors as for `precondition`.
    """

    def eps_hat(eps_now: jax.Array, moments: Moments) -> jax.Array:
        mass = jnp.asarray(moments.nu_mass, eps_now.dtype)
        return eps_now / jnp.sqrt(mass)

    return _divide("precondition_epsilon_hat", eps, eps_root, eps_hat)


def _divide(name: str, eps: Any, eps_root: Any, adjust: Any) -> MomentsToDirection:
    check_number("eps", eps, low=0)
    check_number("eps_root", eps_root, low=0)

    def update(
        updates: Any, state: optax.EmptyState, params: Any = None, **extra_args: Any
    ) -> tuple[optax.Updates, optax.EmptyState]:
        del params, extra_args
        moments = require_second_moment(name, updates)
        steps_done = moments.count - 1

        def direction(g: jax.Array, m: jax.Array, v: jax.Array) -> jax.Array:
            dtype = v.dtype
            under = jnp.asarray(_at(eps_root, steps_done), dtype)
            beside = adjust(jnp.asarray(_at(eps, steps_done), dtype), moments)
            size = sqrt(v + under) + beside
            wide = widen(m)
            return (wide / jnp.where(size == 0, 1, size).astype(wide.dtype)).astype(g.dtype)

        numerator = moments.grad if moments.mu is None else moments.mu
        return jax.tree.map(direction, moments.grad, numerator, moments.nu), state

    update.__qualname__ = name
    return MomentsToDirection(optax.init_empty_state, update)


def _at(value: Any, steps_done: jax.Array) -> Any:
    return value(steps_done) if callable(value) else value

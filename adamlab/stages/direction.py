"""moments -> direction: the first moment divided by a measure of its size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from adamlab._checks import check_number
from adamlab.stages._kinds import Moments, MomentsToDirection
from adamlab.stages.numerics import at_step, cbrt, ratio, sqrt, tame, widen


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
    check_number("eps", eps, low=0)
    check_number("eps_root", eps_root, low=0)
    return _divide("precondition", lambda m: denominator(m, eps, eps_root))


def precondition_epsilon_hat(eps: Any = 1e-7, eps_root: Any = 0.0) -> MomentsToDirection:
    """`mu / (sqrt(nu + eps_root) + eps / sqrt(nu_mass))`: Adam in the "epsilon hat" form.

    After `correct_bias` this is the form of TensorFlow and Keras, where eps is added to the root
    of the uncorrected second moment (Kingma & Ba 2015, the remark that ends section 2). In young
    averages it damps more than `precondition` with the same eps.

    Args and errors as for `precondition`.
    """
    check_number("eps", eps, low=0)
    check_number("eps_root", eps_root, low=0)
    return _divide(
        "precondition_epsilon_hat",
        lambda m: denominator(m, epsilon_hat(eps, m), eps_root),
    )


def precondition_max(eps: Any = 1e-6) -> MomentsToDirection:
    """`mu / max(sqrt(nu), eps)` (Taniguchi et al. 2024, ADOPT, algorithm 2).

    Raises:
        ValueError: eps is negative or not finite.
    """
    check_number("eps", eps, low=0)

    def sizes(moments: Moments) -> Any:
        floor = at_step(eps, moments.count - 1)
        return jax.tree.map(lambda v: jnp.maximum(sqrt(v), jnp.asarray(floor, v.dtype)), moments.nu)

    return _divide("precondition_max", sizes)


def divide_by_nu(eps: Any = 0.0, *, floor: Any = 0.0, gamma: Any = 1.0) -> MomentsToDirection:
    """`mu / (max(gamma nu, floor) + eps)`: no root, for a `nu` that is no square.

    Adamax's (Kingma & Ba 2015, algorithm 2) and, with `gamma` and `floor`, Sophia's (Liu et al.
    2023, algorithm 3, line 13).

    Raises:
        ValueError: eps, floor or gamma is negative or not finite.
    """
    for name, value in (("eps", eps), ("floor", floor), ("gamma", gamma)):
        check_number(name, value, low=0, scheduled=False)

    def sizes(moments: Moments) -> Any:
        return jax.tree.map(
            lambda v: (
                jnp.maximum(jnp.asarray(gamma, v.dtype) * v, jnp.asarray(floor, v.dtype))
                + jnp.asarray(eps, v.dtype)
            ),
            moments.nu,
        )

    return _divide("divide_by_nu", sizes)


def divide_by_cube_root(eps: Any = 1e-6) -> MomentsToDirection:
    """`mu / (cbrt(nu) + eps)` (Defazio & Jelassi 2022, MADGRAD, algorithm 1).

    Raises:
        ValueError: eps is negative or not finite.
    """
    check_number("eps", eps, low=0)

    def sizes(moments: Moments) -> Any:
        now = at_step(eps, moments.count - 1)
        return jax.tree.map(lambda v: cbrt(v) + jnp.asarray(now, v.dtype), moments.nu)

    return _divide("divide_by_cube_root", sizes)


def precondition_atan2(a: Any = 1.27, b: Any = 1.0) -> MomentsToDirection:
    """`a atan2(mu, b sqrt(nu))`: bounded by itself, and free of eps (Everett et al. 2024).

    Raises:
        ValueError: a or b is not a finite number > 0.
    """
    check_number("a", a, low=0, open_low=True, scheduled=False)
    check_number("b", b, low=0, open_low=True, scheduled=False)

    def angle(moments: Moments) -> Any:
        return jax.tree.map(
            lambda g, m, v: (
                jnp.asarray(a, v.dtype) * _atan2(m, jnp.asarray(b, v.dtype) * sqrt(v))
            ).astype(g.dtype),
            moments.grad, numerator(moments), moments.nu,
        )  # fmt: skip

    return MomentsToDirection.from_function("precondition_atan2", angle, needs=("nu",))


def sign() -> MomentsToDirection:
    """The sign of the first moment (Bernstein et al. 2018, Signum, algorithm 1)."""

    def signs(moments: Moments) -> Any:
        return jax.tree.map(lambda g, m: jnp.sign(m).astype(g.dtype), moments.grad, moments.mu)

    return MomentsToDirection.from_function("sign", signs, needs=("mu",))


def take_mu() -> MomentsToDirection:
    """The first moment as it is, in the gradient's dtype: momentum without preconditioning."""

    def take(moments: Moments) -> Any:
        return jax.tree.map(lambda g, m: m.astype(g.dtype), moments.grad, moments.mu)

    return MomentsToDirection.from_function("take_mu", take, needs=("mu",))


def denominator(moments: Moments, eps: Any, eps_root: Any) -> Any:
    """`sqrt(nu + eps_root) + eps` for each leaf."""
    steps_done = moments.count - 1

    def size(v: jax.Array) -> jax.Array:
        under = jnp.asarray(at_step(eps_root, steps_done), v.dtype)
        return sqrt(v + under) + jnp.asarray(at_step(eps, steps_done), v.dtype)

    return jax.tree.map(size, moments.nu)


def numerator(moments: Moments) -> Any:
    """The first moment, or the gradient where none is tracked; in float32 or wider."""
    if moments.mu is None:
        return jax.tree.map(lambda g: widen(tame(g)), moments.grad)
    return jax.tree.map(widen, moments.mu)


def epsilon_hat(eps: Any, moments: Moments) -> Any:
    """The eps that stands beside a corrected root where it stood beside the uncorrected one."""
    if moments.nu_gathered is None:
        return eps
    return at_step(eps, moments.count - 1) / jnp.sqrt(moments.nu_gathered)


def _divide(name: str, sizes: Callable[[Moments], Any]) -> MomentsToDirection:
    def over(g: jax.Array, m: jax.Array, size: jax.Array) -> jax.Array:
        return ratio(m, size.astype(m.dtype)).astype(g.dtype)

    def divide(moments: Moments) -> Any:
        if moments.rate is not None:
            raise ValueError(f"{name} would leave out the rates; use apply_rate() after to_rate()")
        return jax.tree.map(over, moments.grad, numerator(moments), sizes(moments))

    return MomentsToDirection.from_function(name, divide, needs=("nu",))


def _atan2(y: jax.Array, x: jax.Array) -> jax.Array:
    """atan2 with derivative 0 where both are 0."""
    nothing = (y == 0) & (x == 0)
    return jnp.where(nothing, 0, jnp.arctan2(y, jnp.where(nothing, 1, x)))

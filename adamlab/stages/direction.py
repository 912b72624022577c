"""moments -> direction: the first moment divided by a measure of its size."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from adamlab._checks import Scalar, ScalarOrSchedule, check_number
from adamlab.stages._about import label_of
from adamlab.stages._kinds import MomentsToDirection
from adamlab.stages._moments import Moments
from adamlab.stages.denominator import Denominator, denominator_of
from adamlab.stages.numerics import cast_within, ratio, scalar, sqrt, tame, widen


def precondition(
    eps: ScalarOrSchedule | Denominator = 1e-8, eps_root: ScalarOrSchedule = 0.0
) -> MomentsToDirection:
    """`mu / (sqrt(nu + eps_root) + eps)` (Kingma & Ba 2015, algorithm 1, line 9).

    Where no first moment is tracked the gradient itself is divided. The result has the gradient's
    dtype. Where numerator and denominator are both zero it is zero.

    Args:
        eps: added to the root, a number >= 0 or a schedule; or another denominator such as
            `epsilon_hat(1e-7)`.
        eps_root: added under the root; a number >= 0 or a schedule.

    Raises:
        ValueError: eps or eps_root is negative or not finite, or eps_root is given along with
            another denominator.
        TypeError: one of them is not a number.
    """
    denominator = denominator_of(eps, eps_root)

    def over(g: jax.Array, m: jax.Array, size: jax.Array) -> jax.Array:
        return cast_within(ratio(m, size.astype(m.dtype), denominator.least), g.dtype)

    def divide(moments: Moments) -> Any:
        return jax.tree.map(over, moments.grad, numerator(moments), denominator.of(moments))

    return MomentsToDirection.from_function(
        "precondition",
        divide,
        needs=("nu",),
        label=label_of(denominator, "root"),
        marks=denominator.marks,
    )


def precondition_atan2(a: Scalar = 1.27, b: Scalar = 1.0) -> MomentsToDirection:
    """`a atan2(mu, b sqrt(nu))`: bounded by construction, without an eps (Everett et al. 2024).

    Raises:
        ValueError: a or b is not a finite number > 0.
    """
    check_number("a", a, low=0, open_low=True, scheduled=False)
    check_number("b", b, low=0, open_low=True, scheduled=False)

    def angle(moments: Moments) -> Any:
        return jax.tree.map(
            lambda g, m, v: cast_within(
                scalar(a, v.dtype) * _atan2(m, scalar(b, v.dtype) * sqrt(v)), g.dtype
            ),
            moments.grad, numerator(moments), moments.nu,
        )  # fmt: skip

    return MomentsToDirection.from_function(
        "precondition_atan2", angle, needs=("nu",), marks=("takes root",)
    )


def sign() -> MomentsToDirection:
    """The sign of the first moment (Bernstein et al. 2018, Signum, algorithm 1)."""

    def signs(moments: Moments) -> Any:
        return jax.tree.map(lambda g, m: jnp.sign(m).astype(g.dtype), moments.grad, moments.mu)

    return MomentsToDirection.from_function("sign", signs, needs=("mu",))


def take_mu() -> MomentsToDirection:
    """The first moment as it is, in the gradient's dtype: momentum without preconditioning."""

    def take(moments: Moments) -> Any:
        return jax.tree.map(lambda g, m: cast_within(m, g.dtype), moments.grad, moments.mu)

    return MomentsToDirection.from_function("take_mu", take, needs=("mu",))


def numerator(moments: Moments) -> Any:
    """The first moment, or the gradient where none is tracked; in float32 or wider."""
    if moments.mu is None:
        return jax.tree.map(lambda g: widen(tame(g)), moments.grad)
    return jax.tree.map(widen, moments.mu)


def _atan2(y: jax.Array, x: jax.Array) -> jax.Array:
    """atan2; for complex `y`, atan2 of its magnitude, in its direction."""
    if jnp.iscomplexobj(y):
        size = jnp.where(y == 0, 0, jnp.abs(jnp.where(y == 0, 1, y)))
        return ratio(_angle(size, x), size) * y
    return _angle(y, x)


@jax.custom_jvp
def _angle(y: jax.Array, x: jax.Array) -> jax.Array:
    """atan2, with derivative 0 where both are 0, and without `x² + y²`, which would underflow."""
    return jnp.arctan2(y, jnp.where((y == 0) & (x == 0), 1, x))


@_angle.defjvp
def _angle_jvp(
    primals: tuple[jax.Array, jax.Array], tangents: tuple[jax.Array, jax.Array]
) -> tuple[jax.Array, jax.Array]:
    (y, x), (dy, dx) = primals, tangents
    size = jnp.maximum(jnp.abs(y), jnp.abs(x))
    a, b = ratio(x, size), ratio(y, size)
    slope = (a * dy - b * dx) / jnp.where(size == 0, 1, a * a + b * b)
    return _angle(y, x), jnp.where(size == 0, 0, ratio(slope, size))

"""Denominators: what the first moment is divided by, made from the second.

`precondition` and `to_rate` take one in place of eps.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from adamlab._checks import Scalar, ScalarOrSchedule, check_number, is_constant
from adamlab.stages._about import Mark
from adamlab.stages._moments import Moments, refuse_biased
from adamlab.stages.norms import rms
from adamlab.stages.numerics import at_step, cbrt, scalar, sqrt


class Denominator(NamedTuple):
    """A measure of the gradient's size for each element, from the moments.

    `of(moments)` returns a tree of arrays that broadcast against the leaves of `moments.grad`.
    """

    name: str
    of: Callable[[Moments], Any]
    marks: tuple[Mark, ...] = ()
    """"takes root" where it is a root of `nu`, "by leaf" where it looks at whole leaves."""
    least: ScalarOrSchedule = 0.0
    """What it is never below, such as an eps that is added."""


def denominator_of(eps: ScalarOrSchedule | Denominator, eps_root: ScalarOrSchedule) -> Denominator:
    """`eps` itself where it is a `Denominator`, else `root(eps, eps_root)`.

    Raises:
        ValueError: eps_root is given along with a denominator; or as for `root`.
    """
    if not isinstance(eps, Denominator):
        return root(eps, eps_root)
    if not is_constant(eps_root, 0):
        raise ValueError(f"eps_root={eps_root!r}: must be left out with {eps.name}(...)")
    return eps


def root(eps: ScalarOrSchedule = 1e-8, eps_root: ScalarOrSchedule = 0.0) -> Denominator:
    """`sqrt(nu + eps_root) + eps` (Kingma & Ba 2015, algorithm 1, line 9).

    Args:
        eps: added to the root; a number >= 0 or a schedule.
        eps_root: added under the root; a number >= 0 or a schedule.

    Raises:
        ValueError: eps or eps_root is negative or not finite.
        TypeError: one of them is not a number.
    """
    check_number("eps", eps, low=0)
    check_number("eps_root", eps_root, low=0)
    return _of_nu("root", _root, eps, eps_root, least=eps)


def epsilon_hat(eps: ScalarOrSchedule = 1e-7, eps_root: ScalarOrSchedule = 0.0) -> Denominator:
    """`sqrt(nu + eps_root) + eps / sqrt(nu_mass)`: Adam in the "epsilon hat" form.

    After `correct_bias` this is the form of TensorFlow and Keras, where eps is added to the root
    of the uncorrected second moment (Kingma & Ba 2015, the remark that ends section 2). While the
    averages are young it damps more than `root` with the same eps.

    Args and errors as for `root`.
    """
    check_number("eps", eps, low=0)
    check_number("eps_root", eps_root, low=0)

    def of(moments: Moments) -> Any:
        refuse_biased("epsilon_hat", moments.nu_mass)
        now = at_step(eps, moments.steps_done)
        if moments.nu_gathered is not None:
            now = now / jnp.sqrt(moments.nu_gathered)
        return _each(moments, _root, now, eps_root)

    return Denominator("epsilon_hat", of, ("takes root",), least=eps)


def gradient_eps(eps: Scalar = 1e-8, eps_gradient: Scalar = 1e-2) -> Denominator:
    """`sqrt(nu) + min(eps, eps_gradient rms(g))` per leaf, with eps where the product is zero.

    The damping of FAdam (Hwang 2024, algorithm 1, line 8).

    Raises:
        ValueError: eps or eps_gradient is negative or not finite.
    """
    check_number("eps", eps, low=0, scheduled=False)
    check_number("eps_gradient", eps_gradient, low=0, scheduled=False)

    def leaf(g: jax.Array, v: jax.Array) -> jax.Array:
        scaled = eps_gradient * rms(g)
        damping = jnp.where((scaled > 0) & (scaled < eps), scaled, eps)
        return sqrt(v) + damping.astype(v.dtype)

    return Denominator(
        "gradient_eps", lambda m: jax.tree.map(leaf, m.grad, m.nu), ("takes root", "by leaf")
    )


def root_or_eps(eps: ScalarOrSchedule = 1e-6) -> Denominator:
    """The larger of the two, `max(sqrt(nu), eps)` (Taniguchi et al. 2024, ADOPT, algorithm 2).

    Raises:
        ValueError: eps is negative or not finite.
    """
    check_number("eps", eps, low=0)
    return _of_nu("root_or_eps", lambda v, low: jnp.maximum(sqrt(v), low), eps, least=eps)


def unrooted(
    eps: ScalarOrSchedule = 0.0,
    *,
    floor: ScalarOrSchedule | None = None,
    gamma: ScalarOrSchedule = 1.0,
) -> Denominator:
    """`gamma nu + eps`, or `max(gamma nu, floor) + eps`: no root, for a `nu` not made of squares.

    Adamax's (Kingma & Ba 2015, algorithm 2) and, with `gamma` and `floor`, Sophia's (Liu et al.
    2023, algorithm 3, line 13). Without a floor a negative `nu` turns the step round.

    Raises:
        ValueError: eps, floor or gamma is negative or not finite.
    """
    check_number("eps", eps, low=0)
    check_number("gamma", gamma, low=0)
    if floor is None:
        return _of_nu("unrooted", lambda v, eps, gamma: gamma * v + eps, eps, gamma, marks=())
    check_number("floor", floor, low=0)

    def size(v: jax.Array, eps: Any, gamma: Any, floor: Any) -> jax.Array:
        return jnp.maximum(gamma * v, floor) + eps

    return _of_nu("unrooted", size, eps, gamma, floor, marks=())


def cube_root(eps: ScalarOrSchedule = 1e-6) -> Denominator:
    """`cbrt(nu) + eps` (Defazio & Jelassi 2022, MADGRAD, algorithm 1).

    Raises:
        ValueError: eps is negative or not finite.
    """
    check_number("eps", eps, low=0)
    return _of_nu("cube_root", lambda v, added: cbrt(v) + added, eps, least=eps)


def root_power(power: ScalarOrSchedule = 0.25, eps: ScalarOrSchedule = 1e-8) -> Denominator:
    """`(sqrt(nu) + eps)^(2 power)`: between gradient descent (0) and Adam (1/2).

    Chen et al. 2018, Padam, equation 3.1.

    Raises:
        ValueError: `power` is outside [0, 0.5], or `eps` is negative or not finite.
    """
    check_number("power", power, low=0, high=0.5)
    check_number("eps", eps, low=0)

    def size(v: jax.Array, power: Any, eps: Any) -> jax.Array:
        whole = sqrt(v) + eps
        there = whole > 0  # the slope of a power at 0 would be infinite
        return jnp.where(there, jnp.where(there, whole, 1) ** (2 * power), 0)

    return _of_nu("root_power", size, power, eps)


def _root(v: jax.Array, eps: Any, eps_root: Any) -> jax.Array:
    return sqrt(v + eps_root) + eps


def _of_nu(
    name: str,
    size: Callable[..., jax.Array],
    *values: Any,
    marks: tuple[Mark, ...] = ("takes root",),
    least: ScalarOrSchedule = 0.0,
) -> Denominator:
    return Denominator(name, lambda moments: _each(moments, size, *values), marks, least)


def _each(moments: Moments, size: Callable[..., jax.Array], *values: Any) -> Any:
    """`size(v, *values)` of each leaf of `nu`, with the values of this step in its dtype."""
    now = [at_step(value, moments.steps_done) for value in values]
    return jax.tree.map(lambda v: size(v, *(scalar(x, v.dtype) for x in now)), moments.nu)

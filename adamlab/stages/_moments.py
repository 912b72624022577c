"""Moments, the value that travels between stages, and what a stage asks of it."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple, Self

import jax
import jax.numpy as jnp

FIELD_HINTS = {
    "mu": "the first moment; give track_moments a b1",
    "nu": "the second moment; give track_moments a b2",
    "mu_mass": "an uncorrected first moment; put it before the stage that corrects mu",
    "nu_mass": "a second moment that decays and is not corrected yet: not largest() or sums(), and "
    "before the stage that corrects nu",
    "mu_gathered": "an average as the first moment; give track_moments a b1",
    "nu_gathered": "an average as the second moment; give track_moments a b2",
    "rate": "rates; put to_rate() before it",
}
"""What each field of `Moments` holds, and what to do where it is None."""


class UnfitMomentsError(ValueError):
    """A stage was given moments without a field that it needs, or not corrected yet."""


class Moments(NamedTuple):
    """A gradient with its running averages: what `track_moments` hands to the stages after it.

    Each of `grad`, `mu` and `nu` is a tree like the parameters (`nu` may be coarser). The averages
    are float32 or wider whatever their storage type, so that the stages in between lose nothing.
    """

    grad: Any
    """The gradient of this step, in its own dtype."""
    count: Any
    """Scalar int32 array: the number of this step, from 1."""
    mu: Any = None
    """First moment, or None where none is tracked."""
    nu: Any = None
    """Second moment, or None where none is tracked."""
    mu_mass: Any = None
    """Scalar that `mu` is still to be divided by: `1 - b1**t` for a constant b1.

    A tree like `mu` where each element has its own b1; None where there is no bias, or it is
    already corrected.
    """
    nu_mass: Any = None
    """Scalar that `nu` is still to be divided by: `1 - b2**t` for a constant b2; or None."""
    rate: Any = None
    """A multiplier for each element of `mu`, where a stage such as `to_rate` has made one."""
    mu_gathered: Any = None
    """The weight that `mu` has gathered, corrected for or not: it grows from 0 to 1."""
    nu_gathered: Any = None
    """The weight that `nu` has gathered, corrected for or not."""

    @property
    def steps_done(self) -> Any:
        """The number of steps before this one: what a schedule is called with."""
        return self.count - 1

    def with_mu(self, mu: Any, mass: Any) -> Self:
        """These moments with a new average as the first, which has gathered `mass`."""
        return self._replace(mu=mu, mu_mass=mass, mu_gathered=mass)

    def with_nu(self, nu: Any, mass: Any) -> Self:
        """These moments with a new average as the second, which has gathered `mass`."""
        return self._replace(nu=nu, nu_mass=mass, nu_gathered=mass)


def require_moments(stage: str, value: Any) -> Moments:
    """`value` as the `Moments` that `stage` needs.

    Raises:
        TypeError: it is something else, or a transform unaware of `Moments` has changed it.
    """
    if not isinstance(value, Moments):
        raise TypeError(
            f"{stage} takes the moments that track_moments hands on, but got a "
            f"{type(value).__name__}; put track_moments() before it"
        )
    if not jnp.issubdtype(jnp.asarray(value.count).dtype, jnp.integer):
        raise TypeError(
            f"{stage} got moments whose count is no longer an integer: a transform between "
            "track_moments and precondition acted on all of them; adamlab.chain refuses this"
        )
    return value


def require_fields(name: str, moments: Moments, needs: tuple[str, ...]) -> None:
    """Refuse moments that lack what the stage called `name` needs."""
    for field in needs:
        if field in FIELD_HINTS and getattr(moments, field) is None:
            raise UnfitMomentsError(f"{name} needs {FIELD_HINTS[field]}")


def refuse_biased(name: str, *masses: Any) -> None:
    """Refuse an average that is still to be divided by a mass."""
    if any(mass is not None for mass in masses):
        raise UnfitMomentsError(f"{name} needs corrected moments; put correct_bias() before it")


def check_leaf(name: str, field: str, like: Any, x: Any) -> None:
    """Refuse a leaf of a field of moments that is no number, or does not fit the gradient's."""
    if not jnp.issubdtype(x.dtype, jnp.inexact):
        raise TypeError(f"{name} gave a {field} of dtype {x.dtype}: must be floating or complex")
    coarse = field != "mu" and len(x.shape) == len(like.shape)
    fits = coarse and all(n in (1, k) for n, k in zip(x.shape, like.shape, strict=True))
    if x.shape != like.shape and not fits:
        allowed = "the same" if field == "mu" else "the same, or 1 on some axes"
        raise ValueError(
            f"{name} gave a {field} of shape {x.shape} where the gradient's is {like.shape}: must "
            f"be {allowed}"
        )


def check_change(name: str, before: Moments, after: Moments) -> None:
    """Refuse moments of other shapes, and a `nu` that changed after rates were made from it.

    `nu` and `rate` may broadcast to the gradient's shape.
    """
    like = before.grad if before.mu is None else before.mu
    for field in ("mu", "nu", "rate"):
        if (tree := getattr(after, field)) is not None:
            jax.tree.map(partial(check_leaf, name, field), like, tree)
    if before.rate is not None and after.rate is before.rate and after.nu is not before.nu:
        raise ValueError(f"{name} changes nu after rates were made of it; put it before to_rate()")

"""Moments, the value that travels between stages, and the types of stage by their two doors."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, NamedTuple, Self

import jax
import jax.numpy as jnp
import optax

Kind = Literal["gradient", "moments", "direction"]


class Moments(NamedTuple):
    """A gradient with its running averages: what `track_moments` hands to the stages after it.

    Each of `grad`, `mu` and `nu` is a tree like the parameters (`nu` may be coarser). The averages
    are float32 or wider whatever their storage type, so that the stages in between lose nothing.
    """

    grad: Any
    """The gradient of this step, in its own dtype."""
    mu: Any
    """First moment, or None where none is tracked."""
    nu: Any
    """Second moment, or None where none is tracked."""
    mu_mass: jax.Array | None
    """Scalar: the total weight `mu` has gathered, `1 - b1**t` for a constant b1."""
    nu_mass: jax.Array | None
    """Scalar: the total weight `nu` has gathered, `1 - b2**t` for a constant b2."""
    count: Any
    """Scalar int32 array: the number of this step, from 1."""


class Stage(optax.GradientTransformationExtraArgs):
    """An Optax gradient transformation that knows what it takes and what it gives.

    A stage is used wherever Optax takes a transformation; `adamlab.chain` reads its two kinds.
    """

    takes: ClassVar[Kind]
    gives: ClassVar[Kind]

    @classmethod
    def from_optax(cls, name: str, transform: optax.GradientTransformation) -> Self:
        """The same transformation as a stage called `name`, which keeps the updates' dtypes."""
        extended = optax.with_extra_args_support(transform)

        def update(
            updates: optax.Updates, state: Any, params: Any = None, **extra_args: Any
        ) -> tuple[optax.Updates, Any]:
            # Optax counts on standard promotion, which users of adamlab may have switched off.
            with jax.numpy_dtype_promotion("standard"):
                new, state = extended.update(updates, state, params, **extra_args)
            return jax.tree.map(lambda u, old: u.astype(old.dtype), new, updates), state

        update.__qualname__ = name
        return cls(extended.init, update)


class GradientToGradient(Stage):
    """Acts on the raw gradient: clipping, noise, coupled L2."""

    takes, gives = "gradient", "gradient"


class GradientToMoments(Stage):
    """Folds the gradient into running averages."""

    takes, gives = "gradient", "moments"


class GradientToDirection(Stage):
    """A whole optimizer, or one from the gradient to a direction not yet scaled."""

    takes, gives = "gradient", "direction"


class MomentsToMoments(Stage):
    """Changes the averages: bias correction, AMSGrad's maximum.

    In a chain its `init` sees a `Moments` of shapes, elsewhere the parameters.
    """

    takes, gives = "moments", "moments"


class MomentsToDirection(Stage):
    """Turns the averages into a direction of the parameters' shape."""

    takes, gives = "moments", "direction"


class DirectionToDirection(Stage):
    """Acts on the direction: decay, learning rate, trust ratio."""

    takes, gives = "direction", "direction"


def name_of(transform: optax.GradientTransformation) -> str:
    """The name of the function that built `transform`."""
    return str(getattr(transform.update, "__qualname__", transform.update)).split(".")[0]


def require_moments(stage: str, value: Any) -> Moments:
    """`value` as the `Moments` that `stage` needs.

    Raises:
        TypeError: it is something else, or a transform that knows no Moments has changed it.
    """
    if not isinstance(value, Moments):
        raise TypeError(
            f"{stage} takes the moments that track_moments hands on, but got a "
            f"{type(value).__name__}; put track_moments() before it"
        )
    if not jnp.issubdtype(jnp.asarray(value.count).dtype, jnp.integer):
        raise TypeError(
            f"{stage} got moments whose count is no longer an integer: a transform between "
            "track_moments and precondition acted on all of them; adamlab.chain refuses such a one"
        )
    return value

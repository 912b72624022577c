"""moments -> moments: what is done to the averages before they become a direction."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from adamlab.stages._kinds import Moments, MomentsToMoments, require_moments
from adamlab.stages._numerics import wide_dtype


def correct_bias() -> MomentsToMoments:
    """Divide each average by the weight it has gathered: `mu / mu_mass`, `nu / nu_mass`.

    The averages start at zero and are too small by their mass (Kingma & Ba 2015, section 3 and
    algorithm 1, lines 7 and 8). The masses stay in the moments, for the stages that ask how young
    an average is.
    """

    def correct(average: Any, mass: jax.Array | None) -> Any:
        if mass is None:
            return None
        return jax.tree.map(lambda x: x / mass.astype(x.dtype), average)

    def update(
        updates: Any, state: optax.EmptyState, params: Any = None, **extra_args: Any
    ) -> tuple[Moments, optax.EmptyState]:
        del params, extra_args
        moments = require_moments("correct_bias", updates)
        mu = correct(moments.mu, moments.mu_mass)
        nu = correct(moments.nu, moments.nu_mass)
        return moments._replace(mu=mu, nu=nu), state

    return MomentsToMoments(optax.init_empty_state, update)


class AmsgradMaxState(NamedTuple):
    """State of `amsgrad_max`."""

    nu_max: Any


def amsgrad_max() -> MomentsToMoments:
    """Replace `nu` by the largest it has been, elementwise: AMSGrad's long-term memory.

    `nu_max = max(nu_max, nu)` (Reddi, Kale & Kumar 2018, algorithm 2). After `correct_bias` this
    is Optax's AMSGrad; before it, PyTorch's and Keras's.
    """

    def init(params: Any) -> AmsgradMaxState:
        nu = params.nu if isinstance(params, Moments) else params
        return AmsgradMaxState(jax.tree.map(_zeros, nu))

    def update(
        updates: Any, state: AmsgradMaxState, params: Any = None, **extra_args: Any
    ) -> tuple[Moments, AmsgradMaxState]:
        del params, extra_args
        moments = require_second_moment("amsgrad_max", updates)
        nu_max = jax.tree.map(jnp.maximum, state.nu_max, moments.nu)
        return moments._replace(nu=nu_max), AmsgradMaxState(nu_max)

    return MomentsToMoments(init, update)


def center_nu() -> MomentsToMoments:
    """Take the squared mean off the second moment: `nu - mu²`, the gradient's running variance.

    The first moment is used up: the direction is then the gradient's own (centred RMSProp,
    Graves 2013, equations 38 to 41). Rounding below zero is cut off.
    """

    def update(
        updates: Any, state: optax.EmptyState, params: Any = None, **extra_args: Any
    ) -> tuple[Moments, optax.EmptyState]:
        del params, extra_args
        moments = require_second_moment("center_nu", updates)
        if moments.mu is None:
            raise ValueError("center_nu needs the first moment; give track_moments a b1")
        nu = jax.tree.map(
            lambda v, m: jnp.maximum(v - jnp.real(m * jnp.conj(m)), 0), moments.nu, moments.mu
        )
        return moments._replace(mu=None, mu_mass=None, nu=nu), state

    return MomentsToMoments(optax.init_empty_state, update)


def require_second_moment(stage: str, value: Any) -> Moments:
    """`value` as `Moments` that hold a second moment.

    Raises:
        TypeError: it is no `Moments`.
        ValueError: it holds no second moment.
    """
    moments = require_moments(stage, value)
    if moments.nu is None:
        raise ValueError(f"{stage} needs the second moment; give track_moments a b2")
    return moments


def _zeros(x: Any) -> jax.Array:
    real = jax.ShapeDtypeStruct(x.shape, jnp.finfo(x.dtype).dtype)
    return jnp.zeros(real.shape, wide_dtype(real))

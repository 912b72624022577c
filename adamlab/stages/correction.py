"""moments -> moments: bias correction, and other changes to the second moment."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from adamlab._checks import Scalar, check_number
from adamlab.stages._forms import zeros_like_field
from adamlab.stages._kinds import MomentsToMoments
from adamlab.stages._moments import Moments
from adamlab.stages.numerics import ratio, real_dtype, scalar, squared_magnitude, tame


def correct_bias() -> MomentsToMoments:
    """Divide each average by the weight it has gathered: `mu / mu_mass`, `nu / nu_mass`.

    The averages start at zero and are too small by their mass (Kingma & Ba 2015, section 3 and
    algorithm 1, lines 7 and 8). An average that is corrected already stays as it is, and one that
    is tracked after this keeps its bias: to correct `nu` alone, write
    `track_moments(None, b2), correct_bias(), track_mu(b1)`.
    """

    def correct(moments: Moments) -> Moments:
        mu = _divided(moments.mu, moments.mu_mass)
        nu = _divided(moments.nu, moments.nu_mass)
        return moments._replace(mu=mu, nu=nu, mu_mass=None, nu_mass=None)

    return MomentsToMoments.from_function("correct_bias", correct, marks=("corrects",))


def _divided(average: Any, mass: Any) -> Any:
    """The average over its mass: a scalar, or a tree with one for each element."""
    if mass is None:
        return average
    if jax.tree_util.all_leaves([mass]):
        # One division a step in place of one an element, which takes as long as the root.
        inverse = cache(lambda dtype: 1 / scalar(mass, dtype))
        return jax.tree.map(lambda x: x * inverse(real_dtype(x)), average)
    return jax.tree.map(lambda x, w: x / w.astype(x.dtype), average, mass)


class AmsgradMaxState(NamedTuple):
    """State of `amsgrad_max`."""

    nu_max: Any


def amsgrad_max() -> MomentsToMoments:
    """Replace `nu` by its running elementwise maximum: AMSGrad's long-term memory.

    `nu_max = max(nu_max, nu)` (Reddi, Kale & Kumar 2018, algorithm 2). After `correct_bias` this
    is Optax's AMSGrad; before it, PyTorch's and Keras's.
    """

    def init(params: Any) -> AmsgradMaxState:
        return AmsgradMaxState(zeros_like_field("nu", params))

    def update(
        moments: Moments, state: AmsgradMaxState, **_: Any
    ) -> tuple[Moments, AmsgradMaxState]:
        nu_max = jax.tree.map(jnp.maximum, state.nu_max, moments.nu)
        return moments._replace(nu=nu_max), AmsgradMaxState(nu_max)

    return MomentsToMoments.from_update("amsgrad_max", init, update, needs=("nu",))


def center_nu() -> MomentsToMoments:
    """Subtract the squared mean from the second moment: `nu - mu²`, the running variance.

    Before `drop_mu` it makes centred RMSProp (Graves 2013, equations 38 to 41). For uncorrected
    moments with the same decay rate: otherwise the difference is not a variance and may be below
    zero, where it is cut off.
    """

    def center(moments: Moments) -> Moments:
        nu = jax.tree.map(
            lambda v, m: jnp.maximum(v - squared_magnitude(m), 0), moments.nu, moments.mu
        )
        return moments._replace(nu=nu)

    return MomentsToMoments.from_function(
        "center_nu", center, needs=("nu", "mu"), marks=("takes variance",)
    )


def cross_correct(eps: Scalar = 1e-8) -> MomentsToMoments:
    """Correct each average by the other as well, and add the gradient: EXAdam's moments.

    With `mu` and `nu` uncorrected: `mu' = (mu_hat + g / mu_mass) (1 + nu / (nu + eps) b2^t)` and
    `nu' = nu_hat (1 + mu² / (mu² + eps) b1^t)` (Adly 2024, equations 5 to 9). Takes the place of
    `correct_bias`.

    Raises:
        ValueError: eps is negative or not finite.
    """
    check_number("eps", eps, low=0, scheduled=False)

    def correct(moments: Moments) -> Moments:
        b1_t, b2_t = 1 - moments.mu_mass, 1 - moments.nu_mass

        def first(g: jax.Array, m: jax.Array, v: jax.Array) -> jax.Array:
            trust = 1 + _share(v, eps) * b2_t.astype(v.dtype)
            return (m + tame(g).astype(m.dtype)) / moments.mu_mass.astype(v.dtype) * trust

        def second(m: jax.Array, v: jax.Array) -> jax.Array:
            square = squared_magnitude(m)
            trust = 1 + _share(square, eps) * b1_t.astype(v.dtype)
            return v / moments.nu_mass.astype(v.dtype) * trust

        return moments._replace(
            mu=jax.tree.map(first, moments.grad, moments.mu, moments.nu),
            nu=jax.tree.map(second, moments.mu, moments.nu),
            mu_mass=None,
            nu_mass=None,
        )

    return MomentsToMoments.from_function(
        "cross_correct", correct, needs=("mu", "nu", "mu_mass", "nu_mass"), marks=("corrects",)
    )


def _share(x: jax.Array, eps: Scalar) -> jax.Array:
    """`x / (x + eps)`, and 0 where both are 0."""
    return ratio(x, x + eps)

"""gradient -> moments: the running averages of the gradient and of its square."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from adamlab._checks import check_number
from adamlab.stages._decay import DecayRate, check_decay, decay_at, mass_of
from adamlab.stages._kinds import GradientToMoments, Moments
from adamlab.stages._numerics import average_dtype, lerp, wide_dtype, widen


class TrackMomentsState(NamedTuple):
    """State of `track_moments`."""

    count: Any
    mu: Any
    nu: Any
    mu_log_decay: jax.Array | None
    """Sum of log b1 over the steps done; None unless b1 follows a schedule."""
    nu_log_decay: jax.Array | None
    """Sum of log b2 over the steps done; None unless b2 follows a schedule."""


def track_moments(
    b1: DecayRate | None = 0.9,
    b2: DecayRate | None = 0.999,
    *,
    mu_dtype: Any = None,
    initial_nu: float = 0.0,
) -> GradientToMoments:
    """Average the gradient and its square exponentially, both from zero.

    `mu += (1 - b1) (g - mu)` and `nu += (1 - b2) (g² - nu)`, with the masses `1 - b1^t` and
    `1 - b2^t` beside them (Kingma & Ba 2015, algorithm 1, lines 5 and 6). `nu` is kept in float32
    or wider: in bfloat16 it would stop moving at b2 = 0.999.

    Args:
        b1: decay rate of the first moment; None tracks none, and the direction is then the
            gradient's own.
        b2: decay rate of the second moment; None tracks none.
        mu_dtype: storage type of `mu`; None for the parameters' own.
        initial_nu: where `nu` starts. A value other than zero has no bias to correct.

    Raises:
        ValueError: b1 or b2 is outside [0, 1), `initial_nu` is negative, or both are None.
        TypeError: one of them is no number.
    """
    if b1 is None and b2 is None:
        raise ValueError("b1=None, b2=None: track_moments needs at least one of them to track")
    for name, rate in (("b1", b1), ("b2", b2)):
        if rate is not None:
            check_decay(name, rate)
    check_number("initial_nu", initial_nu, low=0, scheduled=False)

    def init(params: optax.Params) -> TrackMomentsState:
        def start_nu(p: jax.Array) -> jax.Array:
            return jnp.full_like(jnp.real(p), initial_nu, dtype=wide_dtype(jnp.real(p)))

        return TrackMomentsState(
            count=jnp.zeros([], jnp.int32),
            mu=None if b1 is None else optax.tree.zeros_like(params, dtype=mu_dtype),
            nu=None if b2 is None else jax.tree.map(start_nu, params),
            mu_log_decay=jnp.zeros([], average_dtype()) if callable(b1) else None,
            nu_log_decay=jnp.zeros([], average_dtype()) if callable(b2) else None,
        )

    def update(
        updates: optax.Updates, state: TrackMomentsState, params: Any = None, **extra_args: Any
    ) -> tuple[Moments, TrackMomentsState]:
        del params, extra_args
        count = optax.safe_increment(state.count)
        mu, mu_mass, mu_log = _average(b1, updates, state.mu, state.mu_log_decay, state.count)
        squares = jax.tree.map(_square, updates)
        nu, nu_mass, nu_log = _average(b2, squares, state.nu, state.nu_log_decay, state.count)
        stored = TrackMomentsState(
            count, _store(mu, state.mu), _store(nu, state.nu), mu_log, nu_log
        )
        return Moments(updates, mu, nu, mu_mass, nu_mass, count), stored

    return GradientToMoments(init, update)


def _average(
    rate: DecayRate | None, new: Any, old: Any, log_sum: jax.Array | None, steps_done: jax.Array
) -> tuple[Any, jax.Array | None, jax.Array | None]:
    """One step of an average: its value, its mass, and the sum of logs a schedule needs."""
    if rate is None:
        return None, None, None
    decay = decay_at(rate, steps_done)

    def fold(average: jax.Array, x: jax.Array) -> jax.Array:
        average, x = widen(average), widen(x)
        return lerp(average, x, jnp.asarray(decay.complement, x.dtype))

    averaged = jax.tree.map(fold, old, new)
    log_decay = jnp.asarray(decay.log, average_dtype())
    if log_sum is not None:
        log_sum = log_sum + log_decay
        return averaged, mass_of(log_sum), log_sum
    steps = optax.safe_increment(steps_done).astype(average_dtype())
    return averaged, mass_of(steps * log_decay), None


def _square(g: jax.Array) -> jax.Array:
    wide = widen(g)
    return jnp.real(wide * jnp.conj(wide))


def _store(average: Any, old: Any) -> Any:
    return jax.tree.map(lambda new, previous: new.astype(previous.dtype), average, old)

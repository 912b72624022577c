"""direction -> direction: parameters in bfloat16 or float16 that lose no small steps.

Each goes last, after the learning rate: it decides which parameters `optax.apply_updates` will
produce, and hands on the difference.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from adamlab.stages._kinds import DirectionAfterRate
from adamlab.stages.numerics import to_bfloat16, widen


class CompensatedState(NamedTuple):
    """State of `compensate_rounding`."""

    lost: Any


def compensate_rounding() -> DirectionAfterRate:
    """Kahan summation: what an update loses in rounding is added to the next one.

    `u + lost` is applied, and the part of it that rounding the parameters loses is kept (Kahan
    1965; Zamirai et al. 2020, algorithm 5), in the parameters' dtype.

    Raises:
        ValueError: `update` gets no parameters.
    """

    def init(params: Any) -> CompensatedState:
        return CompensatedState(optax.tree.zeros_like(params))

    def update(
        updates: Any, state: CompensatedState, params: Any, **_: Any
    ) -> tuple[Any, CompensatedState]:
        wanted = jax.tree.map(
            lambda u, lost, p: (widen(u) + widen(lost)).astype(p.dtype),
            updates, state.lost, params,
        )  # fmt: skip
        # Without the barrier the compiler might simplify the rounding away.
        reached = jax.lax.optimization_barrier(
            jax.tree.map(lambda p, u: (widen(p) + widen(u)).astype(p.dtype), params, wanted)
        )
        lost = jax.tree.map(
            lambda u, p, new: (widen(u) + (widen(p) - widen(new))).astype(p.dtype),
            wanted, params, reached,
        )  # fmt: skip
        return wanted, CompensatedState(lost)

    return DirectionAfterRate.from_update(
        "compensate_rounding", init, update, needs=("params",), marks=("rounds parameters",)
    )


class StochasticState(NamedTuple):
    """State of `round_stochastically`."""

    key: jax.Array
    """The key's data, uint32, which every kind of checkpoint accepts."""


def round_stochastically(key: jax.Array) -> DirectionAfterRate:
    """Round the new parameters up or down at random, so that they are right on average.

    For bfloat16: a random number is added to the bits that rounding removes before they are cut off
    (Gupta et al. 2015, section 2.1). The update is handed on in the parameters' dtype, which holds
    the change exactly where it is smaller than the parameters; updates of parameters of another
    dtype pass through.

    Args:
        key: the random key that the rounding of all steps comes from.

    Raises:
        ValueError: `update` gets no parameters.
        TypeError: `key` is not a random key.
    """
    if not hasattr(key, "dtype"):
        raise TypeError(f"key={key!r}: must be a random key, such as jax.random.key(0)")
    is_typed = jnp.issubdtype(key.dtype, jax.dtypes.prng_key)
    typed = key if is_typed else jax.random.wrap_key_data(key)

    def init(params: Any) -> StochasticState:
        del params
        return StochasticState(jax.random.key_data(jax.random.fold_in(typed, 0)))

    def leaf(u: jax.Array, p: jax.Array, own: jax.Array) -> jax.Array:
        if p.dtype != jnp.bfloat16:
            return u
        exact = (widen(p) + widen(u)).astype(jnp.float32)
        noise = jax.random.bits(own, p.shape, jnp.uint16).astype(jnp.uint32)
        change = to_bfloat16(exact, noise) - widen(p)
        return jnp.where(jnp.isfinite(exact), change, exact).astype(p.dtype)

    def update(
        updates: Any, state: StochasticState, params: Any, **_: Any
    ) -> tuple[Any, StochasticState]:
        own = jax.random.wrap_key_data(state.key, impl=jax.random.key_impl(typed))
        following, now = jax.random.split(own)
        leaves = len(jax.tree.leaves(updates))
        keys = jax.tree.unflatten(jax.tree.structure(updates), jax.random.split(now, (leaves,)))
        return jax.tree.map(leaf, updates, params, keys), StochasticState(
            jax.random.key_data(following)
        )

    return DirectionAfterRate.from_update(
        "round_stochastically", init, update, needs=("params",), marks=("rounds parameters",)
    )

"""The first and the second moment: the decay rate of each, its storage, its step."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from adamlab._checks import check_number
from adamlab.stages._average import Step, fold, step_at
from adamlab.stages._decay_rate import DecayRate, check_decay
from adamlab.stages._moments import Moments
from adamlab.stages.numerics import largest_tame, map_pairs, real_dtype, tame, widen
from adamlab.stages.second_moment import SecondMoment, Seen
from adamlab.stages.storage import (
    Storage,
    check_same_field,
    check_storage,
    keep,
    recall,
)


class MuTracker:
    """The first moment: its rate, its storage, its step."""

    def __init__(self, rate: DecayRate, storage: Storage, initial: float):
        """Check the arguments of `track_moments`."""
        check_decay("b1", rate)
        check_storage("mu_dtype", storage)
        check_number("initial_mu", initial, scheduled=False)
        self.rate, self.storage, self.initial = rate, storage, initial

    def start(self, params: Any) -> Any:
        """The state at the start."""
        check_same_field("mu_dtype", self.storage, params)
        mu = jax.tree.map(lambda p: jnp.full_like(p, self.initial), params)
        return keep(mu, self.storage, params, signed=True)

    def read(self, stored: Any, updates: Any) -> Any:
        """The state as arrays in float32 or wider."""
        return recall(stored, self.storage, updates, lambda: updates, signed=True)

    def step(self, moments: Moments, before: Any, log: Any) -> tuple[Moments, Any, Any]:
        """The moments with `mu`, the new state and the sum of logs."""
        now = step_at(self.rate, log, moments.steps_done)
        mu = fold(before, jax.tree.map(tame, moments.grad), now.weight)
        kept = keep(mu, self.storage, moments.grad, signed=True)
        return moments.with_mu(mu, now.mass), kept, now.log_decay


class NuTracker:
    """The second moment: its rule, its storage, its step."""

    def __init__(self, rule: SecondMoment, storage: Storage):
        """Check the arguments of `track_nu`."""
        check_storage("nu_dtype", storage, real=True)
        if rule.rate is not None:
            check_decay("b2", rule.rate)
        self.rule, self.storage = rule, storage

    def start(self, params: Any) -> Any:
        """The state at the start."""
        return keep(self._start_wide(params), self.storage, params, signed=self.rule.signed)

    def _start_wide(self, params: Any) -> Any:
        return jax.tree.map(widen, jax.tree.map(self.rule.init, params))

    def step(
        self, moments: Moments, before: Any, stored: Any, log: Any
    ) -> tuple[Moments, Any, Any]:
        """The moments with `nu`, the new state and the sum of logs."""
        steps_done = moments.steps_done
        now = Step(0.0, None, None, None)
        if self.rule.rate is not None:
            now = step_at(self.rule.rate, log, steps_done)
        wide = recall(
            stored, self.storage, moments.grad,
            lambda: jax.eval_shape(self._start_wide, moments.grad),
            signed=self.rule.signed,
        )  # fmt: skip

        def fold_leaf(g: jax.Array, m: Any, m_before: Any, old: Any) -> tuple[Any, jax.Array]:
            if float(jnp.finfo(g.dtype).max) < largest_tame(g):  # float16, cut off as it is for mu
                g = tame(g)
            g = widen(g)
            old = jax.tree.map(lambda v: v.astype(np.promote_types(v.dtype, real_dtype(g))), old)
            weight = jnp.asarray(now.weight, jnp.finfo(g.dtype).dtype)
            return self.rule.fold(old, Seen(g, m, m_before), weight)

        new, nu = map_pairs(fold_leaf, moments.grad, moments.mu, before, wide)
        kept = keep(new, self.storage, moments.grad, signed=self.rule.signed, count=moments.count)
        mass = now.mass
        if self.rule.previous:
            moments = _look_back(moments._replace(nu=nu), self.rule.first)
            nu, mass = moments.nu, now.previous_mass
            mass = None if mass is None else jnp.where(moments.count > 1, mass, 1)
        moments = moments.with_nu(nu, mass if self.rule.biased else None)
        return moments, kept, now.log_decay


def _look_back(moments: Moments, first: float | None) -> Moments:
    """The moments with the previous step's `nu`: on the first step `first`, or no step."""
    begun = moments.count > 1
    if first is not None:
        nu = jax.tree.map(lambda v: jnp.where(begun, v, jnp.asarray(first, v.dtype)), moments.nu)
        return moments._replace(nu=nu)
    # Nothing is known of the gradient's size yet: no step.
    grad, mu = (
        jax.tree.map(lambda x: jnp.where(begun, x, 0), part) for part in (moments.grad, moments.mu)
    )
    return moments._replace(grad=grad, mu=mu)

"""The first and the second moment: the decay rate of each, its start, its step."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from adamlab._checks import Scalar, check_number
from adamlab.stages._about import Mark
from adamlab.stages._average import Step, fold, start_log_decay, step_at
from adamlab.stages._decay_rate import DecayRate, check_decay
from adamlab.stages._forms import map_pairs, pack, pair_of, unpack
from adamlab.stages._moments import Moments, check_leaf
from adamlab.stages.numerics import largest_tame, real_dtype, scalar, tame, widen
from adamlab.stages.second_moment import SecondMoment, Seen


class MuTracker:
    """The first moment: its rate, its start, its step."""

    marks: tuple[Mark, ...] = ("tracks mu",)

    def __init__(self, rate: DecayRate, initial: Scalar = 0.0):
        """Check the arguments of `track_moments`."""
        check_decay("b1", rate)
        check_number("initial_mu", initial, scheduled=False)
        self.rate, self.initial = rate, initial
        self.decays = {"mu": rate}

    def start(self, params: Any) -> tuple[Any, jax.Array | None]:
        """The state at the start, and the sum of logs."""
        mu = jax.tree.map(lambda p: jnp.full_like(p, self.initial), params)
        return mu, start_log_decay(self.rate)

    def step(self, moments: Moments, before: Any, log: Any) -> tuple[Moments, Any]:
        """The moments with `mu`, which is the new state, and the sum of logs."""
        now = step_at(self.rate, log, moments.steps_done)
        mu = fold(before, jax.tree.map(tame, moments.grad), now.weight)
        return moments.with_mu(mu, now.mass), now.log_decay


class NuTracker:
    """The second moment: its rule, its start, its step."""

    def __init__(self, rule: SecondMoment):
        """Check the arguments of `track_nu`."""
        if rule.rate is not None:
            check_decay("b2", rule.rate)
        self.rule = rule
        self.decays = {"nu": rule.rate}
        self.marks: tuple[Mark, ...] = ("tracks nu", *rule.marks)

    def start(self, params: Any) -> tuple[Any, jax.Array | None]:
        """The state at the start, and the sum of logs."""
        nu = pack(jax.tree.map(widen, jax.tree.map(self.rule.init, params)), params)
        return nu, start_log_decay(self.rule.rate)

    def step(
        self, moments: Moments, mu_before: Any, kept: Any, log: Any
    ) -> tuple[Moments, Any, Any]:
        """The moments with `nu`, the new state and the sum of logs."""
        now = Step(0.0, None, lambda: None, None)
        if self.rule.rate is not None:
            now = step_at(self.rule.rate, log, moments.steps_done)
        name, wide = self.rule.name, jax.tree.map(widen, unpack(kept, moments.grad))

        def fold_leaf(g: jax.Array, m: Any, m_before: Any, old: Any) -> tuple[Any, jax.Array]:
            if float(jnp.finfo(g.dtype).max) < largest_tame(g):  # float16, cut off as it is for mu
                g = tame(g)
            g = widen(g)
            old = jax.tree.map(lambda v: v.astype(np.promote_types(v.dtype, real_dtype(g))), old)
            weight = scalar(now.weight, jnp.finfo(g.dtype).dtype)
            new, nu = pair_of(self.rule.fold(old, Seen(g, m, m_before), weight), f"{name}'s fold")
            if nu.ndim != g.ndim:  # other shapes may be the gradient's fault, which is told later
                check_leaf(name, "nu", g, nu)
            return new, nu

        new, nu = map_pairs(fold_leaf, moments.grad, moments.mu, mu_before, wide)
        mass = now.mass
        if self.rule.previous:
            moments = _look_back(moments._replace(nu=nu), self.rule.first)
            nu, mass = moments.nu, now.previous_mass()
            mass = None if mass is None else jnp.where(moments.count > 1, mass, 1)
        moments = moments.with_nu(nu, mass if self.rule.biased else None)
        return moments, pack(new, moments.grad), now.log_decay


def _look_back(moments: Moments, first: Scalar | None) -> Moments:
    """The moments with the previous step's `nu`: on the first step `first`, or no step."""
    begun = moments.count > 1
    if first is not None:
        nu = jax.tree.map(lambda v: jnp.where(begun, v, scalar(first, v.dtype)), moments.nu)
        return moments._replace(nu=nu)
    # Nothing is known of the gradient's size yet: no step.
    grad, mu = (
        jax.tree.map(lambda x: jnp.where(begun, x, 0), part) for part in (moments.grad, moments.mu)
    )
    return moments._replace(grad=grad, mu=mu)

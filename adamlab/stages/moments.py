"""gradient -> moments: the running averages of the gradient and of its square."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from adamlab._checks import check_number
from adamlab.stages._average import Step, fold, start_log_decay, step_at
from adamlab.stages._decay_rate import DecayRate, check_decay
from adamlab.stages._forms import gradient_like, same_form
from adamlab.stages._kinds import GradientToMoments, Moments, MomentsToMoments, label_of
from adamlab.stages.numerics import after, largest_tame, map_pairs, real_dtype, tame, widen
from adamlab.stages.second_moment import SecondMoment, Seen, second_moment_of
from adamlab.stages.storage import (
    Storage,
    check_same_field,
    check_storage,
    pack,
    restore,
    store,
    unpack,
)


class TrackMomentsState(NamedTuple):
    """State of `track_moments`."""

    count: Any
    mu: Any
    """A tree like the parameters; a `PerLeaf` where 8 bits keep more than an array for a leaf."""
    nu: Any
    """As `mu`; a `PerLeaf` as well where the second moment is kept in factors."""
    mu_log_decay: jax.Array | None
    """Sum of log b1 over the steps done; None unless b1 follows a schedule."""
    nu_log_decay: jax.Array | None
    """Sum of log b2 over the steps done; None unless b2 follows a schedule."""


def track_moments(
    b1: DecayRate | None = 0.9,
    b2: DecayRate | SecondMoment | None = 0.999,
    *,
    mu_dtype: Storage = None,
    nu_dtype: Storage = None,
    initial_mu: float = 0.0,
) -> GradientToMoments:
    """Average the gradient and its square exponentially.

    `mu += (1 - b1) (g - mu)` and `nu += (1 - b2) (g² - nu)` from zero, with the masses `1 - b1^t`
    and `1 - b2^t` beside them (Kingma & Ba 2015, algorithm 1, lines 5 and 6).

    Args:
        b1: decay rate of the first moment; None tracks none, and the direction is then the
            gradient's own.
        b2: decay rate of the second moment, or another second moment such as `yogi(0.999)`; None
            tracks none.
        mu_dtype: storage of `mu`: a dtype, complex where the parameters are, or `EightBit()`;
            None for the parameters' own.
        nu_dtype: storage of `nu`; None for float32 or wider. In bfloat16 it is rounded with a
            dither, since to the nearest it would stop moving at b2 = 0.999.
        initial_mu: where `mu` starts.

    Raises:
        ValueError: b1 or b2 is outside [0, 1), or both are None.
        TypeError: one of them is no number, or a storage is no storage; `init` finds parameters
            that are complex where `mu_dtype` is not, or the reverse.
    """
    if b1 is None and b2 is None:
        raise ValueError("b1=None, b2=None: track_moments needs at least one of them to track")
    first = None if b1 is None else MuTracker(b1, mu_dtype, initial_mu)
    second = None if b2 is None else NuTracker(second_moment_of(b2), nu_dtype)

    def init(params: optax.Params) -> TrackMomentsState:
        return TrackMomentsState(
            count=jnp.zeros([], jnp.int32),
            mu=None if first is None else first.start(params),
            nu=None if second is None else second.start(params),
            mu_log_decay=None if first is None else start_log_decay(first.rate),
            nu_log_decay=None if second is None else start_log_decay(second.rule.rate),
        )

    def update(
        updates: optax.Updates, state: TrackMomentsState, params: Any, **_: Any
    ) -> tuple[Moments, TrackMomentsState]:
        del params
        updates = _within_range(updates, state.mu, state.nu)
        moments = Moments(updates, None, None, None, None, optax.safe_increment(state.count))
        before: Any = None
        mu: Any = None
        nu: Any = None
        mu_log = nu_log = None
        if first is not None:
            before = first.read(state.mu, updates)
            moments, mu, mu_log = first.step(moments, before, state.mu_log_decay)
        if second is not None:
            moments, nu, nu_log = second.step(moments, before, state.nu, state.nu_log_decay)
            if second.rule.previous_mu and same_form(mu, nu):
                mu = jax.tree.map(after, mu, nu)
        return moments, TrackMomentsState(moments.count, mu, nu, mu_log, nu_log)

    label = label_of(None if second is None else second.rule, "squares")
    lagging = ("nu",) if second is not None and second.rule.previous else ()
    return GradientToMoments.from_update(
        "track_moments", init, update, lagging=lagging, label=label
    )


def _within_range(updates: Any, *averages: Any) -> Any:
    """Gradients wider than what their averages are kept in, cut off as all of these are.

    Were one average cut off alone, the other would make a step of any length.
    """

    def leaf(g: jax.Array, *kept: Any) -> jax.Array:
        dtypes = {x.dtype for x in jax.tree.leaves(kept) if jnp.issubdtype(x.dtype, jnp.inexact)}
        narrow = any(jnp.finfo(d).bits < min(jnp.finfo(g.dtype).bits, 64) for d in dtypes)
        return tame(g, *dtypes) if narrow else g

    return jax.tree.map(leaf, updates, *(unpack(a, updates) for a in averages if a is not None))


class TrackMuState(NamedTuple):
    """State of `track_mu`."""

    mu: Any
    mu_log_decay: jax.Array | None


def track_mu(b1: DecayRate = 0.9, *, mu_dtype: Storage = None) -> MomentsToMoments:
    """Average the gradient, as the stages before have left it, into `mu`.

    For variants whose first and second moment are fed with different gradients.

    Raises:
        ValueError: b1 is outside [0, 1).
    """
    first = MuTracker(b1, mu_dtype, 0.0)

    def init(params: Any) -> TrackMuState:
        return TrackMuState(first.start(gradient_like(params)), start_log_decay(b1))

    def update(moments: Moments, state: TrackMuState, **_: Any) -> tuple[Moments, TrackMuState]:
        before = first.read(state.mu, moments.grad)
        moments, mu, log = first.step(moments, before, state.mu_log_decay)
        return moments, TrackMuState(mu, log)

    return MomentsToMoments.from_update("track_mu", init, update)


class TrackNuState(NamedTuple):
    """State of `track_nu`."""

    nu: Any
    nu_log_decay: jax.Array | None


def track_nu(b2: DecayRate | SecondMoment = 0.999, *, nu_dtype: Storage = None) -> MomentsToMoments:
    """Average the square of the gradient, as the stages before have left it, into `nu`.

    For variants whose first and second moment are fed with different gradients.

    Raises:
        ValueError: b2 is outside [0, 1).
    """
    second = NuTracker(second_moment_of(b2), nu_dtype)

    def init(params: Any) -> TrackNuState:
        return TrackNuState(second.start(gradient_like(params)), start_log_decay(second.rule.rate))

    def update(moments: Moments, state: TrackNuState, **_: Any) -> tuple[Moments, TrackNuState]:
        before = state.nu_log_decay
        if before is not None:  # a window that fills hands on zeros, and counts from 1 after it
            before = jnp.where(moments.count > 1, before, 0)
        moments, nu, log = second.step(moments, None, state.nu, before)
        return moments, TrackNuState(nu, log)

    return MomentsToMoments.from_update(
        "track_nu", init, update, label=label_of(second.rule, "squares")
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
        return pack(store(mu, self.storage, signed=True), params)

    def read(self, stored: Any, updates: Any) -> Any:
        """The state as arrays in float32 or wider."""
        mu = restore(unpack(stored, updates), self.storage, lambda: updates, signed=True)
        return jax.tree.map(widen, mu)

    def step(self, moments: Moments, before: Any, log: Any) -> tuple[Moments, Any, Any]:
        """The moments with `mu`, the new state and the sum of logs."""
        now = step_at(self.rate, log, moments.count - 1)
        mu = fold(before, jax.tree.map(tame, moments.grad), now.weight)
        kept = pack(store(mu, self.storage, signed=True), moments.grad)
        return moments.with_mu(mu, now.mass), kept, now.log_decay


class NuTracker:
    """The second moment: its rule, its storage, its step."""

    def __init__(self, rule: SecondMoment, storage: Storage):
        """Check the arguments of `track_nu`."""
        check_storage("nu_dtype", storage, real=True)
        self.rule, self.storage = rule, storage

    def start(self, params: Any) -> Any:
        """The state at the start."""
        return pack(store(self._start_wide(params), self.storage, signed=self.rule.signed), params)

    def _start_wide(self, params: Any) -> Any:
        return jax.tree.map(widen, jax.tree.map(self.rule.init, params))

    def step(
        self, moments: Moments, before: Any, stored: Any, log: Any
    ) -> tuple[Moments, Any, Any]:
        """The moments with `nu`, the new state and the sum of logs."""
        steps_done = moments.count - 1
        now = Step(0.0, None, None, None)
        if self.rule.rate is not None:
            now = step_at(self.rule.rate, log, steps_done)
        read = restore(
            unpack(stored, moments.grad), self.storage,
            lambda: jax.eval_shape(self._start_wide, moments.grad),
            signed=self.rule.signed,
        )  # fmt: skip
        wide = jax.tree.map(widen, read)

        def fold_leaf(g: jax.Array, m: Any, m_before: Any, old: Any) -> tuple[Any, jax.Array]:
            if float(jnp.finfo(g.dtype).max) < largest_tame(g):  # float16: as mu has infinity
                g = tame(g)
            g = widen(g)
            old = jax.tree.map(lambda v: v.astype(np.promote_types(v.dtype, real_dtype(g))), old)
            weight = jnp.asarray(now.weight, jnp.finfo(g.dtype).dtype)
            return self.rule.fold(old, Seen(g, m, m_before), weight)

        new, nu = map_pairs(fold_leaf, moments.grad, moments.mu, before, wide)
        kept = store(new, self.storage, signed=self.rule.signed, count=moments.count)
        kept = pack(kept, moments.grad)
        mass = now.mass
        if self.rule.previous:
            moments = _look_back(moments._replace(nu=nu), self.rule.first)
            nu, mass = moments.nu, now.previous_mass
            mass = None if mass is None else jnp.where(moments.count > 1, mass, 1)
        moments = moments.with_nu(nu, mass if self.rule.biased else None)
        return moments, kept, now.log_decay


def _look_back(moments: Moments, first: float | None) -> Moments:
    """The moments with the second moment of the step before, on the first step with none."""
    begun = moments.count > 1
    if first is not None:
        nu = jax.tree.map(lambda v: jnp.where(begun, v, jnp.asarray(first, v.dtype)), moments.nu)
        return moments._replace(nu=nu)
    # Nothing is known of the gradient's size yet: no step.
    grad, mu = (
        jax.tree.map(lambda x: jnp.where(begun, x, 0), part) for part in (moments.grad, moments.mu)
    )
    return moments._replace(grad=grad, mu=mu)

"""moments -> moments: a second moment of the loss's curvature in place of the gradient."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from adamlab._checks import check_count
from adamlab.stages._about import label_of
from adamlab.stages._average import step_at
from adamlab.stages._decay_rate import DecayRate
from adamlab.stages._forms import gradient_like
from adamlab.stages._kinds import MomentsToMoments
from adamlab.stages._moments import Moments
from adamlab.stages._trackers import NuTracker
from adamlab.stages.numerics import tame
from adamlab.stages.second_moment import SecondMoment, keeps_nu, second_moment_of


class TrackCurvatureState(NamedTuple):
    """State of `track_curvature`."""

    nu: Any
    nu_log_decay: jax.Array | None


def track_curvature(
    b2: DecayRate | SecondMoment = 0.999, *, of: str = "hessian_diag", every: int = 1
) -> MomentsToMoments:
    """Average the square of an extra argument of `update` into `nu`: of the Hessian's diagonal.

    AdaHessian (Yao et al. 2021, algorithm 1) and, by `means(b2)`, Sophia (Liu et al. 2023,
    algorithm 3). The caller estimates the diagonal, for instance with `analysis.hessian_diagonal`;
    `train` and the maps do so by themselves.

    Args:
        b2: decay rate, or another second moment.
        of: the name of the argument, a tree like the parameters.
        every: it is averaged on the first of every so many steps and ignored on the others; a
            schedule of b2 then counts the steps averaged.

    Raises:
        ValueError: b2 is outside [0, 1), `every` is not a whole number >= 1, there is a second
            moment already, or `update` gets no argument called `of`.
    """
    second = NuTracker(second_moment_of(b2))
    rule = second.rule
    check_count("every", every)
    if every > 1 and not keeps_nu(rule):
        raise ValueError(f"every={every}: must be 1 where the second moment keeps no nu of its own")
    if rule.previous and rule.first is None:
        raise ValueError("track_curvature(previous(...)): give previous() a value for first")

    def init(params: Any) -> TrackCurvatureState:
        return TrackCurvatureState(*second.start(gradient_like(params)))

    def update(
        moments: Moments, state: TrackCurvatureState, **given: Any
    ) -> tuple[Moments, TrackCurvatureState]:
        readings = moments.steps_done // every + 1
        fed = Moments(jax.tree.map(tame, given[of]), readings)
        fed, kept, log = second.step(fed, None, state.nu, state.nu_log_decay)
        new, nu, mass = TrackCurvatureState(kept, log), fed.nu, fed.nu_mass
        if every > 1:
            before = None
            if mass is not None and rule.rate is not None:
                before = step_at(rule.rate, state.nu_log_decay, readings).previous_mass()
            due = moments.steps_done % every == 0
            new, nu, mass = jax.tree.map(
                lambda n, old: jnp.where(due, n, old.astype(n.dtype)),
                (new, nu, mass), (state, state.nu, before),
            )  # fmt: skip
        return moments.with_nu(nu, mass), new

    return MomentsToMoments.from_update(
        "track_curvature",
        init,
        update,
        label=label_of(rule, "squares"),
        extra_args=(of,),
        marks=(*second.marks, "other input"),
    )

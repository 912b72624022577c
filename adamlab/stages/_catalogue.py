"""What stages there are, by what they take and give."""

from __future__ import annotations

import inspect
import typing

import optax

from adamlab.stages._kinds import (
    DirectionAfterRate,
    DirectionBeforeRate,
    DirectionTimesRate,
    DirectionToDirection,
    GradientToDirection,
    GradientToGradient,
    GradientToMoments,
    MomentsToDirection,
    MomentsToMoments,
)
from adamlab.stages.denominator import Denominator
from adamlab.stages.second_moment import SecondMoment

_DOORS: dict[type, str] = {
    GradientToGradient: "gradient -> gradient",
    GradientToMoments: "gradient -> moments",
    MomentsToMoments: "moments -> moments",
    MomentsToDirection: "moments -> direction",
    DirectionToDirection: "direction -> direction",
    DirectionBeforeRate: "direction -> direction (before the learning rate)",
    DirectionTimesRate: "direction -> update (the learning rate)",
    DirectionAfterRate: "update -> update (after the learning rate)",
    GradientToDirection: "gradient -> direction (all of an optimizer, or around other stages)",
    optax.GradientTransformationExtraArgs: "around stages or a whole optimizer",
    SecondMoment: "second moments, for track_moments' b2",
    Denominator: "denominators, for the eps of precondition and to_rate",
}


def vocabulary() -> dict[str, list[str]]:
    """The names of the stages and of their parts, grouped by what they take and give."""
    from adamlab import stages

    found: dict[str, list[str]] = {door: [] for door in _DOORS.values()}
    for name in stages.__all__:
        build = getattr(stages, name)
        if not inspect.isfunction(build):
            continue
        returned = typing.get_type_hints(build)["return"]
        if returned in _DOORS:
            found[_DOORS[returned]].append(name)
    return found

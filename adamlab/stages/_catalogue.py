"""What stages there are, by their doors."""

from __future__ import annotations

import inspect

_DOORS = {
    "GradientToGradient": "gradient -> gradient",
    "GradientToMoments": "gradient -> moments",
    "MomentsToMoments": "moments -> moments",
    "MomentsToDirection": "moments -> direction",
    "DirectionToDirection": "direction -> direction",
    "GradientToDirection": "gradient -> direction: whole, or around other stages",
    "SecondMoment": "second moments, in the place of track_moments' b2",
    "Denominator": "denominators, in the place of precondition's and to_rate's eps",
}


def vocabulary() -> dict[str, list[str]]:
    """The names of the stages, and of what they are built with, under the doors they go by."""
    from adamlab import stages

    found: dict[str, list[str]] = {door: [] for door in _DOORS.values()}
    for name in stages.__all__:
        build = getattr(stages, name)
        returned = inspect.signature(build).return_annotation if inspect.isfunction(build) else None
        if returned in _DOORS:
            found[_DOORS[returned]].append(name)
    return found

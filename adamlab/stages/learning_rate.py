"""direction -> update: the learning rate."""

from __future__ import annotations

import optax

from adamlab._checks import ScalarOrSchedule, check_flags, check_number
from adamlab.stages._kinds import Descent, DirectionTimesRate
from adamlab.stages.numerics import checked_schedule


def scale_by_learning_rate(
    learning_rate: ScalarOrSchedule, *, flip_sign: bool = True
) -> DirectionTimesRate:
    """Multiply the direction by minus the learning rate (`optax.scale_by_learning_rate`).

    Args:
        learning_rate: a finite number >= 0, or a schedule of the number of steps done.
        flip_sign: False keeps the sign, for an ascent.

    Raises:
        ValueError: `learning_rate` is negative or not finite.
        TypeError: `flip_sign` is not True or False.
    """
    check_number("learning_rate", learning_rate, low=0)
    check_flags(flip_sign=flip_sign)
    kind = Descent if flip_sign else DirectionTimesRate
    return kind.from_optax(
        "scale_by_learning_rate",
        optax.scale_by_learning_rate(checked_schedule(learning_rate), flip_sign=flip_sign),
    )

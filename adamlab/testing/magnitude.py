"""The law about magnitudes: gradients drawn over the whole range of a dtype."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from adamlab.testing._compare import finite
from adamlab.testing._draw import for_courses
from adamlab.testing._law import law
from adamlab.testing._subject import Subject
from adamlab.testing._trees import example_params

_HUGE, _UNIT, _TINY, _ZERO = (1, 1.0), (1, 0.54), (1, 0.0), (0, 0.0)
_COURSES = [
    [[_HUGE] * 3] * 3,
    [[_HUGE] * 3, [(-1, 1.0)] * 3, [_HUGE] * 3],
    [[_HUGE, _TINY, _TINY]] * 3,
    [[_HUGE] * 3, [_TINY] * 3, [_TINY] * 3],
    [[_TINY] * 3, [_TINY] * 3, [_HUGE] * 3],
    [[_TINY] * 3, [_ZERO] * 3, [_UNIT] * 3],
]


@law
def any_magnitude(subject: Subject) -> None:
    """Finite gradients of any magnitude that the dtype holds, subnormal to largest, in any order,
    give finite updates and leave a finite state, in float32, bfloat16 and float16. Further ones are
    drawn by Hypothesis where it is installed.
    """

    def hold(dtype: Any) -> None:
        # One fresh state for all courses: to make it costs as much as a step.
        params = example_params(dtype)["w"]
        state = subject.tx.init(params)

        def stays_finite(gradients: list[jax.Array]) -> None:
            run = subject.run(subject.tx, params, gradients, state=state, moving=False)
            finite(f"in {params.dtype.name}, updates", run.updates)
            # Once infinite it would stay so: the weight would never be trained again.
            finite(f"in {params.dtype.name}, the state", run.state)

        info = jnp.finfo(dtype)
        ends = float(info.smallest_subnormal), float(info.max)
        for_courses(stays_finite, dtype, *ends, always=_COURSES)

    for dtype in (jnp.float32, jnp.bfloat16, jnp.float16):
        hold(dtype)

"""The law about magnitudes: gradients drawn over the whole range of a dtype."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from adamlab.testing._compare import finite
from adamlab.testing._law import Broken, NotApplicable, law
from adamlab.testing._subject import Subject
from adamlab.testing._trees import example_params

# An element is a sign and a place between the dtype's smallest subnormal, 0, and its largest, 1,
# on a logarithmic scale; a course is three steps of three elements.
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
    give finite updates and leave a finite state, in float32, bfloat16 and float16. Some are drawn
    by Hypothesis.
    """
    try:
        import hypothesis
        from hypothesis import strategies as st
    except ImportError:
        raise NotApplicable("it draws magnitudes with Hypothesis, which is not installed") from None

    elements = st.tuples(st.sampled_from([1, -1, 0]), st.integers(0, 32).map(lambda n: n / 32))
    courses = st.lists(st.lists(elements, min_size=3, max_size=3), min_size=3, max_size=3)
    settings = hypothesis.settings(
        max_examples=4,
        deadline=None,
        derandomize=True,
        database=None,
        # No shrinking: it takes seconds, and a course is short enough to read.
        phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
        report_multiple_bugs=False,
    )

    def hold(dtype: Any) -> None:
        # One fresh state for all courses: to make it costs as much as a step.
        params = example_params(dtype)["w"]
        state = subject.tx.init(params)

        @settings
        @hypothesis.given(courses)
        def drawn(course: Any) -> None:
            _stays_finite(subject, course, params, state)

        for course in _COURSES:
            _stays_finite(subject, course, params, state)
        drawn()

    for dtype in (jnp.float32, jnp.bfloat16, jnp.float16):
        hold(dtype)


def _stays_finite(subject: Subject, course: Any, params: jax.Array, state: Any) -> None:
    info = jnp.finfo(params.dtype)
    low, high = (np.log2(float(x)) for x in (info.smallest_subnormal, info.max))
    table = [[sign * 2.0 ** (low + place * (high - low)) for sign, place in row] for row in course]
    table = np.clip(table, float(info.min), float(info.max))
    # Each row is spread over a matrix, so that what is made for matrices is held to it as well.
    matrices = np.broadcast_to(table[:, None, :], (len(table), 4, 3))
    gradients = list(jnp.asarray(matrices, jnp.float32).astype(params.dtype))
    run = subject.run(subject.tx, params, gradients, state=state, moving=False)
    try:
        finite(f"in {params.dtype.name}, updates", run.updates)
        # What is infinite once would stay so: the weight is never trained again.
        finite(f"in {params.dtype.name}, the state", run.state)
    except Broken as broken:
        rows = "; ".join(" ".join(f"{g:.3g}" for g in row) for row in table)
        raise Broken(f"{broken}, after gradients {rows}") from None

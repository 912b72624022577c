"""Gradients drawn by Hypothesis: what a law tries in addition to its fixed examples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from adamlab.testing._law import Broken

Course: TypeAlias = Sequence[Sequence[tuple[int, float]]]
"""Three steps of three elements. An element is a sign and a place on a logarithmic scale from the
smallest magnitude, 0, to the largest, 1."""


def for_courses(
    hold: Callable[[list[jax.Array]], None],
    dtype: Any,
    smallest: float,
    largest: float,
    always: Sequence[Course] = (),
) -> None:
    """Call `hold` with the gradients of each course: those of `always`, and more that Hypothesis
    draws, the same in every run. Without Hypothesis there are no more.

    Args:
        hold: takes three gradients of shape (4, 3), each row of which is the same.
        dtype: of the gradients.
        smallest: the magnitude at place 0.
        largest: the magnitude at place 1.
        always: what to try first.

    Raises:
        Broken: `hold` does; the gradients are added to the message.
    """
    low, high = np.log2(smallest), np.log2(largest)

    def try_one(course: Course) -> None:
        table = [[s * 2.0 ** (low + place * (high - low)) for s, place in row] for row in course]
        table = np.clip(table, -largest, largest)
        # A matrix, so that code for matrices is tested as well.
        matrices = np.broadcast_to(table[:, None, :], (len(table), 4, 3))
        try:
            hold(list(jnp.asarray(matrices, jnp.float32).astype(dtype)))
        except Broken as broken:
            rows = "; ".join(" ".join(f"{g:.3g}" for g in row) for row in table)
            raise Broken(f"{broken}, for gradients {rows}") from None

    for course in always:
        try_one(course)
    try:
        import hypothesis
        from hypothesis import strategies as st
    except ImportError:
        return
    elements = st.tuples(st.sampled_from([1, -1, 0]), st.integers(0, 32).map(lambda n: n / 32))
    courses = st.lists(st.lists(elements, min_size=3, max_size=3), min_size=3, max_size=3)
    settings = hypothesis.settings(
        max_examples=4,
        deadline=None,
        derandomize=True,
        database=None,
        # No shrinking: it takes seconds, and a course is short enough to read.
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
        report_multiple_bugs=False,
    )
    settings(hypothesis.given(courses)(try_one))()

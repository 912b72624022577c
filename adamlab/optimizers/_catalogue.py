"""What optimizers there are, and what they are chained from."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np

from adamlab._checks import check_choice
from adamlab.stages import parts_of

# What an optimizer needs to be built for a look at its stages.
_EXAMPLES: dict[str, Any] = {
    "learning_rate": 1e-3,
    "normalized": True,
    "peak": 1e-3,
}


def names() -> list[str]:
    """The names of the optimizers: what takes a learning rate."""
    from adamlab import optimizers

    return [n for n in optimizers.__all__ if _is_named_optimizer(getattr(optimizers, n))]


def stages_of(name: str) -> tuple[str, ...]:
    """The stages of a named optimizer, in order, as its defaults have it.

    Raises:
        ValueError: there is no such optimizer.
    """
    from adamlab import optimizers

    check_choice("name", name, names())
    build = getattr(optimizers, name)
    parameters = inspect.signature(build).parameters
    given = {n: value for n, value in _EXAMPLES.items() if n in parameters}
    if "key" in parameters:
        given["key"] = np.zeros(2, np.uint32)
    return parts_of(build(**given))


def _is_named_optimizer(build: Any) -> bool:
    return inspect.isfunction(build) and "learning_rate" in inspect.signature(build).parameters

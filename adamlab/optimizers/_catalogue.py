"""The named optimizers, and the stages they are chained from."""

from __future__ import annotations

import inspect
import re
from typing import Any

import numpy as np
import optax

from adamlab._checks import check_choice
from adamlab.stages import parts_of


def names() -> list[str]:
    """The names of the optimizers: every function that takes a learning rate."""
    from adamlab import optimizers

    return [n for n in optimizers.__all__ if _is_named_optimizer(getattr(optimizers, n))]


def example(name: str, rate: float = 1e-3) -> optax.GradientTransformation:
    """The optimizer called `name`, with its defaults and stand-ins for arguments without one.

    Args:
        name: one of `names()`.
        rate: the learning rate, or what the optimizer takes in its place.

    Raises:
        ValueError: there is no such optimizer.
    """
    from adamlab import optimizers

    check_choice("name", name, names())
    build = getattr(optimizers, name)
    # A raw key, which does not start JAX.
    given = {"learning_rate": rate, "peak": rate, "normalized": True, "key": np.zeros(2, np.uint32)}
    parameters = inspect.signature(build).parameters
    built: optax.GradientTransformation = build(
        **{n: value for n, value in given.items() if n in parameters}
    )
    return built


def stages_of(name: str) -> tuple[str, ...]:
    """The stages of a named optimizer with its defaults, in order.

    Raises:
        ValueError: there is no such optimizer.
    """
    return parts_of(example(name))


def used_in() -> dict[str, list[str]]:
    """For each stage, or part of one, the optimizers that contain it by default.

    The parts that stages have unless told otherwise, `squares` and `root`, are not listed.
    """
    found: dict[str, list[str]] = {}
    for name in names():
        for part in dict.fromkeys(re.findall(r"\w+", " ".join(stages_of(name)))):
            found.setdefault(part, []).append(name)
    return found


def _is_named_optimizer(build: Any) -> bool:
    return inspect.isfunction(build) and "learning_rate" in inspect.signature(build).parameters

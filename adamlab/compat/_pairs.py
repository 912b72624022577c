"""Two values in one argument, as PyTorch takes its decay rates."""

from __future__ import annotations

from typing import Any

from adamlab.stages import DecayRate

Betas = tuple[DecayRate, DecayRate]


def pair(name: str, value: Any) -> tuple[Any, Any]:
    """`value`, refused where it is not a pair."""
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise TypeError(f"{name}={value!r}: must be two values, as a tuple")
    return value[0], value[1]


def rates(name: str, value: Any) -> tuple[Any, Any]:
    """`value`, refused where it is not a pair of decay rates."""
    both = pair(name, value)
    for place, one in enumerate(both):
        if one is None:
            raise TypeError(f"{name}[{place}]=None: must be a number in [0, 1)")
    return both

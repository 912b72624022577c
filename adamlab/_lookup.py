"""Error messages for unknown names: where it is, the nearest, or ours for another library's."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Sequence
from typing import Any

from adamlab._checks import nearest


def lookup(package: str, known: Sequence[str], rooms: Sequence[str] = ()) -> Callable[[str], Any]:
    """The `__getattr__` of a package.

    Args:
        package: its name.
        known: its public names.
        rooms: its subpackages, imported on first access; the error for a name that one of them has
            says where it is.
    """

    def find(name: str) -> Any:
        if name in rooms:
            return importlib.import_module(f"{package}.{name}")
        if name.startswith("_"):  # Python's own lookups
            raise AttributeError(f"{package} has no {name!r}")
        for room in rooms:
            if name in importlib.import_module(f"{package}.{room}").__all__:
                raise AttributeError(f"{package} has no {name!r}: it is {package}.{room}.{name}")
        raise AttributeError(f"{package} has no {name!r}: {nearest(name, known)}")

    return find


def underlying(function: Any) -> Any:
    """The function behind `functools.partial`s."""
    while isinstance(function, functools.partial):
        function = function.func
    return function


_ELSEWHERE = {
    "lr": ("learning_rate",),
    "betas": ("b1", "b2"),
    "epsilon": ("eps",),
    "initial_accumulator": ("initial_accumulator_value",),
    **{f"beta{joint}{n}": (f"b{n}",) for joint in ("", "_") for n in (1, 2, 3)},
}
"""Other libraries' names for an optimizer's arguments, and ours."""


_STORAGE = ("mu_dtype", "nu_dtype", "accumulator_dtype", "state_dtype")


def what_instead(name: str, known: Sequence[str]) -> str:
    """The end of a message about an argument `name` that is not among `known`."""
    if name in _STORAGE:
        return "stages.store_state(optimizer, mu=jnp.bfloat16) stores a part of its state so"
    ours = _ELSEWHERE.get(name, ())
    if not ours or not set(ours) <= set(known):
        return nearest(name, known)
    return (
        f"here it is {' and '.join(ours)}; adamlab.compat takes other libraries' arguments (known: "
        f"{', '.join(known)})"
    )

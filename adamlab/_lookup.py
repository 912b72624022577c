"""What a package says of a name that it lacks, and a function of an argument that it lacks."""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, TypeVar

from adamlab._checks import nearest

P = ParamSpec("P")
R = TypeVar("R")


def lookup(package: str, known: Sequence[str], rooms: Sequence[str] = ()) -> Callable[[str], Any]:
    """The `__getattr__` of a package.

    Args:
        package: its name.
        known: its public names.
        rooms: its packages, which are imported when they are asked for; a name that one of them
            has is said to be there.
    """

    def find(name: str) -> Any:
        if name in rooms:
            return importlib.import_module(f"{package}.{name}")
        if name.startswith("_"):  # Python's own questions
            raise AttributeError(f"{package} has no {name!r}")
        for room in rooms:
            if name in importlib.import_module(f"{package}.{room}").__all__:
                raise AttributeError(f"{package} has no {name!r}: it is {package}.{room}.{name}")
        raise AttributeError(f"{package} has no {name!r}: {nearest(name, known)}")

    return find


_ELSEWHERE = {
    "lr": ("learning_rate",),
    "betas": ("b1", "b2"),
    "epsilon": ("eps",),
    "initial_accumulator": ("initial_accumulator_value",),
    **{f"beta{joint}{n}": (f"b{n}",) for joint in ("", "_") for n in (1, 2, 3)},
}
"""What other libraries call the arguments that an optimizer takes here."""


def takes_options(build: Callable[P, R]) -> Callable[P, R]:
    """`build`, which says of an argument that it does not take what it takes instead.

    So too of None for a decay rate, unless the annotation has it. Its signature stays as it is.
    """
    parameters = inspect.signature(build).parameters
    known = list(parameters)
    rates = {name for name, one in parameters.items() if one.annotation == "DecayRate"}

    @functools.wraps(build)
    def refusing(*args: P.args, **kwargs: P.kwargs) -> R:
        for name, value in kwargs.items():
            if name not in known:
                hint = what_instead(name, known)
                raise TypeError(f"{name}={value!r}: {build.__name__} has no such argument; {hint}")
        for name, value in [*zip(known, args, strict=False), *kwargs.items()]:
            if value is None and name in rates:
                raise TypeError(
                    f"{name}=None: must be a number in [0, 1); what tracks one moment alone is "
                    "another chain, from track_moments on"
                )
        return build(*args, **kwargs)

    return refusing


def what_instead(name: str, known: Sequence[str]) -> str:
    """The end of a message about an argument `name` that is not among `known`."""
    ours = _ELSEWHERE.get(name, ())
    if not ours or not set(ours) <= set(known):
        return nearest(name, known)
    return (
        f"here it is {' and '.join(ours)}; adamlab.compat takes other libraries' arguments (known: "
        f"{', '.join(known)})"
    )

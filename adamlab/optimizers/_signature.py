"""What a factory's annotations say about its arguments, and errors for those it does not take."""

from __future__ import annotations

import collections.abc
import functools
import inspect
import typing
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from adamlab._lookup import underlying, what_instead
from adamlab.stages import OneMinus

P = ParamSpec("P")
R = TypeVar("R")


def hints_of(factory: Callable[..., Any]) -> dict[str, Any]:
    """The types of its arguments; none where its annotations cannot be read."""
    try:
        return typing.get_type_hints(underlying(factory))
    except (NameError, AttributeError, TypeError):
        return {}


def is_decay_rate(hint: Any) -> bool:
    """Whether the type is `DecayRate` or `ConstantDecay`, or one of them or None."""
    return OneMinus in typing.get_args(hint)


def takes_schedules(hint: Any) -> bool:
    """Whether the type is a number or a function: a `ScalarOrSchedule`, Optax's, a `DecayRate`."""
    return _takes_functions(hint) and float in typing.get_args(hint)


def takes_other_functions(hint: Any) -> bool:
    """Whether the type allows functions that are no schedules, such as a `Mask`."""
    return _takes_functions(hint) and not takes_schedules(hint)


def _takes_functions(hint: Any) -> bool:
    kinds = (hint, *typing.get_args(hint))
    return any(typing.get_origin(kind) is collections.abc.Callable for kind in kinds)


def takes_options(build: Callable[P, R]) -> Callable[P, R]:
    """`build`, which refuses an unknown argument with the name of the one that it takes instead.

    None for a decay rate is refused as well, unless the annotation has it. Its signature stays as
    it is.
    """
    known = list(inspect.signature(build).parameters)

    @functools.wraps(build)
    def refusing(*args: P.args, **kwargs: P.kwargs) -> R:
        for name, value in kwargs.items():
            if name not in known:
                ours = what_instead(name, known)
                raise TypeError(f"{name}={value!r}: {build.__name__} has no such argument; {ours}")
        for name, value in [*zip(known, args, strict=False), *kwargs.items()]:
            if value is not None:
                continue
            hint = hints_of(build).get(name)
            if is_decay_rate(hint) and type(None) not in typing.get_args(hint):
                raise TypeError(
                    f"{name}=None: must be a number in [0, 1); to track one moment alone, build a "
                    "chain from track_moments"
                )
        return build(*args, **kwargs)

    return refusing

"""What a sweep's function is called with: each axis has its argument, each argument its value."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from adamlab._checks import nearest, signature_of
from adamlab._lookup import underlying
from adamlab.sweeps.axes import SEED


def check_arguments(fn: Callable[..., Any], axes: Iterable[str]) -> None:
    """Refuse axes that `fn` has no arguments for, and an `fn` that needs others.

    Raises:
        TypeError: `fn` is not a function.
        ValueError: an axis or an argument does not fit.
    """
    if not callable(fn):
        raise TypeError(f"fn={fn!r}: must be a function")
    if "key" in axes:
        raise ValueError("axis 'key': random keys are made from whole numbers; call it 'seed'")
    signature = signature_of(fn)
    if signature is None:
        return
    parameters = signature.parameters.values()
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return
    names = {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    for axis in axes:
        argument = "key" if axis == SEED else axis
        if argument not in names:
            raise ValueError(
                f"axis {axis!r}: the function {name_of(fn)} has no argument {argument!r}; "
                f"{nearest(argument, names)}"
            )
    bound = {"key" if axis == SEED else axis for axis in axes}
    for p in parameters:
        if p.name in names - bound and p.default is p.empty:
            raise ValueError(
                f"argument {p.name!r}: the function {name_of(fn)} needs it; give it an axis"
                + (" named 'seed'" if p.name == "key" else "")
            )


def name_of(fn: Callable[..., Any]) -> str:
    """The name of a function, as a store keeps it."""
    inner = underlying(fn)
    return str(getattr(inner, "__qualname__", type(inner).__qualname__))

"""What a function is, as text that is the same in every process until its code changes."""

from __future__ import annotations

import hashlib
import types
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import fields, is_dataclass
from functools import partial
from typing import Any

import jax
import numpy as np


def identity(thing: Any) -> str:
    """A function's name with a digest of what it computes by; values as they are.

    Two functions of one name that compute something else, such as schedules of different rates
    or one that was edited, differ here. What counts is a function's code, what it has bound (by
    `partial`, in a closure, as a method's object), and the functions and plain values of its own
    module that it names; of other modules only the names.
    """
    return _identity(thing, {})


def _identity(thing: Any, known: dict[int, str]) -> str:
    """`known` holds the functions and objects met so far, by their addresses."""
    if isinstance(thing, partial):
        bound = [_identity(value, known) for value in thing.args]
        bound += [f"{k}={_identity(v, known)}" for k, v in sorted(thing.keywords.items())]
        return f"{_identity(thing.func, known)}({', '.join(bound)})"
    if isinstance(thing, types.FunctionType):
        return _once(thing, known, _of_function)
    if isinstance(thing, types.MethodType):
        return f"{_identity(thing.__self__, known)}.{_identity(thing.__func__, known)}"
    if callable(thing) and hasattr(thing, "__wrapped__"):  # such as by jit
        return f"{type(thing).__name__} {_identity(thing.__wrapped__, known)}"
    if is_dataclass(thing) and not isinstance(thing, type):
        values = {f.name: getattr(thing, f.name) for f in fields(thing)}
        return f"{type(thing).__qualname__}{_identity(values, known)}"
    if isinstance(thing, np.generic):
        return repr(thing.item())
    if isinstance(thing, np.ndarray | jax.Array):
        array = np.asarray(thing)
        return f"{array.dtype}{array.shape}#{_digest([array.tobytes().hex()])}"
    if isinstance(thing, Mapping):
        items = sorted((str(k), _identity(v, known)) for k, v in thing.items())
        return "{" + ", ".join(f"{name}: {value}" for name, value in items) + "}"
    if isinstance(thing, tuple | list):
        return "(" + ", ".join(_identity(value, known) for value in thing) + ")"
    if isinstance(thing, set | frozenset):
        return "{" + ", ".join(sorted(_identity(value, known) for value in thing)) + "}"
    if isinstance(thing, type | types.BuiltinFunctionType | types.ModuleType):
        return f"{getattr(thing, '__module__', '')}.{getattr(thing, '__qualname__', thing)}"
    if (text := repr(thing)).count(" at 0x") == 0:
        return text
    return _once(thing, known, _of_object)


def _once(thing: Any, known: dict[int, str], tell: Callable[[Any, dict[int, str]], str]) -> str:
    if id(thing) not in known:
        known[id(thing)] = "itself"  # where it calls or holds itself
        known[id(thing)] = tell(thing, known)
    return known[id(thing)]


def _of_function(function: types.FunctionType, known: dict[int, str]) -> str:
    parts = [_code(function.__code__, known)]
    parts += [_identity(value, known) for value in _bound(function)]
    return f"{function.__module__}.{function.__qualname__}#{_digest(parts)}"


def _of_object(thing: Any, known: dict[int, str]) -> str:
    return f"{type(thing).__qualname__}{_identity(getattr(thing, '__dict__', {}), known)}"


def _bound(function: types.FunctionType) -> Iterator[Any]:
    """What a function computes by beside its code."""
    yield function.__defaults__, function.__kwdefaults__
    for cell in function.__closure__ or ():
        with suppress(ValueError):  # not filled yet
            yield cell.cell_contents
    for name in sorted(_names(function.__code__) & function.__globals__.keys()):
        value = function.__globals__[name]
        plain = isinstance(value, bool | int | float | complex | str | tuple | np.ndarray)
        if plain or getattr(value, "__module__", None) == function.__module__:
            yield name, value


def _names(code: types.CodeType) -> set[str]:
    inner = (_names(c) for c in code.co_consts if isinstance(c, types.CodeType))
    return set(code.co_names).union(*inner)


def _code(code: types.CodeType, known: dict[int, str]) -> str:
    arguments = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    inner = [
        _code(c, known) if isinstance(c, types.CodeType) else _identity(c, known)
        for c in code.co_consts
    ]
    return _digest([code.co_code.hex(), *arguments, *code.co_names, *inner])


def _digest(parts: list[str]) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:8]

"""What a function is, as text that is the same in every process until its code changes."""

from __future__ import annotations

import hashlib
import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import partial
from typing import Any

import jax
import numpy as np


def identity(thing: Any) -> str:
    """A function's name with a digest of its code and of what it has bound; values as they are.

    Two functions of one name that compute something else, such as schedules of different rates
    or one that was edited, differ here.
    """
    if isinstance(thing, partial):
        bound = [identity(value) for value in thing.args]
        bound += [f"{name}={identity(value)}" for name, value in sorted(thing.keywords.items())]
        return f"{identity(thing.func)}({', '.join(bound)})"
    if isinstance(thing, types.FunctionType):
        cells = [cell.cell_contents for cell in thing.__closure__ or ()]
        defaults = (thing.__defaults__, thing.__kwdefaults__)
        parts = [_code(thing.__code__), *map(identity, cells), identity(defaults)]
        return f"{thing.__module__}.{thing.__qualname__}#{_digest(parts)}"
    if is_dataclass(thing) and not isinstance(thing, type):
        values = {f.name: getattr(thing, f.name) for f in fields(thing)}
        return f"{type(thing).__qualname__}{identity(values)}"
    if isinstance(thing, np.ndarray | np.generic | jax.Array):
        array = np.asarray(thing)
        return f"{array.dtype}{array.shape}#{_digest([array.tobytes().hex()])}"
    if isinstance(thing, Mapping):
        return "{" + ", ".join(f"{k}: {identity(v)}" for k, v in sorted(thing.items())) + "}"
    if isinstance(thing, tuple | list):
        return "(" + ", ".join(map(identity, thing)) + ")"
    if isinstance(thing, set | frozenset):
        return "{" + ", ".join(sorted(map(identity, thing))) + "}"
    if callable(thing) and hasattr(thing, "__qualname__"):
        return f"{thing.__module__}.{thing.__qualname__}"
    text = repr(thing)
    return type(thing).__qualname__ if " at 0x" in text else text


def _code(code: types.CodeType) -> str:
    inner = [_code(c) if isinstance(c, types.CodeType) else identity(c) for c in code.co_consts]
    return _digest([code.co_code.hex(), *code.co_names, *inner])


def _digest(parts: list[str]) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:8]

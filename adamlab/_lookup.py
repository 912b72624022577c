"""What a package says when it is asked for a name that it lacks."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any

from adamlab._checks import nearest


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

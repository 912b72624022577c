"""Laws: property tests for any `optax.GradientTransformation`.

    from adamlab.testing import check_laws
    check_laws(my_tx)
    check_laws(my_factory, hyperparameters={"learning_rate": 1e-3, "eps": 1e-8})

Each law is a function whose docstring states what it asserts; `LAWS` holds them by name. Where it
gives no number of steps, two or three are looked at: what happens only later (a period, a window
that fills) is not seen.
"""

from __future__ import annotations

import typing
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from adamlab._checks import nearest
from adamlab.testing import (
    calls,
    edges,
    extremes,
    forms,
    hyperparameters,
    magnitude,
    saving,
    symmetry,
    wrappers,
)
from adamlab.testing._law import Law, Verdict, examine
from adamlab.testing._subject import Subject, as_subject

__all__ = ["LAWS", "Law", "Subject", "Verdict", "check_law", "check_laws", "kept_laws"]

_ROOMS = (forms, calls, symmetry, extremes, magnitude, edges, wrappers, saving, hyperparameters)

LAWS: Mapping[str, Law] = MappingProxyType(
    {
        found.name: found
        for room in _ROOMS
        for found in vars(room).values()
        if isinstance(found, Law)
    }
)
"""Every law by its name, in the order of the files and of the laws in each."""


def kept_laws(
    subject: Any, laws: Iterable[str] | None = None, **details: Any
) -> dict[str, Verdict]:
    """The verdict of each law on `subject`; an exception in the transformation breaks the law.

    Args:
        subject: a gradient transformation; a function that makes one, called with the
            hyperparameters by name; or a `Subject`.
        laws: names from `LAWS`; None for all of them.
        details: fields of `Subject`, such as `hyperparameters`, `extra_args` or `bound`.

    Raises:
        ValueError: a law is unknown, or a number among `details` is out of range.
        TypeError: `subject` is not one of the above or cannot be built, `details` do not fit it, or
            `laws` holds something other than names.
    """
    chosen = _chosen(LAWS if laws is None else laws)
    whole = as_subject(subject, details)
    _ = whole.tx  # to raise once, not in each law
    return {law.name: examine(law, whole) for law in chosen}


def check_laws(subject: Any, laws: Iterable[str] | None = None, **details: Any) -> None:
    """Check `subject` against `laws`; those that do not apply are skipped.

    Args and further errors as for `kept_laws`.

    Raises:
        AssertionError: a law is broken; the message names each with a sentence of what was seen.
    """
    verdicts = kept_laws(subject, laws, **details)
    broken = {name: found for name, found in verdicts.items() if found.status == "broken"}
    if broken:
        lines = [f"{len(broken)} of {len(verdicts)} laws broken"]
        for name, found in broken.items():
            asserted = " ".join(LAWS[name].says.split())
            lines += [f"{name}: {found.seen}", f"    the law: {asserted}"]
        first = next(iter(broken.values()))
        raise AssertionError("\n".join(lines)) from first.error


def check_law(subject: Any, law: str, **details: Any) -> None:
    """`check_laws` with one law; `@pytest.mark.parametrize("law", LAWS)` makes each a test."""
    check_laws(subject, [law], **details)


def _chosen(laws: Iterable[str]) -> list[Law]:
    is_many = isinstance(laws, Iterable) and not isinstance(laws, str)
    names: list[Any] = list(laws) if is_many else [laws]
    for name in names:
        if not isinstance(name, str):
            kind = type(name).__name__
            raise TypeError(f"laws: must be names from LAWS, such as 'odd', not a {kind}")
        if name not in LAWS:
            raise ValueError(f"unknown law {name!r}: {nearest(name, LAWS)}")
    return [LAWS[name] for name in names]


if not typing.TYPE_CHECKING:  # or a type checker would accept any name
    from adamlab._lookup import lookup as _lookup

    __getattr__ = _lookup("adamlab.testing", __all__)

"""A law, its verdict, and the two exceptions by which it reports."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from adamlab.testing._subject import Subject


class Broken(AssertionError):  # noqa: N818 - the law is broken, the check is not in error
    """Raised by a law that is broken, with a sentence of what was seen."""


class NotApplicable(Exception):  # noqa: N818
    """Raised by a law that does not apply to a subject, with the reason."""


@dataclass(frozen=True)
class Law:
    """A property that any gradient transformation can be tested for."""

    name: str
    says: str
    """What it asserts, and within which tolerance."""
    check: Callable[[Subject], None]
    """Raises `Broken` or `NotApplicable`; any other exception breaks the law too."""


@dataclass(frozen=True)
class Verdict:
    """What one law found about one subject."""

    status: Literal["kept", "broken", "not applicable"]
    seen: str = ""
    """A sentence: what was seen where the law is broken, or why it does not apply."""
    error: Exception | None = field(default=None, compare=False)
    """What was raised, where the law is broken."""


def law(check: Callable[[Subject], None]) -> Law:
    """`check` as a law, with the function's name and its docstring as what it says."""
    return Law(check.__name__, inspect.getdoc(check) or "", check)


def examine(law: Law, subject: Subject) -> Verdict:
    """`law`'s verdict on `subject`; whatever the transformation raises breaks the law."""
    try:
        law.check(subject)
    except NotApplicable as reason:
        return Verdict("not applicable", str(reason))
    except Broken as broken:
        return Verdict("broken", str(broken), broken)
    except Exception as error:
        first = str(error).strip().partition("\n")[0]
        return Verdict("broken", f"it raised {type(error).__name__}: {first}", error)
    return Verdict("kept")

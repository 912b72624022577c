"""Where in a user's own code an error was raised."""

from __future__ import annotations

import sysconfig
import traceback
from pathlib import Path

_NOT_OWN = (Path(__file__).parent, Path(sysconfig.get_paths()["stdlib"]))


def place_in_own_code(error: BaseException) -> str | None:
    """The innermost place, such as `mine.py:6, helper`; None where there is none.

    It is outside adamlab, the standard library and what is installed; with an error that another
    caused, it is where that one was raised.
    """
    found = place_in_own_code(error.__cause__) if error.__cause__ else None
    if found:
        return found
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        file = Path(frame.filename)
        installed = "site-packages" in file.parts or any(p in file.parents for p in _NOT_OWN)
        if file.is_file() and not installed:
            here = file.relative_to(Path.cwd()) if Path.cwd() in file.parents else file
            return f"{here}:{frame.lineno}, {frame.name}"
    return None

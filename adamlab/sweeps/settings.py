"""The settings of a sweep: what determines its results besides the axes and the function."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from adamlab.sweeps.identity import PROGRAM

_OWN_ATTRIBUTES = {
    "function", "paired", "dtype", PROGRAM, "axes", "block", "lanes", "outputs", "settings",
    "adamlab_store", "compiles", "run_seconds", "block_memory", "versions", "commit", "device",
    "platform", "date",
}  # fmt: skip


def checked_settings(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """The settings themselves, refused unless they are JSON values under names of their own."""
    for name, value in settings.items():
        if name in _OWN_ATTRIBUTES:
            raise ValueError(f"settings[{name!r}]: the library keeps its own under that name")
        try:
            json.dumps(value)
        except (TypeError, ValueError) as error:
            raise TypeError(f"settings[{name!r}]={value!r}: must be a JSON value") from error
    return settings

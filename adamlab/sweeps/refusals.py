"""Why a store is not gone on with: it exists, it holds another sweep, or it is damaged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

COPY_AGAIN = "copy the store again, or compute it anew in another"
"""The remedy for a part that resuming does not compute again."""


class OtherSweepError(ValueError):
    """The store was made by another function, or with other axes, settings or outputs."""

    def __init__(self, store: Path | str, there: Any, here: Any) -> None:
        """Say what the store was made with and what this sweep has."""
        super().__init__(
            f"store={str(store)!r}: was made with {there}, this sweep has {here}; nothing was "
            "changed. Give the same settings to resume it, or another store"
        )


class OtherFormatError(ValueError):
    """The store was made by another version of this library."""

    def __init__(self, store: Path | str, there: Any, here: Any) -> None:
        """Say its format and this version's."""
        super().__init__(
            f"store={str(store)!r}: is in format {there}, and this version reads format {here}: "
            "open it with the version that made it, or compute it again"
        )


class DamagedError(ValueError):
    """What is in the store cannot be read, or is not all there."""

    def __init__(self, store: Path | str, why: Any) -> None:
        """Say what is wrong with it."""
        super().__init__(f"store={str(store)!r}: is damaged: {why}")


def already_exists(store: Path) -> FileExistsError:
    """The error for a store that exists where none was to be resumed."""
    return FileExistsError(
        f"store={str(store)!r} exists: go on with it (resume=True, --resume) or choose another path"
    )

"""appearing: a folder that is there whole, or not at all."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4


@contextmanager
def appearing(path: Path) -> Iterator[Path]:
    """A place for a folder, which is moved to `path` once the block has filled it.

    Raises:
        FileExistsError: another process was first.
        OSError: it cannot be written.
    """
    there = "another process has just created it; resume it, or wait for it to end"
    taken = FileExistsError(errno.EEXIST, there, str(path))
    if path.exists():
        raise taken
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{uuid4().hex[:8]}")
    try:
        yield draft
        draft.rename(path)
    except BaseException as error:
        shutil.rmtree(draft, ignore_errors=True)
        if getattr(error, "errno", None) in (errno.ENOTEMPTY, errno.EEXIST):
            raise taken from error
        if isinstance(error, OSError) and str(error.filename or "").startswith(str(draft)):
            error.filename = str(path)  # the draft's name would say nothing to its reader
        raise

"""Executors: where a sweep's blocks are computed, and how they are waited for."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from typing import Any

from adamlab.sweeps.devices import IN_FLIGHT

_POLL_SECONDS = 0.2


def check_executor(executor: Any) -> None:
    """Refuse an executor without a `submit` method, and one whose processes would hang."""
    if executor is None:
        return
    if isinstance(executor, type) or not callable(getattr(executor, "submit", None)):
        raise TypeError(f"executor={executor!r}: must have submit(), as concurrent.futures' have")
    context = getattr(executor, "_mp_context", None)
    if context is not None and context.get_start_method() == "fork":
        raise ValueError(
            f"executor={executor!r}: starts its processes by fork, and JAX hangs in them; give "
            'ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn"))'
        )


def blocks_here(executor: Any) -> int | None:
    """How many blocks this process computes at once; None where others compute them."""
    if isinstance(executor, ThreadPoolExecutor):
        return executor._max_workers
    return IN_FLIGHT if executor is None else None


@contextmanager
def pool_of(executor: Executor | None, blocks: int | None) -> Iterator[Executor]:
    """The caller's executor, or threads enough for the blocks in flight."""
    if executor is not None:
        yield executor
        return
    with ThreadPoolExecutor(max_workers=blocks) as own:
        yield own


def as_done(handles: Collection[Any]) -> Iterator[Any]:
    """The handles as they finish; those that are not futures, such as submitit's, are polled."""
    if all(isinstance(handle, Future) for handle in handles):
        yield from as_completed(handles)
        return
    waiting = list(handles)
    while waiting:
        done = [handle for handle in waiting if handle.done()]
        yield from done
        waiting = [handle for handle in waiting if handle not in done]
        if not done:
            time.sleep(_POLL_SECONDS)

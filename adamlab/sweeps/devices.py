"""The devices that lanes are spread over."""

from __future__ import annotations

import inspect
import os
import re
import warnings
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

# In this process one block computes while the next waits, so that no device idles between them.
IN_FLIGHT = 2
_THREADS = "PJRT_NPROC"  # read by JAX when it starts


def use_all_cores(blocks: int | None = IN_FLIGHT) -> None:
    """Ask JAX for one CPU device per core, as long as its backend is not up yet.

    `blocks` is how many of a sweep's blocks this process computes at once; nothing is asked for
    where that is None, since others do.

    Lanes vmapped on one CPU device leave the other cores idle. A single core gets two devices:
    XLA rounds a program for one device differently, and a result must not depend on the machine.
    A number of devices that was chosen already is left alone. Where the backend is up with a
    single CPU device, one warning says what to do.
    """
    if blocks is None:
        return
    cores, chosen = _cores(), _chosen_devices()
    wanted = max(cores, 2)
    if not _is_up():
        # Threads for all blocks in flight, and one to help: see `blocks_at_once`.
        threads = blocks * (wanted if chosen is None else max(cores, chosen)) + 1
        os.environ.setdefault(_THREADS, str(threads))
        if chosen is None:
            jax.config.update("jax_num_cpu_devices", wanted)
        return
    alone = chosen is None and jax.default_backend() == "cpu" and jax.local_device_count() == 1
    if alone and cores > 1:
        warnings.warn(
            f"JAX was started with one CPU device, so this sweep uses one of {cores} cores; "
            f'call jax.config.update("jax_num_cpu_devices", {cores}) before JAX\'s first use',
            stacklevel=_level_outside(),  # shown once for each place
        )


def blocks_at_once(wanted: int, factorizes: Callable[[], bool]) -> int:
    """How many blocks of a program, at most `wanted`, can be in flight in this process.

    A batched factorization waits for helpers from the thread pool that it runs in: with only one
    thread for each device, all would wait forever (JAX 0.10). Where there is not even one to spare
    for a single block, a warning says what to do: small matrices get through.
    """
    if jax.default_backend() != "cpu":
        return wanted
    devices = jax.local_device_count()
    threads = int(os.environ.get(_THREADS) or max(_cores(), devices))
    blocks = min(wanted, (threads - 1) // devices)
    if blocks == wanted or not factorizes():
        return wanted
    if blocks < 1:
        warnings.warn(
            f"JAX was started with {threads} threads for {devices} CPU devices, and the matrix "
            "factorizations of this sweep may wait forever for one more: set the environment "
            f"variable {_THREADS}={IN_FLIGHT * devices + 1} before JAX's first use, or let the "
            "sweep be its first use",
            stacklevel=_level_outside(),
        )
    return max(blocks, 1)


def _is_up() -> bool:
    """Whether JAX has started, after which it refuses another number of devices."""
    option, now = "jax_num_cpu_devices", jax.config.values["jax_num_cpu_devices"]
    try:
        jax.config.update(option, max(now, 0) + 1)
    except RuntimeError:
        return True
    jax.config.update(option, now)
    return False


def _level_outside() -> int:
    """How many frames above the calling function the first one outside adamlab is."""
    package = Path(__file__).parents[1]
    frames = inspect.stack(0)
    outside = (n for n, f in enumerate(frames) if package not in Path(f.filename).parents)
    return next(outside, len(frames))


def _chosen_devices() -> int | None:
    flag = re.search(r"host_platform_device_count=(\d+)", os.environ.get("XLA_FLAGS", ""))
    if flag:
        return int(flag[1])
    configured: int = jax.config.values["jax_num_cpu_devices"]
    return configured if configured >= 0 else None


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def float_dtype() -> str:
    """The name of JAX's float type: float64 where it is enabled, else float32."""
    return np.dtype(jnp.result_type(float)).name

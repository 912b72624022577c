"""The devices that lanes are spread over."""

from __future__ import annotations

import inspect
import os
import re
import warnings
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

# In this process one block computes while the next waits, so that no device idles between them.
IN_FLIGHT = 2


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
    # A batched factorization waits for helpers from the thread pool that it runs in: with only one
    # thread for each device, all would wait forever (JAX 0.10). So there are threads for all blocks
    # in flight, and one to help.
    threads = blocks * (wanted if chosen is None else max(cores, chosen)) + 1
    os.environ.setdefault("PJRT_NPROC", str(threads))
    if chosen is not None:
        return
    try:
        jax.config.update("jax_num_cpu_devices", wanted)
    except RuntimeError:
        if cores > 1 and jax.default_backend() == "cpu" and jax.device_count() == 1:
            warnings.warn(
                f"JAX was started with one CPU device, so this sweep uses one of {cores} cores; "
                f'call jax.config.update("jax_num_cpu_devices", {cores}) before JAX\'s first use',
                stacklevel=_level_outside(),  # shown once for each place
            )


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

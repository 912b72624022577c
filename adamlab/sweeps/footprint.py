"""How many lanes suit a device: from the working memory of one lane."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from adamlab.sweeps.identity import inner_programs

# Runs per second peak near this: digits-mlp (0.6 MB a lane) at 32 lanes, a hidden layer of 512
# (5 MB) at 1 to 8; rosenbrock (500 bytes) still gains at 2,048.
_CPU_BYTES = 24 * 2**20
_MOST_LANES = 4096


def suitable_lanes(memory: int, points: int, block: int | None) -> int | None:
    """How many of `points`, each with so many bytes of `memory`, a device computes at once.

    On a CPU as many as work within a cache, and at most a sixteenth of the points, so that several
    devices get their share, or a `block` that was asked for; it does not depend on the number of
    devices. None elsewhere: a device computes its whole share of a block at once.
    """
    if jax.default_backend() != "cpu":
        return None
    in_cache = 2 ** int(np.log2(max(_CPU_BYTES / memory, 1)))
    return max(min(in_cache, _MOST_LANES, points // 16, block or points), 1)


def bytes_at_a_point(program: Any) -> int:
    """Bytes of all values in the largest loop body of `program`, or outside of loops; >= 1."""
    equations = getattr(program, "jaxpr", program).eqns
    own = sum(_bytes(out.aval) for eqn in equations for out in eqn.outvars)
    inner = (bytes_at_a_point(sub) for eqn in equations for sub in inner_programs(eqn))
    return max([1, own, *inner])


def _bytes(aval: Any) -> int:
    shape, dtype = getattr(aval, "shape", ()), getattr(aval, "dtype", None)
    return int(np.prod(shape)) * int(getattr(dtype, "itemsize", 4))

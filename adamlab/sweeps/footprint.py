"""How many lanes suit a device: from the working memory of one lane."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import numpy as np

from adamlab.sweeps.identity import inner_programs
from adamlab.sweeps.program import Work, at_point, point_shapes

# Runs per second peak near this: digits-mlp (0.6 MB a lane) at 32 lanes, a hidden layer of 512
# (5 MB) at 1 to 8; rosenbrock (500 bytes) still gains at 2,048.
_CPU_BYTES = 24 * 2**20
_MOST_CPU_LANES = 4096
_MOST_LANES = 2**16


def suitable_lanes(work: Work, points: int) -> int:
    """How many of `points` a device computes at once.

    On a CPU as many as work within a cache, and at most a sixteenth of the points, so that several
    devices get their share; elsewhere all, up to 65,536. It does not depend on the number of
    devices.
    """
    if jax.default_backend() != "cpu":
        return min(points, _MOST_LANES)
    in_cache = 2 ** int(np.log2(max(_CPU_BYTES / bytes_per_lane(work), 1)))
    return max(min(in_cache, _MOST_CPU_LANES, points // 16), 1)


def bytes_per_lane(work: Work) -> int:
    """Bytes of all values in the largest loop body, or outside of loops, at one point."""
    with jax.enable_x64(work.dtype == "float64"):
        closed = jax.make_jaxpr(partial(at_point, work))(*point_shapes(work))
    return max(_largest_body(closed), 1)


def _largest_body(program: Any) -> int:
    equations = getattr(program, "jaxpr", program).eqns
    own = sum(_bytes(out.aval) for eqn in equations for out in eqn.outvars)
    inner = (_largest_body(sub) for eqn in equations for sub in inner_programs(eqn))
    return max([own, *inner])


def _bytes(aval: Any) -> int:
    shape, dtype = getattr(aval, "shape", ()), getattr(aval, "dtype", None)
    return int(np.prod(shape)) * int(getattr(dtype, "itemsize", 4))

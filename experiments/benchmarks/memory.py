"""A million runs on Rosenbrock's valley: the peak memory of the whole process."""

from __future__ import annotations

import resource
import subprocess
import sys
from functools import partial
from typing import Any

import jax
import numpy as np

import adamlab as al
from experiments.benchmarks.measure import keep, table

SIDE, STEPS = 1000, 200


def main() -> None:
    """Measure in a fresh process, print and keep."""
    told = subprocess.run(
        [sys.executable, "-m", "experiments.benchmarks.memory"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    idle, peak, seconds, blocks = (float(word) for word in told.stdout.split())
    print(f"{SIDE**2:,} Adam runs of {STEPS} steps on Rosenbrock's valley")
    table(
        ["peak RSS GB", "of it before the sweep", "runs/s", "programs compiled"],
        [[f"{peak / 1e9:.2f}", f"{idle / 1e9:.2f}", f"{SIDE**2 / seconds:,.0f}", int(blocks)]],
    )
    keep(
        "memory",
        "python -m experiments bench memory",
        {
            "runs": SIDE**2,
            "steps": STEPS,
            "peak_rss_bytes": int(peak),
            "rss_before_sweep_bytes": int(idle),
            "runs_per_second": SIDE**2 / seconds,
            "compiles": int(blocks),
        },
    )


def _run(problem: al.Problem, key: jax.Array, learning_rate: Any, b1: Any) -> dict[str, Any]:
    point = {"learning_rate": learning_rate, "b1": b1}
    fields = al.train(problem, al.adam, key, point, steps=STEPS)._asdict()
    return {name: value for name, value in fields.items() if isinstance(value, jax.Array)}


def _measured() -> None:
    axes = {
        "learning_rate": np.geomspace(1e-5, 10, SIDE), "b1": np.linspace(0, 0.999, SIDE),
        "seed": [0],
    }  # fmt: skip
    idle = _peak_rss()
    swept = al.sweep(partial(_run, al.rosenbrock()), axes)
    assert bool(swept["done"].all())
    print(idle, _peak_rss(), swept.attrs["run_seconds"], swept.attrs["compiles"])


def _peak_rss() -> int:
    """Bytes; Linux counts in KiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    _measured()

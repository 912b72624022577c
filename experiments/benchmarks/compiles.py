"""How many programs XLA compiles for a map, by JAX's own counter, as the map grows."""

from __future__ import annotations

import jax
import numpy as np

import adamlab as al
from experiments.benchmarks.measure import keep, table

SIDES = (8, 32, 64)


def main() -> None:
    """Measure, print and keep."""
    compiled: list[float] = []

    def count(event: str, duration_secs: float, **_: str | int) -> None:
        if event == "/jax/core/compile/backend_compile_duration":
            compiled.append(duration_secs)

    jax.monitoring.register_event_duration_secs_listener(count)
    rows, figures = [], {}
    for side in SIDES:
        compiled.clear()
        found = al.convergence_map(
            al.digits_mlp(), al.adam,
            {
                "learning_rate": np.geomspace(1e-5, 1, side),
                "1-b2": np.geomspace(1e-4, 1, side),
            },
            steps=16,
        )  # fmt: skip
        figures[str(side**2)] = {
            "compiles": len(compiled),
            "compile_seconds": sum(compiled),
            "run_seconds": found.attrs["run_seconds"],
        }
        rows.append([side**2, len(compiled), f"{sum(compiled):.2f}"])
    print("programs compiled for a map of digits-mlp, by JAX's own events")
    table(["points", "programs", "seconds compiling"], rows)
    keep("compiles", "python -m experiments bench compiles", figures)

"""What comes before the first step of AdamW on many leaves: init, tracing, compiling."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax

import adamlab as al
from experiments.benchmarks.measure import in_turn, keep, paired_ratio, table
from experiments.benchmarks.steps import plain_step

LEAVES, SHAPES, ROUNDS = 600, 6, 5
PARTS = ("init", "tracing", "compiling")
BUILDS: dict[str, Callable[[float], Any]] = {"adamlab": al.adamw, "optax": optax.adamw}


def main() -> None:
    """Measure, print and keep."""
    params = {f"w{i}": jnp.ones((8, 8 + i % SHAPES)) for i in range(LEAVES)}
    spent: dict[str, dict[str, list[float]]] = {name: {} for name in BUILDS}

    def begin(name: str) -> None:
        init, step = plain_step(BUILDS[name](1e-3))
        clock = [time.perf_counter()]
        state = init(params)
        clock.append(time.perf_counter())
        traced = jax.jit(step).trace(params, state, params)
        clock.append(time.perf_counter())
        traced.lower().compile()
        clock.append(time.perf_counter())
        for part, start, end in zip(PARTS, clock, clock[1:], strict=False):
            spent[name].setdefault(part, []).append(end - start)

    calls = {name: partial(begin, name) for name in BUILDS}
    in_turn(calls, 1)  # programs for arrays of each shape
    for found in spent.values():
        found.clear()
    in_turn(calls, ROUNDS)
    figures: dict[str, dict[str, Any]] = {
        part: {
            "seconds": {name: statistics.median(found[part]) for name, found in spent.items()},
            "ratio": paired_ratio(spent["adamlab"][part], spent["optax"][part]),
        }
        for part in PARTS
    }
    print(f"AdamW on {LEAVES} leaves of {SHAPES} shapes, before its first step; {ROUNDS} rounds")
    table(
        ["part", "adamlab s", "optax s", "adamlab/optax"],
        [
            [part, *(f"{found['seconds'][name]:.2f}" for name in BUILDS), f"{found['ratio']:.2f}"]
            for part, found in figures.items()
        ],
    )
    keep("start", "python -m experiments bench start", {"leaves": LEAVES, "parts": figures})

"""One Adam step on 10 million parameters: adamlab beside Optax, and beside fused PyTorch."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

import optax

import adamlab as al
from experiments.benchmarks.measure import in_turn, keep, paired_ratio, table, torch_version
from experiments.benchmarks.steps import compiled, plain_step, torch_step

PARAMETERS = 10_000_000
LEAVES = (10, 146)
ROUNDS = 101


def main() -> None:
    """Measure, print and keep."""
    figures, rows = {}, []
    for leaves in LEAVES:
        shapes = [(PARAMETERS // leaves,)] * leaves
        steps: dict[str, Callable[[], Any]] = {}
        sizes = {}
        for name, tx in {"adamlab": al.adam(1e-3), "optax": optax.adam(1e-3)}.items():
            found = compiled(*plain_step(tx), shapes)
            steps[name], sizes[name] = found.placed(), found.sizes
        if torch_version():
            steps["torch fused"] = torch_step(shapes)
        ratios: dict[str, float] = {}
        medians: dict[str, float] = {}
        for name in [n for n in steps if n != "adamlab"]:  # pairs: a third would disturb one side
            pair = {"adamlab": steps["adamlab"], name: steps[name]}
            in_turn(pair, 5)
            times = in_turn(pair, ROUNDS)
            ratios[name] = paired_ratio(times["adamlab"], times[name])
            medians |= {n: 1e3 * statistics.median(t) for n, t in times.items() if n not in medians}
        figures[str(leaves)] = {"milliseconds": medians, "ratio": ratios, "bytes": sizes}
        for name, median in medians.items():
            ratio = f"{ratios[name]:.3f}" if name in ratios else ""
            size = sizes.get(name, {})
            rows.append(
                [leaves, name, f"{median:.2f}", ratio]
                + [size.get(part, "") for part in ("accessed", "temporary", "state")]
            )
    print(f"Adam on {PARAMETERS:,} float32 parameters, donated buffers, {ROUNDS} rounds in turn")
    table(
        ["leaves", "step", "median ms", "adamlab/it", "bytes accessed", "temporary", "state"], rows
    )
    keep("step", "python -m experiments bench step", figures)

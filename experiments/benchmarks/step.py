"""One Adam step on 10 million parameters: adamlab beside Optax, and beside fused PyTorch."""

from __future__ import annotations

import statistics
from typing import Any

import optax

import adamlab as al
from experiments.benchmarks.measure import keep, table, torch_version
from experiments.benchmarks.steps import TorchStep, beside, compiled, plain_step

PARAMETERS = 10_000_000
LEAVES = (10, 146)
PLACEMENTS, ROUNDS = 21, 21


def main() -> None:
    """Measure, print and keep."""
    figures, rows = {}, []
    for leaves in LEAVES:
        shapes = [(PARAMETERS // leaves,)] * leaves
        ours, theirs = (compiled(*plain_step(tx(1e-3)), shapes) for tx in (al.adam, optax.adam))
        others: dict[str, Any] = {"optax": theirs}
        if torch_version():
            others["torch fused"] = TorchStep(shapes)
        measured = {name: beside(ours, other, PLACEMENTS, ROUNDS) for name, other in others.items()}
        ratios = {name: statistics.median(found) for name, (found, _) in measured.items()}
        sizes = {"adamlab": ours.sizes, "optax": theirs.sizes}
        spent = measured["optax"][1]
        figures[str(leaves)] = {"milliseconds": spent, "ratio": ratios, "bytes": sizes}
        rows += [[leaves, f"{spent:.2f}", name, f"{ratio:.3f}"] for name, ratio in ratios.items()]
    print(
        f"Adam on {PARAMETERS:,} float32 parameters, donated buffers, median of {PLACEMENTS} "
        f"placements, each of {ROUNDS} rounds in turn"
    )
    table(["leaves", "median ms", "beside", "adamlab/it"], rows)
    keep("step", "python -m experiments bench step", figures)

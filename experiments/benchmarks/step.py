"""One Adam step on 10 million parameters: adamlab beside Optax, and beside fused PyTorch."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import optax

import adamlab as al
from experiments.benchmarks.measure import in_turn, keep, paired_ratio, table, torch_version

PARAMETERS = 10_000_000
LEAVES = (10, 146)
ROUNDS = 101


def main() -> None:
    """Measure, print and keep."""
    figures, rows = {}, []
    for leaves in LEAVES:
        shapes = [PARAMETERS // leaves] * leaves
        steps: dict[str, Callable[[], Any]] = {}
        sizes = {}
        for name, tx in {"adamlab": al.adam(1e-3), "optax": optax.adam(1e-3)}.items():
            steps[name], sizes[name] = _jax_step(tx, shapes)
        if torch_version():
            steps["torch fused"] = _torch_step(shapes)
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


def _jax_step(
    tx: optax.GradientTransformation, shapes: list[int]
) -> tuple[Callable[[], Any], dict[str, int]]:
    keys = jax.random.split(jax.random.key(0), len(shapes))
    params = {
        f"w{i}": jax.random.normal(k, (n,))
        for i, (k, n) in enumerate(zip(keys, shapes, strict=True))
    }
    grads = jax.tree.map(lambda p: 0.1 * p, params)
    state = tx.init(params)

    def step(params: Any, state: Any, grads: Any) -> tuple[Any, Any]:
        updates, state = tx.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    compiled = jax.jit(step, donate_argnums=(0, 1)).lower(params, state, grads).compile()
    cost, memory = compiled.cost_analysis(), compiled.memory_analysis()
    sizes = {
        "accessed": int(cost["bytes accessed"]) if cost else 0,
        "temporary": memory.temp_size_in_bytes if memory else 0,
        "state": sum(x.nbytes for x in jax.tree.leaves(state)),
    }
    held = [params, state]

    def run() -> None:
        held[:] = compiled(*held, grads)
        jax.block_until_ready(held)

    return run, sizes


def _torch_step(shapes: list[int]) -> Callable[[], Any]:
    import torch

    draw = np.random.default_rng(0)
    params = [
        torch.nn.Parameter(torch.from_numpy(draw.normal(size=n).astype(np.float32))) for n in shapes
    ]
    for p in params:
        p.grad = 0.1 * p.detach()
    optimizer = torch.optim.Adam(params, lr=1e-3, fused=True)
    return optimizer.step


if __name__ == "__main__":
    main()

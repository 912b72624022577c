"""Ways to write Adam's step in JAX: bytes that XLA moves for a parameter, and time beside PyTorch.

Each way is compiled twice, in a process with XLA's flag for fusions with several results and in
one without, and timed in turn with PyTorch's fused Adam, which knows nothing of the flag. 28 bytes
are needed: the gradient read, the parameter and both moments read and written.
"""

from __future__ import annotations

import json
import math
import os
import statistics
import subprocess
import sys
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax

import adamlab as al
from adamlab.stages import group_small_leaves
from experiments.benchmarks.measure import keep, table, torch_version
from experiments.benchmarks.steps import Init, Step, TorchStep, beside, compiled, plain_step

FLAG = "--xla_backend_extra_options=xla_cpu_use_multi_output_fusion"
TREES: dict[str, list[tuple[int, ...]]] = {
    "10 of 1000 x 1000": [(1000, 1000)] * 10,
    "300 of 1000": [(1000,)] * 300,
}
PLACEMENTS, ROUNDS = 7, 11
LR, B1, B2, EPS = 1e-3, 0.9, 0.999, 1e-8
BLOCK = 125_000  # a divisor of the large leaves


def _twice(tx: optax.GradientTransformation) -> tuple[Init, Step]:
    """The moments that are kept and those that the direction is made from, computed apart.

    The parameters then depend on nothing but what the moments depend on too, and one fusion can
    hold all three. The barrier keeps XLA from seeing that they are the same.
    """

    def step(params: Any, state: Any, grads: Any) -> tuple[Any, Any]:
        _, new = tx.update(grads, state, params)
        again = jax.lax.optimization_barrier((grads, state, params))
        updates, _ = tx.update(*again)
        return optax.apply_updates(params, updates), new

    return tx.init, step


def _complex() -> tuple[Init, Step]:
    """Both moments in one complex array: two results for one."""

    def init(params: Any) -> Any:
        z = jax.tree.map(lambda p: jnp.zeros(p.shape, jnp.complex64), params)
        return jnp.zeros([], jnp.int32), z

    def step(params: Any, state: Any, grads: Any) -> tuple[Any, Any]:
        count = state[0] + 1
        c1, c2 = (-jnp.expm1(count * jnp.log(b)) for b in (B1, B2))
        mixed = jax.tree.map(
            lambda z, g: jax.lax.complex(
                z.real + (1 - B1) * (g - z.real), z.imag + (1 - B2) * (g * g - z.imag)
            ),
            state[1], grads,
        )  # fmt: skip
        kept = jax.lax.optimization_barrier(mixed)
        new = jax.tree.map(
            lambda p, z: p - LR * (z.real / c1) / (jnp.sqrt(z.imag / c2) + EPS), params, kept
        )
        return new, (count, kept)

    return init, step


def _blocks() -> tuple[Init, Step]:
    """A loop over blocks that fit the cache, each written back in place."""

    def init(params: Any) -> Any:
        zeros = partial(jax.tree.map, jnp.zeros_like)
        return jnp.zeros([], jnp.int32), zeros(params), zeros(params)

    def leaf(p: Any, m: Any, v: Any, g: Any, c1: Any, c2: Any) -> tuple[Any, Any, Any]:
        shape, size = p.shape, min(BLOCK, p.size)
        assert p.size % size == 0
        p, m, v, g = (x.ravel() for x in (p, m, v, g))

        def one(i: Any, carry: Any) -> Any:
            p, m, v = carry
            start = i * size
            at = partial(jax.lax.dynamic_slice, start_indices=(start,), slice_sizes=(size,))
            gb = at(g)
            m = jax.lax.dynamic_update_slice(m, at(m) + (1 - B1) * (gb - at(m)), (start,))
            v = jax.lax.dynamic_update_slice(v, at(v) + (1 - B2) * (gb * gb - at(v)), (start,))
            moved = at(p) - LR * (at(m) / c1) / (jnp.sqrt(at(v) / c2) + EPS)
            return jax.lax.dynamic_update_slice(p, moved, (start,)), m, v

        done = jax.lax.fori_loop(0, p.size // size, one, (p, m, v))
        return tuple(x.reshape(shape) for x in done)

    def step(params: Any, state: Any, grads: Any) -> tuple[Any, Any]:
        count = state[0] + 1
        c1, c2 = (-jnp.expm1(count * jnp.log(b)) for b in (B1, B2))
        new = {k: leaf(params[k], state[1][k], state[2][k], grads[k], c1, c2) for k in params}
        p, m, v = ({k: x[i] for k, x in new.items()} for i in range(3))
        return p, (count, m, v)

    return init, step


def _forms(tree: str) -> dict[str, tuple[Init, Step]]:
    adam = al.adam(LR, B1, B2, EPS)
    forms = {
        "optax.adam": plain_step(optax.adam(LR, B1, B2, EPS)),
        "adamlab.adam": plain_step(adam),
        "the moments computed twice": _twice(adam),
        "both moments in a complex array": _complex(),
    }
    if tree.startswith("10 "):
        return forms | {"blocks in place, in a loop": _blocks()}
    return forms | {
        "small leaves in groups of 16": plain_step(group_small_leaves(adam)),
        "small leaves in groups of 100": plain_step(group_small_leaves(adam, group=100)),
        "all leaves in one": plain_step(group_small_leaves(adam, group=10**6)),
    }


def main() -> None:
    """Measure in two processes, print and keep."""
    figures: dict[str, Any] = {}
    for label, flags in (("as it is", ""), ("with the flag", FLAG)):
        given = f"{os.environ.get('XLA_FLAGS', '')} {flags}".strip()
        environment = {**os.environ, "XLA_FLAGS": given} if given else None
        done = subprocess.run(
            [sys.executable, "-m", "experiments.benchmarks.formulations", "--child"],
            env=environment, capture_output=True, text=True, check=True,
        )  # fmt: skip
        figures[label] = json.loads(done.stdout.splitlines()[-1])
    figures["flag"] = FLAG
    rows = []
    for label in ("as it is", "with the flag"):
        for tree, forms in figures[label].items():
            for name, row in forms.items():
                over = f"{row['over_torch']:.2f}" if row["over_torch"] else ""
                rows.append(
                    [tree, label, name, f"{row['bytes']:.1f}", f"{row['temporary']:.1f}",
                     f"{row['milliseconds']:.2f}", f"{row['over_optax']:.2f}", over]
                )  # fmt: skip
    print(
        f"Adam's step, float32, donated; median of {PLACEMENTS} placements, each of {ROUNDS} "
        "rounds in turn"
    )
    table(
        ["leaves", "XLA", "form", "bytes", "temporary", "ms", "/ optax.adam there",
         "/ torch fused"],
        rows,
    )  # fmt: skip
    keep("formulations", "python -m experiments bench formulations", figures)


def child() -> None:
    """Measure in this process and print JSON."""
    found: dict[str, dict[str, Any]] = {}
    for tree, shapes in TREES.items():
        steps = {name: compiled(*form, shapes) for name, form in _forms(tree).items()}
        parameters = sum(math.prod(shape) for shape in shapes)
        found[tree] = {}
        for name, step in steps.items():
            over_optax, spent = beside(step, steps["optax.adam"], PLACEMENTS, ROUNDS)
            over_torch = None
            if torch_version():
                ratios, _ = beside(step, TorchStep(shapes, LR), PLACEMENTS, ROUNDS)
                over_torch = statistics.median(ratios)
            found[tree][name] = {
                "bytes": step.sizes["accessed"] / parameters,
                "temporary": step.sizes["temporary"] / parameters,
                "milliseconds": spent, "over_optax": statistics.median(over_optax),
                "over_torch": over_torch,
            }  # fmt: skip
    print(json.dumps(found))


if __name__ == "__main__":
    child() if "--child" in sys.argv else main()

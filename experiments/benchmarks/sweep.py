"""1,024 trainings of a small network: one sharded program beside loops and a plain vmap."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import adamlab as al
from experiments.benchmarks.measure import in_turn, keep, paired_ratio, table, torch_version

RUNS, STEPS, HIDDEN, BATCH, ROUNDS = 1024, 200, 32, 64, 7
LOOP, TORCH_LOOP = 48, 8
# Two matrix products forward, three backward (none for the gradient of the images).
FLOPS = STEPS * 2 * BATCH * (2 * 64 * HIDDEN + 3 * HIDDEN * 10)
MATRIX = 2048
RATES = np.geomspace(1e-5, 1, RUNS)
PROBLEM = al.digits_mlp(HIDDEN, BATCH)
OURS = "adamlab.sweep"
# What a machine calls cores may be two threads of one: then no sweep is faster on both.
ONE_CORE = f"{OURS} on one of the cores"


def main() -> None:
    """Measure, print and keep."""
    with _on_one_core() as one_core:
        _compare(one_core)


def _compare(one_core: Callable[[], float]) -> None:
    _our_seconds()  # starts JAX with one device per core
    calls: dict[str, tuple[Callable[[], Any], int]] = {
        OURS: (_our_seconds, RUNS),
        ONE_CORE: (one_core, RUNS),
        "jit(vmap) on one device": (_plain_vmap(), RUNS),
        "loop over a jitted run": (_loop(), LOOP),
    }
    if torch_version():
        calls["PyTorch loop, fused Adam"] = (_torch_loop, TORCH_LOOP)
    product = _matrix_product()
    for call, _ in calls.values():
        call()
    times = in_turn({n: c for n, (c, _) in calls.items()} | {"product": product}, ROUNDS)
    per_run = {name: [t / calls[name][1] for t in times[name]] for name in calls}
    rate = FLOPS / statistics.median(per_run[OURS])
    peak = 2 * MATRIX**3 / statistics.median(times["product"])
    faster = {n: 1 / paired_ratio(per_run[OURS], t) for n, t in per_run.items() if n != OURS}
    speed = {n: 1 / statistics.median(t) for n, t in per_run.items()}
    print(f"{RUNS} runs of {PROBLEM.description}, {STEPS} steps, {ROUNDS} rounds in turn")
    table(
        ["way", "runs/s", "adamlab is times faster"],
        [[n, f"{v:.1f}", f"{faster[n]:.2f}" if n in faster else ""] for n, v in speed.items()],
    )
    print(
        f"arithmetic: {rate / 1e9:.1f} GFLOP/s, {rate / peak:.0%} of the {peak / 1e9:.0f} that a "
        f"{MATRIX} x {MATRIX} float32 matrix product reaches"
    )
    keep(
        "sweep",
        "python -m experiments bench sweep",
        {
            "runs_per_second": speed,
            "times_faster": faster,
            "gflops": rate / 1e9,
            "matrix_product_gflops": peak / 1e9,
            "share_of_matrix_product": rate / peak,
        },
    )


def _run(key: jax.Array, learning_rate: jax.Array) -> dict[str, Any]:
    """The same run for every way: its statistics and final accuracy."""
    trace = al.train(PROBLEM, al.adam, key, {"learning_rate": learning_rate}, steps=STEPS)
    return {"late_loss": trace.late_loss, "final_loss": trace.final_loss, **trace.metrics}


def _our_seconds() -> float:
    """A whole sweep, its blocks' start, transfer and storage included, its compiling not."""
    swept = al.sweep(_run, {"learning_rate": RATES, "seed": [0]})
    return float(swept.attrs["run_seconds"])


@contextmanager
def _on_one_core() -> Iterator[Callable[[], float]]:
    """`_our_seconds` in a process that has one core, which waits while others are timed."""
    core = min(os.sched_getaffinity(0))
    code = (
        f"import os; os.sched_setaffinity(0, [{core}])\n"
        "import sys\nimport numpy as np\nfrom experiments.benchmarks import sweep\n"
        f"sweep.RATES, sweep.STEPS = np.geomspace(1e-5, 1, {RUNS}), {STEPS}\n"
        "for _ in sys.stdin: print(sweep._our_seconds(), flush=True)"
    )
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", code], **pipes) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        ask, answers = child.stdin, child.stdout

        def seconds() -> float:
            print(file=ask, flush=True)
            return float(answers.readline())

        yield seconds
        ask.close()


def _plain_vmap() -> Callable[[], Any]:
    rates = jnp.asarray(RATES, jnp.float32)
    compiled = jax.jit(jax.vmap(_run, (None, 0))).lower(jax.random.key(0), rates).compile()
    return lambda: jax.block_until_ready(compiled(jax.random.key(0), rates))


def _loop() -> Callable[[], Any]:
    rates = [jnp.float32(rate) for rate in RATES[:: RUNS // LOOP][:LOOP]]
    compiled = jax.jit(_run).lower(jax.random.key(0), rates[0]).compile()

    def loop() -> None:
        for rate in rates:
            jax.block_until_ready(compiled(jax.random.key(0), rate))

    return loop


def _torch_loop() -> None:
    """The training that a PyTorch user would write, without the statistics."""
    import torch
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = torch.tensor(digits.data / 16, dtype=torch.float32)
    labels = torch.tensor(digits.target)
    for seed in range(TORCH_LOOP):
        torch.manual_seed(seed)
        model = torch.nn.Sequential(
            torch.nn.Linear(64, HIDDEN), torch.nn.ReLU(), torch.nn.Linear(HIDDEN, 10)
        )
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
        for _ in range(STEPS):
            rows = torch.randint(len(images), (BATCH,))
            loss = torch.nn.functional.cross_entropy(model(images[rows]), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


def _matrix_product() -> Callable[[], Any]:
    matrix = jax.random.normal(jax.random.key(0), (MATRIX, MATRIX))
    product = jax.jit(jnp.matmul)
    return lambda: product(matrix, matrix).block_until_ready()

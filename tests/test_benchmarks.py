"""Benchmarks run, at sizes that measure nothing, and what they compare computes the same."""

from __future__ import annotations

import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

pytest.importorskip("experiments", reason="the experiments lie in the checkout alone")

import adamlab as al
from experiments.benchmarks import (
    compiles,
    formulations,
    measure,
    memory,
    start,
    step,
    sweep,
    variants,
)

SMALL = {
    compiles: {"SIDES": (2,)},
    start: {"LEAVES": 3, "SHAPES": 2, "ROUNDS": 2},
    step: {"PARAMETERS": 40, "LEAVES": (4,), "PLACEMENTS": 2, "ROUNDS": 2},
    sweep: {"RUNS": 4, "STEPS": 8, "ROUNDS": 2, "LOOP": 2, "TORCH_LOOP": 1, "MATRIX": 8,
            "RATES": np.geomspace(1e-5, 1, 4), "PROBLEM": al.quadratic()},
    variants: {"SHAPE": (4, 5), "PARAMETERS": 200, "PLACEMENTS": 1,
               "BESIDE_OPTAX": 3, "ROUNDS": 2, "CONTROLS": 1},
}  # fmt: skip


@pytest.mark.parametrize("benchmark", SMALL, ids=lambda module: module.__name__.rpartition(".")[2])
def test_a_benchmark_runs_and_keeps_its_figures(benchmark, monkeypatch, tmp_path):
    for name, value in SMALL[benchmark].items():
        assert hasattr(benchmark, name), name
        monkeypatch.setattr(benchmark, name, value)
    monkeypatch.setattr(measure, "RESULTS", tmp_path)
    if benchmark is variants:
        monkeypatch.setattr(variants.opt, "names", lambda: ["adam", "sophia", "adamc", "lion"])
    with jax.numpy_dtype_promotion("standard"):
        benchmark.main()
    (kept,) = tmp_path.iterdir()
    assert json.loads(kept.read_text())["figures"]


def test_the_memory_of_a_million_runs_is_asked_of_a_sweep_that_runs(monkeypatch, capsys):
    monkeypatch.setattr(memory, "SIDE", 3)
    monkeypatch.setattr(memory, "STEPS", 8)
    memory._measured()
    idle, peak, seconds, compiled = map(float, capsys.readouterr().out.split())
    assert 0 < idle <= peak
    assert seconds > 0
    assert compiled == 1


@jax.numpy_dtype_promotion("standard")  # which Optax counts on
def test_every_way_to_write_adam_is_adam(monkeypatch):
    monkeypatch.setattr(formulations, "BLOCK", 5)
    keys = jax.random.split(jax.random.key(0), 3)
    params = {f"w{i}": jax.random.normal(key, (4, 5)) for i, key in enumerate(keys)}
    names = set()
    for tree in formulations.TREES:
        for name, (init, update) in formulations._forms(tree).items():
            names.add(name)
            new, state = params, init(params)
            for _ in range(3):
                new, state = jax.jit(update)(new, state, jax.tree.map(jnp.sin, new))
            other, theirs = params, optax.adam(formulations.LR)
            memory = theirs.init(params)
            for _ in range(3):
                updates, memory = theirs.update(jax.tree.map(jnp.sin, other), memory)
                other = optax.apply_updates(other, updates)
            for one, two in zip(jax.tree.leaves(new), jax.tree.leaves(other), strict=True):
                np.testing.assert_allclose(one, two, rtol=1e-5, err_msg=name)
    assert len(names) >= 8

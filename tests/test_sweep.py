"""Sweeps: axes, plans, equality whatever the cut, stores that survive, executors, bad input."""

from __future__ import annotations

import errno
import gc
import importlib
import json
import math
import multiprocessing
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
import time
import weakref
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import Timer
from types import SimpleNamespace
from typing import Any, NamedTuple
from unittest.mock import Mock

import jax
import jax.numpy as jnp
import killed_sweep
import numpy as np
import pytest
import xarray as xr
import zarr
from hypothesis import given
from hypothesis import strategies as st
from jax.experimental import io_callback
from sweep_functions import nan_where_negative, product, project, walk

import adamlab as al
from adamlab import sweeps
from adamlab.sweeps.devices import blocks_at_once
from adamlab.sweeps.footprint import bytes_at_a_point, suitable_lanes
from adamlab.sweeps.outputs import not_computed
from adamlab.sweeps.plan import cut
from adamlab.sweeps.program import run_block
from adamlab.sweeps.provenance import commit_of
from adamlab.sweeps.store import Store

pytestmark = pytest.mark.rounding

AXES = {"rate": [0.1, 0.2, 0.3, 0.7, 0.9], "decay": [0.2, 0.5, 0.8], "seed": [0, 1, 5, 9]}
HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def whole():
    return al.sweep(walk, AXES)


def _same(one: xr.Dataset, other: xr.Dataset) -> None:
    xr.testing.assert_identical(one.drop_attrs(), other.drop_attrs())


def test_a_sweep_is_a_labelled_dataset(whole):
    assert dict(whole.sizes) == {"rate": 5, "decay": 3, "seed": 4, "final_0": 5, "sign_0": 5}
    assert whole["mean"].dims == ("rate", "decay", "seed")
    assert whole["mean"].dtype == np.float32
    assert whole["sign"].dtype == np.int32
    assert bool(whole["done"].all())
    point = whole["mean"].sel(rate=0.7, decay=0.5, seed=5)
    alone = jax.jit(walk)(jax.random.key(5), jnp.float32(0.7), jnp.float32(0.5))
    np.testing.assert_allclose(point, alone["mean"], rtol=1e-4)


def test_provenance_is_in_the_attributes(whole):
    about = whole.attrs
    assert about["function"] == "walk"
    assert about["compiles"] == 1
    assert about["dtype"] == "float32"
    assert about["device"] == "2 x cpu"
    assert {"python", "adamlab", "jax", "jaxlib", "optax", "numpy"} <= set(about["versions"])
    assert about["block_memory"] > 0
    assert {"date", "platform", "commit"} <= set(about)
    assert not {"axes", "block", "outputs", "settings", "adamlab_store"} & set(about)


def test_the_commit_is_marked_where_code_differs_from_it_but_not_for_results(tmp_path):
    def git(*arguments):
        who = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
        subprocess.run(["git", *who, *arguments], cwd=tmp_path, check=True, capture_output=True)

    assert commit_of(tmp_path) is None
    code, result = tmp_path / "code.py", tmp_path / "result.json"
    code.write_text("1")
    result.write_text("1")
    git("init")
    assert commit_of(tmp_path) is None  # nothing is committed yet
    git("add", ".")
    git("commit", "-m", "first")
    clean = commit_of(tmp_path)
    assert re.fullmatch("[0-9a-f]{12}", clean)
    result.write_text("2")
    assert commit_of(tmp_path) == clean
    (tmp_path / "new.py").write_text("1")
    assert commit_of(tmp_path) == f"{clean}+"
    (tmp_path / "new.py").unlink()
    code.write_text("2")
    assert commit_of(tmp_path) == f"{clean}+"


@pytest.mark.slow
def test_trainings_are_the_same_to_the_bit_however_they_are_cut(tmp_path):
    """Matrix products and all: in blocks of any size, on three devices as on two, on one core.

    A program for a single device goes through other passes of XLA, which round differently; there
    the runs that are not chaotic agree to rounding. So a single core gets two devices.
    """
    code = """
import os, sys, numpy as np, jax
if sys.argv[1] == "core":
    os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
else:
    jax.config.update("jax_num_cpu_devices", int(sys.argv[1]))
import adamlab as al
axes = {"learning_rate": np.geomspace(1e-4, 1, 8), "1-b2": np.geomspace(1e-4, 0.5, 4)}
net = al.problems.fractal_net(batch_size=32)
al.convergence_map(net, al.adam, axes, seeds=2, steps=60, block=int(sys.argv[3]),
                   store=f"{sys.argv[2]}/{sys.argv[1]}")
"""
    for devices, block in (("2", 64), ("3", 12), ("core", 30), ("1", 64)):
        command = [sys.executable, "-c", code, devices, str(tmp_path), str(block)]
        subprocess.run(command, check=True)
    two = al.open_sweep(tmp_path / "2")
    _same(al.open_sweep(tmp_path / "3"), two)
    _same(al.open_sweep(tmp_path / "core"), two)
    one = al.open_sweep(tmp_path / "1")
    calm = two["learning_rate"] < 0.01
    np.testing.assert_allclose(one["late_loss"][calm], two["late_loss"][calm], rtol=1e-4)


@pytest.mark.parametrize("block", [1, 4, 7, 60])
def test_chunked_equals_unchunked(whole, block):
    _same(al.sweep(walk, AXES, block=block), whole)


def test_permuted_equals_ordered(whole):
    axes = {
        "decay": AXES["decay"][::-1], "seed": [5, 0, 9, 1], "rate": [0.9, 0.1, 0.7, 0.3, 0.2],
    }  # fmt: skip
    permuted = al.sweep(walk, axes, block=5).sel(AXES)
    _same(permuted.transpose("rate", "decay", "seed", ...), whole)


def test_a_subgrid_equals_its_part(whole):
    part = al.sweep(walk, {"rate": [0.3], "decay": AXES["decay"], "seed": [9, 5]})
    _same(part, whole.sel(rate=[0.3], seed=[9, 5]))


def test_one_device_equals_two(whole, tmp_path):
    code = """
import pickle, sys, jax
jax.config.update("jax_num_cpu_devices", 1)
import adamlab as al
from sweep_functions import walk
assert jax.device_count() == 1
al.sweep(walk, pickle.load(open(sys.argv[1], "rb")), store=sys.argv[2])
"""
    (tmp_path / "axes").write_bytes(pickle.dumps(AXES))
    store = tmp_path / "one.zarr"
    subprocess.run([sys.executable, "-c", code, tmp_path / "axes", store], cwd=HERE, check=True)
    _same(al.open_sweep(store), whole)


def test_points_share_a_seeds_key_unless_told_otherwise():
    def noise(key, rate):
        return jax.random.normal(key) + 0 * rate

    axes = {"rate": [0.1, 0.2, 0.3], "seed": [0, 1]}
    paired = al.sweep(noise, axes)["result"].values
    assert (paired == paired[0]).all()
    assert len(np.unique(paired)) == 2
    alone = al.sweep(noise, axes, paired=False)
    assert len(np.unique(alone["result"].values)) == 6
    permuted = al.sweep(noise, {"seed": [1, 0], "rate": [0.3, 0.1, 0.2]}, paired=False)
    _same(permuted.sel(axes).transpose("rate", "seed"), alone)


def test_float64(x64):
    out = al.sweep(product, {"a": [1 / 3], "b": [3.0, 1e-20]})
    assert out["result"].dtype == np.float64
    assert out.attrs["dtype"] == "float64"
    np.testing.assert_array_equal(out["result"], [[1.0, 1 / 3 * 1e-20]])


def test_own_dimensions_have_coordinates():
    def powers(a):
        return {"power": a ** jnp.arange(3)}

    with jax.numpy_dtype_promotion("standard"):
        out = al.sweep(powers, {"a": [2.0, 3.0]}, dims={"power": {"exponent": [0, 1, 2]}})
    assert out["power"].dims == ("a", "exponent")
    np.testing.assert_allclose(out["power"].sel(exponent=2), [4.0, 9.0])


# Plans -----------------------------------------------------------------------------------------


@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    most=st.integers(1, 200),
)
def test_every_point_is_in_exactly_one_block(lengths, most):
    axes = {f"x{i}": np.arange(n) for i, n in enumerate(lengths)}
    plan = cut(axes, most, lanes=1, devices=2)
    assert np.prod(plan.block) <= max(most, 1)
    seen = np.zeros(plan.shape, int)
    for place in plan.blocks():
        seen[plan.region(place)] += 1
        values = plan.values(place)
        corner = [part.start for part in plan.region(place)]
        assert [values[name][0] for name in axes] == corner
        assert tuple(map(len, values.values())) == plan.region_shape(place)
    assert (seen == 1).all()


def heavy(a):
    return (jnp.outer(jnp.arange(100.0) + a, jnp.arange(100.0)) @ jnp.ones(100)).max()


def test_blocks_shrink_to_the_memory_allowed():
    axes = {"a": np.linspace(0, 1, 4096)}
    roomy = al.sweep(heavy, axes)
    tight = al.sweep(heavy, axes, memory=2**20)
    assert roomy.attrs["block_memory"] > 2**20
    assert 2 * tight.attrs["block_memory"] <= 2**20
    assert tight.attrs["compiles"] == 2
    np.testing.assert_allclose(tight["result"], roomy["result"], rtol=1e-6)
    with pytest.raises(ValueError, match=r"memory=10: one point on each device takes \d+ bytes"):
        al.sweep(heavy, axes, memory=10)
    fewer = al.sweep(heavy, {"a": axes["a"][:64]}, block=1, lanes=64, memory=2**20)
    assert 1 < fewer.attrs["lanes"] < 64


@pytest.mark.parametrize("told", [None, NotImplementedError("no analysis")])
def test_where_a_backend_tells_no_memory_it_is_estimated(told, monkeypatch):
    analysis = Mock(side_effect=told) if told else Mock(return_value=None)
    monkeypatch.setattr(jax.stages.Compiled, "memory_analysis", analysis)
    axes = {"a": np.linspace(0, 1, 4096)}
    assert 2 * al.sweep(heavy, axes, memory=2**20).attrs["block_memory"] <= 2**20
    with pytest.raises(ValueError, match=r"memory=10: one point on each device takes \d+ bytes"):
        al.sweep(heavy, axes, memory=10)


def test_the_memory_is_that_of_all_devices_and_lanes(monkeypatch):
    def needed(lanes, told):
        monkeypatch.setattr(jax.stages.Compiled, "memory_analysis", lambda self: told)
        return al.sweep(lambda a: a, {"a": np.arange(16.0)}, lanes=lanes).attrs["block_memory"]

    told = SimpleNamespace(temp_size_in_bytes=10, output_size_in_bytes=20)
    assert needed(1, told) == 2 * 30
    assert needed(8, None) == 8 * needed(1, None)


@pytest.mark.parametrize(
    ("points", "seeds", "asked", "lanes"),
    [(4, 1, 1000, 4), (4, 3, 1000, 12), (64, 3, 1000, 64), (64, 3, 3, 3)],
)
def test_lanes_are_those_asked_for_but_no_more_than_the_points_side_by_side(
    points, seeds, asked, lanes
):
    """From 64 points on the seeds come one after the other."""
    axes = {"rate": np.linspace(0.1, 1, points), "decay": [0.5], "seed": range(seeds)}
    assert al.sweep(walk, axes, lanes=asked).attrs["lanes"] == lanes


@pytest.mark.parametrize(
    ("points", "seeds", "lanes", "block"),
    [(1024, 1, 128, [256, 1, 1]), (50, 8, 40, [10, 1, 8]), (64, 8, 32, [64, 1, 2])],
)
def test_an_accelerator_computes_its_share_of_a_block_at_once(
    points, seeds, lanes, block, tmp_path, monkeypatch
):
    """All of its points, or those of one seed where the seeds come one after the other."""
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    axes = {"rate": np.linspace(0.1, 1, points), "decay": [0.5], "seed": range(seeds)}
    found = al.sweep(walk, axes, store=tmp_path / "s")
    attributes = zarr.open_group(tmp_path / "s", mode="r").attrs
    assert (attributes["lanes"], attributes["block"]) == (lanes, block)
    monkeypatch.undo()
    expected = al.sweep(walk, axes, lanes=lanes)
    xr.testing.assert_equal(found.drop_vars("done"), expected.drop_vars("done"))


def test_a_small_block_is_not_filled_up_with_lanes():
    axes = {"rate": np.linspace(0.1, 1, 320), "decay": [0.5], "seed": [0]}
    assert al.sweep(walk, axes).attrs["lanes"] == 20
    assert al.sweep(walk, axes, block=3).attrs["lanes"] == 3


def test_lanes_fill_a_cache_with_what_each_holds_within_its_loops():
    def loop(x):
        return jax.lax.fori_loop(0, 3, lambda _, x: jnp.cos(jnp.sin(x)), x)

    two_mebibytes = bytes_at_a_point(jax.make_jaxpr(loop)(jnp.ones(2**18)))
    assert suitable_lanes(two_mebibytes, 10**6, None) == 8
    assert suitable_lanes(1, 10**6, None) == 4096


@pytest.mark.parametrize(("lanes", "block"), [(1, 8), (4, 15), (20, 30), (40, 60)])
def test_a_block_holds_a_tile_for_each_device_where_the_grid_has_as_many(lanes, block, tmp_path):
    axes = {"rate": np.linspace(0.1, 1, 60), "decay": [0.5], "seed": [0]}
    al.sweep(walk, axes, lanes=lanes, store=tmp_path / "s")
    assert zarr.open_group(tmp_path / "s", mode="r").attrs["block"] == [block, 1, 1]


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("jax_disable_jit", True),
        ("jax_debug_nans", True),
        ("jax_debug_infs", True),
        ("jax_transfer_guard", "disallow"),
    ],
)
def test_a_sweep_does_not_depend_on_what_jax_is_set_to(option, value):
    before = jax.config.values[option]
    jax.config.update(option, value)
    try:
        found = al.sweep(lambda a: jnp.log(a), {"a": [-1.0, 0.0, 1.0]})
    finally:
        jax.config.update(option, before)
    np.testing.assert_array_equal(found["result"], [np.nan, -np.inf, 0])


def test_a_sweep_has_no_part_in_the_mesh_around_it():
    with jax.set_mesh(jax.make_mesh((2,), ("part",))):
        found = al.sweep(lambda a: jnp.sqrt(a), {"a": [1.0, 4.0]})
    np.testing.assert_array_equal(found["result"], [1, 2])


def test_what_is_identified_is_what_is_computed():
    """A function is called once: another call could give another program."""
    calls = []

    def f(a):
        calls.append(a)
        return len(calls) * a

    np.testing.assert_array_equal(al.sweep(f, {"a": [1.0, 2.0]})["result"], [1, 2])
    assert len(calls) == 1


def test_a_map_is_one_compiled_program():
    counted = []

    def count(event, duration, **_):
        if event == "/jax/core/compile/backend_compile_duration":
            counted.append(duration)

    jax.monitoring.register_event_duration_secs_listener(count)
    try:
        for points in (40, 400):
            counted.clear()
            al.sweep(walk, {"rate": np.linspace(0, 1, points), "decay": [0.5], "seed": [0, 1]})
            assert len(counted) == 1
    finally:
        jax.monitoring.unregister_event_duration_listener(count)


# Stores ----------------------------------------------------------------------------------------


def test_a_store_is_plain_zarr_that_xarray_reads(whole, tmp_path):
    store = tmp_path / "deep" / "s.zarr"
    _same(al.sweep(walk, AXES, store=store), whole)
    _same(al.open_sweep(store), whole)
    plain = xr.open_zarr(store, consolidated=False)
    xr.testing.assert_equal(plain["mean"].load(), whole["mean"])
    assert [p.name for p in store.parent.iterdir()] == ["s.zarr"]


def test_an_existing_store_is_not_touched_without_resume(tmp_path):
    store = tmp_path / "s.zarr"
    al.sweep(product, {"a": [1.0], "b": [2.0]}, store=store, settings={"version": 1})
    before = {p: p.read_bytes() for p in store.rglob("*") if p.is_file()}
    with pytest.raises(FileExistsError, match="resume=True"):
        al.sweep(product, {"a": [1.0], "b": [3.0]}, store=store)
    others = {
        "axes": ({"b": [2.0], "a": [1.0]}, {}, r"axes \['a', 'b'\], this sweep has \['b', 'a'\]"),
        "axis 'b'": ({"a": [1.0], "b": [3.0]}, {}, "axis 'b' 2.0, this sweep has 3.0"),
        "more values": ({"a": [1.0], "b": [2.0, 3.0]}, {}, "axis 'b' 1 float64 .* has 2 float64"),
        "whole numbers": ({"a": [1], "b": [2]}, {}, "axis 'a' 1 float64 .* has 1 int32 values"),
        "another setting": (
            {"a": [1.0], "b": [2.0]}, {"settings": {"version": 1, "more": 2}},
            "more None, this .* has 2",
        ),
        "settings": (
            {"a": [1.0], "b": [2.0]}, {"settings": {"version": 2}}, "version 1, this .* has 2",
        ),
        "no settings": (
            {"a": [1.0], "b": [2.0]}, {"settings": None}, "version 1, this .* has None",
        ),
        "keys": ({"a": [1.0], "b": [2.0]}, {"paired": False}, "paired True, this sweep has False"),
    }  # fmt: skip
    for axes, options, message in others.values():
        given = {"settings": {"version": 1}} | options
        with pytest.raises(ValueError, match=message):
            al.sweep(product, axes, store=store, resume=True, **given)
    assert {p: p.read_bytes() for p in store.rglob("*") if p.is_file()} == before


def test_a_setting_that_is_no_number_is_the_same_when_resumed(tmp_path):
    for _ in range(2):
        al.sweep(
            product, {"a": [1.0], "b": [2.0]}, store=tmp_path / "s", resume=True,
            settings={"limit": math.nan},
        )  # fmt: skip


def test_what_a_sweep_says_of_itself_is_no_setting(whole):
    for name in {*whole.attrs, "axes", "block", "outputs", "settings", "adamlab_store"}:
        with pytest.raises(ValueError, match=f"'{name}'.: the library keeps its own under that"):
            al.sweep(product, {"a": [1.0], "b": [2.0]}, settings={name: 1})


def test_another_function_does_not_resume(tmp_path):
    store = tmp_path / "s.zarr"
    al.sweep(product, {"a": [1.0]} | {"b": [2.0]}, store=store)
    with pytest.raises(ValueError, match="function product, this sweep has"):
        al.sweep(lambda a, b: a + b, {"a": [1.0], "b": [2.0]}, store=store, resume=True)


def _scaled(factor):
    return lambda a: a * factor


def _built(source):
    module = {"__name__": "module"}
    exec(source, module)
    return module["f"]


# What a function computes by, each with another value of it, in the place of the braces.
READS = {
    "code": "f = lambda a: a * {}",
    "closure": "def by(k): return lambda a: a * k\nf = by({})",
    "partial": "from functools import partial\nf = partial(lambda a, k: a * k, k={})",
    "module": "K = {}\ndef f(a): return a * K",
    "module's dict": "K = dict(k={})\ndef f(a): return a * K['k']",
    "module's list": "K = [{}]\ndef f(a): return a * K[0]",
    "module's array": "import numpy as np\nK = np.full(9, {})\ndef f(a): return (a * K).sum()",
    "JAX's array": "import jax\nK = jax.numpy.full(9, {})\ndef f(a): return (a * K).sum()",
    "other function": "def g(a): return a * {}\nf = lambda a: g(a)",
    "jitted": "import jax\nf = jax.jit(lambda a: a * {})",
    "in a loop": "import jax\nf = lambda a: jax.lax.fori_loop(0, 3, lambda i, x: x * {}, a)",
    "jitted array": "import jax, numpy as np\nK = np.full(9, {})\n"
    "f = jax.jit(lambda a: (a * K).sum())",
    "array in a loop": "import jax, numpy as np\nK = np.full(9, {})\n"
    "f = lambda a: jax.lax.fori_loop(0, 3, lambda i, x: (x * K).sum(), a)",
    "method": "class M:\n  def __init__(s, k): s.k = k\n  def run(s, a): return a * s.k\n"
    "f = M({}).run",
    "class": "class M:\n  k = {}\n  def __call__(s, a): return a * s.k\nf = M()",
    "__call__": "class M:\n  def __call__(s, a): return a * {}\nf = M()",
    "__repr__": "class M:\n  def __init__(s, k): s.k = k\n  def __repr__(s): return 'M'\n"
    "o = M({})\nf = lambda a: a * o.k",
    "key": "import jax\nf = lambda a: a * jax.random.uniform(jax.random.key(int({})))",
}  # fmt: skip


@pytest.mark.parametrize("name", READS)
def test_a_function_that_reads_something_else_does_not_resume(name, tmp_path):
    axes = {"a": [1.0, 2.0]}
    first = al.sweep(_built(READS[name].format(2.0)), axes, store=tmp_path / "s")
    again = _built("# The same.\n" + READS[name].format(2.0))
    _same(al.sweep(again, axes, store=tmp_path / "s", resume=True), first)
    with pytest.raises(ValueError, match=r"program .* a value that it reads .* is another"):
        al.sweep(_built(READS[name].format(3.0)), axes, store=tmp_path / "s", resume=True)


# The same program with another name, in the place of the braces, for what it calls.
NAMED = {
    "once": "f = lambda a: {}(a) + 1",
    "twice": "f = lambda a: {0}(a) + {0}(a + 1)",
    "in a loop": "f = lambda a: jax.lax.fori_loop(0, 3, lambda i, x: {}(x), a)",
    "in a conditional": "f = lambda a: jax.lax.cond(a > 1, {}, lambda x: x, a)",
    "derived": "f = lambda a: jax.grad({})(a)",
}


@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize("body", ["x * 2", " + ".join(["jnp.sin(x)"] * 12)])
def test_what_is_called_by_another_name_resumes(name, body, tmp_path):
    axes = {"a": [1.0, 2.0]}
    for called in ("g", "with_a_name_so_long_that_the_lines_of_its_program_break_elsewhere"):
        source = f"import jax, jax.numpy as jnp\n@jax.jit\ndef {called}(x): return {body}\n"
        fn = _built(source + NAMED[name].format(called))
        found = al.sweep(fn, axes, store=tmp_path / "s", resume=True)
    assert found["done"].all()


def test_other_outputs_do_not_resume(tmp_path):
    al.sweep(lambda a: {"x": a}, {"a": [1.0]}, store=tmp_path / "s")
    with pytest.raises(ValueError, match=r"outputs .*'x'.*this sweep has .*'y'"):
        al.sweep(lambda a: {"x": a, "y": a}, {"a": [1.0]}, store=tmp_path / "s", resume=True)


def test_keys_of_another_kind_do_not_resume(tmp_path):
    def draw(rate):
        return rate * jax.random.normal(jax.random.key(0))

    al.sweep(draw, {"rate": [0.1]}, store=tmp_path / "s")
    with jax.default_prng_impl("rbg"), pytest.raises(ValueError, match="program"):
        al.sweep(draw, {"rate": [0.1]}, store=tmp_path / "s", resume=True)


def test_whatever_jaxs_default_keys_are_a_seed_draws_the_same_in_every_lane():
    axes = {"rate": [0.1, 0.2], "decay": [0.2, 0.3], "seed": [0, 1]}
    usual = al.sweep(walk, axes, lanes=1)
    with jax.default_prng_impl("rbg"):  # whose bits depend on the lanes beside
        xr.testing.assert_equal(al.sweep(walk, axes, lanes=4), usual)


def test_a_map_resumes_in_another_process(tmp_path):
    command = f"""if True:
        import adamlab as al
        found = al.convergence_map(
            al.rosenbrock(), al.adam, dict(learning_rate=[1e-3]), steps=8,
            fixed=dict(b1=lambda t: 0.9 - 0.1 * (t > 4)), store={str(tmp_path / "s")!r}, resume=True
        )
        print(found.attrs["program"], found.attrs["fixed"]["b1"])
    """

    def run():
        done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True)
        return done.stdout or done.stderr

    assert run() == run() != ""


class _Handle:
    """What submitit gives back: no future, but the same questions can be put to it."""

    def __init__(self, call, patience):
        self.call, self.patience = call, patience

    def done(self):
        self.patience -= 1
        return self.patience < 0

    def result(self):
        return self.call()

    def cancel(self):
        pass


class _Queue:
    submitted = 0

    def submit(self, function, *arguments):
        self.submitted += 1
        return _Handle(partial(function, *arguments), patience=1 + self.submitted % 2)


def test_handles_that_are_no_futures_are_asked_until_they_are_done(whole):
    _same(al.sweep(walk, AXES, block=20, executor=_Queue()), whole)


def test_as_many_blocks_are_computed_here_as_there_are_workers():
    with ThreadPoolExecutor(3) as pool:
        assert [sweeps.blocks_here(one) for one in (None, pool, _Queue())] == [2, 3, None]


def test_a_resumed_sweep_keeps_its_dimensions(tmp_path):
    def three(a):
        return {"row": a * jnp.arange(3.0)}

    store, axes = tmp_path / "s", {"a": [1.0, 2.0]}
    al.sweep(three, axes, store=store, dims={"row": {"time": [0, 1, 2]}})
    with pytest.raises(ValueError, match="dimension 'time' 3 int64 values from 0 to 2"):
        al.sweep(three, axes, store=store, resume=True, dims={"row": {"time": [10, 20, 30]}})


FACTORIZATIONS = """
import sys
from concurrent.futures import ThreadPoolExecutor
import adamlab, jax, jax.numpy as jnp

def factor(key, scale):
    def step(total, key):
        matrix = scale * jax.random.normal(key, (24, 24))
        parts = [jnp.linalg.qr(matrix)[1], jnp.linalg.svd(matrix)[1], jnp.linalg.eigh(matrix)[0]]
        return total + sum(part.sum() for part in parts), None
    return jax.lax.scan(step, 0.0, jax.random.split(key, 30))[0]

workers = int(sys.argv[1])
if sys.argv[2:]:
    jnp.zeros(3) + 1  # JAX has started before the sweep, as in most notebooks
found = adamlab.sweep(
    factor, {"scale": range(1, 9), "seed": range(64)}, lanes=48, block=96,
    executor=ThreadPoolExecutor(workers) if workers else None,
)
assert found["result"].notnull().all()
"""


def test_results_beyond_the_memory_of_the_machine_are_refused_before_the_work():
    axes = {name: np.arange(1, 100_001) for name in "ab"}
    with pytest.raises(ValueError, match=r"axes make 10,000,000,000,000 .* take .* GiB: must"):
        al.sweep(lambda a, b, c: a * b * c, axes | {"c": np.arange(1, 1001)})
    with pytest.raises(ValueError, match=r"axes make 1,000 points, .* take .* GiB: must"):
        al.sweep(lambda a: jnp.full((10**6, 10**6), a), {"a": np.arange(1000.0)})


def _half_nan(x, y):
    return {"a": jnp.where(x > 2, jnp.nan, x * y), "v": jnp.stack([x, y])}


@pytest.mark.parametrize(("output", "files"), [("a", "*/*"), ("v", "*/*/*")])
def test_a_block_whose_file_is_gone_is_computed_again_and_never_read_as_nan(
    output, files, tmp_path
):
    axes, path = {"x": np.arange(8.0), "y": np.arange(6.0)}, tmp_path / "s.zarr"
    whole = al.sweep(_half_nan, axes, store=path, block=6)
    gone = sorted((path / output / "c").glob(files))[3]
    gone.unlink()
    assert int((~al.open_sweep(path)["done"]).sum()) == 6
    again = al.sweep(_half_nan, axes, store=path, block=6, resume=True)
    assert again.equals(whole)


@pytest.mark.parametrize("content", [b"", bytes(20)])
def test_a_flag_that_cannot_be_read_is_not_set(content, tmp_path):
    axes, path = {"x": np.arange(8.0), "y": np.arange(6.0)}, tmp_path / "s.zarr"
    whole = al.sweep(_half_nan, axes, store=path, block=6)
    sorted((path / "done_blocks" / "c").glob("*/*"))[3].write_bytes(content)
    assert int((~al.open_sweep(path)["done"]).sum()) == 6
    assert al.sweep(_half_nan, axes, store=path, block=6, resume=True).equals(whole)
    assert al.open_sweep(path)["done"].all()


def _without_lanes(file):
    about = json.loads(file.read_text())
    del about["attributes"]["lanes"]
    file.write_text(json.dumps(about))


def _emptied(file):
    file.write_bytes(b"")


DAMAGE = {
    "no output": ("v", shutil.rmtree, "'v' is gone"),
    "no flags": ("done_blocks", shutil.rmtree, "'done_blocks' is gone"),
    "no axis": ("x", shutil.rmtree, "'x' is gone"),
    "no dimension": ("v_0", shutil.rmtree, "'v_0' is gone"),
    "no attribute": ("zarr.json", _without_lanes, "'lanes' is gone"),
    "empty group": ("zarr.json", _emptied, r"zarr\.json cannot be read \("),
    "empty output": ("v/zarr.json", _emptied, r"zarr\.json cannot be read \("),
    "empty flags": ("done_blocks/zarr.json", _emptied, r"zarr\.json cannot be read \("),
    "empty dimension": ("v_0/zarr.json", _emptied, r"zarr\.json cannot be read \("),
    "empty values": ("x/c/0", _emptied, r"'x' cannot be read \("),
    "no values": ("y/c/0", Path.unlink, "a file of 'y' is gone"),
    "no zeros": ("z/c/0", Path.unlink, "a file of 'z' is gone"),
    "no values of a dimension": ("v_0/c/0", Path.unlink, "a file of 'v_0' is gone"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_what_is_damaged_is_named(name, tmp_path):
    place, harm, message = DAMAGE[name]
    axes, path = {"x": np.arange(3.0), "y": np.arange(2.0), "z": [0.0]}, tmp_path / "s.zarr"

    def half_nan(x, y, z):
        return _half_nan(x, y + z)

    al.sweep(half_nan, axes, store=path)
    harm(path / place)
    for call in (al.open_sweep, lambda path: al.sweep(half_nan, axes, store=path, resume=True)):
        with pytest.raises(ValueError, match=f"is damaged: {message}.*; copy the store again, or"):
            call(path)


@pytest.mark.parametrize("how", [{}, {"how": {"plain": product}}])
def test_a_store_that_cannot_be_made_is_named_as_it_was_given(how, tmp_path):
    path = tmp_path / ("s" * 250)  # with what a draft adds the name is too long
    with pytest.raises(OSError, match="File name too long") as caught:
        al.sweep(lambda a, b, how=product: how(a, b), {"a": [1.0], "b": [2.0]} | how, store=path)
    assert caught.value.filename == str(path)


def test_of_two_that_create_a_store_at_once_one_is_told_so(tmp_path, monkeypatch):
    path = tmp_path / "s.zarr"

    def taken(self, target):
        Path(target).mkdir()
        (Path(target) / "theirs").touch()
        os.rename(self, target)

    monkeypatch.setattr(Path, "rename", taken)
    with pytest.raises(FileExistsError, match="another process has just created it; resume it"):
        al.sweep(product, {"a": [1.0], "b": [2.0]}, store=path)
    assert [file.name for file in tmp_path.iterdir()] == ["s.zarr"]


@pytest.mark.parametrize("resume", [False, True])
@pytest.mark.parametrize("where", ["execute._plan", "structure.appearing"])
def test_of_two_that_begin_at_once_the_later_goes_on_where_it_may(where, resume, tmp_path):
    axes, path = {"how": {"plain": product}, "a": [1.0, 2.0], "b": [3.0]}, tmp_path / "s.zarr"
    if where == "execute._plan":
        del axes["how"]

    def run(**options):
        return al.sweep(lambda a, b, how=product: how(a, b), axes, store=path, **options)

    with pytest.MonkeyPatch.context() as patch:
        module, name = where.split(".")
        module = importlib.import_module(f"adamlab.sweeps.{module}")
        real = getattr(module, name)

        def later(*arguments):
            patch.undo()
            run()
            return real(*arguments)

        patch.setattr(module, name, later)
        if resume:
            np.testing.assert_array_equal(run(resume=True)["result"].squeeze(), [3.0, 6.0])
        else:
            with pytest.raises(FileExistsError, match="another process has just created it"):
                run()


def test_a_damaged_file_is_named_and_computed_again_once_it_is_deleted(tmp_path):
    axes, path = {"x": np.arange(8.0), "y": np.arange(6.0)}, tmp_path / "s.zarr"
    whole = al.sweep(_half_nan, axes, store=path, block=6)
    file = sorted((path / "v" / "c").glob("*/*/*"))[2]
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 255
    file.write_bytes(content)
    for call in (
        lambda: al.open_sweep(path),
        lambda: al.sweep(_half_nan, axes, store=path, block=6, resume=True),
    ):
        with pytest.raises(
            ValueError, match=rf"is damaged: {re.escape(str(file))} cannot be read .*; delete it"
        ):
            call()
    file.unlink()
    assert al.sweep(_half_nan, axes, store=path, block=6, resume=True).equals(whole)


@pytest.mark.parametrize("workers", ["0", "3", "0 started", "3 started"])
def test_factorizations_side_by_side_do_not_wait_for_each_other_for_ever(workers):
    command = [sys.executable, "-c", FACTORIZATIONS, *workers.split()]
    subprocess.run(command, cwd=HERE, check=True, timeout=120)


def test_only_a_sweep_is_opened(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no sweep"):
        al.open_sweep(tmp_path / "none")
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("not a sweep")
    for name in ("folder", "file"):
        with pytest.raises(ValueError, match="is not an adamlab sweep"):
            al.open_sweep(tmp_path / name)
        with pytest.raises(ValueError, match="is not an adamlab sweep"):
            al.sweep(product, {"a": [1.0], "b": [1.0]}, store=tmp_path / name, resume=True)
    assert (tmp_path / "file").read_text() == "not a sweep"


def test_a_store_of_another_format_says_so(tmp_path):
    axes = {"a": [1.0], "b": [1.0]}
    al.sweep(product, axes, store=tmp_path / "s")
    file = tmp_path / "s" / "zarr.json"
    file.write_text(file.read_text().replace('"adamlab_store": 2', '"adamlab_store": 1'))
    with pytest.raises(sweeps.OtherFormatError, match="is in format 1, and this version reads"):
        al.open_sweep(tmp_path / "s")
    with pytest.raises(sweeps.OtherFormatError):
        al.sweep(product, axes, store=tmp_path / "s", resume=True)


def test_the_bar_counts_the_runs_that_are_done_already(tmp_path, capsys):
    axes = {"a": [1.0, 2.0, 3.0], "b": [1.0, 2.0]}
    for _ in range(2):
        al.sweep(product, axes, block=2, store=tmp_path / "s", resume=True, progress=True)
        assert "6/6" in capsys.readouterr().err


def test_a_finished_sweep_is_not_computed_again(tmp_path, monkeypatch):
    axes = {"a": [1.0, 2.0], "b": [1.0]}
    first = al.sweep(product, axes, store=tmp_path / "s")
    monkeypatch.setattr("adamlab.sweeps.execute.compile_program", None)
    monkeypatch.setattr("adamlab.sweeps.execute.run_block", None)
    again = al.sweep(product, axes, store=tmp_path / "s", resume=True)
    _same(again, first)


@pytest.mark.parametrize(
    ("dtype", "fill"),
    [(np.float32, np.nan), (np.complex64, np.nan), (np.int32, -1), (np.uint8, 0), (bool, False)],
)
def test_what_is_not_computed_is_no_result_where_the_type_has_such_a_value(dtype, fill):
    value = not_computed(dtype)
    assert value.dtype == dtype
    np.testing.assert_array_equal(value, np.asarray(fill, dtype))


def test_missing_differs_from_not_finite(tmp_path):
    """A sweep whose disk fills up keeps what it has, says so, and goes on later."""
    store, axes = tmp_path / "s", {"a": [-1.0, 4.0, 9.0, -4.0]}
    real, left = Store.write, [2]

    def full(self, place, values):
        if left[0] == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        left[0] -= 1
        real(self, place, values)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Store, "write", full)
        with pytest.raises(OSError, match="No space left") as caught:
            al.sweep(nan_where_negative, axes, store=store, block=1)
        assert any("2 of 4 blocks are safe" in note for note in caught.value.__notes__)
        with pytest.raises(OSError, match="No space left") as caught:
            al.sweep(nan_where_negative, axes, store=store, resume=True)
        assert any("2 of 4 blocks are safe" in note for note in caught.value.__notes__)
    half = al.open_sweep(store)
    assert int(half["done"].sum()) == 2
    assert half["result"].isnull().values[~half["done"].values].all()
    np.testing.assert_array_equal(half["a"], axes["a"])
    plain = xr.open_zarr(store, consolidated=False)
    np.testing.assert_array_equal(plain["result"], half["result"])
    full_set = al.sweep(nan_where_negative, axes, store=store, block=1, resume=True)
    assert full_set["done"].all()
    np.testing.assert_array_equal(full_set["result"], [np.nan, 2.0, 3.0, np.nan])


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_named(number, tmp_path, monkeypatch):
    import zarr

    def full(self, selection, value):
        raise OSError(number, "No space left on device")

    monkeypatch.setattr(zarr.Array, "__setitem__", full)
    with pytest.raises(OSError, match="the disk is full; make room and resume") as caught:
        al.sweep(product, {"a": [1.0, 2.0], "b": [1.0]}, store=tmp_path / "s")
    assert caught.value.errno == number
    assert not al.open_sweep(tmp_path / "s")["done"].any()


@pytest.mark.slow
def test_killed_at_ten_random_moments_and_resumed_equals_uninterrupted(tmp_path):
    """SIGKILL ten times over one store, while it is written; the result is the same to the bit."""
    store, chance, done = tmp_path / "s.zarr", np.random.default_rng(2), [0]
    for _ in range(10):
        command = [sys.executable, HERE / "killed_sweep.py", str(store)]
        process = subprocess.Popen(command, cwd=HERE)
        _wait_for(lambda: _blocks_done(store) > done[-1], process)
        time.sleep(float(chance.uniform(0, 0.05)))
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        done.append(_blocks_done(store))
    assert done == sorted(set(done))
    assert done[-1] < killed_sweep.BLOCKS
    _same(killed_sweep.run(str(store)), killed_sweep.run(None))


@pytest.mark.slow
def test_killed_while_it_starts(tmp_path):
    """As soon as there is a store it is a whole one."""
    store = tmp_path / "s.zarr"
    process = subprocess.Popen([sys.executable, HERE / "killed_sweep.py", str(store)], cwd=HERE)
    _wait_for(store.exists, process)
    process.kill()
    process.wait()
    assert al.open_sweep(store).sizes["rate"] == 40


def _blocks_done(store: Path) -> int:
    return len([p for p in (store / "done_blocks").rglob("*") if p.is_file()])


def _wait_for(condition, process, seconds=60.0):
    end = time.monotonic() + seconds
    while not condition() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.002)


# Executors -------------------------------------------------------------------------------------


def test_threads(whole):
    with ThreadPoolExecutor(2) as pool:
        _same(al.sweep(walk, AXES, block=8, executor=pool), whole)


def test_threads_share_one_program_when_they_resume(whole, tmp_path):
    al.sweep(walk, AXES, block=8, store=tmp_path / "s")
    shutil.rmtree(tmp_path / "s" / "done_blocks" / "c")
    compiled = []
    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(4) as pool:
        compile_ = jax.stages.Lowered.compile
        patch.setattr(
            jax.stages.Lowered, "compile", lambda self: compiled.append(1) or compile_(self)
        )
        _same(al.sweep(walk, AXES, store=tmp_path / "s", resume=True, executor=pool), whole)
    assert len(compiled) == 1


def test_a_resumed_sweeps_time_is_that_of_its_blocks(tmp_path, monkeypatch):
    axes, store = {"a": [1.0, 2.0], "b": [3.0]}, tmp_path / "s"
    al.sweep(product, axes, store=store)
    shutil.rmtree(store / "done_blocks" / "c")
    compile_ = jax.stages.Lowered.compile
    monkeypatch.setattr(
        jax.stages.Lowered, "compile", lambda self: time.sleep(1.0) or compile_(self)
    )
    assert al.sweep(product, axes, store=store, resume=True).attrs["run_seconds"] < 1


def test_processes_that_would_hang_are_refused():
    fork = multiprocessing.get_context("fork")
    with (
        ProcessPoolExecutor(1, mp_context=fork) as pool,
        pytest.raises(ValueError, match="by fork, and JAX hangs in them; give ProcessPool"),
    ):
        al.sweep(walk, AXES, executor=pool)
    with pytest.raises(TypeError, match=r"executor=.*ThreadPoolExecutor.*: must have submit"):
        al.sweep(walk, AXES, executor=ThreadPoolExecutor)


def test_what_a_callback_reads_cannot_be_resumed(tmp_path):
    def calling(factor):
        def host(x):
            return np.float32(factor * x)

        like = jax.ShapeDtypeStruct((), jnp.float32)
        return lambda a: jax.lax.cond(
            a > 0, lambda x: jax.pure_callback(host, like, x, vmap_method="sequential"),
            lambda x: x, a,
        )  # fmt: skip

    al.sweep(calling(2.0), {"a": [1.0, 2.0]}, store=tmp_path / "s")
    with pytest.raises(ValueError, match="gets values from Python by a callback, and a store"):
        al.sweep(calling(3.0), {"a": [1.0, 2.0]}, store=tmp_path / "s", resume=True)

    def asking(a):
        return io_callback(np.negative, jax.ShapeDtypeStruct((), jnp.float32), a)

    al.sweep(asking, {"a": [1.0, 2.0]}, store=tmp_path / "io")
    with pytest.raises(ValueError, match="gets values from Python by a callback, and a store"):
        al.sweep(asking, {"a": [1.0, 2.0]}, store=tmp_path / "io", resume=True)


def test_a_finished_sweep_lets_go_of_what_its_function_holds(tmp_path):
    held = np.arange(3.0)
    freed = weakref.ref(held)
    for resume in (False, True):  # the second time there is nothing left to compute
        al.sweep(
            lambda a, kept=held: a * kept[0], {"a": [1.0, 2.0]}, store=tmp_path / "s", resume=resume
        )
    del held
    gc.collect()
    assert freed() is None


def test_a_device_on_its_own_beside_idle_cores_is_pointed_out(monkeypatch):
    monkeypatch.setattr(jax, "local_device_count", lambda: 1)
    monkeypatch.setattr("adamlab.sweeps.devices._cores", lambda: 4)
    sweeps.use_all_cores()  # as many as were chosen
    monkeypatch.setattr("adamlab.sweeps.devices._chosen_devices", lambda: None)
    with pytest.warns(UserWarning, match="one CPU device, so this sweep uses one of 4") as told:
        sweeps.use_all_cores()
    assert told[0].filename == __file__


@pytest.mark.parametrize(("threads", "blocks"), [(2, 1), (3, 1), (5, 2), (6, 2)])
def test_a_factorization_has_a_thread_to_spare_or_is_warned_of(threads, blocks, monkeypatch):
    monkeypatch.setenv("PJRT_NPROC", str(threads))
    assert blocks_at_once(2, lambda: False) == 2
    if threads > 2:
        assert blocks_at_once(2, lambda: True) == blocks
    else:
        with pytest.warns(UserWarning, match="may wait forever for one more: set .*PJRT_NPROC=5"):
            assert blocks_at_once(2, lambda: True) == blocks


@pytest.mark.parametrize("how", ["flag", "option"])
def test_devices_and_threads_that_are_chosen_are_left_alone(how):
    code = f"""
import jax, os
if {how == "option"}:
    jax.config.update("jax_num_cpu_devices", 3)
from adamlab import sweeps
sweeps.use_all_cores()
assert (jax.device_count(), os.environ["PJRT_NPROC"]) == (3, "9")
"""
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=3"} if how == "flag" else {}
    subprocess.run(
        [sys.executable, "-c", code], check=True, env=os.environ | flags | {"PJRT_NPROC": "9"}
    )


@pytest.mark.slow
def test_a_process_pool(whole):
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=spawn) as pool:
        _same(al.sweep(walk, AXES, block=15, executor=pool), whole)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("option", "value"),
    [("jax_threefry_partitionable", False), ("jax_default_matmul_precision", "bfloat16")],
)
def test_a_worker_that_is_configured_otherwise_computes_nothing(option, value, tmp_path):
    spawn, before = multiprocessing.get_context("spawn"), jax.config.values[option]
    axes = {"rate": [0.1, 0.2], "decay": [0.2], "seed": [0]}
    jax.config.update(option, value)
    try:
        with (
            ProcessPoolExecutor(1, mp_context=spawn) as pool,
            pytest.raises(RuntimeError, match="this worker would compute another program: its JAX"),
        ):
            al.sweep(project, axes, block=1, store=tmp_path / "s", executor=pool)
    finally:
        jax.config.update(option, before)
    assert not al.open_sweep(tmp_path / "s")["done"].any()


@pytest.mark.slow
def test_a_broken_process_pool_keeps_what_is_done(whole, tmp_path):
    """A worker dies half-way: the sweep fails with a note, and resumes to the same result."""
    store, spawn = tmp_path / "s", multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        victim = pool.submit(os.getpid).result()
        pool.submit = _killing_submit(pool, victim, store)
        with pytest.raises(Exception, match="terminated abruptly") as caught:
            al.sweep(walk, AXES, block=4, store=store, executor=pool)
    assert any("are safe in" in note for note in caught.value.__notes__)
    half = al.open_sweep(store)
    assert 0 < int(half["done"].sum()) < half["done"].size
    _same(al.sweep(walk, AXES, store=store, resume=True), whole)


def _killing_submit(pool, victim, store):
    submit, killed = pool.submit, []

    def then(done: Future):
        if not killed and _blocks_done(store) >= 1:
            killed.append(os.kill(victim, signal.SIGKILL))

    def hooked(*args, **kwargs):
        future = submit(*args, **kwargs)
        future.add_done_callback(then)
        return future

    return hooked


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_dask_goes_on_when_a_worker_is_killed(whole, tmp_path):
    distributed = pytest.importorskip("distributed")
    store = tmp_path / "s"
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        client.run(lambda path: sys.path.insert(0, path), str(HERE))
        pids = list(client.run(os.getpid).values())
        executor = client.get_executor()
        executor.submit = _killing_submit(executor, pids[0], store)
        result = al.sweep(walk, AXES, block=4, store=store, executor=executor)
        assert pids[0] not in client.run(os.getpid).values()
    _same(result, whole)


# Bad input -------------------------------------------------------------------------------------

BAD_AXES = {
    "no axes": ({}, "axes={}"),
    "no mapping": ([("a", [1.0])], "axes=.*must map"),
    "empty axis": ({"a": [], "b": [1.0]}, "axis 'a' is empty"),
    "duplicate value": ({"a": [1.0, 1.0], "b": [1.0]}, "axis 'a' holds 1 more than once"),
    "infinite value": ({"a": [1.0, np.inf], "b": [1.0]}, "axis 'a' holds inf"),
    "two dimensions": ({"a": np.ones((2, 2)), "b": [1.0]}, "axis 'a' has shape"),
    "a scalar": ({"a": 1.0, "b": [1.0]}, "axis 'a' has shape"),
    "text": ({"a": ["x"], "b": [1.0]}, "axis 'a' holds <U1 values"),
    "narrow": ({"a": jnp.ones(1, jnp.bfloat16), "b": [1.0]}, "axis 'a' holds bfloat16 values"),
    "narrow scalars": ({"a": [*jnp.ones(1, jnp.bfloat16)], "b": [1.0]}, "axis 'a': must be a flat"),
    "ragged": ({"a": [[1.0], [1.0, 2.0]], "b": [1.0]}, "axis 'a': must be a flat list"),
    "unknown": (
        {"a": [1.0], "bb": [1.0]},
        "axis 'bb': the function product has no argument 'bb'; did you mean 'b'"),
    "missing": ({"a": [1.0]}, "argument 'b': the function product needs it"),
    "a seed that is none": (
        {"a": [1.0], "b": [1.0], "seed": [0]}, "axis 'seed'.*no argument 'key'"),
    "infinite in float32": ({"a": [1e300], "b": [1.0]}, "axis 'a' holds 1e\\+300, which float32"),
    "zero in float32": ({"a": [1e-50], "b": [1.0]}, "axis 'a' holds 1e-50, which float32 cannot"),
    "one in float32": ({"a": [1.0, 1.00000001], "b": [1.0]}, "which are one number in float32"),
    "one in float32, apart": (
        {"a": [1.0, 2.0, 1.00000001], "b": [1.0]}, "axis 'a' holds .*1.0.* and .*1.00000001"),
    "below float32": ({"a": [1e-40], "b": [1.0]}, "axis 'a' holds 1e-40, which float32 cannot"),
    "a key": ({"a": [1.0], "b": [1.0], "key": [1]}, "axis 'key': random keys are made from"),
    "large integer": ({"a": [2**40], "b": [1.0]}, "axis 'a': whole numbers must lie"),
    "integer too large by one": ({"a": [2**31], "b": [1.0]}, "axis 'a': whole numbers must lie"),
    "truth": ({"a": [True, False], "b": [1.0]}, "axis 'a' holds bool values"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_AXES)
def test_bad_axes_are_named(name):
    axes, message = BAD_AXES[name]
    with pytest.raises((ValueError, TypeError), match=message):
        al.sweep(product, axes)


@pytest.mark.parametrize(
    ("fn", "message"),
    [(3.0, "fn=3.0: must be a function"), (lambda a, /: a, "has no argument 'a'; known: none")],
)
def test_what_cannot_be_called_with_its_axes_is_refused(fn, message):
    with pytest.raises((ValueError, TypeError), match=message):
        al.sweep(fn, {"a": [1.0]})


def test_an_axis_is_kept_in_one_type_whatever_its_values_came_in():
    given = {"a": np.float32([0.1]), "b": np.int8([1]), "c": np.arange(2, dtype=np.uint16)}
    dtypes = {name: values.dtype for name, values in al.sweeps.check_axes(given).items()}
    assert dtypes == {"a": np.float64, "b": np.int32, "c": np.int32}


@pytest.mark.parametrize("seeds", [[-1], [0.5], [1.0]])
def test_seeds_are_whole_numbers(seeds):
    with pytest.raises(ValueError, match="axis 'seed' holds"):
        al.sweep(walk, {"rate": [0.1], "decay": [0.1], "seed": seeds})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"block": 0}, "block=0"),
        ({"block": True}, "block=True: must be a whole number"),
        ({"lanes": 1.5}, "lanes=1.5"),
        ({"memory": -1}, "memory=-1"),
        ({"executor": 4}, "executor=4: must have submit"),
        ({"progress": "no"}, "progress='no': must be True or False"),
        ({"settings": {"dtype": "bf"}}, "settings\\['dtype'\\]: the library keeps its own"),
        ({"settings": {"x": np.float32(1)}}, "settings\\['x'\\]=.*: must be a JSON value"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises((ValueError, TypeError), match=message):
        al.sweep(product, {"a": [1.0], "b": [1.0]}, **options)


BAD_NAMES = {
    "axis": ({"a": 1.0}, {}, "output 'a' has the name of an axis"),
    "own": ({"done": 1.0}, {}, "output 'done' has the name of a variable of adamlab's own"),
    "folder to Zarr": ({"a\\b": 1.0}, {}, "output 'a\\\\b': a name must not hold '/' or"),
    "a file": ({"zarr.json": 1.0}, {}, "output 'zarr.json' has the name of a file of the store"),
    "folder": ({"loss/train": 1.0}, {}, "output 'loss/train': a name must not hold '/'"),
    "folder above": ({"..": 1.0}, {}, "output '..': a name must not hold '/'"),
    "Zarr's own": ({"__x": 1.0}, {}, "output '__x': a name must not hold '/' or '\\' or start"),
    "unknown dims": ({"x": 1.0}, {"xx": {}}, "dims['xx']: there is no such output; did you mean"),
    "dims of no names": ({"x": np.ones(4)}, {"x": ["t"]}, "dims['x']=['t']: must map each dim"),
    "length": ({"x": np.ones(4)}, {"x": {"t": range(5)}}, "dims['x'] has lengths (5,)"),
    "dim like axis": ({"x": np.ones(4)}, {"x": {"a": range(4)}}, "dimension 'a' has the name"),
    "narrow": ({"x": jnp.ones(2, jnp.bfloat16)}, {}, "output 'x' is bfloat16[2]: must hold"),
    "nothing": ({"x": np.ones(0)}, {}, "output 'x' is float32[0]: must hold at least one"),
    "two meanings": (
        {"x": np.ones(2), "y": np.ones(2)}, {"x": {"t": [0, 1]}, "y": {"t": [0, 2]}},
        "dimension 't' has other coordinates in another output"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_NAMES)
def test_names_that_clash_are_refused_before_anything_is_written(name, tmp_path):
    outputs, dims, message = BAD_NAMES[name]
    with pytest.raises((ValueError, TypeError), match=re.escape(message)):
        al.sweep(
            lambda a: {n: v + (0 * a).astype(jnp.asarray(v).dtype) for n, v in outputs.items()},
            {"a": [1.0]},
            dims=dims, store=tmp_path / "s",
        )  # fmt: skip
    assert not list(tmp_path.iterdir())


def test_booleans_and_complex_numbers_stay_what_they_are():
    out = al.sweep(lambda a: {"large": a > 1, "turned": jax.lax.complex(a, -a)}, {"a": [1.0, 2.0]})
    assert out["large"].dtype == bool
    assert out["turned"].dtype == np.complex64


def test_whole_numbers_are_whole_where_they_are_used():
    out = al.sweep(lambda n, key: n + 1, {"n": [1, 2], "seed": [0]})
    assert out["result"].dtype == np.int32
    np.testing.assert_array_equal(out["result"], [[2], [3]])


def test_a_sweep_of_seeds_alone():
    out = al.sweep(lambda key: jax.random.normal(key), {"seed": range(100)})
    assert len(np.unique(out["result"])) == 100
    one = al.sweep(walk, {"rate": [0.5], "decay": [0.5], "seed": range(100)})
    assert len(np.unique(one["mean"])) == 100


def test_outputs_are_arrays():
    with pytest.raises(TypeError, match="output 'text' is 'no': must be an array"):
        al.sweep(lambda a: {"text": "no"}, {"a": [1.0]})


GOOD_TEXTS = {
    "x=1:2:3": np.linspace(1, 2, 3),
    "x=1e-5:1:6:log": np.geomspace(1e-5, 1, 6),
    "x=1:2:3:linear": np.linspace(1, 2, 3),
    "x=2:2:1": np.array([2.0]),
    "x=3,1,2": np.array([3.0, 1.0, 2.0]),
}


@pytest.mark.parametrize("text", GOOD_TEXTS)
def test_axes_from_text(text):
    axes, fixed = al.parse_axes([text, "y=0.5"])
    np.testing.assert_array_equal(axes["x"], GOOD_TEXTS[text])
    assert fixed == {"y": 0.5}
    whole = al.parse_axes(["n=5", "m=-5", "x=5.", "on=True", "off=False"])[1]
    assert whole == {"n": 5, "m": -5, "x": 5.0, "on": True, "off": False}
    assert [type(value) for value in whole.values()] == [int, int, float, bool, bool]


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["x"], "axis 'x': must be name=low:high:count"),
        (["x="], "axis 'x=': must be"),
        (["x=1:2"], "axis 'x=1:2': must be"),
        (["x=1:2:3:cubic"], "must be name=low:high:count"),
        (["x=1:2:1"], "one value cannot be both ends"),
        (["x=0:1:3:log"], "must run between numbers > 0"),
        (["x=1:-1:3:log"], "must run between numbers > 0"),
        (["x=1:2:0"], "count=0: must be a whole number >= 1"),
        (["x=1:2:2.5"], "count='2.5' must be a whole number"),
        (["x=1,b"], "'b' is not a finite number"),
        (["x=inf:1:3"], "'inf' is not a finite number"),
        (["seed=0.5"], "'0.5' is not a whole number, as a seed must be"),
        (["x=1:2:3", "x=4"], "axis 'x' is given more than once"),
    ],
)
def test_bad_axis_texts_are_named(texts, message):
    with pytest.raises(ValueError, match=message):
        al.parse_axes(texts)


@pytest.mark.parametrize("x64", [False, True])
def test_unpaired_points_have_keys_of_their_own(x64):
    with jax.enable_x64(x64):
        close = 1 + np.arange(9) * (1e-14 if x64 else 1e-6)
        found = al.sweep(
            lambda key, a, b: jax.random.bits(key),
            {"a": close, "b": 2.0 ** np.arange(9), "seed": [0, 1]}, paired=False,
        )  # fmt: skip
    assert len(np.unique(found["result"])) == 9 * 9 * 2


def test_a_block_whose_writing_was_cut_short_is_missing(tmp_path):
    al.sweep(lambda a: a, {"a": np.arange(5.0)}, block=2, store=tmp_path / "s")
    group = zarr.open_group(tmp_path / "s", mode="r+")
    group["done_blocks"][0] = False
    left = al.open_sweep(tmp_path / "s")
    np.testing.assert_array_equal(left["result"], [np.nan, np.nan, 2, 3, 4])


def test_the_memory_is_that_of_the_blocks_in_flight_with_their_outputs():
    def wide(a):
        return jnp.full(1000, a)

    axes = {"a": np.linspace(0, 1, 512)}
    whole = al.sweep(wide, axes)
    needed = whole.attrs["block_memory"]
    assert needed >= 4000 * 512 / 16
    tight = al.sweep(wide, axes, memory=2 * needed - 1)
    assert tight.attrs["block_memory"] < needed


class _LosingTheFirst(ThreadPoolExecutor):
    """One worker, whose first block is lost."""

    submitted = ran = 0

    def submit(self, fn, *args):
        self.submitted += 1
        return super().submit(self.run, self.submitted, fn, *args)

    def run(self, number, fn, *args):
        if number == 1:
            raise RuntimeError("lost")
        time.sleep(0.05)
        self.ran += 1
        return fn(*args)


def test_blocks_that_nobody_waits_for_are_not_computed():
    with _LosingTheFirst(max_workers=1) as pool, pytest.raises(RuntimeError, match="lost") as lost:
        al.sweep(lambda a: a, {"a": np.arange(40.0)}, block=1, executor=pool)
    assert not hasattr(lost.value, "__notes__")  # in memory nothing is safe
    assert pool.submitted == 40
    assert pool.ran < 20


def test_blocks_that_an_executor_has_finished_are_kept_when_another_fails(tmp_path):
    class Eager:
        """What is submitted is done at once, all but the second block."""

        submitted = 0

        def submit(self, fn, *args):
            self.submitted += 1
            future = Future()
            if self.submitted == 2:
                future.set_exception(RuntimeError("lost"))
            else:
                future.set_result(fn(*args))
            return future

    with pytest.raises(RuntimeError, match="lost") as caught:
        al.sweep(
            lambda a: a, {"a": np.arange(8.0)}, block=1, store=tmp_path / "s", executor=Eager()
        )
    assert al.open_sweep(tmp_path / "s")["done"].values.tolist() == [True, False, *6 * [True]]
    assert "7 of 8 blocks are safe" in caught.value.__notes__[0]


def test_blocks_that_others_still_compute_are_not_waited_for():
    class Busy:
        """The first block is lost while the second one runs."""

        def __init__(self):
            self.blocks = []

        def submit(self, fn, *args):
            self.blocks.append(Future())
            if len(self.blocks) == 1:
                self.blocks[0].set_exception(RuntimeError("lost"))
            else:
                self.blocks[1].set_running_or_notify_cancel()
                Timer(1.0, self.blocks[1].set_result, [fn(*args)]).start()
            return self.blocks[-1]

    busy = Busy()
    with pytest.raises(RuntimeError, match="lost"):
        al.sweep(lambda a: a, {"a": [1.0, 2.0]}, block=1, executor=busy)
    assert not busy.blocks[1].done()


def test_an_axis_whose_name_begins_another_name_is_swept_in_memory():
    axes = {"eps": [1.0, 2.0], "eps_root": [0.0, 3.0]}
    found = al.sweep(lambda eps, eps_root: {"eps_sum": eps + eps_root}, axes)
    assert found["eps_sum"].values.tolist() == [[1.0, 4.0], [2.0, 5.0]]
    assert found["eps_root"].values.tolist() == axes["eps_root"]


def test_coordinates_that_are_no_numbers_are_the_same_when_resumed(tmp_path):
    dims = {name: {"t": [0.0, np.nan]} for name in ("y", "z")}

    def two(a):
        return {"y": jnp.full(2, a), "z": jnp.full(2, -a)}

    first, again = (
        al.sweep(two, {"a": [1.0]}, dims=dims, store=tmp_path / "s", resume=True) for _ in range(2)
    )
    _same(again, first)


def test_blocks_that_run_when_a_sweep_is_interrupted_are_kept(tmp_path, monkeypatch):
    real, begun = Store.write, []

    def interrupted(self, place, values):
        if not begun:
            begun.append(place)
            raise KeyboardInterrupt
        real(self, place, values)

    def slowly(*arguments):
        time.sleep(0.1)
        return run_block(*arguments)

    monkeypatch.setattr(Store, "write", interrupted)
    monkeypatch.setattr("adamlab.sweeps.execute.run_block", slowly)
    with pytest.raises(KeyboardInterrupt) as caught:
        al.sweep(lambda a: a, {"a": np.arange(40.0)}, block=1, store=tmp_path / "s")
    kept = int(al.open_sweep(tmp_path / "s")["done"].sum())
    assert 1 <= kept <= 3
    assert f"{kept} of 40 blocks are safe" in caught.value.__notes__[0]


def test_blocks_are_let_go_when_they_are_written(monkeypatch):
    kept, most = [], []
    write = Store.write

    def watched(self, place, values):
        kept.append(weakref.ref(values["result"]))
        write(self, place, values)
        most.append(sum(one() is not None for one in kept))

    monkeypatch.setattr(Store, "write", watched)
    al.sweep(lambda a: jnp.full(10, a), {"a": np.arange(40.0)}, block=1)
    assert max(most) < 20


def test_a_structure_that_the_function_has_no_argument_for_is_named():
    with pytest.raises(ValueError, match=r"axis 'actt': the function .* did you mean 'act'"):
        al.sweep(lambda x, act: act(x), {"actt": [jnp.tanh, jnp.sin], "x": [1.0]})


def test_joined_sweeps_took_as_long_as_all_of_them():
    found = al.sweep(lambda x, act: act(x), {"act": [jnp.tanh, jnp.sin], "x": [1.0]})
    assert found.attrs["compiles"] == 2
    assert isinstance(found.attrs["run_seconds"], float)


class Walk(NamedTuple):
    """Two outputs of one shape, which one array could hold."""

    end: Any
    widest: Any


def test_a_named_tuple_gives_its_fields_and_another_is_refused():
    found = al.sweep(lambda x: Walk(x, 2 * x), {"x": [1.0, 2.0]})
    np.testing.assert_array_equal(found["widest"], [2, 4])
    assert set(found) == {"end", "widest", "done"}
    for kind in (tuple, list):
        with pytest.raises(TypeError, match=f"returned a {kind.__name__} of 2: must return an ar"):
            al.sweep(lambda x, kind=kind: kind([x, 2 * x]), {"x": [1.0, 2.0]})


def test_what_is_done_is_kept_where_a_pool_breaks_early(tmp_path):
    class Breaking:
        submitted = 0

        def submit(self, function, *arguments):
            self.submitted += 1
            if self.submitted == 4:
                raise RuntimeError("the pool broke")
            done = Future()
            done.set_result(function(*arguments))
            return done

    axes, store = {"a": np.arange(8.0)}, tmp_path / "store"
    with pytest.raises(RuntimeError, match="broke") as caught:
        al.sweep(lambda a: a, axes, block=1, store=store, executor=Breaking())
    assert any("3 of 8 blocks are safe" in note for note in caught.value.__notes__)


def test_a_dimension_may_have_texts_as_coordinates(tmp_path):
    def both(x):
        return {"value": jnp.stack([x, 2 * x])}

    dims = {"value": {"which": ["one", "two of"]}}
    options = {"dims": dims, "store": tmp_path / "store", "resume": True}
    for _ in range(2):
        found = al.sweep(both, {"x": [1.0, 2.0]}, **options)
        assert found["which"].values.tolist() == ["one", "two of"]
        assert found["which"].dtype.kind == "U"
        np.testing.assert_array_equal(found["value"].sel(which="two of"), [2, 4])
    with pytest.raises(ValueError, match="which"):
        al.sweep(both, {"x": [1.0, 2.0]}, **options | {"dims": {"value": {"which": ["a", "b"]}}})

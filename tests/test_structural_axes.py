"""Optimizers as an axis: one program for each, one dataset for all."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import xarray as xr

import adamlab as al
from adamlab import optimizers as opt
from adamlab.maps import Outcome

AXES = {"learning_rate": np.geomspace(1e-3, 1, 5)}
MANY = [al.adam, al.amsgrad, opt.nadam]


def double(a):
    return 2 * a


def square(a):
    return a * a


def apply(how, a):
    return how(a)


@pytest.fixture(scope="module")
def maps():
    problem = al.quadratic()
    whole = al.convergence_map(problem, MANY, AXES, seeds=2, steps=40)
    return problem, whole


def test_a_map_over_optimizers_is_their_maps(maps):
    problem, whole = maps
    assert whole["outcome"].dims == ("optimizer", "learning_rate", "seed")
    assert list(whole["optimizer"].values) == ["adam", "amsgrad", "nadam"]
    assert whole.attrs["compiles"] == 3
    assert isinstance(whole.attrs["run_seconds"], float)
    assert whole.attrs["optimizer"] == {"adam": "adam", "amsgrad": "amsgrad", "nadam": "nadam"}
    assert whole.attrs["steps"] == 40
    once = {name: iter(values) for name, values in AXES.items()}
    again = al.convergence_map(problem, MANY, once, seeds=2, steps=40)
    xr.testing.assert_identical(again.drop_attrs(), whole.drop_attrs())
    alone = al.convergence_map(problem, al.amsgrad, AXES, seeds=2, steps=40)
    part = whole.sel(optimizer="amsgrad", drop=True)
    xr.testing.assert_identical(part.drop_attrs(), alone.drop_attrs())


def test_any_function_can_be_an_axis():
    out = al.sweep(apply, {"a": [1.0, 3.0], "how": [double, square]})
    assert out["result"].dims == ("how", "a")
    np.testing.assert_array_equal(out["result"], [[2, 6], [1, 9]])
    named = al.sweep(apply, {"how": {"one": double, "two": lambda a: double(a)}, "a": [1.0]})
    np.testing.assert_array_equal(named["result"], [[2], [2]])
    bound = al.sweep(apply, {"how": [partial(double), square], "a": [1.0]})
    assert list(bound["how"].values) == ["double", "square"]
    once = al.sweep(apply, {"how": iter([double, square]), "a": iter([1.0, 3.0])})
    xr.testing.assert_equal(once, out.transpose("how", "a"))
    two = al.sweep(
        lambda how, then, a: then(how(a)),
        {"how": [double, square], "then": [double, square], "a": [3.0]},
    )
    np.testing.assert_array_equal(two["result"][..., 0], [[12, 36], [18, 81]])


def test_options_reach_each_of_several():
    def drawn(key, how, a):
        return how(jax.random.normal(key)) + 0 * a

    axes = {"how": [jnp.sin, jnp.cos], "a": [1.0, 2.0, 3.0, 4.0], "seed": [0]}
    found = al.sweep(drawn, axes, paired=False, lanes=3, settings={"version": 2})
    assert [found.attrs[name] for name in ("lanes", "version", "paired")] == [3, 2, False]
    assert len(np.unique(found["result"])) == 8


def test_each_of_several_is_cut_and_run_as_asked(capsys):
    class Counting(ThreadPoolExecutor):
        submitted = 0

        def submit(self, *call):
            self.submitted += 1
            return super().submit(*call)

    def row(how, a):
        return {"row": how(a) * jnp.arange(2.0)}

    axes = {"how": [double, square], "a": [1.0, 2.0, 3.0, 4.0]}
    with Counting(1) as pool:
        found = al.sweep(
            row, axes, executor=pool, block=1, progress=True, dims={"row": {"time": [0, 9]}}
        )
    assert pool.submitted == 8
    assert found["time"].values.tolist() == [0, 9]
    assert "4/4" in capsys.readouterr().err
    with pytest.raises(ValueError, match="memory=10: one point"):
        al.sweep(row, axes, memory=10)


def test_it_resumes_where_it_was_stopped(tmp_path):
    store = tmp_path / "deep" / "map.zarr"
    problem = al.quadratic()

    def broken(learning_rate):
        raise KeyboardInterrupt

    # Built to check it, then to run it: it breaks off before the second optimizer is computed.
    with pytest.raises(KeyboardInterrupt):
        al.sweep(apply, {"how": {"adam": double, "late": broken}, "a": [1.0, 2.0]}, store=store)
    half = al.open_sweep(store)
    assert list(half["how"].values) == ["adam", "late"]
    np.testing.assert_array_equal(half["done"], [[True, True], [False, False]])
    np.testing.assert_array_equal(half["result"], [[2, 4], [np.nan, np.nan]])
    with pytest.raises(FileExistsError, match="exists: go on with it"):
        al.sweep(apply, {"how": [double], "a": [1.0]}, store=store)
    other_order = {"how": {"late": square, "adam": double}, "a": [1.0, 2.0]}
    with pytest.raises(ValueError, match=r"was made with .*'late'\].*this sweep has .*'adam'\]"):
        al.sweep(apply, other_order, store=store, resume=True)
    with pytest.raises(ValueError, match=r"was made with .*late.*this sweep has .*square"):
        al.sweep(apply, {"how": [square], "a": [1.0, 2.0]}, store=store, resume=True)
    done = al.convergence_map(problem, MANY, AXES, steps=20, store=tmp_path / "m.zarr")
    again = al.convergence_map(
        problem, MANY, AXES, steps=20, store=tmp_path / "m.zarr", resume=True
    )
    xr.testing.assert_identical(done.drop_attrs(), again.drop_attrs())
    stored = al.with_outcomes(al.open_sweep(tmp_path / "m.zarr"))
    xr.testing.assert_identical(done.drop_attrs(), stored.drop_attrs())


def test_bad_structure_is_named(tmp_path):
    with pytest.raises(ValueError, match="'1-b2': neither the optimizer sgd nor the problem"):
        al.convergence_map(
            al.quadratic(), [al.adam, al.sgd], {**AXES, "1-b2": [0.1]}, store=tmp_path / "x"
        )
    assert not (tmp_path / "x").exists()
    with pytest.raises(ValueError, match=r"b2=0: must be a number in \(0, 1\)") as refused:
        al.convergence_map(
            al.quadratic(), [al.adam, al.optimizers.lion], {**AXES, "1-b2": [0.1, 1.0]}
        )
    (note,) = refused.value.__notes__
    assert note.startswith(
        "raised for the optimizer lion; what only some of them have can be bound"
    )
    with pytest.raises(TypeError, match="must be a function that builds one"):
        al.convergence_map(al.quadratic(), {"built": al.adam(0.1)}, AXES)
    with pytest.raises(TypeError, match="must be a function that builds one"):
        al.convergence_map(al.quadratic(), [al.adam(0.1)], AXES)
    with pytest.raises(ValueError, match="two functions called 'double': give each a name"):
        al.sweep(apply, {"how": [double, double], "a": [1.0]})
    with pytest.raises(ValueError, match="axis 'how' is empty"):
        al.sweep(apply, {"how": {}, "a": [1.0]})
    with pytest.raises(ValueError, match="'a/b': in a store it must be a folder's name"):
        al.sweep(apply, {"how": {"a/b": double}, "a": [1.0]}, store=tmp_path / "x")
    for label in ("structure.json", ".", ".."):
        with pytest.raises(ValueError, match=re.escape(f"{label!r}: in a store it must be")):
            al.sweep(apply, {"how": {label: double}, "a": [1.0]}, store=tmp_path / "x")
    with pytest.raises(ValueError, match="axis 'how' holds '': a name must be a non-empty string"):
        al.sweep(apply, {"how": {"": double}, "a": [1.0]})
    assert al.sweep(apply, {"how": {"a/b": double}, "a": [1.0]})["result"].item() == 2
    with pytest.raises(TypeError, match="must hold functions, or map names to them"):
        al.sweep(apply, {"how": [double, 3.0], "a": [1.0]})
    with pytest.raises(ValueError, match="axes holds 'how' alone: a sweep needs an axis of num"):
        al.sweep(apply, {"how": [double]})


def test_what_is_refused_leaves_nothing_in_the_way(tmp_path):
    store = tmp_path / "s"
    with pytest.raises(ValueError, match="steps=3: must be"):
        al.convergence_map(al.quadratic(), MANY, AXES, steps=3, store=store)
    with pytest.raises(ValueError, match="axis 'a' is empty"):
        al.sweep(apply, {"how": [double, square], "a": []}, store=store)
    assert not store.exists()


def test_what_is_done_can_be_read_before_a_nested_sweep_has_begun(tmp_path):
    def stop(a):
        raise KeyboardInterrupt

    store, axes = tmp_path / "s", {"first": {"a": double, "b": stop}, "then": [double], "a": [1.0]}
    with pytest.raises(KeyboardInterrupt):
        al.sweep(lambda first, then, a: then(first(a)), axes, store=store)
    half = al.open_sweep(store)
    np.testing.assert_array_equal(half["result"].sel(first="a"), [[4.0]])
    assert not half["done"].sel(first="b").any()


def test_a_map_over_optimizers_is_summed_up_and_drawn(maps, tmp_path):
    _, whole = maps
    summary = al.summarize(whole)
    assert set(summary.bands) == {"learning_rate"}
    assert sum(own.runs for own in summary.by_optimizer.values()) == summary.runs
    for name, own in summary.by_optimizer.items():
        assert f"{name}:" in str(summary)
        assert str(own).splitlines()[-1].strip() in str(summary)
    assert summary.best is not None
    assert summary.best["optimizer"] in ("adam", "amsgrad", "nadam")
    assert f"optimizer = {summary.best['optimizer']}" in str(summary)
    band = al.converged_band(whole, "learning_rate")
    assert list(band.decades["optimizer"].values) == ["adam", "amsgrad", "nadam"]
    edge = al.border(whole)
    assert edge.dims == ("optimizer", "learning_rate")
    figure = al.plot_map(whole)
    labels = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert labels == ["adam", "amsgrad", "nadam"]
    assert figure.axes[0].yaxis_inverted()
    plane = al.convergence_map(
        al.quadratic(), MANY, {**AXES, "1-b2": [0.1, 0.01]}, seeds=1, steps=20
    )
    figure = al.plot_map(plane)
    assert [ax.get_title() for ax in figure.axes[:3]] == ["adam", "amsgrad", "nadam"]
    assert [ax.get_xlabel() for ax in figure.axes[:3]] == ["", *["learning_rate"] * 2]
    assert [ax.get_ylabel() for ax in figure.axes[:3]] == ["1-b2", "", "1-b2"]
    assert [ax.axison for ax in figure.axes[:4]] == [True, True, True, False]
    al.save(figure, [tmp_path / "map.png"])
    assert (tmp_path / "map.png").stat().st_size > 10_000
    with pytest.raises(ValueError, match="no picture: it holds two axes, the map has 3"):
        al.plot_map(plane.expand_dims(b1=[0.9, 0.8]))


def test_missing_optimizers_are_not_taken_for_failures(maps):
    _, whole = maps
    outcome = al.with_outcomes(whole.assign(done=whole["done"] & (whole["optimizer"] != "adam")))
    assert (outcome["outcome"].sel(optimizer="adam") == -1).all()
    assert (outcome["outcome"].sel(optimizer="nadam") >= Outcome.CONVERGED).all()
    assert jnp.isfinite(outcome["late_loss"].values).all()


def test_what_is_not_computed_is_the_same_in_a_store_and_in_several():
    from adamlab.sweeps.structure import _joined

    part = xr.Dataset({
        "count": ("x", np.array([1, 2], np.uint32)), "loss": ("x", np.float32([1, 2])),
        "step": ("x", np.array([3, 4], np.int32)), "done": ("x", [True, True]),
    })  # fmt: skip
    whole = _joined("optimizer", ["adam", "sgd"], {"adam": part})
    assert {name: str(v.dtype) for name, v in whole.data_vars.items()} == {
        "count": "uint32", "loss": "float32", "step": "int32", "done": "bool",
    }  # fmt: skip
    absent = whole.sel(optimizer="sgd")
    assert absent["count"].values.tolist() == [0, 0]
    assert absent["step"].values.tolist() == [-1, -1]
    assert np.isnan(absent["loss"]).all()
    assert not absent["done"].any()


def test_what_only_some_of_several_give_keeps_its_kind():
    def one(x):
        return {"end": x, "steps": jnp.int32(7), "done_early": x > 1}

    found = al.sweep(
        lambda kind, x: kind(x),
        {"kind": {"one": one, "two": lambda x: {"end": -x}}, "x": [1.0, 2.0]},
    )
    assert found["steps"].dtype == np.int32
    assert found["steps"].values.tolist() == [[7, 7], [-1, -1]]
    assert found["done_early"].dtype == bool
    assert found["done_early"].values.tolist() == [[False, True], [False, False]]


@pytest.mark.parametrize("order", [("whole", "broken"), ("broken", "whole")])
def test_what_is_not_computed_of_two_kinds_is_of_the_wider(order):
    from adamlab.sweeps.structure import _joined

    parts = {
        "whole": xr.Dataset({"n": ("x", np.int32([7]))}, {"x": [1.0]}),
        "broken": xr.Dataset({"n": ("x", np.array([0.5]))}, {"x": [2.0]}),
    }
    joined = _joined("kind", list(order), {label: parts[label] for label in order})
    assert joined["n"].dtype == np.float64
    assert joined["n"].isnull().sum() == 2


def test_an_update_that_fails_does_so_before_any_optimizer_is_run(tmp_path):
    def broken(learning_rate):
        def update(updates, state, params=None):
            raise KeyError("own")

        return optax.GradientTransformation(lambda params: (), update)

    with pytest.raises(KeyError, match="own") as refused:
        al.convergence_map(al.quadratic(), [al.adam, broken], AXES, steps=8, store=tmp_path / "s")
    assert "raised for the optimizer broken" in refused.value.__notes__[-1]
    assert not list(tmp_path.iterdir())


def test_what_is_no_sweep_of_several_is_not_resumed(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("not a sweep")
    al.sweep(double, {"a": [1.0]}, store=tmp_path / "one")
    for name, message in {
        "folder": "is not an adamlab sweep",
        "file": "is not an adamlab sweep",
        "one": "made with no axis of structures, this sweep has an axis 'how' of them",
    }.items():
        with pytest.raises(ValueError, match=message):
            al.sweep(apply, {"how": [double], "a": [1.0]}, store=tmp_path / name, resume=True)


def test_a_damaged_structure_is_named(tmp_path):
    axes = {"how": [double, square], "a": [1.0]}
    al.sweep(apply, axes, store=tmp_path / "s")
    (tmp_path / "s" / "structure.json").write_text("")
    for call in (
        lambda: al.open_sweep(tmp_path / "s"),
        lambda: al.sweep(apply, axes, store=tmp_path / "s", resume=True),
        lambda: al.sweep(double, {"a": [1.0]}, store=tmp_path / "s", resume=True),
    ):
        with pytest.raises(ValueError, match=r"is damaged: structure\.json cannot be read \("):
            call()


def test_a_store_of_several_is_not_resumed_as_one(tmp_path):
    path = tmp_path / "both.zarr"
    al.sweep(apply, {"a": [1.0], "how": [double, square]}, store=path)
    with pytest.raises(ValueError, match=r"made with an axis 'how' of double, square, this"):
        al.sweep(double, {"a": [1.0]}, store=path, resume=True)

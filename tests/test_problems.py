"""Every problem of the library against its contract, and the contract's own checks."""

from __future__ import annotations

import pickle

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import adamlab as al
from adamlab import problems
from adamlab.problems import PROBLEMS, Range

every_problem = pytest.mark.parametrize("name", PROBLEMS)
KEY = jax.random.key(0)


def _first(problem, key=KEY):
    hyper = problem.hyperparameters
    params = problem.init(key, **hyper)
    data = _data(problem, key)
    if problem.batch is None:
        return params, data[0] if data else None, hyper
    return params, problem.batch(key, jnp.int32(0), *data, **hyper), hyper


def _data(problem, key=KEY):
    return () if problem.data is None else (problem.data(key, **problem.hyperparameters),)


@every_problem
def test_losses_are_finite_scalars_with_gradients_like_the_parameters(name):
    problem = PROBLEMS[name]()
    params, batch, hyper = _first(problem)
    loss, grads = jax.jit(jax.value_and_grad(problem.loss))(params, batch, **hyper)
    assert loss.shape == ()
    chex.assert_trees_all_equal_shapes_and_dtypes(grads, params)
    chex.assert_tree_all_finite((loss, grads))
    if problem.objective is not None:
        assert jax.jit(problem.objective)(params, *_data(problem), **hyper) >= problem.optimum
    if problem.metrics is not None:
        chex.assert_tree_all_finite(
            dict(jax.jit(problem.metrics)(params, *_data(problem), **hyper))
        )


@every_problem
def test_float64_all_through(name, x64):
    problem = PROBLEMS[name]()
    params, batch, hyper = _first(problem)
    for leaf in jax.tree.leaves(jax.jit(jax.grad(problem.loss))(params, batch, **hyper)):
        assert leaf.dtype == jnp.float64


@every_problem
def test_the_same_key_gives_the_same_start(name):
    problem = PROBLEMS[name]()
    chex.assert_trees_all_equal(_first(problem)[:2], _first(problem)[:2])


@every_problem
def test_problems_travel_to_other_processes(name):
    problem = PROBLEMS[name]()
    copy = pickle.loads(pickle.dumps(problem))
    assert copy.name == name
    chex.assert_trees_all_equal(_first(problem)[0], _first(copy)[0])


def test_digits_are_the_real_ones():
    problem = al.digits_mlp()
    params, (images, labels), _ = _first(problem)
    assert images.shape == (64, 64)
    assert float(images.max()) == 1.0
    assert set(np.asarray(labels)) == set(range(10))
    assert problem.target == 0.1
    assert sum(p.size for p in jax.tree.leaves(params)) == 64 * 32 + 32 + 32 * 10 + 10


def test_digits_are_learned():
    trace = jax.jit(
        lambda: al.train(al.digits_mlp(), al.adam, KEY, {"learning_rate": 0.02}, steps=300)
    )()
    assert trace.metrics["test_accuracy"] > 0.93
    assert 0 < int(trace.converged_step) <= 300


def test_sizes_show_in_the_name_so_that_stores_tell_them_apart():
    assert al.digits_mlp(hidden=8).name == "digits-mlp(hidden=8, batch_size=64)"
    assert al.quadratic(dimension=5).name == "quadratic(dimension=5)"


def test_quadratic_has_the_condition_number_it_says():
    problem = al.quadratic(dimension=4)
    hessian = jax.hessian(lambda x: problem.loss(x, None, condition=1e3, start=1.0))(jnp.ones(4))
    eigenvalues = np.linalg.eigvalsh(hessian)
    np.testing.assert_allclose(eigenvalues, [1, 10, 100, 1000], rtol=1e-4)
    one = al.quadratic(dimension=1)
    slope = jax.grad(lambda x: one.loss(x, None, condition=50.0, start=1.0))(jnp.ones(1))
    np.testing.assert_allclose(slope, [50.0])


def test_rosenbrock_has_its_minimum_at_one():
    problem = al.rosenbrock()
    loss, grads = jax.value_and_grad(problem.loss)(jnp.ones(2), None, steepness=100.0)
    assert loss == problem.optimum == 0
    np.testing.assert_array_equal(grads, [0, 0])
    assert float(problem.loss(jnp.array([-1.2, 1.0]), None, steepness=100.0)) == pytest.approx(24.2)


@pytest.mark.parametrize("build", [al.reddi, al.reddi_stochastic])
def test_reddis_objective_is_the_mean_of_its_losses(build):
    problem = build()
    keys = jax.random.split(KEY, 101 * 400)
    slopes = jax.vmap(problem.batch)(keys, jnp.arange(101 * 400))
    spread = float(slopes.std()) / np.sqrt(len(slopes)) if build is al.reddi_stochastic else 1e-4
    assert float(slopes.mean()) == pytest.approx(float(problem.objective(1.0)), abs=4 * spread)
    assert problem.optimum == pytest.approx(float(problem.objective(-1.0)))
    assert int((slopes[:101] == 1010).sum()) == 1 or build is al.reddi_stochastic


def test_a_problem_is_two_functions():
    mine = al.Problem("mine", init=lambda key: jnp.ones(2), loss=lambda x, batch: (x**2).sum())
    trace = al.train(mine, al.sgd, KEY, {"learning_rate": 0.1}, steps=100)
    assert trace.late_loss < 1e-6


BAD = {
    "name": ({"name": ""}, "name='': must be a non-empty string"),
    "init": ({"init": None}, "init=None: must be a function"),
    "batch": ({"batch": 3}, "batch=3: must be a function"),
    "optimum": ({"optimum": float("nan")}, "optimum=nan: must be a finite number"),
    "target": ({"target": -1.0}, "target=-1: must be a finite number >= 0"),
    "tolerance": ({"tolerance": 0.0}, r"tolerance=0: must be a number in \(0, 1\]"),
    "hyperparameter": ({"hyperparameters": {"scale": float("inf")}}, "scale=inf"),
}


def test_a_function_that_does_not_take_a_hyperparameter_is_named():
    with pytest.raises(TypeError, match=r"loss: takes no 'width'; each of a problem's functions"):
        al.Problem(
            "p", init=lambda key, **_: 0.0, loss=lambda x, batch: x, hyperparameters={"width": 1.0}
        )


@pytest.mark.parametrize("name", BAD)
def test_a_bad_field_is_named(name):
    fields, message = BAD[name]
    good = {"name": "p", "init": lambda key: 0.0, "loss": lambda x, batch: x}
    with pytest.raises((ValueError, TypeError), match=message):
        al.Problem(**{**good, **fields})


@pytest.mark.parametrize("build", [al.digits_mlp, al.quadratic])
def test_bad_sizes_are_named(build):
    with pytest.raises(ValueError, match="=0: must be a whole number >= 1"):
        build(0)
    with pytest.raises(TypeError, match=r"=1\.5: must be a whole number"):
        build(1.5)


def _taking(*taken):
    return eval(f"lambda {', '.join(taken)}: 0.0")


@pytest.mark.parametrize(
    ("part", "function", "message"),
    [
        ("loss", _taking("params"), r"loss: is called as loss\(params, batch\), and the hyper"),
        ("batch", _taking("key", "step"), r"batch: is called as batch\(key, step, data\)"),
        ("metrics", _taking("params"), r"metrics: is called as metrics\(params, data\)"),
        ("init", _taking(), r"init: is called as init\(key\)"),
    ],
)
def test_a_function_of_a_problem_that_takes_other_arguments_is_named(part, function, message):
    parts = {"init": _taking("key"), "loss": _taking("params", "batch"), "data": _taking("key")}
    with pytest.raises(TypeError, match=message):
        al.Problem("mine", **{**parts, part: function})


def test_the_range_of_a_hyperparameter_is_checked():
    def made(**options):
        return al.Problem(
            "mine", lambda key, a: jnp.ones(2), lambda params, batch, a: 0.0,
            hyperparameters={"a": 1.0}, **options,
        )  # fmt: skip

    made(ranges={"a": Range(0, 2)})
    with pytest.raises(TypeError, match=r"ranges\['a'\]=\(0, 2\): must be a Range"):
        made(ranges={"a": (0, 2)})
    with pytest.raises(ValueError, match=r"ranges\['A'\]: did you mean 'a'"):
        made(ranges={"A": Range(0, 2)})
    with pytest.raises(ValueError, match="a=1: must be a finite number >= 2"):
        made(ranges={"a": Range(2)})


PLAIN = problems.supervised(
    problems.rescaled(problems.wine()), problems.network((13, 3)), problems.cross_entropy
)
OUT_OF_RANGE = [
    (problems.toint(), "stride", 0.0), (al.rosenbrock(), "steepness", -1.0),
    (al.quadratic(), "condition", 0.5), (problems.saddle(), "steepness", -1.0),
    (problems.saddle(), "scatter", -1.0), (problems.saddle(), "noise", -1.0),
    (problems.plateau(), "distance", -1.0), (problems.plateau(), "noise", -1.0),
    (problems.rough_loss(), "roughness", -1.0), (problems.rough_loss(), "frequency", 0.0),
    (problems.dictionary_learning(), "l1", -1.0), (problems.penalized(PLAIN), "l1", -1.0),
    (problems.penalized(PLAIN), "l2", -1.0), (problems.penalized(PLAIN), "feature_ratio", 0.0),
    (problems.with_input_noise(PLAIN), "input_noise", -1.0),
]  # fmt: skip


@pytest.mark.parametrize(("problem", "name", "value"), OUT_OF_RANGE)
def test_a_value_without_meaning_is_refused(problem, name, value):
    with pytest.raises(ValueError, match=rf"{name}={value:g}: must be a finite number >=? [01]"):
        al.convergence_map(problem, al.adam, {"learning_rate": [0.1]}, fixed={name: value})


@pytest.mark.parametrize("name", ["seed", "key"])
def test_a_hyperparameter_is_not_called_as_a_runs_key_is(name):
    def init(key, **_):
        return jnp.ones(2)

    with pytest.raises(ValueError, match=f"hyperparameter '{name}': a run's random key comes"):
        al.Problem("mine", init, lambda params, batch, **_: 0.0, hyperparameters={name: 2})
    with pytest.raises(TypeError, match="hyperparameters=None: must map names"):
        al.Problem("mine", init, lambda params, batch: 0.0, hyperparameters=None)

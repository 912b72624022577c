"""Problems whose behaviour is known beforehand: each against its closed form or its theorem."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import adamlab as al
from adamlab import problems

KEY = jax.random.key(0)


def _train(problem, optimizer, steps, runs=1, **hyper):
    """Traces of `runs` seeds, with a first dimension of seeds."""

    def run(key):
        return al.train(problem, optimizer, key, hyper, steps=steps)

    return jax.jit(jax.vmap(run))(jax.random.split(KEY, runs))


# --- dictionary learning ---


@pytest.fixture
def dictionary():
    problem = problems.dictionary_learning()
    return problem, problem.init(KEY, l1=0.0), problem.data(KEY, l1=0.0)


def test_the_dictionarys_loss_is_a_mean_square_plus_the_sum_of_all_codes(dictionary, x64):
    problem, params, samples = dictionary
    encoder, atoms, decoder = (
        jax.tree.map(np.asarray, params[part]) for part in ("encoder", "dictionary", "decoder")
    )
    square, total = 0.0, 0.0
    for row in np.asarray(samples.rows):
        codes = np.maximum(row @ encoder["kernel"] + encoder["bias"], 0)
        square += np.sum(((atoms @ codes) @ decoder["kernel"] + decoder["bias"] - row) ** 2)
        total += codes.sum()
    assert atoms.shape == (5, 8)
    assert float(problem.loss(params, samples, l1=0.01)) == pytest.approx(
        square / 1000 + 0.01 * total, rel=1e-5
    )
    assert total > 10


def test_the_dictionarys_floor_is_what_pca_leaves_and_adam_reaches_it(dictionary):
    problem, _, samples = dictionary
    rows = np.asarray(samples.rows, np.float64)
    u, s, v = np.linalg.svd(rows - rows.mean(0))
    best = rows.mean(0) + (u[:, :5] * s[:5]) @ v[:5]
    assert float(samples.floor) == pytest.approx(np.mean((rows - best) ** 2), rel=1e-5)
    trace = _train(problem, al.adam, 1000, learning_rate=0.01)
    assert -1e-6 < float(trace.final_loss[0]) < 1e-3
    assert float(trace.metrics["mse"][0]) == pytest.approx(float(trace.metrics["floor"][0]), 1e-3)


def test_each_run_draws_its_own_samples_and_layers_start_as_in_torch():
    problem = problems.dictionary_learning()
    one, other = (problem.data(jax.random.key(seed), l1=0.0) for seed in (0, 1))
    assert not np.allclose(one.rows, other.rows)
    params = jax.vmap(lambda key: problem.init(key, l1=0.0))(jax.random.split(KEY, 200))
    for layer, inputs in (("encoder", 10), ("decoder", 5)):
        for weights in params[layer].values():
            assert np.abs(weights).max() == pytest.approx(inputs**-0.5, rel=0.01)
            assert np.std(weights) == pytest.approx((3 * inputs) ** -0.5, rel=0.1)
    assert np.std(params["dictionary"]) == pytest.approx(1, rel=0.05)


def test_the_dictionarys_metrics_see_its_atoms_and_dead_codes(dictionary):
    problem, params, samples = dictionary
    params["dictionary"] = jnp.zeros((5, 8)).at[0].set(jnp.array([100.0, 1, 1, 1, 1, 1, 1, 0.1]))
    params["encoder"]["bias"] = params["encoder"]["bias"].at[:3].set(-1e3)
    seen = problem.metrics(params, samples, l1=0.0)
    assert float(seen["atom_spread"]) == pytest.approx(3, rel=1e-5)
    assert float(seen["largest_atom"]) == 100
    assert float(seen["smallest_atom"]) == pytest.approx(0.1)
    assert int(seen["dead_codes"]) == 3


# --- saddle and plateau ---


def test_the_saddle_has_the_slopes_and_curvatures_it_says():
    problem = problems.saddle()

    def at(x, y):
        return problem.objective(jnp.array([x, y]), steepness=7.0, noise=0.0)

    slopes = jax.grad(at, argnums=(0, 1))
    for point in ((0.0, 0.0), (0.0, 1.0), (0.0, -1.0)):
        np.testing.assert_array_equal(slopes(*point), 0)
    assert float(at(0.0, 1.0)) == float(at(0.0, -1.0)) == problem.optimum
    np.testing.assert_array_equal(jax.hessian(at, argnums=(0, 1))(0.0, 0.0), [[7, 0], [0, -1]])
    np.testing.assert_array_equal(jax.hessian(at, argnums=(0, 1))(0.0, 1.0), [[7, 0], [0, 2]])


def test_gradient_descent_leaves_the_saddle_at_its_rate_and_adam_at_once():
    # From 1e-6, y is 1e-3 after log(1e3) / log1p(rate) steps: 694 at a rate of 0.01.
    problem, rate = problems.saddle(), 0.01
    below = _train(problem, al.sgd, 640, learning_rate=rate)
    above = _train(problem, al.sgd, 1500, learning_rate=rate)
    assert below.metrics["escaped"] == 0
    assert above.metrics["escaped"] == 1
    assert _train(problem, al.adam, 200, learning_rate=rate).metrics["escaped"] == 1
    start = problem.init(KEY, **problem.hyperparameters)
    y = start
    for _ in range(100):
        y = y - rate * jax.grad(problem.objective)(y, **problem.hyperparameters)
    assert float(y[1] / start[1]) == pytest.approx(1.01**100, rel=1e-3)


@pytest.mark.parametrize("optimizer", [al.adam, al.sgd])
def test_only_noise_or_another_start_leaves_the_ridge(optimizer):
    problem = problems.saddle()
    settings = {"learning_rate": 0.01, "steps": 2000, "offset": 0.0, "runs": 4}
    stuck = _train(problem, optimizer, **settings)
    np.testing.assert_array_equal(stuck.metrics["escaped"], 0)
    np.testing.assert_allclose(stuck.final_loss, 0, atol=1e-6)
    for remedy in ({"noise": 1e-3}, {"scatter": 0.1}):
        free = _train(problem, optimizer, **settings, **remedy)
        np.testing.assert_array_equal(free.metrics["escaped"], 1)
        assert np.max(free.metrics["distance"]) < 0.01


def test_starts_lie_on_both_sides_of_the_ridge():
    problem = problems.saddle()
    hyper = {**problem.hyperparameters, "offset": 0.5}
    starts = jax.vmap(lambda key: problem.init(key, **hyper))(jax.random.split(KEY, 50))
    np.testing.assert_array_equal(starts[:, 0], 1)
    assert set(np.asarray(starts[:, 1]).tolist()) == {-0.5, 0.5}
    hyper["scatter"] = 2.0
    starts = jax.vmap(lambda key: problem.init(key, **hyper))(jax.random.split(KEY, 2000))
    np.testing.assert_allclose(np.std(starts, axis=0), [2, (4 + 0.25) ** 0.5], rtol=0.1)


@pytest.mark.parametrize("build", [problems.saddle, problems.plateau])
def test_the_noise_is_on_the_gradient_and_not_in_the_objective(build):
    problem = build()
    hyper = {**problem.hyperparameters, "noise": 0.3}
    params = problem.init(KEY, **hyper)

    def gradient(key):
        return jax.grad(problem.loss)(params, problem.batch(key, jnp.int32(0), **hyper), **hyper)

    gradients = jax.vmap(gradient)(jax.random.split(KEY, 4000))
    clean = jax.grad(problem.objective)(params, **hyper)
    np.testing.assert_allclose(gradients.mean(axis=0), clean, atol=0.02)
    np.testing.assert_allclose(gradients.std(axis=0), 0.3, rtol=0.05)


@pytest.mark.parametrize("distance", [2.0, 6.0, 8.0])
def test_the_plateau_is_as_flat_as_it_says(distance):
    problem = problems.plateau()
    params = problem.init(KEY, distance=distance, noise=0.0)
    slope = jax.grad(problem.objective)(params, distance=distance, noise=0.0)
    assert float(jnp.linalg.norm(params)) == pytest.approx(distance)
    expected = distance * np.exp(-(distance**2) / 2)
    assert float(jnp.linalg.norm(slope)) == pytest.approx(expected, rel=1e-4)
    np.testing.assert_allclose(slope / expected, params / distance, rtol=1e-4)


def test_the_plateau_holds_gradient_descent_and_adams_eps():
    problem = problems.plateau()
    settings = {"learning_rate": 0.01, "steps": 2000, "distance": 6.0, "runs": 3}
    assert not _train(problem, al.sgd, **settings).metrics["escaped"].any()
    assert _train(problem, al.adam, **settings, eps=1e-12).metrics["escaped"].all()
    held = _train(problem, al.adam, **settings, eps=1e-4)
    assert not held.metrics["escaped"].any()
    np.testing.assert_allclose(held.metrics["final_distance"], 6, rtol=0.01)

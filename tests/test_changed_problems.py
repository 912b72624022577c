"""Problems made of other problems: scattered, noisy, rotated."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import adamlab as al
from adamlab.problems import (
    cross_entropy,
    network,
    noisy,
    reddi,
    rotated,
    saddle,
    scattered,
    supervised,
    wine,
    with_input_noise,
)

KEY = jax.random.key(0)
TURN = np.array([[0.8, -0.6], [0.6, 0.8]])
NET = supervised(wine(), network((13, 3)), cross_entropy, batch_size=8)
WHOLE = al.Problem(  # data and no batches: every step sees them all
    "whole", init=lambda key, a: {"w": jnp.ones(3), "b": jnp.zeros([])},
    data=lambda key, a: jax.random.normal(key, (5, 3)),
    loss=lambda p, rows, a: a * jnp.mean((rows @ p["w"] + p["b"] - 1) ** 2),
    hyperparameters={"a": 1.0},
)  # fmt: skip


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        *product([scattered, noisy], [al.rosenbrock(), NET, WHOLE]),
        (scattered, noisy(al.quadratic())),
        (noisy, scattered(al.quadratic())),
    ],
)
def test_at_zero_a_changed_problem_is_the_problem_itself(change, problem):
    plain, changed = (
        al.train(p, al.adam, KEY, {"learning_rate": 0.01}, steps=16)
        for p in (problem, change(problem))
    )
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5), plain, changed)


def test_scattered_starts_are_around_the_problems_own():
    wide = al.Problem("wide", lambda key: {"x": jax.random.normal(key, (2000,)), "y": 3.0}, min)
    own, moved = wide.init(KEY), scattered(wide).init(KEY, scatter=0.5)
    moves = np.asarray(moved["x"] - own["x"])
    assert moves.std() == pytest.approx(0.5, rel=0.1)
    assert moved["y"] != own["y"]
    assert abs(np.corrcoef(moves, own["x"])[0, 1]) < 0.1
    axes = {"learning_rate": [1e-2], "scatter": [0.0, 0.1], "seed": range(3)}
    found = al.convergence_map(scattered(al.rosenbrock()), al.adam, axes, steps=8)
    assert [len(np.unique(part)) for part in found["initial_loss"].values[0]] == [1, 3]


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_noise_is_on_every_gradient_and_in_no_objective(dtype):
    problem = noisy(WHOLE)
    params = jax.tree.map(lambda p: p.astype(dtype), WHOLE.init(KEY, a=1.0))
    data = WHOLE.data(KEY, a=1.0).astype(dtype)
    hyper = {"a": jnp.asarray(2.0, dtype), "noise": jnp.float32(0.25)}

    def gradient(key, step=0):
        batch = problem.batch(key, step, data, **hyper)
        return jax.grad(problem.loss)(params, batch, **hyper)

    clean = jax.grad(WHOLE.loss)(params, data, a=hyper["a"])
    with jax.numpy_dtype_promotion("strict"):
        seen = jax.jit(jax.vmap(gradient))(jax.random.split(KEY, 2000))
    noise = jax.tree.map(lambda s, c: np.asarray(s, float) - np.asarray(c, float), seen, clean)
    flat = np.column_stack([noise["w"], noise["b"]])
    np.testing.assert_allclose(flat.std(axis=0), 0.25, rtol=0.1)
    np.testing.assert_allclose(np.corrcoef(flat.T), np.eye(4), atol=0.1)
    exact = problem.objective(params, data, **hyper)
    np.testing.assert_array_equal(exact, WHOLE.loss(params, data, a=hyper["a"]))


def test_noise_has_a_key_that_no_batch_splits_off():
    own = {jax.random.key_data(k).tobytes() for k in [KEY, *jax.random.split(KEY, 1000)]}
    batch = noisy(al.quadratic()).batch(KEY, 0, noise=1.0, **al.quadratic().hyperparameters)
    assert jax.random.key_data(batch["key"]).tobytes() not in own
    values = {**NET.hyperparameters, "input_noise": 1.0}
    data = NET.data(KEY, **values)
    (inputs, _), (clean, _) = (
        p.batch(KEY, 0, data, **values) for p in (with_input_noise(NET), NET)
    )
    for key in jax.random.split(KEY, 4):
        other = jax.random.normal(key, clean.shape)
        assert not np.allclose(inputs[0, 0] - clean[0, 0], other[0, 0], rtol=1e-3)


def test_gradient_descent_does_not_see_a_rotation_and_adam_does():
    plain, turned = al.quadratic(), rotated(al.quadratic(), TURN)
    look = {"probe": lambda params, _: {"x": params}, "steps": 16, "checkpoints": 16}
    for optimizer, blind in ((al.sgd, True), (al.adam, False)):
        own, other = (
            al.train(p, optimizer, KEY, {"learning_rate": 0.015}, **look).probed["x"]
            for p in (plain, turned)
        )
        assert np.allclose(other @ TURN.T, own, atol=1e-4) == blind


def test_everything_that_takes_parameters_is_rotated():
    box = replace(
        al.rosenbrock(),
        objective=lambda params, **hyper: params[0],
        project=lambda params, **_: jnp.clip(params, -1, 0.5),
    )
    problem = rotated(box, TURN)
    hyper = dict(box.hyperparameters)
    start = problem.init(KEY, **hyper)
    own = jnp.array([-1.2, 1.0])
    np.testing.assert_allclose(TURN @ start, own, rtol=1e-6)
    np.testing.assert_allclose(
        problem.loss(start, None, **hyper), box.loss(own, None, **hyper), rtol=1e-5
    )
    np.testing.assert_allclose(problem.objective(start, **hyper), -1.2, rtol=1e-6)
    seen, expected = problem.metrics(start, **hyper), box.metrics(own, **hyper)
    np.testing.assert_allclose(seen["distance"], expected["distance"], rtol=1e-6)
    np.testing.assert_allclose(TURN @ problem.project(start, **hyper), [-1, 0.5], rtol=1e-6)


def test_a_quarter_turn_may_be_in_whole_numbers():
    start = rotated(al.rosenbrock(), [[0, -1], [1, 0]]).init(KEY, **al.rosenbrock().hyperparameters)
    assert start.dtype == jnp.float32
    np.testing.assert_allclose(start, [1.0, 1.2], rtol=1e-6)


@pytest.mark.parametrize("size", [2, 8, 64])
def test_a_rotation_may_be_rounded_to_float32(size):
    axes = jax.random.orthogonal(KEY, size)
    problem = rotated(al.quadratic(size), axes)
    at = jax.random.normal(KEY, (size,))
    loss = problem.loss(at, None, **problem.hyperparameters)
    expected = al.quadratic(size).loss(axes @ at, None, **problem.hyperparameters)
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    with pytest.raises(ValueError, match="must be orthogonal"):
        rotated(al.quadratic(size), axes * np.float32(1 + 1e-4))


SHEAR = np.array([[1.0, 1.0], [0.0, 1.0]])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: scattered(saddle()), "has a hyperparameter 'scatter' already"),
        (lambda: noisy(noisy(WHOLE)), "'whole, noisy': has a hyperparameter 'noise' already"),
        (lambda: noisy(replace(NET, objective=None)), "needs an objective, which has no noise"),
        (lambda: rotated(al.quadratic(), SHEAR), "must be orthogonal"),
        (lambda: rotated(al.quadratic(), TURN[:1]), "must be orthogonal"),
        (lambda: rotated(al.quadratic(), 0.5), "axes=0.5: must be a real matrix"),
        (lambda: rotated(al.quadratic(3), TURN).init(KEY, start=1.0), r"must be a vector of 2"),
        (lambda: rotated(reddi(), TURN).init(KEY), r"shape \(\), and axes \(2, 2\)"),
    ],
)
def test_what_cannot_be_changed_is_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()

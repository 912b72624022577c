"""Numbers made of runs, each against a closed form."""

from __future__ import annotations

import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adamlab.analysis import (
    Interval,
    adam_stability_threshold,
    bootstrap,
    power_law,
    preconditioned_sharpness,
    refined_argmin,
    top_eigenvalue,
)

# Intervals -------------------------------------------------------------------------------------


def _median_quantile(sample, share):
    """The exact quantile of the bootstrap distribution of an odd sample's median: it is at or
    below the k-th value iff at least half of the draws are among the k least."""
    from scipy.stats import binom

    n = len(sample)
    below = [1 - binom.cdf(n // 2, n, k / n) for k in range(1, n + 1)]
    return np.sort(sample)[np.searchsorted(below, share)]


@pytest.mark.parametrize("level", [0.8, 0.95])
def test_the_interval_of_a_median_is_the_bootstrap_distributions(level):
    sample = np.random.default_rng(1).lognormal(size=11)
    found = bootstrap(sample, level=level)
    outside = (1 - level) / 2
    assert found == (
        np.median(sample), _median_quantile(sample, outside), _median_quantile(sample, 1 - outside)
    )  # fmt: skip


def test_the_interval_of_a_mean_is_the_normal_one():
    sample = np.random.default_rng(2).normal(3, 2, size=400)
    found = bootstrap(sample, np.mean)
    error = 1.96 * sample.std() / 20
    assert found.value == sample.mean()
    assert found.high - found.value == pytest.approx(error, rel=0.06)
    assert found.value - found.low == pytest.approx(error, rel=0.06)


def test_a_statistic_of_whole_runs_draws_whole_runs():
    """Two columns that differ by a constant in every seed: so does any resample of them."""
    column = np.random.default_rng(3).normal(size=9)
    pairs = np.stack([column, column + 2], axis=1)
    apart = bootstrap(pairs, lambda s, axis: float(np.diff(s.mean(axis))[0]), resamples=200)
    assert apart == pytest.approx((2, 2, 2))
    same = bootstrap(column, np.mean, resamples=200)
    assert bootstrap(pairs, lambda s, axis: s[:, 0].mean(), resamples=200) == pytest.approx(same)


def test_few_infinite_runs_leave_the_median_finite():
    found = bootstrap([1.0, 2.0, 3.0, 4.0, np.inf, np.inf, np.inf])
    assert found.value == 4
    assert np.isfinite(found.low)
    assert found.high == np.inf


@pytest.mark.parametrize("sample", [[0.3], [0.3] * 5, [np.inf, np.inf], [[1.0], [1.0]]])
def test_samples_that_agree_have_no_width(sample):
    found = bootstrap(sample, lambda s, axis: np.median(s))
    assert found.low == found.value == found.high


def test_an_interval_reads_as_one():
    assert str(Interval(0.43, 0.31, 0.55)) == "0.43 [0.31, 0.55]"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([],), "samples has shape (0,): must be"),
        ((3.0,), "samples has shape (): must be"),
        (([1.0, np.nan],), "samples=1 of 2 are NaN: must be"),
        (([[1.0, 2.0], [1.0, 3.0]],), "statistic has shape (2,): must"),
        (([-np.inf, np.inf, 1.0], np.mean), "statistic=NaN"),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value")
def test_bootstrap_refuses(arguments, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        bootstrap(*arguments)


def test_bootstrap_refuses_a_level_of_one():
    with pytest.raises(ValueError, match=r"level=1: must be a number in \(0, 1\)"):
        bootstrap([1.0, 2.0], level=1.0)


# Optimum ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("best", [2e-3, 9e-3, 0.02])
def test_a_bowl_in_the_logarithm_is_found_exactly_on_an_uneven_grid(best, flip):
    values = np.array([1e-4, 1e-3, 3e-3, 2e-2, 1e-1, 1.0])
    values = values[::-1] if flip else values
    losses = 0.5 + 2 * np.log(values / best) ** 2
    assert refined_argmin(losses, values) == pytest.approx(best, rel=1e-12)


def test_the_optimum_of_many_curves_with_edges_gaps_and_nothing():
    values = np.array([1.0, 10.0, 100.0])
    losses = np.array([[[3, 1, 3], [1, 2, 3]], [[3, 1, np.nan], [np.nan, np.inf, np.nan]]])
    found = refined_argmin(losses, values)
    np.testing.assert_allclose(found, [[10, 1], [10, np.nan]], rtol=1e-12)
    assert refined_argmin([2.0, 2.0, 2.0], values) == 1
    assert refined_argmin([3.0, 2.0, 2.0], values) == pytest.approx(10**1.5)
    assert refined_argmin([1.7e308, -1.7e308, 1.7e308], values) == pytest.approx(10)
    assert refined_argmin([2.0, 1.0], [1.0, 3.0]) == 3


@pytest.mark.parametrize(
    ("losses", "values", "message"),
    [
        ([1.0, 2.0], [0.0, 1.0], "values=0 among them: must be finite numbers > 0"),
        ([1.0, 2.0, 3.0], [1.0, 3.0, 2.0], "must ascend or descend"),
        ([1.0, 2.0], [1.0], "losses has shape (2,): must be (..., 1)"),
        ([], [], "values has shape (0,)"),
    ],
)
def test_refined_argmin_refuses(losses, values, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        refined_argmin(losses, values)


# Exponents -------------------------------------------------------------------------------------


def test_a_power_law_is_found_exactly():
    x = np.array([1.0, 2.0, 5.0, 7.0])
    law = power_law(x, 3 * x**-0.7)
    assert law.exponent == pytest.approx((-0.7, -0.7, -0.7))
    assert law.factor == pytest.approx(3)
    assert law.r_squared == pytest.approx(1)
    assert str(law) == "3 * x**-0.7 [-0.7, -0.7] (r2 1)"
    flat = power_law(x, np.ones(4))
    assert (flat.exponent.value, flat.factor, flat.r_squared) == (0, 1, 1)


def test_the_interval_of_an_exponent_is_that_of_the_seeds():
    """Seeds with exponents of their own and one value at x = 1: the exponent of the median is the
    median of the exponents."""
    own = np.random.default_rng(4).normal(1.5, 0.3, size=11)
    x = np.array([1.0, 10.0, 100.0])
    law = power_law(x, x ** own[:, None], level=0.9)
    assert law.exponent == pytest.approx(bootstrap(own, level=0.9))
    assert law.exponent.low < np.median(own) < law.exponent.high


def test_one_wild_seed_does_not_move_the_exponent():
    x = np.geomspace(1, 100, 5)
    y = np.stack([x**2, 1.1 * x**2, 1e12 * x**-3])
    assert power_law(x, y).exponent.value == pytest.approx(2)


def test_r_squared_is_the_share_explained():
    x = np.exp(np.array([-1.0, 0.0, 1.0]))
    y = np.exp(np.array([-1.0, 0.6, 1.0]))  # slope 1, mean .2, rests -.2, .4, -.2 of total 2.24
    law = power_law(x, y)
    assert law.exponent.value == pytest.approx(1)
    assert law.r_squared == pytest.approx(1 - 0.24 / 2.24)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        ([1.0, 2.0], [1.0, 0.0], "y=0 among them: must be finite numbers > 0"),
        ([1.0, 2.0], [1.0, np.inf], "y=inf among them"),
        ([-1.0, 2.0], [1.0, 1.0], "x=-1 among them"),
        ([2.0, 2.0], [1.0, 1.0], "x=[2.0, 2.0]: must be at least two different values"),
        ([1.0, 2.0], [1.0, 1.0, 1.0], "y has shape (3,): must be (seeds, 2) or (2,)"),
        ([], [], "x has shape (0,)"),
    ],
)
def test_power_law_refuses(x, y, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        power_law(x, y)


# Curvature -------------------------------------------------------------------------------------

SPECTRA = {
    "one parameter": [-3.0],
    "fewer than iterations": [1.0, 5.0, -9.0, 0.5],
    "identity": [2.0] * 60,
    "zero": [0.0] * 60,
    "low rank": [5.0, 3.0] + [0.0] * 58,
    "all negative": [-1.0 - i for i in range(60)],
    "two clusters": [-5.0] * 30 + [-1e-3] * 30,
    "a large negative one": [1.0] * 30 + [1e-4] * 29 + [-100.0],
    "geometric": [2.0**-i for i in range(60)],
    "beyond the squares of float32": [1e30, 1e29, 1e25, 0.0],
}


@jax.jit
@partial(jax.vmap, in_axes=(None, 0))
def _top(hessian, key):
    start = jnp.ones(len(hessian), hessian.dtype)
    return top_eigenvalue(lambda p: p @ hessian @ p / 2, start, key=key)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", SPECTRA)
def test_the_top_eigenvalue_is_the_known_one(name, dtype, x64):
    spectrum = np.array(SPECTRA[name])
    turn = np.linalg.qr(np.random.default_rng(5).normal(size=(len(spectrum),) * 2))[0]
    hessian = jnp.asarray((turn * spectrum) @ turn.T, dtype)
    values = _top(hessian, jax.random.split(jax.random.key(0), 3))
    assert values.dtype == dtype
    size = np.abs(spectrum).max()
    tolerance = 2e-5 if dtype == np.float32 else 1e-6
    np.testing.assert_allclose(values, spectrum.max(), rtol=tolerance, atol=tolerance * size)


def _network(params, x, y):
    hidden = jnp.tanh(x @ params["in"]["w"] + params["in"]["b"][None])
    return jnp.mean(jnp.square(hidden @ params["out"] - y))


def _network_and_params():
    keys = jax.random.split(jax.random.key(6), 5)
    params = {
        "in": {"w": jax.random.normal(keys[0], (3, 5)), "b": jax.random.normal(keys[1], (5,))},
        "out": jax.random.normal(keys[2], (5,)),
    }
    x, y = jax.random.normal(keys[3], (20, 3)), jax.random.normal(keys[4], (20,))
    return (lambda p: _network(p, x, y)), params


def _dense_hessian(loss, params):
    flat, unflatten = jax.flatten_util.ravel_pytree(params)
    return np.asarray(jax.jit(jax.hessian(lambda v: loss(unflatten(v))))(flat)), flat


def test_the_preconditioned_sharpness_of_a_network_is_that_of_its_dense_hessian(x64):
    loss, params = _network_and_params()
    dense, flat = _dense_hessian(loss, params)
    nu = jax.tree.map(lambda p: jnp.square(p) * 1e-3, params)
    key = jax.random.key(0)
    plain = jax.jit(lambda p: top_eigenvalue(loss, p, key=key))(params)
    assert plain == pytest.approx(np.linalg.eigvalsh(dense)[-1], rel=1e-9)
    root = 1 / np.sqrt(np.sqrt(np.square(flat) * 1e-3) + 1e-4)
    expected = np.linalg.eigvalsh(dense * root * root[:, None])[-1]
    sharpness = jax.jit(partial(preconditioned_sharpness, loss, key=key))
    found = sharpness(params, nu, eps=1e-4)
    assert found == pytest.approx(expected, rel=1e-9)
    assert expected > 5 * plain


def test_few_iterations_give_a_value_below_the_eigenvalue():
    spectrum = jnp.linspace(0, 1, 200)
    loss, start = (lambda p: jnp.sum(spectrum * p**2) / 2), jnp.ones(200)
    found = [
        float(top_eigenvalue(loss, start, key=jax.random.key(1), iterations=k)) for k in (1, 32)
    ]
    assert found[0] == pytest.approx(0.5, abs=0.1)
    assert 0.99 < found[1] < 1


def test_leaves_of_half_precision_are_widened():
    params = {"a": jnp.ones(3, jnp.bfloat16), "b": jnp.ones((), jnp.float32)}
    found = top_eigenvalue(
        lambda p: 2.5 * jnp.sum(p["a"] ** 2) + p["b"] ** 2, params, key=jax.random.key(0)
    )
    assert found.dtype == jnp.float32
    assert found == pytest.approx(5)


def test_a_hessian_that_is_not_finite_is_seen():
    found = top_eigenvalue(lambda p: jnp.sum(jnp.sqrt(p)), jnp.zeros(3), key=jax.random.key(0))
    assert np.isnan(found)


@pytest.mark.parametrize(("b1", "stable"), [(0.0, 2.0), (0.5, 6.0), (0.9, 38.0)])
def test_the_threshold_is_where_preconditioned_momentum_begins_to_grow(b1, stable):
    """m <- b1 m + (1 - b1) h x, x <- x - lr m as a matrix: its spectral radius passes 1."""
    threshold = adam_stability_threshold(0.01, b1)
    assert threshold == pytest.approx(stable / 0.01)
    for factor, grows in ((0.99, False), (1.01, True)):
        push = (1 - b1) * factor * threshold
        step = np.array([[b1, push], [-0.01 * b1, 1 - 0.01 * push]])
        assert (np.abs(np.linalg.eigvals(step)).max() > 1) == grows


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda f, k: top_eigenvalue(f, k, key=k, iterations=0), ValueError, "iterations=0: must"),
        (lambda f, k: top_eigenvalue(f, {}, key=k), ValueError, "params has no elements"),
        (lambda f, k: top_eigenvalue(f, jnp.ones(2, int), key=k), TypeError, "dtype int"),
        (
            lambda f, k: top_eigenvalue(f, jnp.ones(2), key=k, scale=jnp.ones(3)), ValueError,
            r"scale=\(3,\): must be a tree of the shapes of params, \(2,\)",
        ),
        (
            lambda f, k: preconditioned_sharpness(f, jnp.ones(2), jnp.ones(2), eps=-1, key=k),
            ValueError, "eps=-1: must be",
        ),
        (lambda f, k: adam_stability_threshold(0.0, 0.9), ValueError, "learning_rate=0: must be"),
        (lambda f, k: adam_stability_threshold(0.1, 1.0), ValueError, "b1=1: must be"),
    ],
)  # fmt: skip
def test_curvature_refuses(call, error, message):
    with pytest.raises(error, match=message):
        call(lambda p: jnp.sum(p**2), jax.random.key(0))

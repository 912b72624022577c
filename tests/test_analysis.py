"""Numbers made of runs, each against a closed form."""

from __future__ import annotations

import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.ndimage import label
from scipy.stats import linregress

from adamlab.analysis import (
    Interval,
    adam_stability_threshold,
    bootstrap,
    boundary_corners,
    boundary_slopes,
    box_dimension,
    gradient_noise_scale,
    hessian_diagonal,
    noise_scale,
    null_dimension,
    power_law,
    preconditioned_sharpness,
    refined_argmin,
    separability,
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


def test_another_seed_draws_other_samples():
    draw = np.random.default_rng(0)
    sample, runs = draw.normal(size=20), draw.lognormal(size=(20, 2))
    assert bootstrap(sample, np.mean, seed=1) != bootstrap(sample, np.mean, seed=2)
    found = [power_law([1.0, 10.0], runs, seed=seed).exponent for seed in (1, 1, 2)]
    assert found[0] == found[1] != found[2]


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
        (
            ([1.0, 2.0, 3.0], lambda s, axis: np.max(s)),
            "statistic has shape () for samples of (3, 4000): must be (4000,), along axis=0 alone",
        ),
        (
            ([1.0, 2.0, 3.0], lambda s, axis: np.max(s, -1)),
            "statistic has shape (3,) for samples of (3, 4000)",
        ),
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
    assert refined_argmin([2.0, 2.0, 2.0], values) == pytest.approx(10)
    assert refined_argmin([3.0, 2.0, 2.0], values) == pytest.approx(10**1.5)
    assert refined_argmin([1.7e308, -1.7e308, 1.7e308], values) == pytest.approx(10)


@pytest.mark.parametrize("direction", [1, -1])
def test_the_optimum_of_ties_is_in_their_middle_in_either_order(direction):
    values = 10.0 ** np.arange(-6, 1)
    table = {
        1e-3: [5, 1, 1, 1, 1, 1, 5],
        10**-4.5: [5, 1, 1, 5, 5, 5, 5],
        1e-5: [5, 1, 5, 1, 5, 5, 5],
    }
    for best, losses in table.items():
        found = refined_argmin(losses[::direction], values[::direction])
        assert found == pytest.approx(best)
    errors = np.array([[6, 2, 2, 2, 2, 2, 6], [6, 2, 2, 2, 2, 6, 6], [6, 2, 2, 2, 6, 6, 6]]) / 36
    columns = values[::direction]
    found = separability(errors[:, ::direction], [1, 10, 100], columns, factor=2.0)
    assert found.slope == pytest.approx(-0.5)


@pytest.mark.parametrize("bad", [np.inf, 4.0, 1e12])
def test_a_bad_point_counts_as_the_cap_in_the_slope_too(bad):
    losses = [[2, 1, bad], [1.2, 1, 1.2], [1.2, 1, 1.2]]
    assert separability(losses, *[[1.0, 10.0, 100.0]] * 2, cap=4.0).slope == pytest.approx(0.125)


@pytest.mark.parametrize("losses", [[2.0], [2.0, 1.0], [1.0, 2.0], [1.0, np.nan]])
def test_the_optimum_of_a_grid_that_is_all_edge_is_its_own(losses):
    values = np.array([1.0, 3.0])[: len(losses)]
    best = values[np.nanargmin(losses)]
    assert refined_argmin(losses, values) == pytest.approx(best)
    np.testing.assert_allclose(refined_argmin([losses] * 2, values), [best] * 2)
    assert np.isnan(refined_argmin(np.full(len(losses), np.inf), values))


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


def test_the_factor_is_that_of_the_least_squares_line():
    x, y = np.array([1.0, 2.0, 4.0, 8.0]), np.array([1.0, 1.0, 1.0, 9.0])
    exponent, at_one = np.polyfit(np.log(x), np.log(y), 1)
    law = power_law(x, y)
    assert (law.exponent.value, law.factor) == pytest.approx((exponent, np.exp(at_one)))


@pytest.mark.parametrize("seeds", [7, 8])
def test_the_exponent_of_the_inverse_is_the_opposite(seeds):
    x = np.geomspace(1, 32, 6)
    y = 3 * x**0.5 * np.random.default_rng(5).lognormal(size=(seeds, 6))
    law, inverse = power_law(x, y), power_law(x, 1 / y)
    value, low, high = law.exponent
    assert inverse.exponent == pytest.approx((-value, -high, -low))
    assert inverse.factor == pytest.approx(1 / law.factor)


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


@partial(jax.jit, static_argnums=2)
def _top(hessian, keys, iterations=32):
    def one(key):
        start = jnp.ones(len(hessian), hessian.dtype)
        return top_eigenvalue(lambda p: p @ hessian @ p / 2, start, key=key, iterations=iterations)

    return jax.vmap(one)(keys)


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


def test_the_hessians_diagonal_is_estimated_without_bias():
    hessian = jnp.array([[2.0, 1.0, 0.5], [1.0, -3.0, 0.0], [0.5, 0.0, 4.0]])
    params = {"a": jnp.ones(2), "b": jnp.ones(())}

    def loss(p):
        x = jnp.append(p["a"], p["b"])
        return x @ hessian @ x / 2

    keys = jax.random.split(jax.random.key(0), 4000)
    found = jax.vmap(lambda key: hessian_diagonal(loss, params, key=key))(keys)
    assert jax.tree.map(jnp.shape, found) == {"a": (4000, 2), "b": (4000,)}
    # The sum of the squares beside the diagonal is a row's variance: a standard error of .018.
    np.testing.assert_allclose(found["a"].mean(0), [2, -3], atol=0.08)
    np.testing.assert_allclose(found["b"].mean(0), 4, atol=0.04)
    alone = hessian_diagonal(
        lambda x: (jnp.array([2.0, -3.0]) * x**2).sum(), jnp.ones(2), key=keys[0]
    )
    np.testing.assert_array_equal(alone, [4, -6])
    assert hessian_diagonal(lambda p: 0.0, {}, key=keys[0]) == {}
    assert hessian_diagonal(lambda x: 3 * x**2, 1.0, key=keys[0]) == 6
    narrow = hessian_diagonal(lambda x: 3.0 * x @ x, jnp.ones(2, jnp.bfloat16), key=keys[0])
    assert narrow.dtype == jnp.float32

    def strict(x):
        return jax.lax.scan(lambda sum_, v: (sum_ + v, None), x.dtype.type(0), x**2)[0]

    kept = hessian_diagonal(strict, jnp.ones(2, jnp.bfloat16), key=keys[0])
    np.testing.assert_array_equal(kept, [2, 2])
    for wrong in (jnp.ones(2, int), jnp.ones(2, complex)):
        with pytest.raises(TypeError, match=r"params has a leaf of dtype .*: must be floating"):
            hessian_diagonal(jnp.sum, wrong, key=keys[0])


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


def test_few_iterations_give_a_value_below_the_eigenvalue(x64):
    spectrum = jnp.linspace(0, 1, 60)
    key = jax.random.key(1)
    one = _top(jnp.diag(spectrum), key[None], 1)[0]
    assert one == pytest.approx(0.5, abs=0.1)
    assert 0.9999 < _top(jnp.diag(spectrum), key[None])[0] < 1


def test_leaves_of_half_precision_are_widened():
    params = {"a": jnp.ones(3, jnp.bfloat16), "b": jnp.ones((), jnp.float32)}

    def loss(p):
        return 2.5 * jnp.sum(p["a"] ** 2) + p["b"] ** 2

    found = jax.jit(partial(top_eigenvalue, loss))(params, key=jax.random.key(0))
    assert found.dtype == jnp.float32
    assert found == pytest.approx(5)


def test_a_hessian_that_is_not_finite_is_seen(x64):
    broken = jnp.eye(60).at[3, 3].set(jnp.nan)
    assert np.isnan(_top(broken, jax.random.key(0)[None]))


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
        (
            lambda f, k: preconditioned_sharpness(f, jnp.ones(2), {"a": jnp.ones(2)}, eps=1, key=k),
            ValueError, r"nu={'a': \(2,\)}: must be a tree of the shapes of params, \(2,\)",
        ),
        (lambda f, k: adam_stability_threshold(0.0, 0.9), ValueError, "learning_rate=0: must be"),
        (lambda f, k: adam_stability_threshold(0.1, 1.0), ValueError, "b1=1: must be"),
    ],
)  # fmt: skip
def test_curvature_refuses(call, error, message):
    with pytest.raises(error, match=message):
        call(lambda p: jnp.sum(p**2), jax.random.key(0))


# Noise -----------------------------------------------------------------------------------------

MEAN = {"a": np.array([1.0, -2.0]), "b": np.array(2.0)}  # |G|**2 = 9
SPREAD = {"a": np.array([3.0, 4.0]), "b": np.array(5.0)}  # tr(Sigma) = 50


def _noisy_gradient(key, batch_size, lead=1.0):
    keys = dict(zip(MEAN, jax.random.split(key), strict=True))

    def leaf(key, mean, spread):
        draws = jax.random.normal(key, (batch_size, *mean.shape)).mean(0)
        return lead * jnp.asarray(mean, float) + jnp.asarray(spread, float) * draws

    return jax.tree.map(leaf, keys, MEAN, SPREAD)


def test_the_noise_scale_solves_the_two_equations():
    small, big = 9 + 50 / np.array([2, 5.0]), 9 + 50 / 32
    found = noise_scale(small, np.array([big, big]), 2, 32)
    assert found.variance[0] == pytest.approx(50)
    assert found.squared_gradient[0] == pytest.approx(9)
    assert found.scale[0] == pytest.approx(50 / 9)
    assert found.variance[1] == pytest.approx((small[1] - big) / (1 / 2 - 1 / 32))


def test_the_noise_scale_takes_what_numpy_does_and_lists():
    for kind in (np.uint32, list, np.float32):
        small, big = (one if kind is list else kind(one) for one in ([1.0], [2.0]))
        found = noise_scale(small, big, 1, 2)
        assert (found.variance.item(), found.squared_gradient.item()) == (-2, 3)
        assert found.variance.dtype == np.float64


def test_a_gradient_that_is_all_noise_has_an_infinite_scale():
    found = noise_scale(50 / 2, 49 / 32, 2, 32)
    assert found.squared_gradient < 0
    assert found.scale == np.inf


@pytest.mark.parametrize("broken", [np.nan, np.inf])
@pytest.mark.parametrize("kind", [np.asarray, jnp.asarray])
def test_a_gradient_that_is_not_finite_has_no_noise_scale(broken, kind):
    small, big = kind([broken, 50.0, 30.0]), kind([10.0, broken, 10.0])
    np.testing.assert_array_equal(
        np.isfinite(noise_scale(small, big, 2, 32).scale), [False, False, True]
    )
    assert np.isnan(noise_scale(small, big, 2, 32).scale[:2]).all()


def test_the_noise_scale_of_gradients_of_known_mean_and_covariance():
    @jax.jit
    @jax.vmap
    def found(lead):
        return gradient_noise_scale(
            lambda key, n: _noisy_gradient(key, n, lead), jax.random.key(0),
            small=2, big=20, repeats=8000,
        )  # fmt: skip

    scales = found(jnp.array([1.0, 2.0]))
    np.testing.assert_allclose(scales.variance, [50, 50], rtol=0.06)
    np.testing.assert_allclose(scales.squared_gradient, [9, 36], rtol=0.06)
    np.testing.assert_allclose(scales.scale, [50 / 9, 50 / 36], rtol=0.06)


def test_the_noise_of_complex_gradients_is_that_of_both_parts():
    def gradient(key, size):
        imaginary = 2 + jax.random.normal(key, (size, 1)).mean(0)
        return jax.lax.complex(jnp.ones(1), imaginary)

    found = gradient_noise_scale(gradient, jax.random.key(0), small=4, big=64, repeats=4000)
    np.testing.assert_allclose(found.squared_gradient, 5, rtol=0.02)
    np.testing.assert_allclose(found.variance, 1, rtol=0.2)


def test_half_precision_gradients_are_squared_in_float32():
    found = gradient_noise_scale(
        lambda key, n: jnp.full(2, 512 if n == 1 else 8, jnp.float16), jax.random.key(0),
        small=1, big=2, repeats=2,
    )  # fmt: skip
    assert found.variance.dtype == jnp.float32
    assert found.variance == 2 * (2 * 512**2 - 2 * 8**2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"small": 0, "big": 2}, "small=0: must be"),
        ({"small": 4, "big": 4}, "big=4: must be .*>= 5"),
    ],
)
def test_noise_scale_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        noise_scale(1.0, 1.0, **options)
    with pytest.raises(ValueError, match=message):
        gradient_noise_scale(_noisy_gradient, jax.random.key(0), repeats=1, **options)


# Separability ----------------------------------------------------------------------------------

DECADES = np.linspace(-2, 2, 17)
U, V = np.meshgrid(DECADES, DECADES, indexing="ij")


def _bowl(across, along=1.0, log=False):
    """A bowl in the decades u and v, `along` as steep where u + v is constant as `across` it."""
    bowl = across * (U + V) ** 2 + along * (U - V) ** 2
    return 0.01 * np.exp(bowl) if log else 0.01 + bowl


@pytest.mark.parametrize("along", [1.0, 0.5, 0.1, 0.01, 0.0])
def test_the_slope_of_a_rotated_bowl_is_its_ridges(along):
    """Of (u + v)**2 + k (u - v)**2 the best v is -(1 - k) / (1 + k) u."""
    found = separability(_bowl(0.002, 0.002 * along), 10**DECADES, 10**DECADES)
    assert found.slope == pytest.approx(-(1 - along) / (1 + along), abs=1e-9)


@pytest.mark.parametrize("flip", [1, -1])
def test_a_separable_bowl_is_found_separable(flip):
    loss = 0.01 * np.exp((U - 0.6) ** 2 + 3 * (V + 0.3) ** 2)
    found = separability(loss[::flip, ::-1], 10 ** DECADES[::flip], 10 ** DECADES[::-1], factor=9)
    assert found.slope == pytest.approx(0, abs=1e-9)
    assert found.additive == pytest.approx(1)
    assert found.regret == 0
    assert not found.at_edge


def test_what_is_coupled_far_from_the_optimum_does_not_count():
    afar = (abs(U) > 1.2) | (abs(V) > 1.2)
    loss = 0.01 * np.exp(U**2 + V**2 + abs(U * V) * afar)
    assert separability(loss, 10**DECADES, 10**DECADES).additive == pytest.approx(1)


def test_the_additive_share_is_what_a_product_leaves():
    """Of log L = s (u**2 + v**2) + 2 s u v the last term is the part that is not additive."""
    found = separability(_bowl(0.1, 0.0, log=True), 10**DECADES, 10**DECADES)
    square, product = 2 * (DECADES**2).var(), 4 * (DECADES**2).mean() ** 2
    assert found.additive == pytest.approx(square / (square + product))


def test_only_the_product_matters():
    found = separability(_bowl(0.1, 1e-9), 10**DECADES, 10**DECADES)
    assert found.slope == pytest.approx(-1, abs=1e-6)
    assert found.additive < 0.2
    assert found.at_edge
    lost = np.log10((0.01 + 0.1 * DECADES**2) / 0.01)
    assert found.regret == pytest.approx(lost.mean(), abs=1e-5)


def test_regret_grows_with_the_coupling():
    regrets = [
        separability(_bowl(0.1, 0.1 * along), 10**DECADES, 10**DECADES, factor=20).regret
        for along in (1.0, 0.3, 0.1, 0.01)
    ]
    assert regrets[0] == 0
    assert regrets == sorted(set(regrets))


def test_what_diverged_counts_as_the_cap():
    loss = _bowl(0.1, 0.0, log=True)
    assert 0.2 < (loss > 0.015).mean() < 0.8
    broken = np.where(loss > 0.015, np.where(U > 0, np.nan, np.inf), loss)
    capped = separability(np.minimum(loss, 0.015), 10**DECADES, 10**DECADES)
    found = separability(broken, 10**DECADES, 10**DECADES, cap=0.015)
    assert found.additive == pytest.approx(capped.additive)
    assert found.regret == pytest.approx(capped.regret)
    wild = separability(np.where(loss > 0.015, 1e30, loss), 10**DECADES, 10**DECADES, cap=0.015)
    assert wild.additive == pytest.approx(capped.additive)


@pytest.mark.parametrize("seed", range(20))
def test_separability_does_not_depend_on_the_direction_of_an_axis_where_losses_tie(seed):
    loss = np.random.default_rng(seed).integers(1, 6, (6, 7)) / 6
    rows, columns = np.geomspace(1e-2, 1e2, 6), np.geomspace(1e-3, 1e3, 7)
    found = separability(loss, rows, columns)
    for i, j in ((-1, 1), (1, -1)):
        turned = separability(loss[::i, ::j], rows[::i], columns[::j])
        assert turned == pytest.approx(found, nan_ok=True)


def test_a_row_whose_least_loss_ties_with_an_edge_is_at_the_edge():
    loss = np.full((5, 7), 3.0)
    loss[1:4, :4] = 1
    for turned in (loss, loss[:, ::-1]):
        found = separability(turned, np.arange(1.0, 6), np.arange(1.0, 8))
        assert found.at_edge
        assert np.isnan(found.slope)


def test_the_factor_chooses_the_columns_as_well_as_the_rows():
    loss, axis = np.outer([1, 5, 50], [1, 5, 50]), [1.0, 2.0, 3.0]
    assert separability(loss, axis, axis, factor=10).additive == pytest.approx(1)
    assert np.isnan(separability(loss, axis, axis, factor=2).additive)


def test_an_optimum_beyond_the_grid_is_said():
    inner = separability(_bowl(1.0), 10**DECADES, 10**DECADES)
    assert not inner.at_edge
    for part in (np.s_[8:, :], np.s_[:, 8:]):
        loss, rows, columns = _bowl(1.0)[part], 10 ** U[part][:, 0], 10 ** V[part][0]
        assert separability(loss, rows, columns, factor=30).at_edge
    at_the_end = 0.01 + (U - 2) ** 2 + V**2
    assert separability(at_the_end, 10**DECADES, 10**DECADES, factor=1.5).at_edge
    capped = separability([[9, 1.5, 9], [9, 1, 9], [9, 1.6, 9]], [1, 2, 4], [1, 2, 4], cap=1.2)
    assert (capped.regret, capped.at_edge) == (0, False)
    flat = separability(np.ones((3, 3)), [1, 2, 3], [1, 2, 3])
    assert np.isnan(flat.slope)
    assert (flat.additive, flat.regret, flat.at_edge) == (1, 0, True)


@pytest.mark.parametrize(
    ("loss", "options", "message"),
    [
        (np.ones((2, 3)), {}, "loss has shape (2, 3): must be (rows, columns) = (2, 3), each at"),
        (np.ones((3, 4)), {}, "loss has shape (3, 4): must be (rows, columns) = (3, 3)"),
        (np.full((3, 3), np.nan), {}, "loss has no finite value"),
        (np.eye(3), {}, "loss=0 among it: must be > 0"),
        (np.ones((3, 3)), {"factor": 1.0}, "factor=1: must be"),
        (1 + np.eye(3), {"cap": 0.5}, "cap=0.5: must be"),
    ],
)
def test_separability_refuses(loss, options, message):
    rows = np.arange(1.0, 1 + min(len(loss), 3))
    with pytest.raises(ValueError, match=re.escape(message)):
        separability(loss, rows, [1.0, 2.0, 3.0], **options)


# Boxes -----------------------------------------------------------------------------------------


def _disc(size, radius):
    row, column = np.indices((size, size))
    return np.hypot(row - size / 2 - 0.3, column - size / 2 - 0.2) < radius


def _carpet(levels):
    row, column = np.indices((3**levels,) * 2)
    holes = np.zeros(row.shape, bool)
    for level in range(levels):
        holes |= (row // 3**level % 3 == 1) & (column // 3**level % 3 == 1)
    return ~holes


def _koch(size, levels=6):
    points = np.array([0, 1], complex)
    for _ in range(levels):
        start, step = points[:-1, None], np.diff(points)[:, None] / 3
        corners = np.array([0, 1, 1 + np.exp(1j * np.pi / 3), 2])
        points = np.append((start + step * corners).ravel(), points[-1])
    image = np.zeros((size, size), bool)
    dense = (points[:-1, None] + np.diff(points)[:, None] * np.linspace(0, 1, 9)).ravel()
    image[(dense.imag * size + size / 4).astype(int), (dense.real * (size - 1)).astype(int)] = True
    return image


ROW, COLUMN = np.indices((256, 256))
SETS = {
    "a line": (ROW == 100, 1.0, 1e-9),
    "a slanted line": (ROW == COLUMN // 2, 1.0, 0.06),
    "a filled square": (np.ones((256, 256), bool), 2.0, 1e-9),
    "Koch's curve": (_koch(512), np.log(4) / np.log(3), 0.06),
    "Sierpinski's triangle": ((ROW & COLUMN) == 0, np.log(3) / np.log(2), 0.06),
    "Sierpinski's carpet": (_carpet(5), np.log(8) / np.log(3), 0.06),
}


@pytest.mark.parametrize("name", SETS)
def test_the_box_dimension_is_the_known_one(name):
    image, dimension, tolerance = SETS[name]
    found = box_dimension(image, least=200)
    assert found.dimension == pytest.approx(dimension, abs=tolerance)
    assert found.standard_error < 0.06
    assert found.sizes.tolist() == [2**k for k in range(1, len(found.sizes) + 1)]
    turned = box_dimension(image.T[::-1], least=200).dimension
    assert turned == pytest.approx(found.dimension, abs=0.02)


def test_a_lines_boxes_are_its_length_over_their_size():
    found = box_dimension(ROW == 100, least=1, smallest=1, largest=64)
    np.testing.assert_allclose(found.counts, 256 / 2.0 ** np.arange(7))
    assert found.standard_error == pytest.approx(0, abs=1e-9)
    assert box_dimension(ROW == 100, least=1, largest=256).sizes[-1] == 256


@pytest.mark.parametrize("shape", [(128, 128), (256, 256), (256, 400), (512, 512)])
@pytest.mark.parametrize("pixels", [None, 500, 10**6])
def test_a_smooth_boundary_is_smooth(shape, pixels):
    assert null_dimension(shape, pixels=pixels).dimension == pytest.approx(1, abs=0.03)


def test_the_null_has_about_the_pixels_asked_for():
    """Of two circles the one with more pixels has as many more boxes."""
    few, many = (null_dimension((512, 512), pixels=n).counts for n in (800, 1600))
    np.testing.assert_allclose(many / few, 2, rtol=0.02)
    assert boundary_corners(_disc(512, 100)).sum() == pytest.approx(800, rel=0.02)


def test_a_rough_boundary_exceeds_its_null():
    """What lies on one side of Koch's curve, as a map of runs would show it."""
    parts, _ = label(~_koch(1024))
    boundary = boundary_corners(parts == parts[-1, 0])
    null = null_dimension(boundary.shape, pixels=int(boundary.sum())).dimension
    assert box_dimension(boundary).dimension > null + 0.1


def test_boundary_corners_are_where_pixels_of_both_kinds_meet():
    kind = np.zeros((4, 5), bool)
    kind[1, 1] = kind[3, 4] = True
    expected = np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 0, 1]], bool)
    np.testing.assert_array_equal(boundary_corners(kind), expected)
    np.testing.assert_array_equal(boundary_corners(~kind), expected)
    assert not boundary_corners(np.ones((3, 3), bool)).any()


def _inside_a_snowflakes_side(size):
    """The pixels above Koch's curve: what reaches the image's top edge without crossing it."""
    regions, _ = label(~_koch(size)[::-1])
    return regions == regions[0, 0]


@pytest.mark.parametrize(
    ("converged", "dimension", "tolerance"),
    [
        (ROW > 100, 1.0, 1e-9),
        (ROW[:, :200] > COLUMN[:, :200] // 2, 1.0, 0.08),
        ((ROW + COLUMN) % 2 == 0, 2.0, 1e-9),
        (_inside_a_snowflakes_side(512), np.log(4) / np.log(3), 0.17),
    ],
    ids=["a line", "a slanted line", "a chequered square", "Koch's curve"],
)
def test_a_boundarys_slopes_are_its_dimension_at_every_size(converged, dimension, tolerance):
    found = boundary_slopes(converged)
    assert len(found) == int(np.log2(min(converged.shape) - 1))
    np.testing.assert_allclose(found[:5], dimension, atol=tolerance)
    assert np.median(found) == pytest.approx(dimension, abs=tolerance / 2)


def test_the_slopes_of_no_boundary_are_nan():
    none = np.ones((40, 70), bool)
    np.testing.assert_array_equal(boundary_slopes(none), np.full(5, np.nan))
    assert boundary_slopes(np.indices(none.shape)[0] > 20).shape == (5,)
    assert boundary_slopes(none[:9]).shape == (3,)
    for small in (none[:8], none[:1, :5]):
        shape = re.escape(str(small.shape))
        with pytest.raises(ValueError, match=rf"converged has shape {shape}: must be at least 9 x"):
            boundary_slopes(small)


def test_the_null_counts_boxes_of_the_sizes_asked_for():
    null = null_dimension((256, 256), smallest=4, largest=16)
    np.testing.assert_array_equal(null.sizes, [4, 8, 16])


def test_slopes_tell_a_rough_scale_from_a_smooth_one():
    """Teeth of 16 pixels' width and 32 pixels' height: lines from near, a filled band from afar."""
    tooth = np.abs(COLUMN % 16 - 8)
    found = boundary_slopes(120 + 4 * tooth < ROW)
    assert found[0] < 1.1
    assert found[3] > 1.4


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: box_dimension(ROW == 1), "boundary=256 pixels set: must be >= 500 (least)"),
        (lambda: box_dimension(ROW), "boundary has shape (256, 256) and dtype int64: must be"),
        (lambda: boundary_corners(np.ones(3, bool)), "converged has shape (3,)"),
        (
            lambda: box_dimension(np.ones((40, 40), bool)),
            "boundary of 40 x 40, smallest=2 and largest=5 (1/8 of the shorter side): must have",
        ),
        (lambda: box_dimension(ROW > 9, largest=512), "largest=512: must be"),
        (lambda: null_dimension((4, 4)), "shape=(4, 4): a boundary of 3 x 3, smallest=2 and larg"),
        (lambda: null_dimension((64, 64)), "shape=(64, 64): a boundary of 63 x 63, smallest=2 and"),
        (lambda: null_dimension((64, 64), largest=4), "a boundary of 63 x 63, smallest=2 and larg"),
        (lambda: null_dimension((64, 64), largest=0), "largest=0: must be"),
        (lambda: null_dimension((256, 256), pixels=0), "pixels=0: must be"),
        (lambda: null_dimension((64,)), "shape=(64,): must be (rows, columns)"),
    ],
)
def test_box_counting_refuses(call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call()


@pytest.mark.parametrize(("level", "low", "high"), [
    (0.95, 100, 3899), (0.9, 200, 3799), (0.5, 1000, 2999), (1e-9, 1999, 2000),
])  # fmt: skip
def test_the_ends_leave_as_many_resamples_out_below_as_above(level, low, high):
    def rank(values, axis):
        return np.arange(values.shape[1]) if values.ndim > 1 else np.float64(7)

    assert bootstrap([1.0, 2.0], rank, level=level) == (7, low, high)


def test_a_dimensions_standard_error_is_that_of_a_fitted_line():
    image = np.random.default_rng(0).uniform(size=(256, 256)) < 0.02
    found = box_dimension(image)
    line = linregress(-np.log(found.sizes), np.log(found.counts))
    np.testing.assert_allclose(found.dimension, line.slope, rtol=1e-9)
    np.testing.assert_allclose(found.standard_error, line.stderr, rtol=1e-6)


def test_small_and_big_batches_are_drawn_apart():
    found = gradient_noise_scale(
        lambda key, size: jax.random.normal(key, (3,)), jax.random.key(0), small=1, big=2, repeats=4
    )
    assert found.variance != 0

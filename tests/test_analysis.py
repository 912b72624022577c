"""Numbers made of runs, each against a closed form."""

from __future__ import annotations

import re

import numpy as np
import pytest

from adamlab.analysis import Interval, bootstrap, power_law, refined_argmin

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

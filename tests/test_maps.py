"""Outcomes on runs whose fate theory knows, and what is read off a map."""

from __future__ import annotations

import json
import math
import warnings
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import xarray as xr

import adamlab as al
from adamlab.maps import (
    Criteria,
    Outcome,
    border,
    classify,
    converged_band,
    longest_band,
    typical_outcome,
)

C, S, T, O, D, N = (  # noqa: E741
    Outcome.CONVERGED, Outcome.SLOW, Outcome.STALLED, Outcome.OSCILLATING, Outcome.DIVERGED,
    Outcome.NON_FINITE,
)  # fmt: skip


def _outcomes(problem, optimizer, rates, **options):
    return al.convergence_map(problem, optimizer, {"learning_rate": rates}, **options)[
        "outcome"
    ].values[:, 0]


# Theory ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("largest", [1.0, 50.0])
def test_gradient_descent_converges_below_two_over_the_curvature(largest):
    """x <- (1 - lr h) x shrinks iff lr < 2/h."""
    edge = 2 / largest
    rates = edge * np.array([1e-4, 0.2, 0.9, 0.99, 1.01, 1.05])
    codes = _outcomes(al.quadratic(1), al.sgd, rates, fixed={"condition": largest}, steps=400)
    assert list(codes) == [S, C, C, C, D, D]


def test_gradient_descent_far_above_the_edge_overflows():
    assert list(_outcomes(al.quadratic(1), al.sgd, [1.0], steps=400)) == [N]


@pytest.mark.parametrize("b1", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("b2", [0.9, 0.99])
def test_adam_is_stable_below_the_edge_of_its_preconditioned_sharpness(b1, b2):
    """With eps far above the gradient the preconditioned sharpness is h / eps, and the edge is
    (2 + 2 b1) / ((1 - b1) lr) (Cohen et al. 2022). Above it the run settles in a cycle instead,
    as wide as makes sqrt(nu) + eps restore the balance."""
    edge = (2 + 2 * b1) / (1 - b1)
    problem = replace(al.quadratic(1), tolerance=1e-7)
    codes = _outcomes(
        problem, al.adam, edge * np.array([0.9, 0.97, 1.03, 1.1]),
        fixed={"b1": b1, "b2": b2, "eps": 1.0, "condition": 1.0}, steps=8000,
    )  # fmt: skip
    assert list(codes) == [C, C, O, O]


def _decaying(build):
    """`build` with the learning rate scale / sqrt(t) of Reddi's theorem, b1 = 0.9, b2 = 0.99."""

    def optimizer(scale):
        return build(lambda n: scale / jnp.sqrt(n.astype(float) + 1), b1=0.9, b2=0.99)

    return optimizer


def test_adam_walks_to_the_worst_point_of_reddis_problem_and_amsgrad_to_the_best():
    problem = replace(al.reddi(), tolerance=0.05)
    ends = {}
    for build in (al.adam, al.amsgrad):
        found = al.convergence_map(problem, _decaying(build), {"scale": [16.0]}, steps=100_000)
        ends[build] = (found["outcome"].item(), found["x"].item())
    assert ends[al.adam][0] == D
    assert ends[al.adam][1] > 0.5
    assert ends[al.amsgrad][0] == C
    assert ends[al.amsgrad][1] == pytest.approx(-1, abs=0.05)


def test_a_plateau_stalls():
    flat = al.Problem(
        "flat", init=lambda key: -jnp.ones(2), loss=lambda x, batch: 1 + jnp.maximum(x, 0).sum()
    )
    assert list(_outcomes(flat, al.adam, [0.1], steps=100)) == [T]


def test_a_step_out_of_the_domain_is_not_finite():
    logarithm = al.Problem(
        "log", init=lambda key: jnp.full([], 2.0), loss=lambda x, batch: x - jnp.log(x), optimum=1.0
    )
    codes = _outcomes(logarithm, al.adam, [1e-4, 3.0], steps=100, fixed={"b1": 0.0})
    assert codes[1] == N


def test_noise_around_the_minimum_oscillates():
    noisy = al.Problem(
        "noisy", init=lambda key: jnp.zeros([]),
        loss=lambda x, noise: jnp.square(x - noise),
        batch=lambda key, step: jax.random.normal(key),
        objective=lambda x: 1 + jnp.square(x), optimum=0.999,
    )  # fmt: skip
    noisy = replace(noisy, target=0.9995)
    codes = _outcomes(noisy, al.adam, [1e-2, 3e-2], steps=2000, criteria=Criteria(rise=1e9))
    assert list(codes) == [O, O]


# Definitions -----------------------------------------------------------------------------------


def _statistics(**changes):
    base = {
        "initial_loss": 1.0, "target_loss": 0.01, "earlier_loss": 0.5, "late_loss": 0.5,
        "late_spread": 0.0, "nonfinite_step": -1,
    }  # fmt: skip
    own = {
        "average_loss": changes.get("late_loss", 0.5),
        "late_rise": 4 * changes.get("late_spread", 0.0),
    }
    return {**own, **base, **changes}


DEFINITIONS = [
    (_statistics(late_loss=0.01), C),
    (_statistics(late_loss=0.0101), S),
    (_statistics(late_loss=1.5), D),
    (_statistics(late_loss=1.49), T),
    (_statistics(late_loss=0.4994, earlier_loss=0.5), S),
    (_statistics(late_loss=0.4996, earlier_loss=0.5), T),
    (_statistics(late_loss=0.4, earlier_loss=0.5, late_spread=0.049), S),
    (_statistics(late_loss=0.4, earlier_loss=0.5, late_spread=0.051), O),
    (_statistics(late_loss=0.999, earlier_loss=1.2), S),
    (_statistics(late_loss=1.0, earlier_loss=1.2), T),
    (_statistics(late_loss=1.2, earlier_loss=1.4, late_spread=0.07), O),
    (_statistics(late_loss=0.4, earlier_loss=0.5, late_spread=0.3, late_rise=0.099), S),
    (_statistics(late_loss=0.4, earlier_loss=0.5, late_spread=0.3, late_rise=0.101), O),
    (_statistics(late_spread=0.3, late_rise=0.025), O),
    (_statistics(late_spread=0.3, late_rise=0.0249), T),
    (_statistics(late_spread=0.025), O),
    (_statistics(late_spread=0.0249), T),
    (_statistics(average_loss=0.449), O),
    (_statistics(average_loss=0.451), T),
    (_statistics(nonfinite_step=3, late_loss=0.0), N),
    (_statistics(late_loss=np.nan), N),
    (_statistics(late_loss=np.inf), N),
]


@pytest.mark.parametrize(("statistics", "expected"), DEFINITIONS)
def test_outcomes_are_as_defined(statistics, expected):
    assert classify(statistics) == expected


def _falling_from(share, end=0.0):
    """1 until `share` of the run is over, then straight down to `end`."""
    return lambda t: np.interp(t, [share, 1], [1, end])


CURVES = {
    "a late drop": (lambda t: np.where(t < 0.85, 1.0, 0.0), S),
    "a line": (_falling_from(0.0), S),
    "a late line": (_falling_from(0.75, 0.5), S),
    "a late line after noise": (lambda t: _falling_from(0.5)(t) + _noise(t) * (t < 0.5), S),
    "a plateau": (lambda t: 0.5 + 0.5 * (t == 0), T),
    "a fall from above the start": (lambda t: np.where(t == 0, 1.0, 1.6 - 0.4 * t), T),
    "noise": (lambda t: 0.5 + _noise(t), O),
    "a fall in noise": (lambda t: 1 - 0.05 * t + _noise(t), O),
    "a cycle of 2": (lambda t: 1 - 0.2 * (np.arange(t.size) % 2), O),
    "a cycle of 3": (lambda t: 1 - 0.2 * (np.arange(t.size) % 3), O),
    "a cycle of 7": (lambda t: 1 - 0.1 * (np.arange(t.size) % 7), O),
    "a cycle that falls": (lambda t: 1 - 0.1 * t + 0.2 * (np.arange(t.size) % 2), O),
}  # fmt: skip


def _noise(t):
    return 0.1 * np.random.default_rng(0).normal(size=t.shape)


@pytest.mark.parametrize("steps", [288, 400])
@pytest.mark.parametrize("name", CURVES)
def test_runs_have_the_outcome_that_their_curve_shows(name, steps):
    curve, expected = CURVES[name]
    losses = jnp.asarray(curve(np.arange(steps + 1) / steps), float)
    drawn = al.Problem(
        "drawn", init=lambda key: jnp.zeros([]), loss=lambda x, batch: -x,
        objective=lambda x: losses[jnp.round(x).astype(int)],
    )  # fmt: skip
    assert list(_outcomes(drawn, al.sgd, [1.0], steps=steps)) == [expected]


MOVING = {"late_loss": 0.5, "earlier_loss": 0.75, "late_spread": 0.1, "late_rise": 0.3}


@pytest.mark.parametrize(
    ("statistics", "criteria", "expected"),
    [
        # Progress is a share of the earlier excess, and exceeds its bound.
        ({"late_loss": 0.26, "earlier_loss": 0.5}, {"fall": 0.5}, T),
        ({"late_loss": 0.24, "earlier_loss": 0.5}, {"fall": 0.5}, S),
        ({"late_loss": 0.5, "earlier_loss": 0.75, "late_spread": 0.125}, {}, O),
        ({"late_loss": 0.5, "earlier_loss": 0.75, "late_spread": 0.124}, {}, S),
        (MOVING, {}, S),
        (MOVING, {"clarity": 3.0}, O),
        # What averaging saves is a share of the late excess.
        ({"late_loss": 0.25, "earlier_loss": 0.5, "average_loss": 0.21}, {"fall": 0.9}, O),
        ({"late_loss": 0.25, "earlier_loss": 0.5, "average_loss": 0.23}, {"fall": 0.9}, T),
    ],
)
def test_what_counts_as_progress_and_as_gain(statistics, criteria, expected):
    assert classify(_statistics(**statistics), criteria=Criteria(**criteria)) == expected


def test_excess_counts_from_the_optimum():
    def shifted(**statistics):
        plain = _statistics(**statistics)
        return {k: v + 7 if k.endswith("_loss") else v for k, v in plain.items()}

    assert classify(shifted(late_loss=1.5), optimum=7.0) == D
    assert classify(shifted(late_loss=1.5), optimum=0.0) == T
    saved = shifted(late_loss=0.25, earlier_loss=0.5, average_loss=0.21)
    assert classify(saved, optimum=7.0, criteria=Criteria(fall=0.9)) == O


def test_a_point_that_was_not_computed_has_no_outcome():
    axes = {"learning_rate": [1e-3, 1e-2], "condition": [1.0, 2.0, 4.0]}
    found = al.convergence_map(al.quadratic(), al.sgd, axes, steps=8)
    done = found["done"].copy()
    done[0, 2] = False
    outcome = al.with_outcomes(found.assign(done=done.transpose("condition", ...)))["outcome"]
    assert ((outcome == -1) == ~done).all()
    assert (outcome == -1).sum() == 1


@pytest.mark.parametrize("name", ["rise", "fall", "clarity", "spread", "gain"])
def test_bad_criteria_are_named(name):
    with pytest.raises(ValueError, match=f"{name}=-1: must be"):
        Criteria(**{name: -1.0})
    with pytest.raises(TypeError, match=f"{name}=.*, not a schedule"):
        Criteria(**{name: lambda n: 1.0})


@pytest.mark.parametrize(
    ("name", "bound"), [("rise", 1), ("fall", 0), ("fall", 1), ("spread", 0), ("gain", 0)]
)
def test_the_bounds_of_criteria_are_not_among_their_values(name, bound):
    with pytest.raises(ValueError, match=f"{name}={bound}: must be"):
        Criteria(**{name: bound})
    assert Criteria(clarity=0).clarity == 0


# Reading a map ---------------------------------------------------------------------------------


def _map(codes, late=None):
    """A map over x = 1, 10, 100, ... and y, with the given outcomes; a third axis is the seeds."""
    codes = np.asarray(codes, np.int8)
    dims = ("x", "y", "seed")[: codes.ndim]
    late = np.ones(codes.shape) if late is None else np.asarray(late, float)
    return xr.Dataset(
        {"outcome": (dims, codes), "late_loss": (dims, late), "done": (dims, codes >= 0)},
        coords={"x": 10.0 ** np.arange(codes.shape[0])}
        | {d: np.arange(n) for d, n in zip(dims[1:], codes.shape[1:], strict=True)},
    )


def test_missing_seeds_have_no_say():
    late = al.maps.typical_loss(_map([[[C, C, -1]], [[C, N, N]]], [[[1, 3, np.nan]], [[1, 2, 3]]]))
    np.testing.assert_array_equal(late, [[2], [np.inf]])


def test_the_band_in_the_middle_goes_by_its_width_on_an_axis_with_a_zero():
    codes = [[C, T, T, T, T, T], [C, C, C, C, C, T], [C, C, C, T, T, T]]
    assert al.summarize(_map(codes)).bands["y"][:2] == (0, 2)


def test_the_band_is_the_longest_converged_stretch():
    found = converged_band(_map([[S, D], [C, D], [C, D], [T, D], [C, C]]), "x")
    np.testing.assert_array_equal(found.low, [10.0, 1e4])
    np.testing.assert_array_equal(found.high, [100.0, 1e4])
    np.testing.assert_allclose(found.decades, [1.0, 0.0])
    second = converged_band(_map([[C], [S], [C], [C]]), "x")
    np.testing.assert_array_equal([second.low[0], second.high[0]], [100.0, 1e3])
    nothing = converged_band(_map([[S], [D]]), "x")
    assert np.isnan(nothing.low).all()
    assert (nothing.decades == 0).all()
    along_y = converged_band(_map([[C, C, D]]), "y")
    assert np.isnan(along_y.decades).all()
    with pytest.raises(ValueError, match="axis='learning_rate': the map has no such axis"):
        converged_band(_map([[C]]), "learning_rate")
    named = _map([[C]]).assign_coords(y=["adam"])
    with pytest.raises(ValueError, match="axis='y': must be an axis of numbers"):
        converged_band(named, "y")


def test_the_longest_band_is_the_widest_in_decades():
    rates = [1e-5, 1e-4, 1e-3, 0.5, 1.0, 1.1, 1.2, 1.3]
    good = xr.DataArray(np.array([1, 1, 1, 0, 1, 1, 1, 1], bool), {"rate": rates}, "rate")
    for order in (slice(None), slice(None, None, -1)):
        found = longest_band(good[order], "rate")
        assert (found.low, found.high, found.decades) == (1e-5, 1e-3, 2.0)
    alike = xr.DataArray([True, True, False, True, True], {"rate": 10.0 ** np.arange(5)}, "rate")
    assert longest_band(alike, "rate").low == 1, "of equal ones the lowest"
    rounded = alike.assign_coords(rate=[0.0, 0.1, 0.2, 0.3, 0.4])
    assert longest_band(rounded, "rate").low == 0, "0.4 - 0.3 > 0.1"


def test_of_bands_of_equal_length_the_one_with_the_most_points_is_taken():
    rates = [1.0, 10.0, 100.0, 1e3, 10**3.5, 1e4]
    good = xr.DataArray(np.array([1, 1, 0, 1, 1, 1], bool), {"rate": rates}, "rate")
    assert longest_band(good, "rate").low == 1e3


def test_the_longest_band_goes_by_length_on_a_small_axis_with_a_zero():
    eps = [0.0, 1e-15, 1e-14, 1e-13, 1e-12, 1e-10]
    good = xr.DataArray(np.array([1, 1, 1, 0, 1, 1], bool), {"eps": eps}, "eps")
    assert longest_band(good, "eps").low == 1e-12


def test_a_run_that_starts_at_the_optimum_has_not_diverged_for_its_noise():
    def outcome(late, optimum=0.0):
        losses = dict.fromkeys(["initial_loss", "target_loss"], optimum)
        losses |= dict.fromkeys(["earlier_loss", "late_loss", "average_loss"], optimum + late)
        losses |= {"late_spread": 0.0, "late_rise": 0.0, "nonfinite_step": -1}
        return al.maps.classify(losses, optimum=optimum)

    assert outcome(1.9e-10) != D
    assert outcome(1.0) == outcome(1.0, 1e3) == D
    assert outcome(6e-5, 1e3) != D, "the rounding of a large optimum"


def test_a_value_that_is_needed_to_build_the_optimizer_is_no_axis():
    def warming_up(peak):
        return al.adam(optax.warmup_cosine_decay_schedule(0.0, peak, 5, 20))

    with pytest.raises(ValueError, match="axis 'peak': the optimizer warming_up needs its value"):
        al.convergence_map(al.quadratic(), warming_up, {"peak": [0.01, 0.1]}, steps=8)


@pytest.mark.parametrize(
    "given", [[optax.constant_schedule(0.1)], (optax.constant_schedule(0.1),), {"flat": 0.1}]
)
def test_schedules_are_no_axis(given):
    with pytest.raises(TypeError, match="axis 'learning_rate': must hold numbers; schedules"):
        al.convergence_map(al.quadratic(), al.adam, {"learning_rate": given}, steps=8)


def test_a_hyperparameter_called_seed_is_refused():
    def seeded(learning_rate, seed=0):
        return al.sgd(learning_rate)

    axes = {"learning_rate": [0.1], "seed": [1, 2]}
    with pytest.raises(ValueError, match="optimizer seeded has an argument of that name"):
        al.convergence_map(al.quadratic(), seeded, axes, steps=8)
    al.convergence_map(al.quadratic(), seeded, {"learning_rate": [0.1]}, seeds=2, steps=8)
    with pytest.raises(TypeError, match=r"fixed=\['b1'\]: must map hyperparameters"):
        al.convergence_map(al.quadratic(), al.adam, {"learning_rate": [0.1]}, fixed=["b1"])


def test_a_grid_too_large_is_refused_before_its_optimizers_are_built():
    axes = {"learning_rate": np.geomspace(1e-3, 1, 200_000), "b1": np.linspace(0, 0.9, 200_000)}
    with pytest.raises(ValueError, match="must fit this machine's memory"):
        al.convergence_map(al.quadratic(), al.adam, axes, steps=8)


def test_a_band_by_a_criterion_of_ones_own_is_one_for_each_seed():
    codes = [[[C, S]], [[C, C]], [[S, C]], [[C, C]]]
    found = longest_band(_map(codes)["outcome"] == C, "x")
    np.testing.assert_array_equal(found.low, [[1.0, 10.0]])
    np.testing.assert_array_equal(found.high, [[10.0, 1e3]])
    np.testing.assert_allclose(found.decades, [[1.0, 2.0]])


def test_a_band_needs_more_than_half_of_the_seeds():
    codes = [[[C, C, S, D, N]], [[C, C, C, D, N]], [[C, -1, -1, -1, -1]], [[C, S, -1, -1, -1]]]
    found = converged_band(_map(codes), "x")
    np.testing.assert_array_equal((found.low[0], found.high[0]), (10.0, 100.0))
    assert typical_outcome(_map(codes)).values[3, 0] == S  # of two as frequent, the worse


def test_the_most_frequent_outcome_decides_and_missing_ones_do_not_vote():
    codes = [[[C, C, D], [C, D, D], [-1, -1, D], [-1, -1, -1]]]
    np.testing.assert_array_equal(typical_outcome(_map(codes)).values, [[C, D, D, -1]])


def test_the_border_is_the_inner_edge():
    codes = np.full((5, 5), D)
    codes[1:4, 1:4] = C
    expected = codes == C
    expected[2, 2] = False
    np.testing.assert_array_equal(border(_map(codes)).values, expected)
    assert not border(_map(np.full((3, 3), C))).any()
    assert not border(_map([[C, C], [D, D]]).assign_coords(x=["adam", "sgd"])).any()
    codes[0], codes[1:, 0] = -1, -1  # not computed
    expected[1, 2] = expected[2, 1] = expected[1, 1] = False
    np.testing.assert_array_equal(border(_map(codes)).values, expected)


def test_a_point_whose_seeds_break_is_not_the_best():
    late = [[[1e-9, np.nan, np.nan]], [[0.5, 0.5, 0.5]]]
    summary = al.summarize(_map([[[C, N, N]], [[C, C, C]]], late))
    assert summary.best == {"x": 10.0, "y": 0.0}


def test_the_order_of_an_axis_does_not_matter():
    dataset = _map([[S, D], [C, D], [C, C], [T, D]])
    shuffled = dataset.isel(x=[2, 0, 3, 1])
    for part in ("low", "high", "decades"):
        one, other = (getattr(converged_band(d, "x"), part) for d in (dataset, shuffled))
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(border(dataset), border(shuffled))


def test_the_summarys_band_is_one_of_the_maps():
    summary = al.summarize(_map([[C, S, C], [C, S, C], [S, S, C], [S, C, S]]))
    low, high, _ = summary.bands["x"]
    bands = converged_band(_map([[C, S, C], [C, S, C], [S, S, C], [S, C, S]]), "x")
    assert (low, high) in set(zip(bands.low.values, bands.high.values, strict=True))


def test_the_summary_says_what_the_map_shows():
    codes = [[S, S], [C, C], [C, T], [N, -1]]
    late = [[1, 2], [0.5, 0.3], [0.1, 3], [np.nan, np.nan]]
    summary = al.summarize(_map(codes, late))
    assert (summary.runs, summary.missing) == (8, 1)
    assert summary.shares[C] == pytest.approx(3 / 7)
    assert summary.best == {"x": 100.0, "y": 0.0}
    assert summary.bands["x"][:2] == (10.0, 10.0)
    text = str(summary)
    for part in (
        "8 runs, 1 of them missing", "converged", "42.9%", "best: late loss 0.1 at x = 100",
        "border: converges for x at 10 alone (median band)",
    ):  # fmt: skip
        assert part in text
    one, other = (str(al.summarize(_map([[k], [k], [C], [C], [k]]))) for k in (S, C))
    assert "converges for x from 100 to 1e+03, 1.00 decades" in one
    assert "x from 1 (the map's end) to 1e+04 (the map's end), at least 4.00 decades" in other
    for codes, part in (
        ([[S], [C], [C], [-1], [C]], "x from 10 to 100 (not computed beyond), at least 1.00 dec"),
        ([[-1], [C], [C], [S], [S]], "x from 10 (not computed beyond) to 100, at least 1.00 dec"),
        ([[S], [C], [-1], [S], [S]], "x at 10 (not computed beyond) alone"),
        ([[S], [S], [C], [C], [C]], "x from 100 to 1e+04 (the map's end), at least 2.00 decades"),
        ([[S], [S], [S], [S], [C]], "x at 1e+04 (the map's end) alone"),
        ([[S, S], [C, C], [C, -1], [S, S], [S, S]], "x at 10 (not computed beyond) alone"),
    ):
        assert part in str(al.summarize(_map(codes)))
        assert part in str(al.summarize(_map(codes).isel(x=[3, 1, 4, 0, 2])))
    assert "diverged" not in text
    assert "nothing converged" in str(al.summarize(_map([[D]])))


def test_the_summary_of_what_has_no_axis_of_numbers():
    named = _map([[C]]).isel(x=0, drop=True).assign_coords(y=["adam"])
    assert "no axis of numbers along which most" in str(al.summarize(named))
    seeds = _map([[[C, C]]]).isel(x=0, y=0, drop=True)
    assert "best: late loss 1\n" in str(al.summarize(seeds))


def test_the_summary_of_what_is_not_computed_yet():
    nothing = al.summarize(_map([[-1, -1]], [[np.nan, np.nan]]))
    assert nothing.best is None
    assert str(nothing) == "2 runs, 2 of them missing\nborder: nothing converged"


def test_a_run_that_met_infinity_is_not_the_best():
    summary = al.summarize(_map([[N], [S]], [[0.0], [1.0]]))
    assert summary.best == {"x": 10.0, "y": 0.0}


@pytest.mark.parametrize("read", [al.summarize, typical_outcome, border, al.plot_map])
def test_a_dataset_without_outcomes_is_refused(read):
    with pytest.raises(ValueError, match="dataset has no 'outcome': it must come from"):
        read(_map([[C]]).drop_vars("outcome"))


# convergence_map -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small_map():
    return al.convergence_map(
        al.quadratic(), al.adam, {"learning_rate": np.geomspace(1e-4, 1, 9), "1-b2": [1e-3, 0.1]},
        fixed={"b1": 0.5}, seeds=2, steps=200, curve=True,
    )  # fmt: skip


def test_a_map_holds_every_statistic_and_what_determined_it(small_map):
    assert small_map["outcome"].dims == ("learning_rate", "1-b2", "seed")
    assert {"initial_loss", "late_loss", "late_spread", "curve"} <= set(small_map)
    assert small_map["curve"].dims[-1] == "step"
    assert small_map["step"].values[-1] == 200
    assert small_map["seed"].values.tolist() == [0, 1]
    about = small_map.attrs
    assert (about["problem"], about["optimizer"]) == ("quadratic", "adam")
    assert (about["optimum"], about["target"], about["tolerance"]) == (0.0, None, 1e-3)
    assert about["steps"] == 200
    assert about["compiles"] == 1
    assert about["fixed"] == {
        "b1": 0.5, "condition": 100.0, "eps": 1e-8, "eps_root": 0.0, "start": 1.0,
    }  # fmt: skip
    assert small_map["outcome"].attrs["oscillating"] == O


def test_a_point_of_a_map_is_a_single_run(small_map):
    point = small_map.isel(learning_rate=5, seed=1).sel({"1-b2": 0.1})
    alone = jax.jit(
        lambda rate: al.train(
            al.quadratic(), al.adam, jax.random.key(1),
            {"learning_rate": rate, "1-b2": 0.1, "b1": 0.5}, steps=200,
        )
    )(jnp.float32(point["learning_rate"].item()))  # fmt: skip
    np.testing.assert_allclose(point["late_loss"], alone.late_loss, rtol=1e-2)
    assert point["curve"][-1] == point["final_loss"]


def test_an_optax_optimizer_maps_too():
    found = al.convergence_map(al.quadratic(), optax.sgd, {"learning_rate": [1e-3, 1e-2]}, steps=50)
    assert found.attrs["optimizer"] == "sgd"


def test_seeds_are_an_axis():
    found = al.convergence_map(
        al.reddi_stochastic(), al.adam, {"learning_rate": [0.01], "seed": [7, 3]}, steps=50
    )
    assert list(found["seed"].values) == [7, 3]
    assert len(np.unique(found["x"].values)) == 2


def test_whole_numbers_are_numbers():
    found = al.convergence_map(
        al.quadratic(), al.sgd, {"start": [1, 2], "learning_rate": [1e-3]}, steps=16,
        fixed={"condition": 2},
    )  # fmt: skip
    assert found["initial_loss"].values.ravel().tolist() == [1.5, 6.0]
    assert found["start"].dtype == np.float64
    scalar = al.Problem("scalar", init=lambda key: 1.0, loss=lambda x, batch: x**2)
    assert al.convergence_map(scalar, al.sgd, {"learning_rate": [0.1]}, steps=16)["done"].all()


def test_a_store_of_a_map_of_something_else_is_refused(tmp_path):
    def draw(problem, **options):
        return al.convergence_map(
            problem, al.adam, {"learning_rate": [0.1]}, steps=16, store=tmp_path / "s", **options
        )

    draw(al.reddi())
    steeper = replace(al.reddi(), loss=lambda x, batch: 2 * al.reddi().loss(x, batch))
    with pytest.raises(ValueError, match=r"program .* a value that it reads"):
        draw(steeper, resume=True)
    with pytest.raises(ValueError, match="problem reddi, this sweep has reddi-s"):
        draw(al.reddi_stochastic(), resume=True)
    with pytest.raises(ValueError, match=r"fixed .*'b1': 0.9.*this sweep has .*'b1': 0.8"):
        draw(al.reddi(), resume=True, fixed={"b1": 0.8})
    assert draw(al.reddi(), resume=True)["done"].all()


BAD = {
    "negative rate": ({"learning_rate": [1e-3, -1.0]}, {}, "learning_rate=-1: must be"),
    "b2 of 1": ({"learning_rate": [0.1], "b2": [0.9, 1.0]}, {}, "b2=1: must be"),
    "1-b2 of 0": ({"learning_rate": [0.1], "1-b2": [0.1, 0.0]}, {}, "1-b2=0: must be"),
    "unknown axis": ({"learning_rat": [0.1]}, {}, "did you mean 'learning_rate'"),
    "axis of another problem": (
        {"learning_rate": [0.1], "steepness": [1.0]}, {}, "nor the problem quadratic has it"),
    "bad fixed value": ({"learning_rate": [0.1]}, {"fixed": {"eps": -1.0}}, "eps=-1: must be"),
    "bad fixed condition": (
        {"learning_rate": [0.1]}, {"fixed": {"condition": float("nan")}}, "condition=nan"),
    "axis and fixed": ({"learning_rate": [0.1]}, {"fixed": {"learning_rate": 1.0}}, "both an axis"),
    "empty axis": ({"learning_rate": []}, {}, "axis 'learning_rate' is empty"),
    "no seeds": ({"learning_rate": [0.1]}, {"seeds": 0}, "seeds=0"),
    "few steps": ({"learning_rate": [0.1]}, {"steps": 3}, "steps=3"),
    "fixed seed": ({"learning_rate": [0.1]}, {"fixed": {"seed": 3}}, "seeds are an axis"),
    "many steps": ({"learning_rate": [0.1]}, {"steps": 2**31}, "steps=2147483648: must be"),
    "b2 that float32 calls 1": (
        {"learning_rate": [0.1], "b2": [0.9, 0.99999999]}, {}, "b2=1: must be a number"),
    "no rate": ({"b1": [0.1]}, {}, "'learning_rate': the optimizer adam needs it"),
    "complement of a rate": (
        {"1-learning_rate": [0.1]}, {}, "'1-learning_rate': the optimizer adam does not take"),
    "two kinds of seeds": (
        {"learning_rate": [0.1], "seed": [0, 1]}, {"seeds": 3},
        "seeds=3: given together with an axis 'seed'"),
    "outcome": ({"learning_rate": [0.1], "outcome": [1]}, {}, "'outcome' has the name of a var"),
    "optimizer": ({"optimizer": [1]}, {}, "'optimizer' has the name of an axis of maps"),
    "mistyped option": (
        {"learning_rate": [0.1]}, {"stpes": 3}, "stpes: a map has no such option; did you mean"),
    "no flag": ({"learning_rate": [0.1]}, {"curve": "no"}, "curve='no': must be True or False"),
    "no flag of a sweep": (
        {"learning_rate": [0.1]}, {"paired": "no"}, "paired='no': must be True or False"),
    "option of sweeps": ({"learning_rate": [0.1]}, {"dims": {}}, "dims: a map has no such option"),
    "settings": ({"learning_rate": [0.1]}, {"settings": {}}, "settings: a map has no such option"),
    "criteria": ({"learning_rate": [0.1]}, {"criteria": 1.5}, r"criteria=1\.5: must be an adamlab"),
}  # fmt: skip


@pytest.mark.parametrize("bad", [-1.0, 3.0])
def test_both_ends_of_a_problems_own_axis_are_checked(bad):
    problem = replace(al.quadratic(), ranges={"start": al.problems.Range(0, 2)})
    with pytest.raises(ValueError, match=f"start={bad:g}: must be"):
        al.convergence_map(problem, al.sgd, {"learning_rate": [0.1], "start": [1.0, bad]})


def test_of_very_many_values_in_any_order_the_ends_are_checked():
    rates = np.geomspace(1e-3, 1, 2001)
    rates[1] = -1.0
    with pytest.raises(ValueError, match="learning_rate=-1: must be"):
        al.convergence_map(al.quadratic(), al.sgd, {"learning_rate": rates})


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_named_before_anything_runs(name):
    axes, options, message = BAD[name]
    with pytest.raises((ValueError, TypeError), match=message):
        al.convergence_map(al.quadratic(), al.adam, axes, **options)


@pytest.mark.parametrize(
    "taken",
    [
        lambda b2: b2, lambda b2: jnp.asarray(b2, float), float, lambda b2: b2 > 0 and b2,
        math.sqrt, np.sqrt, lambda b2: b2.astype(float),
    ],
)  # fmt: skip
def test_an_optimizer_that_knows_no_complement_is_named(taken):
    def mine(learning_rate, b2=0.999):
        return optax.adam(learning_rate, b2=taken(b2))

    axes = {"learning_rate": [0.1], "1-b2": [0.1, 0.2]}
    with pytest.raises(ValueError, match="'1-b2': the optimizer mine does not take b2 by the comp"):
        al.convergence_map(al.quadratic(), mine, axes)


def test_of_several_complements_none_is_accused():
    def mine(learning_rate, b1=0.9, b2=0.999):
        return al.adam(learning_rate, b1, b2 * 1)

    axes = {"learning_rate": [0.1], "1-b1": [0.1], "1-b2": [1e-3]}
    with pytest.raises(ValueError, match=r"the optimizer mine does not take one of b1, b2 by"):
        al.convergence_map(al.quadratic(), mine, axes)


def test_what_is_no_problem_is_refused():
    with pytest.raises(TypeError, match=r"problem=<function quadratic.*: must be .*Problem; call"):
        al.convergence_map(al.quadratic, al.adam, {"learning_rate": [0.1]})


def test_a_schedule_may_be_of_the_complement():
    given = {"learning_rate": 0.1, "1-b2": lambda n: jnp.where(n < 4, 0.5, 0.1)}
    plain = {"learning_rate": 0.1, "b2": lambda n: jnp.where(n < 4, 0.5, 0.9)}
    ends = [
        al.train(al.quadratic(), al.adam, jax.random.key(0), hyper, steps=8).final_loss
        for hyper in (given, plain)
    ]
    np.testing.assert_allclose(*ends, rtol=1e-5)


def test_a_message_that_advises_a_complement_is_left_alone():
    axes = {"learning_rate": [0.1], "b1": [0.9, 1.0], "1-b2": [1e-3]}
    with pytest.raises(ValueError, match=r"^b1=1: must be a number in"):
        al.convergence_map(al.quadratic(), al.adam, axes)


def test_a_map_goes_to_netcdf_and_back_with_all_that_determined_it(small_map, tmp_path):
    texts = {name: json.dumps(value) for name, value in small_map.attrs.items()}
    kept = small_map.assign_attrs(texts)
    kept.to_netcdf(tmp_path / "map.nc", engine="scipy")
    with xr.open_dataset(tmp_path / "map.nc", engine="scipy") as back:
        assert {name: json.loads(text) for name, text in back.attrs.items()} == small_map.attrs
        np.testing.assert_array_equal(back["outcome"], small_map["outcome"])


def test_whole_numbers_that_are_no_axis_say_so():
    axes = {"learning_rate": [0.1], "precondition_frequency": [1, 10]}
    with pytest.raises(ValueError, match="axis 'precondition_frequency': the optimizer soap takes"):
        al.convergence_map(al.quadratic(), al.optimizers.soap, axes)


@pytest.mark.parametrize("part", ["loss", "objective"])
@pytest.mark.parametrize(
    "value", [lambda x: x, lambda x: x.sum() > 0, lambda x: jax.lax.complex(x, x).sum()]
)
def test_a_loss_that_is_no_real_scalar_is_named_before_anything_runs(part, value, tmp_path):
    functions = {"loss": lambda x, batch: x.sum(), part: lambda x, *_: value(x)}
    odd = al.Problem("odd", init=lambda key: jnp.ones(2), **functions)
    with pytest.raises(TypeError, match=f"problem='odd': its {part} is .*: must be a real scalar"):
        al.convergence_map(odd, al.sgd, {"learning_rate": [0.1]}, store=tmp_path / "s")
    assert not list(tmp_path.iterdir())


def test_what_a_partial_binds_is_in_the_attributes():
    found = al.convergence_map(al.quadratic(), partial(al.sgd, 0.5), {"start": [1.0]}, steps=8)
    assert found.attrs["fixed"]["learning_rate"] == 0.5
    plain = al.convergence_map(
        al.quadratic(), lambda **given: al.sgd(**given), {"learning_rate": [0.5]}, steps=8
    )
    assert set(plain.attrs["fixed"]) == {"condition", "start"}


def test_a_fixed_zero_is_a_zero_whatever_its_type(tmp_path):
    def draw(b1):
        axes, store = {"learning_rate": [0.1]}, tmp_path / "s"
        return al.convergence_map(
            al.quadratic(), al.adam, axes, fixed={"b1": b1}, steps=8, store=store, resume=True
        )

    first = draw(0).drop_attrs()
    for zero in (0.0, np.float32(0)):
        xr.testing.assert_identical(draw(zero).drop_attrs(), first)


def test_a_probe_is_kept_at_each_checkpoint():
    found = al.convergence_map(
        al.quadratic(), al.adam, {"learning_rate": [0.01, 0.1]}, steps=40, checkpoints=8,
        probe=lambda params, state: {"place": params},
    )  # fmt: skip
    assert found["place"].dims == ("learning_rate", "seed", "step", "place_1")
    assert found["step"].values[-1] == 40
    for taken in ("late_loss", "optimizer"):
        with pytest.raises(ValueError, match=f"probe's '{taken}' has the name of a statistic or"):
            al.convergence_map(
                al.quadratic(), [al.adam, al.sgd], {"learning_rate": [0.01, 0.1]}, steps=40,
                probe=lambda params, state, taken=taken: {taken: params},
            )  # fmt: skip


@pytest.mark.parametrize(
    ("metric", "message"),
    [("outcome", "the problem's metric 'outcome'"), ("seen", "the probe's 'seen'")],
)
def test_a_metric_has_a_name_of_its_own(metric, message):
    problem = replace(al.quadratic(), metrics=lambda x, **_: {metric: x.sum()})
    with pytest.raises(ValueError, match=f"{message} has the name of a statistic or an axis"):
        al.convergence_map(
            problem, al.sgd, {"learning_rate": [0.1]}, steps=8, probe=lambda x, _: {"seen": x}
        )


def test_a_run_that_begins_at_infinity_is_not_finite():
    endless = replace(al.quadratic(), objective=lambda x, **_: x @ x, name="endless")
    start = {"start": [1e20], "learning_rate": [0.5]}
    for problem in (al.quadratic(), endless):
        found = al.convergence_map(problem, al.sgd, start, fixed={"condition": 1.0}, steps=8)
        assert found["outcome"].item() == N
        assert found["nonfinite_step"].item() == 0


def test_the_outcome_does_not_go_by_the_losses_scale():
    axes = {"start": [1e-12, 1.0, 1e12], "learning_rate": [1e-4]}
    found = al.convergence_map(al.quadratic(), al.sgd, axes, fixed={"condition": 1.0}, steps=100)
    assert (found["outcome"] == S).all()
    spread = (found["late_spread"] / found["initial_loss"]).values.ravel()
    np.testing.assert_allclose(spread, spread[1], rtol=1e-3)


def test_a_loss_below_the_optimum_is_pointed_out():
    deep = al.Problem("deep", init=lambda _: jnp.ones([]), loss=lambda x, _: x**2 - 10)
    with pytest.warns(UserWarning, match=r"-9 lies below the problem's optimum=0"):
        al.convergence_map(deep, al.sgd, {"learning_rate": [0.0]}, steps=8)


@pytest.mark.parametrize(("optimum", "off", "told"), [
    (1.0, 0.5e-4, False), (1.0, 2e-4, True), (0.0, 2e-4, True), (0.0, 0.5e-4, False),
    (100.0, 0.5e-2, False), (100.0, 2e-2, True), (0.0, np.inf, False),
])  # fmt: skip
def test_a_loss_below_the_optimum_by_rounding_is_not(optimum, off, told):
    fields = {name: ("x", [optimum]) for name in (
        "initial_loss", "target_loss", "earlier_loss", "late_loss", "average_loss")}  # fmt: skip
    fields |= {"late_spread": ("x", [0.0]), "late_rise": ("x", [0.0])}
    fields |= {"nonfinite_step": ("x", [-1]), "done": ("x", [True])}
    for name in ("initial_loss", "late_loss"):
        below = fields | {name: ("x", [optimum - off])}
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            al.with_outcomes(xr.Dataset(below, attrs={"optimum": optimum}))
        assert bool(seen) == told


def test_criteria_are_kept_when_outcomes_are_made_again(small_map):
    strict = al.with_outcomes(small_map, Criteria(fall=0.5))
    assert not strict["outcome"].equals(small_map["outcome"])
    xr.testing.assert_identical(al.with_outcomes(strict), strict)


@pytest.mark.parametrize(
    ("optimizer", "message"),
    [
        (lambda learning_rate: 3, "optimizer=<lambda>: returned 3: must return a gradient"),
        ({al.adam, al.sgd}, "optimizer={.*: must be a function, or a list or mapping of functions"),
    ],
)
def test_what_builds_no_optimizer_is_named(optimizer, message):
    with pytest.raises(TypeError, match=message):
        al.convergence_map(al.quadratic(), optimizer, {"learning_rate": [0.1]})


@pytest.mark.parametrize("built", [optax.adam(1e-3), al.adam(1e-3), "adam"])
def test_an_optimizer_that_is_built_already_is_refused(built):
    with pytest.raises(TypeError, match="must be a function that builds one, such as adamlab"):
        al.convergence_map(al.quadratic(), built, {"b1": [0.1]})


def test_hyperparameters_may_have_any_name():
    def warmed(learning_rate, steps):
        return al.sgd(learning_rate / steps)

    axes = {"steps": [1.0, 2.0], "learning_rate": [0.1]}
    found = al.convergence_map(al.quadratic(), warmed, axes, steps=8)
    assert found["late_loss"][0] != found["late_loss"][1]


def test_optax_gets_b2_as_a_number():
    axes = {"1-b2": [0.1], "learning_rate": [0.1]}
    with jax.numpy_dtype_promotion("standard"):  # which Optax counts on
        theirs = al.convergence_map(al.quadratic(), optax.adam, axes, steps=8)
    ours = al.convergence_map(al.quadratic(), al.adam, axes, steps=8)
    np.testing.assert_allclose(theirs["late_loss"], ours["late_loss"], rtol=1e-3)


def test_one_bad_seed_does_not_move_the_best_point():
    late = np.array([[1.0, 1.0, 100.0], [2.0, 2.0, 2.0]])
    dims = ("x", "seed")
    dataset = xr.Dataset(
        {
            "outcome": (dims, np.zeros((2, 3), np.int8)), "late_loss": (dims, late),
            "done": (dims, np.ones((2, 3), bool)),
        },
        coords={"x": [1.0, 10.0], "seed": np.arange(3)},
    )  # fmt: skip
    assert al.summarize(dataset).best == {"x": 1.0}
    np.testing.assert_array_equal(al.maps.typical_loss(dataset), [1, 2])


def test_a_band_is_named_by_its_parts_and_says_nothing_of_outcomes():
    whole = al.convergence_map(
        al.quadratic(), al.adam, {"learning_rate": [0.01, 0.1], "b1": [0.5, 0.9]}, steps=50
    )
    assert whole["outcome"].attrs
    for name, part in al.converged_band(whole, "learning_rate")._asdict().items():
        assert (part.name, part.attrs) == (name, {})
    assert (border(whole).name, border(whole).attrs) == ("border", {})

"""What the experiments share: from numbers to a verdict, and datasets in the form it needs."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

pytest.importorskip("experiments", reason="the experiments lie in the checkout alone")

import adamlab
from adamlab.analysis import Interval
from experiments import book


def test_the_sign_of_an_interval_decides():
    assert book.by_sign(Interval(2, 1, 3)) == "supported"
    assert book.by_sign(Interval(2, 1, 3), above=4) == "refuted"
    assert book.by_sign(Interval(2, 1, 3), above=2) == "undecided"


def test_an_interval_may_have_to_lie_within():
    assert book.within(Interval(1, 0.9, 1.1), 0.9, 1.1) == "supported"
    assert book.within(Interval(1, 0.9, 1.2), 0.9, 1.1) == "undecided"
    assert book.within(Interval(1, 0.5, 1.2), 0.9, 1.1) == "undecided"
    assert book.within(Interval(2, 1.5, 2.5), 0.9, 1.1) == "refuted"
    assert book.within(Interval(0.1, 0, 0.2), 0.9, 1.1) == "refuted"


def test_the_opposite_turns_what_is_decided():
    kinds = ("supported", "refuted", "depends", "undecided")
    assert [book.opposite(k) for k in kinds] == ["refuted", "supported", "depends", "undecided"]


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        (["supported", "supported"], "supported"),
        (["refuted"], "refuted"),
        (["supported", "refuted"], "depends"),
        (["supported", "refuted", "undecided"], "depends"),
        (["supported", "undecided"], "undecided"),
        (["refuted", "undecided"], "undecided"),
        (["depends", "undecided"], "depends"),
        (["undecided", "undecided"], "undecided"),
    ],
)
def test_an_open_setting_leaves_a_claim_open_only_where_it_could_tip_it(kinds, expected):
    assert book.overall(kinds) == expected
    assert book.overall(reversed(kinds)) == expected


def test_cases_are_gathered_by_their_answer():
    cases: dict[str, book.Kind] = {"a": "refuted", "b": "supported", "c": "refuted"}
    assert book.answered(cases) == {"Yes": ["b"], "No": ["a", "c"]}
    assert book.answered({"d": "depends", "e": "undecided"}) == {
        "Sometimes": ["d"], "Undecided": ["e"],
    }  # fmt: skip


def test_a_verdict_is_what_its_cases_say_together_or_what_one_rules():
    assert book.Verdict({"a": "supported", "b": "refuted"}).kind == "depends"
    assert book.Verdict({"a": "supported", "b": "refuted"}, ruling="refuted").kind == "refuted"
    assert book.Verdict({}, remark="Nothing could be judged.").kind == "undecided"


def _over_rates(losses):
    """Losses of (rate, seed)."""
    rates = [0.1, 1.0, 10.0]
    return xr.DataArray(
        np.asarray(losses, float),
        {"learning_rate": rates, "seed": np.arange(np.shape(losses)[1])},
        name="loss",
    )


def test_the_best_rate_is_that_of_the_least_median_and_broken_runs_count_as_infinite():
    losses = _over_rates([[5, 5, 5], [1, 2, 90], [np.nan, 0, np.inf]])
    assert book.best_rate(losses) == 1.0
    np.testing.assert_array_equal(book.at_best(losses), [1, 2, 90])
    # For each of the other axes its own.
    both = xr.concat([losses, losses.isel(learning_rate=[1, 0, 2]).assign_coords(
        learning_rate=losses["learning_rate"])], "net")  # fmt: skip
    np.testing.assert_array_equal(book.best_rate(both), [1.0, 0.1])
    np.testing.assert_array_equal(book.at_best(both), [[1, 2, 90], [1, 2, 90]])


def test_a_rate_at_which_most_seeds_break_is_not_the_best():
    losses = _over_rates([[5, 5, 5], [1, 2, 90], [np.nan, np.nan, 0]])
    assert book.best_rate(losses) == 1.0


def test_a_best_value_at_an_end_is_said_to_be_there():
    tried = np.geomspace(1e-3, 1, 4)
    ends = [", the least tried", "", "", ", the greatest tried"]
    assert [book.at_end(float(np.float32(value)), tried) for value in tried] == ends


def test_a_dataset_at_the_claims_rate_and_at_the_best():
    losses = _over_rates([[3, 3], [2, 2], [1, 1]])
    found = book.at_rates(losses.to_dataset(name="loss"), 0.11, losses)
    assert list(found) == ["at 0.11", "at the best rate"]
    values = [at["loss"].values.tolist() for at in found.values()]
    assert values == [[3, 3], [1, 1]]
    assert all("learning_rate" not in at.coords for at in found.values())


def test_each_half_of_the_seeds_chooses_for_the_other():
    # The even seeds have their least at the first point, the odd ones at the second.
    losses = xr.DataArray([[0, 1, 0, 1], [2, 0.5, 2, 0.5]], dims=("place", "seed"))
    np.testing.assert_array_equal(book.best_for_others(losses), [2, 1, 2, 1])
    np.testing.assert_array_equal(losses.min("place"), [0, 0.5, 0, 0.5])
    # Points that are ruled out are never chosen.
    ruled = losses.where(xr.DataArray([True, False], dims="place"), np.inf)
    np.testing.assert_array_equal(book.best_for_others(ruled), [0, 1, 0, 1])
    unknown = losses.where(xr.DataArray([True, False], dims="place"))
    np.testing.assert_array_equal(book.best_for_others(unknown), [0, 1, 0, 1])


def test_each_names_its_places():
    values = xr.Dataset(
        {"x": (("run", "l1"), [[1, 2], [3, 4]])}, {"run": ["a", "b"], "l1": [0.0, 0.01]}
    )
    found = {name: int(at["x"]) for name, at in book.each(values, "run", "l1")}
    assert found == {"a, l1 = 0": 1, "a, l1 = 0.01": 2, "b, l1 = 0": 3, "b, l1 = 0.01": 4}


def test_decades_have_a_least_and_a_place_for_broken_runs():
    losses = xr.DataArray([1e-5, 10, np.nan, np.inf])
    np.testing.assert_allclose(book.decades(losses), [-5, 1, np.inf, np.inf])
    np.testing.assert_allclose(book.decades(losses, 0.01, 100.0), [-2, 1, 2, 2])


def test_medians_over_seeds_have_intervals():
    values = xr.DataArray(np.arange(101.0)[:, None] + [0, 1000], dims=("seed", "case"))
    found = book.over_seeds(values.isel(case=0))
    assert found.low < found.value == 50 < found.high
    assert book.over_seeds(values.isel(case=1), np.mean).value == pytest.approx(1050)


@pytest.mark.parametrize(
    ("count", "seeds", "low", "high"),
    [(0, 8, 0, 0.3694), (8, 8, 0.6306, 1), (4, 8, 0.1570, 0.8430), (0, 48, 0, 0.0740)],
)
def test_a_share_has_its_exact_interval(count, seeds, low, high):
    counted = xr.DataArray(np.arange(seeds) < count, dims="seed")
    for sample in (counted, counted.astype(float)):
        assert book.share(sample) == pytest.approx((count / seeds, low, high), abs=1e-4)


def test_seeds_that_agree_do_not_make_a_share_certain():
    none = book.share(xr.DataArray(np.zeros(8), dims="seed"))
    assert book.by_sign(none, 0.1) == "undecided"
    assert book.by_sign(none, 0.4) == "refuted"


@pytest.mark.parametrize(
    "array", [xr.DataArray([0.5, 1.0], dims="seed"), xr.DataArray([0, np.nan], dims="seed"),
              xr.DataArray([[0, 1]], dims=("rate", "seed")), xr.DataArray([], dims="seed")],
)  # fmt: skip
def test_what_is_no_share_is_refused(array):
    with pytest.raises(ValueError, match="must be 0 or 1 for each seed"):
        book.share(array)


@pytest.mark.parametrize(
    ("run", "check", "kind", "cases"),
    [
        ({"a": "supported", "b": "refuted"}, {"b": "refuted", "a": "supported"}, "depends",
         {"a": "supported", "b": "refuted"}),
        ({"a": "supported", "b": "refuted"}, {"a": "supported", "b": "undecided"}, "undecided",
         {"a": "supported", "b": "undecided"}),
        ({"a": "supported", "b": "refuted"}, {"a": "refuted", "b": "supported"}, "undecided",
         {"a": "undecided", "b": "undecided"}),
        ({"a": "supported"}, {"a": "supported", "b": "supported"}, "undecided",
         {"a": "supported", "b": "undecided"}),
        ({"a": "supported", "b": "supported"}, {"a": "supported"}, "undecided",
         {"a": "supported", "b": "undecided"}),
    ],
)  # fmt: skip
def test_each_case_must_be_answered_alike_by_run_and_check(run, check, kind, cases):
    first = book.Verdict(run, {"a number": 1.0}, "Beside it, 1.5 times.")
    found = book.agreed(first, book.Verdict(check, {"a number": 2.0}))
    assert (found.kind, found.cases) == (kind, cases)
    assert (found.numbers, found.remark) == (first.numbers, first.remark)


def test_a_ruling_stands_where_the_check_rules_so_too():
    cases: dict[str, book.Kind] = {"a": "supported"}
    plain, ruled = book.Verdict(cases), book.Verdict(cases, ruling="refuted")
    assert book.agreed(ruled, ruled).kind == "refuted"
    assert book.agreed(ruled, plain).kind == book.agreed(plain, ruled).kind == "undecided"


def test_a_target_that_is_never_reached_or_left_again_takes_for_ever():
    stalled, converged = adamlab.Outcome.STALLED, adamlab.Outcome.CONVERGED
    found = xr.Dataset({
        "converged_step": ("seed", [5, 0, 7, -1]),
        "outcome": ("seed", [stalled, converged, converged, stalled]),
    })  # fmt: skip
    np.testing.assert_array_equal(book.steps_to_target(found), [np.inf, 0, 7, np.inf])


@pytest.mark.parametrize("ends", [(0.0, 2.0), (-2.0, 0.0), (0.0, 0.0), (-1.0, 1.0)])
def test_an_interval_that_touches_the_threshold_decides_nothing(ends):
    assert book.by_sign(Interval(1.0, *ends)) == "undecided"


def test_seeds_are_drawn_along_their_own_dimension_whatever_its_place():
    values = xr.DataArray(np.arange(101.0)[:, None] + [0, 1000], dims=("seed", "case"))

    def of_the_first_case(sample, axis=0):
        return np.median(sample[:, 0])

    turned = book.over_seeds(values.transpose("case", "seed"), of_the_first_case)
    assert turned == book.over_seeds(values, of_the_first_case)


@pytest.mark.parametrize(("b2", "step"), [(0.99, 1.0), (0.9999, 10.0)])
def test_adam_without_correction_begins_with_the_bias_of_both_averages(b2, step):
    tx, gradient = book.uncorrected_adam(1.0, 0.9, b2, 0.0), jnp.ones(())
    update, _ = tx.update(gradient, tx.init(gradient))
    assert float(update) == pytest.approx(-step, rel=1e-4)


def test_few_digits_may_be_mislabelled():
    problem = book.few_digits((64, 8, 10))
    assert problem.hyperparameters["label_noise"] == 0
    clean, noisy = (
        problem.data(jax.random.key(0), **{**problem.hyperparameters, "label_noise": share})
        for share in (0.0, 0.5)
    )
    assert clean.inputs.shape == (128, 64)
    assert (clean.targets != noisy.targets).mean() == pytest.approx(0.5, abs=0.15)


def test_lines_are_medians_with_the_middle_half():
    _, (ax,) = book.panels()
    values = xr.DataArray(
        [[0, 1, 2, 3, 100]] * 2, {"x": [1.0, 2.0], "seed": range(5)}, ("x", "seed")
    )
    for _ in "ab":
        book.draw_lines(ax, values, "x")
    assert ax.lines[0].get_ydata().tolist() == [2, 2]
    shaded = ax.collections[0].get_paths()[0].vertices[:, 1]
    assert (shaded.min(), shaded.max()) == (1, 3)
    assert ax.lines[0].get_linestyle() != ax.lines[1].get_linestyle()


def test_heat_has_its_axes_where_they_are_asked_for():
    _, (ax,) = book.panels()
    axes = {"x": [1.0, 10.0], "y": [1.0, 10.0]}
    book.draw_heat(ax, xr.DataArray([[1.0, 2.0], [3.0, 4.0]], axes, ("x", "y"), "v"), "x", "y")
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("x", "y")
    assert np.asarray(ax.collections[0].get_array()).tolist() == [[1, 3], [2, 4]]


def test_a_check_has_seeds_of_its_own(tmp_path):
    lab = book.Lab({"seeds": 3, "first_seed": 100}, tmp_path)
    assert lab.seeds.tolist() == [100, 101, 102]

"""Pictures: what they show, and that they can be read with any eyes."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import to_rgb

import adamlab as al
from adamlab.maps import Outcome
from adamlab.plot import COLORS, cell_edges, plot_map, save


@pytest.fixture(scope="module")
def plane():
    return al.convergence_map(
        al.quadratic(), al.sgd,
        {"learning_rate": np.geomspace(1e-3, 1, 8), "condition": np.geomspace(1, 100, 6)},
        steps=60, seeds=2,
    )  # fmt: skip


def test_the_title_has_zeros_complements_and_what_several_optimizers_share():
    axes = {"learning_rate": np.array([1e-3, 1e-2])}
    fixed = {"b1": 0.0, "1-b2": 0.5, "condition": 1e4}
    alone = al.convergence_map(al.quadratic(), al.adam, axes, fixed=fixed, steps=8)
    title = plot_map(alone).get_suptitle()
    assert "b1=0," in title
    assert "b2=1-0.5" in title
    flagged = alone.attrs["fixed"] | {"nesterov": True}
    assert plot_map(alone.assign_attrs(fixed=flagged)).get_suptitle() == title
    both = al.convergence_map(
        al.quadratic(), [al.adam, al.sgd], axes, fixed={"condition": 1e4}, steps=8
    )
    title = plot_map(both).get_suptitle()
    assert "condition=10000" in title
    assert "eps=" not in title


def test_the_title_of_a_part_says_which_part_it_is():
    axes = {"learning_rate": np.geomspace(1e-3, 1, 4), "b1": np.array([0.0, 0.5])}
    both = {"plain": partial(al.adam, eps=1e-4), "own": al.amsgrad}
    whole = al.convergence_map(al.quadratic(), both, axes, seeds=2, steps=8)
    for part, said in (
        (whole.sel(b1=0.5), ["2 optimizers", "b1=0.5"]),
        (whole.isel(optimizer=0), ["quadratic · plain ·", "eps=0.0001"]),
        (whole.isel(optimizer=1, b1=0), ["quadratic · own ·", "b1=0", "eps=1e-08", "2 seeds"]),
        (whole.isel(optimizer=1, seed=1), ["8 steps, seed 1"]),
    ):
        title = plot_map(part).get_suptitle()
        assert all(text in title for text in said), title


def test_a_zero_keeps_the_log_scale_and_has_a_tick(plane):
    rates = np.r_[0, np.geomspace(1e-3, 1, 7)]
    found = al.convergence_map(al.quadratic(), al.sgd, {"learning_rate": rates}, steps=8)
    ax = plot_map(found).axes[0]
    assert ax.get_xscale() == "log"
    ticks = dict(zip(ax.get_xticks(), (t.get_text() for t in ax.get_xticklabels()), strict=True))
    zero = min(ticks)
    assert ticks[zero] == "0"
    np.testing.assert_allclose(sorted(ticks)[1:], [1e-3, 1e-2, 1e-1, 1])
    np.testing.assert_allclose(zero, 1e-3 / 10**0.5)  # a step below the least
    assert not len(ax.get_xticks(minor=True))
    assert plot_map(plane).axes[0].get_xticks().min() > 0


def test_an_axis_with_a_zero_and_no_power_of_ten_has_ticks_at_its_ends():
    decays = [0, 2e-3, 4e-3, 8e-3]
    found = al.convergence_map(
        al.quadratic(), al.adamw, {"weight_decay": decays}, fixed={"learning_rate": 0.1}, steps=8
    )
    ax = plot_map(found).axes[0]
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["0", "0.002", "0.008"]


def test_a_name_with_dollars_is_drawn_as_it_is(plane, tmp_path):
    names = ["b$x^$ {", "other"]
    both = xr.concat([plane, plane], "optimizer").assign_coords(optimizer=names)
    figure = plot_map(both)
    al.save(figure, [tmp_path / "map.png"])
    assert [ax.get_title() for ax in figure.axes[:2]] == names


def test_a_line_of_many_points_is_a_picture_within_an_svg(plane):
    values = np.geomspace(1e-3, 1, 3000)
    line = plane[{"condition": 0, "seed": [0]}].interp(
        learning_rate=values, method="nearest", kwargs={"fill_value": "extrapolate"}
    )
    assert all(part.get_rasterized() for part in plot_map(line).axes[0].collections)
    assert not any(
        part.get_rasterized() for part in plot_map(plane[{"condition": 0}]).axes[0].lines
    )


def test_a_plane_has_named_log_axes_a_title_and_a_legend(plane):
    figure = plot_map(plane)
    ax = figure.axes[0]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("learning_rate", "condition")
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    title = figure.get_suptitle()
    for part in ("quadratic", "sgd", "60 steps", "2 seeds", "start=1"):
        assert part in title
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert [label.split()[0] for label in labels] == [
        "converged", "slow", "stalled", "oscillating", "diverged", "non-finite",
    ]  # fmt: skip


def test_every_cell_has_the_colour_of_its_outcome(plane):
    """Paler with the loss, but on the line from the outcome's colour to white."""
    mesh = plot_map(plane).axes[0].collections[0]
    drawn = np.asarray(mesh.get_facecolor())[:, :3]
    if drawn.shape[0] != 48:
        drawn = np.asarray(mesh.get_array()).reshape(-1, 3)
    codes = plane["outcome"].isel(seed=0).transpose("condition", "learning_rate").values.ravel()
    assert len(set(codes)) >= 3
    for color, code in zip(drawn, codes, strict=True):
        full = np.array(to_rgb(COLORS[Outcome(code)]))
        paleness = (color - full) / np.maximum(1 - full, 1e-9)
        known = paleness[full < 1]
        assert known.max() - known.min() < 1e-6
        assert -1e-9 <= known.min() <= known.max() <= 0.5 + 1e-9
        assert code < Outcome.DIVERGED or known.max() < 1e-9


def test_an_outcome_that_is_there_is_never_said_to_be_none_of_them(plane):
    rare = plane.copy(deep=True)
    rare["outcome"][...] = Outcome.CONVERGED
    rare["outcome"][0, 0, 0] = Outcome.NON_FINITE
    rare = rare.isel(learning_rate=[0] + [1] * 60)
    labels = [text.get_text() for text in plot_map(rare).legends[0].get_texts()]
    assert labels[-1] == "non-finite  <1%"
    assert labels[1] == "slow  0%"


def test_shades_have_a_key_with_numbers_and_one_shade_needs_none(plane):
    def keys(dataset):
        return [ax for ax in plot_map(dataset).axes if ax.get_title(loc="left") == "late excess"]

    (key,) = keys(plane)
    assert [label.get_text()[0] for label in key.get_yticklabels()] == ["≥", "≤"]
    assert keys(plane.isel(learning_rate=[-1])) == []  # all diverged


def test_edges_are_half_way_between_values_on_their_own_scale(plane):
    x, y = plot_map(plane).axes[0].get_xlim(), plot_map(plane).axes[0].get_ylim()
    ratio = (1e3) ** (1 / 7)
    assert x[0] == pytest.approx(1e-3 / ratio**0.5, rel=1e-6)
    assert y[1] == pytest.approx(100 * (100 ** (1 / 5)) ** 0.5, rel=1e-6)


def test_missing_points_are_white_and_in_the_legend(plane):
    holes = plane.copy(deep=True)
    holes["outcome"][0, 0] = -1
    figure = plot_map(holes)
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels[-1] == "not computed"
    np.testing.assert_array_equal(
        np.asarray(figure.axes[0].collections[0].get_array()).reshape(-1, 3)[0], [1, 1, 1]
    )


def test_one_axis_is_drawn_as_losses(plane):
    figure = plot_map(plane.isel(condition=3, drop=True))
    ax = figure.axes[0]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("learning_rate", "late loss")
    assert sum(len(c.get_offsets()) for c in ax.collections) == 8


@pytest.mark.parametrize(
    ("values", "edges", "is_log"),
    [
        ([1e-3, 1e-1], [1e-4, 1e-2, 1], True),
        ([1e-1, 1e-3], [1, 1e-2, 1e-4], True),
        ([1e-3, 1e-2], [10**-3.5, 10**-2.5, 10**-1.5], True),
        (
            [1e-5, 3e-5, 1e-4],
            [3**-0.5 * 1e-5, 3**0.5 * 1e-5, 0.3**0.5 * 1e-4, 0.3**-0.5 * 1e-4],
            True,
        ),
        ([0.1, 0.2], [0.05, 0.15, 0.25], False),
        ([0, 1e-3, 1e-1], [1e-6, 1e-4, 1e-2, 1], True),
        ([-1, 1e-3, 1e-1], [-1.5005, -0.4995, 0.0505, 0.1495], False),
        ([1e-3], [0.5e-3, 1.5e-3], False),
        ([-4], [-6, -2], False),
        ([0], [-0.5, 0.5], False),
    ],
)
def test_few_values_have_cells_as_wide_as_they_are_apart_or_large(values, edges, is_log):
    found, log = cell_edges(np.array(values))
    np.testing.assert_allclose(found, edges, rtol=1e-9)
    assert log == is_log


def test_long_names_are_broken_into_lines(plane):
    long = "one with b1 = 0.9, b2 = 0.999 and a warm-up over 1,000 steps"
    both = xr.concat([plane, plane], "optimizer").assign_coords(optimizer=[long, "other"])
    labels = [
        label.get_text() for label in plot_map(both[{"condition": 0}]).axes[0].get_yticklabels()
    ]
    panels = [ax.get_title() for ax in plot_map(both).axes[:2]]
    for first, second in (labels, panels):
        assert (first.replace("\n", " "), second) == (long, "other")
        assert max(map(len, first.split("\n"))) <= 32


@pytest.mark.parametrize(
    ("optimum", "label", "scale"), [(-5.0, "late excess", "log"), (0.0, "late loss", "linear")]
)
def test_losses_are_drawn_from_a_known_optimum_on_a_log_scale(plane, optimum, label, scale):
    line = plane[{"condition": 3, "seed": [0], "learning_rate": slice(0, 4)}].copy(deep=True)
    line["late_loss"][:, 0] = [-4.0, -4.9, -5.0, -5 - 1e-7]
    line["initial_loss"][:, 0] = -3.0
    line["outcome"][...] = Outcome.CONVERGED
    ax = plot_map(line.assign_attrs(optimum=optimum)).axes[0]
    assert (ax.get_ylabel(), ax.get_yscale()) == (label, scale)
    drawn = np.concatenate([c.get_offsets() for c in ax.collections])[:, 1]
    least = 0.1 / 10**0.5
    expected = [1, 0.1, least, least] if optimum else line["late_loss"][:, 0]
    np.testing.assert_allclose(drawn, expected, rtol=1e-4)
    assert optimum == 0 or ax.get_ylim() == pytest.approx((least, 20), rel=1e-4)


@pytest.mark.parametrize("begun", [0.0, np.inf, 1e3])
def test_a_line_has_a_frame_wherever_the_runs_began(plane, begun):
    """Above ten times as far from the optimum as they began lies its upper edge."""
    line = plane.isel(condition=3, drop=True)
    figure = plot_map(line.assign(initial_loss=line["initial_loss"] * 0 + begun))
    top = figure.axes[0].get_ylim()[1]
    assert np.isfinite(top)
    assert top > 0
    assert begun != 1e3 or top == 1e4


def _drawn(late, codes):
    """A map over x = 1, 10, 100, ... (and y) whose runs began at 1, with the optimum 0."""
    late, codes = np.asarray(late, float), np.asarray(codes, np.int8)
    dims = ("x", "y")[: late.ndim]
    return xr.Dataset(
        {
            "outcome": (dims, codes), "late_loss": (dims, late),
            "initial_loss": (dims, np.ones_like(late)), "done": (dims, codes >= 0),
        },
        coords={d: 10.0 ** np.arange(n) for d, n in zip(dims, late.shape, strict=True)},
        attrs={"optimum": 0.0},
    )  # fmt: skip


def _paleness(figure, place=0):
    """Of the cells of a map that has converged everywhere: 0 is the full colour, 1 white."""
    drawn = np.asarray(figure.axes[place].collections[0].get_array()).reshape(-1, 3)
    full = np.array(to_rgb(COLORS[Outcome.CONVERGED]))
    return ((drawn - full) / (1 - full))[:, 0]


def test_paler_is_a_higher_loss_and_the_key_says_which():
    late = np.geomspace(1e-6, 1e-1, 12).reshape(3, 4)
    converged = _drawn(late, np.full((3, 4), Outcome.CONVERGED))
    figure = plot_map(converged)
    paleness = _paleness(figure).reshape(4, 3).T.ravel()
    assert (np.diff(paleness) >= -1e-6).all()
    assert paleness[0] < 0.01 < 0.49 < paleness[-1]
    (key,) = [ax for ax in figure.axes if ax.get_title(loc="left") == "late excess"]
    above, below = (float(label.get_text()[2:]) for label in key.get_yticklabels())
    assert 1e-6 < below < 1e-5 < 1e-2 < above < 1e-1
    shades = np.asarray(key.images[0].get_array())[:, 0, 0]
    assert shades[0] > shades[-1], "the paler end is that of the higher losses"
    turned = _paleness(plot_map(converged.isel(x=[1, 2, 0])))
    np.testing.assert_allclose(turned, _paleness(figure), err_msg="axes ascend in any order")
    raised = converged.assign(late_loss=converged["late_loss"] + 5).assign_attrs(optimum=5.0)
    np.testing.assert_allclose(_paleness(plot_map(raised)), _paleness(figure), atol=1e-6)
    wild = converged.copy(deep=True)
    wild["late_loss"][-1, -1], wild["outcome"][-1, -1] = 1e9, Outcome.DIVERGED
    assert _paleness(plot_map(wild))[:-1].max() > 0.4
    lower = converged.assign(late_loss=1e-6 * converged["late_loss"])
    two = xr.concat([converged, lower], "name").assign_coords(name=["one", "other"])
    first, second = (_paleness(plot_map(two), place).max() for place in range(2))
    assert first > 0.49 > 0.3 > second > 0.1


def test_points_of_a_line_have_their_outcomes_colour_and_stay_in_the_frame():
    codes = [Outcome.CONVERGED, Outcome.OSCILLATING, Outcome.DIVERGED, Outcome.NON_FINITE]
    ax = plot_map(_drawn([1e-3, 1e-2, 1e9, np.inf], codes)).axes[0]
    found = {
        round(np.log10(x)): (tuple(c.get_facecolor()[0][:3]), y)
        for c in ax.collections
        for x, y in c.get_offsets()
    }
    assert [found[i][0] for i in range(4)] == [to_rgb(COLORS[code]) for code in codes]
    assert found[2][1] == found[3][1] == ax.get_ylim()[1]


def test_a_share_of_five_percent_is_rounded_to_itself():
    codes = np.full(20, Outcome.CONVERGED)
    codes[0] = Outcome.NON_FINITE
    legend = plot_map(_drawn(np.ones(20), codes)).legends[0]
    assert legend.get_texts()[-1].get_text() == "non-finite  5%"


def test_three_axes_are_too_many(plane):
    with pytest.raises(ValueError, match=r"it holds two axes, the map has 3: .*; choose a value"):
        plot_map(plane.expand_dims(b1=[0.9], axis=2))
    with pytest.raises(ValueError, match="one axis of names, the map has 2: optimizer, schedule;"):
        plot_map(plane.expand_dims(optimizer=["adam"], schedule=["none"]))
    with pytest.raises(ValueError, match=r"needs an axis of numbers, .* such as learning_rate$"):
        plot_map(plane[{"learning_rate": 0, "condition": 0}].expand_dims(optimizer=["adam"]))
    with pytest.raises(ValueError, match=r"makes no picture: it needs an axis, the map has none$"):
        plot_map(plane[{"learning_rate": 0, "condition": 0}])
    with pytest.raises(ValueError, match="must come from convergence_map"):
        plot_map(plane.drop_vars("outcome"))


def test_files_are_written_in_the_format_of_their_name(plane, tmp_path):
    figure = plot_map(plane)
    save(figure, [tmp_path / "new" / "p.png", tmp_path / "p.svg"])
    assert (tmp_path / "new" / "p.png").read_bytes().startswith(b"\x89PNG")
    assert b"<svg" in (tmp_path / "p.svg").read_bytes()
    with pytest.raises(ValueError, match=r"must end in one of \.png, \.svg, \.pdf"):
        save(figure, [tmp_path / "first.png", tmp_path / "p.bmp"])
    assert not (tmp_path / "first.png").exists()
    for alone in (tmp_path / "alone.png", str(tmp_path / "alone too.png")):
        save(figure, alone)
        assert Path(alone).exists()


# Full deficiency of one kind of cone, on linear RGB (Machado, Oliveira & Fernandes 2009, table 1).
DEFICIENCIES = {
    "normal": np.eye(3),
    "protan": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
    "deutan": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
    "tritan": [[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]],
}


@pytest.mark.parametrize("name", DEFICIENCIES)
def test_outcomes_differ_to_every_eye(name):
    colors = np.array([to_rgb(c) for c in COLORS.values()])
    linear = np.where(colors <= 0.04045, colors / 12.92, ((colors + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ np.array(DEFICIENCIES[name]).T, 0, 1) ** (1 / 2.4)
    apart = np.linalg.norm(seen[:, None] - seen[None], axis=-1)
    assert apart[~np.eye(len(seen), dtype=bool)].min() > 0.12

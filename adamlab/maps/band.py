"""The converged band: from where to where along an axis runs converge, and its border."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from adamlab._checks import nearest
from adamlab.maps.outcomes import Outcome, outcome_of
from adamlab.sweeps import SEED

if TYPE_CHECKING:
    import xarray as xr


class Band(NamedTuple):
    """Ends of a band along an axis, for each point of the other axes."""

    low: xr.DataArray
    """The axis's value where the band begins; NaN where there is none."""
    high: xr.DataArray
    """The axis's value where the band ends; NaN where there is none."""
    decades: xr.DataArray
    """log10(high / low); 0 where there is none, NaN on an axis that reaches 0 or below."""


def typical_loss(dataset: xr.Dataset) -> xr.DataArray:
    """The late loss, the median over seeds; a run that met NaN counts as infinite.

    NaN where nothing was computed.
    """
    late = dataset["late_loss"].where(outcome_of(dataset) != Outcome.NON_FINITE, np.inf)
    return late.median(SEED) if SEED in late.dims else late


def typical_outcome(dataset: xr.Dataset) -> xr.DataArray:
    """The most frequent outcome over the seeds; in a tie, the one with the highest code.

    A point with missing seeds goes by the others; -1 where all are missing.
    """
    outcome = outcome_of(dataset)
    if SEED not in outcome.dims:
        return outcome
    codes = np.array(sorted(Outcome, reverse=True), np.int8)
    counts = np.stack([(outcome == code).sum(SEED).values for code in codes])
    typical = np.where(counts.sum(0) > 0, codes[counts.argmax(0)], np.int8(-1))
    return outcome.isel({SEED: 0}, drop=True).copy(data=typical)


def most_converge(dataset: xr.Dataset) -> xr.DataArray:
    """Whether more than half of a point's computed seeds converged."""
    outcome = outcome_of(dataset)
    if SEED not in outcome.dims:
        return outcome == Outcome.CONVERGED
    return 2 * (outcome == Outcome.CONVERGED).sum(SEED) > (outcome >= 0).sum(SEED)


def converged_band(dataset: xr.Dataset, axis: str) -> Band:
    """The longest stretch along `axis` on which more than half of the seeds converge.

    A point that is not computed yet ends a band, as one that does not converge does.

    Raises:
        ValueError: the map has no such axis, or it is an axis of names.
    """
    return longest_band(most_converge(dataset), axis)


def longest_band(good: xr.DataArray, axis: str) -> Band:
    """The longest stretch along `axis` on which `good` is true, for each point of its other axes.

    Longest in decades, or in plain length on an axis that reaches 0 or below; of several, the one
    with the most points, and of those the lowest. Axes of numbers are ascending in what is
    returned.

    For a criterion of your own, such as
    `longest_band(dataset["test_accuracy"] > 0.9, "learning_rate")`, which then has a band for each
    seed.

    Raises:
        ValueError: there is no such axis, or it is an axis of names.
    """
    good = ordered(good)
    if axis not in good.dims:
        raise ValueError(
            f"axis={axis!r}: the map has no such axis; {nearest(axis, map(str, good.dims))}"
        )
    if not is_numeric(good[axis]):
        raise ValueError(f"axis={axis!r}: must be an axis of numbers, and holds names")
    good = good.transpose(..., axis)
    values = good[axis].values
    flat = good.values.reshape(-1, len(values))
    places = np.log10(values) if values.min() > 0 else values.astype(float)
    ends = _longest_runs(flat, places)
    found = ends[:, 0] >= 0
    low = np.where(found, values[ends[:, 0]], np.nan)
    high = np.where(found, values[ends[:, 1]], np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        decades = np.log10(high / low) if values.min() > 0 else np.full(low.shape, np.nan)
    decades = np.where(found, decades, 0.0)
    template = good.isel({axis: 0}, drop=True).drop_attrs(deep=False)
    parts = zip(Band._fields, (low, high, decades), strict=True)
    return Band(*(template.copy(data=v.reshape(template.shape)).rename(n) for n, v in parts))


def border(dataset: xr.Dataset) -> xr.DataArray:
    """Whether most seeds converged at a point but not at a neighbour: the band's inner edge.

    Axes of numbers are ascending in what is returned.

    Neighbours are adjacent values of a numeric axis, in whatever order it is stored; axes of names,
    such as optimizers, have none, and a point that is not computed yet does not count.
    """
    converged = ordered(most_converge(dataset))
    fails = ordered(typical_outcome(dataset) >= 0) & ~converged
    edge = np.zeros(converged.shape, bool)
    for axis in range(converged.ndim):
        if not is_numeric(converged[converged.dims[axis]]):
            continue
        beside = [(int(a == axis),) * 2 for a in range(converged.ndim)]
        padded = np.pad(fails.values, beside)
        length = converged.shape[axis]
        for shift in (0, 2):
            edge |= converged.values & padded.take(range(shift, shift + length), axis=axis)
    return converged.copy(data=edge).drop_attrs(deep=False).rename("border")


def is_numeric(values: xr.DataArray) -> bool:
    """Whether an axis holds numbers, not names."""
    return values.dtype.kind in "iuf"


def ordered(array: xr.DataArray) -> xr.DataArray:
    """`array` with its numeric axes ascending."""
    return array.sortby([dim for dim in array.dims if is_numeric(array[dim])])


def _longest_runs(rows: np.ndarray, places: np.ndarray) -> np.ndarray:
    """First and last index of each row's longest run of True over ascending `places`.

    Shape (rows, 2); -1 where there is none.
    """
    steps = np.diff(np.pad(rows, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    row, starts = np.nonzero(steps == 1)
    stops = np.nonzero(steps == -1)[1] - 1
    whole = places[-1] - places[0] or 1.0
    lengths = np.round((places[stops] - places[starts]) / whole, 9)
    best_first = np.lexsort((starts, starts - stops, -lengths, row))
    found, first = np.unique(row[best_first], return_index=True)
    ends = np.full((len(rows), 2), -1)
    ends[found, 0], ends[found, 1] = starts[best_first][first], stops[best_first][first]
    return ends

"""Datasets put into the form that a verdict needs: joined, selected at a rate, in decades."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product

import numpy as np
import xarray as xr

from adamlab import Outcome


def side_by_side(dim: str, parts: Mapping[str, xr.Dataset]) -> xr.Dataset:
    """Datasets of one form joined along a new axis `dim` of names."""
    names = xr.DataArray(list(parts), dims=dim, name=dim)
    return xr.concat(
        list(parts.values()), names, data_vars="all", coords="minimal", compat="override",
        combine_attrs="override",
    )  # fmt: skip


def decades(losses: xr.DataArray, least: float = 0.0, broken: float = np.inf) -> xr.DataArray:
    """The logarithm to base 10 of losses, at least `least`; a broken run counts as `broken`."""
    whole = losses.where(np.isfinite(losses), broken).clip(min=least)
    return whole.copy(data=np.log10(whole.values))


def steps_to_target(found: xr.Dataset) -> xr.DataArray:
    """The step at which each run of a map first reached its target; infinite if it did not stay.

    It stayed if the mean loss of its last quarter meets the target too.
    """
    arrived = found["converged_step"].astype(float)
    stayed = found["outcome"] == Outcome.CONVERGED
    return arrived.where((arrived >= 0) & stayed, np.inf)


def best_rate(losses: xr.DataArray) -> xr.DataArray:
    """The rate of the least median loss over seeds; a broken run's loss counts as infinite."""
    whole = losses.where(np.isfinite(losses), np.inf)
    return whole.median("seed").idxmin("learning_rate")


def at_end(chosen: float, among: np.ndarray, which: str = "tried") -> str:
    """A note on a value that is the least or greatest `among` some: it may not be the best.

    An ending of a name, such as ", the least tried"; empty for a value in between.
    """
    if np.isclose(chosen, among.min()):
        return f", the least {which}"
    return f", the greatest {which}" if np.isclose(chosen, among.max()) else ""


def at_best(losses: xr.DataArray) -> xr.DataArray:
    """The losses of all seeds at their `best_rate`."""
    return losses.sel(learning_rate=best_rate(losses)).drop_vars("learning_rate")


def at_rates(dataset: xr.Dataset, rate: float, losses: xr.DataArray) -> dict[str, xr.Dataset]:
    """A dataset at the claim's rate, and at the best rate by `losses`, under their names."""
    places = {f"at {rate:g}": rate, "at the best rate": best_rate(losses)}
    return {
        name: dataset.sel(learning_rate=place, method="nearest").drop_vars("learning_rate")
        for name, place in places.items()
    }


def best_for_others(losses: xr.DataArray) -> xr.DataArray:
    """For each seed its loss where the mean loss of the seeds of the other parity is least.

    A best point looks too good on the seeds that it was chosen by, and more so the more points
    there are to choose from; so each half of the seeds chooses for the other. A point where one
    of them has NaN is not chosen.
    """
    dims = [dim for dim in losses.dims if dim != "seed"]
    flat = losses.transpose("seed", *dims).values.reshape(losses.sizes["seed"], -1)
    result = np.empty(len(flat))
    for half in (0, 1):
        others = flat[1 - half :: 2].mean(axis=0)
        result[half::2] = flat[half::2, np.where(np.isnan(others), np.inf, others).argmin()]
    return losses.isel(dict.fromkeys(dims, 0), drop=True).copy(data=result)


def each(dataset: xr.Dataset, *dims: str) -> Iterator[tuple[str, xr.Dataset]]:
    """Each combination of the values along `dims`: its name, and the dataset there."""
    for values in product(*(dataset[dim].values for dim in dims)):
        named = [
            v if isinstance(v, str) else f"{d} = {v:g}" for d, v in zip(dims, values, strict=True)
        ]
        yield ", ".join(named), dataset.sel(dict(zip(dims, values, strict=True)), drop=True)

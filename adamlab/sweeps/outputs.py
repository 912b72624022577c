"""Outputs: what a sweep's function returns, its dimensions, and names that clash."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from adamlab._checks import nearest
from adamlab.sweeps.axes import Axes

DONE = "done_blocks"
"""The array of a store that says which blocks are done."""


def not_computed(dtype: Any) -> Any:
    """The value that stands for one not computed."""
    kind = np.dtype(dtype).kind
    return np.asarray({"f": np.nan, "c": np.nan, "i": -1}.get(kind, 0), dtype)[()]


def check_outputs(outputs: Mapping[str, jax.ShapeDtypeStruct]) -> None:
    """Refuse outputs that cannot be kept.

    Raises:
        ValueError: one is empty, or of a type that NumPy lacks.
    """
    for name, output in outputs.items():
        known = isinstance(output.dtype, np.dtype) and output.dtype.kind in "biufc"
        if not known or 0 in output.shape:
            raise ValueError(
                f"output {name!r} is {output.dtype}{list(output.shape)}: must hold at least one "
                "boolean, whole, real or complex number of a type that NumPy has; cast it, such as "
                "by .astype(jnp.float32)"
            )


def check_size(points: int, outputs: Mapping[str, jax.ShapeDtypeStruct]) -> None:
    """Refuse results that this machine cannot hold as a dataset in memory.

    Raises:
        ValueError: they take more than all of its memory.
    """
    size = points * sum(o.dtype.itemsize * math.prod(o.shape) for o in outputs.values())
    try:
        there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # not every system tells
        return
    if size > there:
        raise ValueError(
            f"axes make {points:,} points, whose results take {size / 2**30:,.0f} GiB: must fit "
            f"this machine's memory, {there / 2**30:,.0f} GiB; take fewer values, or sweep in parts"
        )


def check_names(
    axes: Axes,
    outputs: Mapping[str, jax.ShapeDtypeStruct],
    dims: Mapping[str, Mapping[str, Any]],
) -> None:
    """Refuse names that would hide each other, or that Zarr reads as folders."""
    for name, own in dims.items():
        if name not in outputs:
            raise ValueError(f"dims[{name!r}]: there is no such output; {nearest(name, outputs)}")
        if not isinstance(own, Mapping):
            raise TypeError(f"dims[{name!r}]={own!r}: must map each dimension to its coordinates")
    coordinates: dict[str, np.ndarray] = {}
    for name, output in outputs.items():
        own = own_dims(name, output, dims)
        lengths = tuple(len(values) for values in own.values())
        if lengths != output.shape:
            raise ValueError(f"dims[{name!r}] has lengths {lengths}: the output has {output.shape}")
        for dim, values in own.items():
            if dim in coordinates and not same_coordinates(coordinates[dim], values):
                raise ValueError(f"dimension {dim!r} has other coordinates in another output")
            coordinates[dim] = values
    taken = dict.fromkeys(("done", DONE), "a variable of adamlab's own")
    taken["zarr.json"] = "a file of the store's own"
    kinds = [("axis", axes), ("output", outputs), ("dimension", coordinates)]
    for kind, names in kinds:
        for name in names:
            if set(name) & set("/\\") or name in (".", "..", "") or name.startswith("__"):
                raise ValueError(
                    f"{kind} {name!r}: a name must not hold '/' or '\\' or start with '__'"
                )
            if name in taken:
                raise ValueError(f"{kind} {name!r} has the name of {taken[name]}: rename it")
            taken[name] = f"an {kind}" if kind in ("axis", "output") else f"a {kind}"


def own_dims(
    name: str, output: jax.ShapeDtypeStruct, dims: Mapping[str, Mapping[str, Any]]
) -> dict[str, np.ndarray]:
    """The dimensions of an output besides the axes, with their coordinates."""
    named = {dim: np.asarray(values) for dim, values in dims.get(name, {}).items()}
    rest = range(len(named), len(output.shape))
    return named | {f"{name}_{i}": np.arange(output.shape[i]) for i in rest}


def same_coordinates(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether they are equal, NaN to NaN."""
    nan = one.dtype.kind in "fc" and other.dtype.kind in "fc"
    return np.array_equal(one, other, equal_nan=nan)


def signature(outputs: Mapping[str, jax.ShapeDtypeStruct]) -> dict[str, str]:
    """Dtype and shape of each output, as text."""
    return {name: f"{out.dtype}{list(out.shape)}" for name, out in sorted(outputs.items())}

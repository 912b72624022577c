"""Structural axes: values that are not numbers, such as optimizers, each its own program."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from adamlab._lookup import underlying
from adamlab.sweeps.appearing import appearing
from adamlab.sweeps.outputs import not_computed
from adamlab.sweeps.refusals import COPY_AGAIN, DamagedError, OtherSweepError, already_exists
from adamlab.sweeps.store import Store

if TYPE_CHECKING:
    import xarray as xr

_FILE = "structure.json"
_SUMMED = ("compiles", "run_seconds")


def structural_axis(axes: Any) -> tuple[str, dict[str, Any]] | None:
    """The first axis of functions or named values rather than numbers, with its values by label."""
    for name, values in axes.items() if isinstance(axes, Mapping) else ():
        if isinstance(values, Mapping):
            return name, dict(values)
        if isinstance(values, Sequence) and any(callable(v) for v in values):
            return name, by_label(name, values)
    return None


def by_label(name: str, values: Sequence[Any]) -> dict[str, Any]:
    """Functions by their names.

    Raises:
        TypeError: one of them has no name.
        ValueError: two of them have the same name.
    """
    labelled: dict[str, Any] = {}
    for value in values:
        label = getattr(underlying(value), "__name__", None)
        if not isinstance(label, str):
            raise TypeError(
                f"axis {name!r} holds {value!r}: must hold functions, or map names to them"
            )
        if label in labelled:
            raise ValueError(
                f"axis {name!r} holds two functions called {label!r}: give each a name of its own, "
                f"{{'{label} one': ..., '{label} two': ...}}"
            )
        labelled[label] = value
    return labelled


def over_structures(
    name: str,
    values: Mapping[str, Any],
    run: Callable[[Any, Path | None], xr.Dataset],
    store: Path | None,
    resume: bool,
) -> xr.Dataset:
    """`run(value, its store)` for each value, one after the other, along a new first axis `name`.

    Raises:
        ValueError: there are no values, a label is not a file name, or `store` holds another set or
            something else.
        FileExistsError: `store` exists and `resume` is false, or another process has just created
            it.
    """
    if not values:
        raise ValueError(f"axis {name!r} is empty: must hold at least one value")
    for label in values:
        if not isinstance(label, str) or not label:
            raise ValueError(f"axis {name!r} holds {label!r}: a name must be a non-empty string")
        if store is not None and ("/" in label or label in (".", "..", _FILE)):
            raise ValueError(
                f"axis {name!r} holds {label!r}: in a store it must be a folder's name"
            )
    if store is not None:
        _begin(store, name, list(values), resume)
    parts = {}
    try:
        for label, value in values.items():
            parts[label] = run(value, None if store is None else store / label)
    except BaseException:
        if store is not None and [file.name for file in store.iterdir()] == [_FILE]:
            shutil.rmtree(store)  # nothing has begun: it must not be in the way of another try
        raise
    return _joined(name, list(values), parts)


def open_structures(store: Path, open_part: Callable[[Path], xr.Dataset]) -> xr.Dataset | None:
    """What `over_structures` has left at `store`, finished or not; None if it left nothing there.

    Raises:
        FileNotFoundError: none of its sweeps has begun.
    """
    if not (store / _FILE).exists():
        return None
    about = _about(store)
    parts = {}
    for label in about["values"]:
        with suppress(FileNotFoundError):
            parts[label] = open_part(store / label)
    if not parts:
        raise FileNotFoundError(errno.ENOENT, "none of its sweeps has begun; resume it", str(store))
    return _joined(about["axis"], about["values"], parts)


def check_one_program(store: Path) -> None:
    """Refuse what `over_structures` has left at `store`, where a single sweep is to be resumed.

    Raises:
        OtherSweepError: it has an axis of structures.
    """
    if (store / _FILE).exists():
        about = _about(store)
        there = f"an axis {about['axis']!r} of {', '.join(about['values'])}"
        raise OtherSweepError(store, there, "none of them as an axis")


def _begin(store: Path, name: str, labels: list[str], resume: bool) -> None:
    about = {"axis": name, "values": labels}
    if not store.exists():
        try:
            with appearing(store) as draft:
                draft.mkdir()
                (draft / _FILE).write_text(json.dumps(about))
        except FileExistsError:  # another process was first
            if not resume:
                raise
    elif not resume:
        raise already_exists(store)
    if not (store / _FILE).exists():
        Store.open(store)
        raise OtherSweepError(store, "no axis of structures", f"an axis {name!r} of them")
    there = _about(store)
    if there != about:
        raise OtherSweepError(store, there, about)


def _about(store: Path) -> Any:
    """The axis of structures at `store` and its values.

    Raises:
        DamagedError: they cannot be read.
    """
    try:
        return json.loads((store / _FILE).read_text())
    except ValueError as error:
        raise DamagedError(store, f"{_FILE} cannot be read ({error}); {COPY_AGAIN}") from error


def _joined(name: str, labels: list[str], parts: Mapping[str, xr.Dataset]) -> xr.Dataset:
    import xarray as xr

    index = xr.Variable(name, np.asarray(list(parts), dtype=str))
    dtypes: dict[Any, np.dtype] = {}  # as concat joins them, whatever the order of the parts
    for part in parts.values():
        dtypes |= {n: np.promote_types(v.dtype, dtypes.get(n, v.dtype)) for n, v in part.items()}
    fill = {name: not_computed(dtype) for name, dtype in dtypes.items()}
    whole = xr.concat(
        list(parts.values()), index, combine_attrs="drop", join="outer", fill_value=fill,
        data_vars="all", coords="minimal", compat="override",
    )  # fmt: skip
    if len(parts) < len(labels):
        whole = whole.reindex({name: labels}, fill_value=fill)
    return whole.assign_attrs(_joined_attributes(parts))


def _joined_attributes(parts: Mapping[str, xr.Dataset]) -> dict[str, Any]:
    """What the parts agree on as it is, what they differ in by label, counts and times summed."""
    attributes: dict[str, Any] = {}
    for key in dict.fromkeys(k for part in parts.values() for k in part.attrs):
        found = {label: part.attrs[key] for label, part in parts.items() if key in part.attrs}
        values = list(found.values())
        if key in _SUMMED:
            attributes[key] = sum(values)
        else:
            same = len(values) == len(parts) and all(v == values[0] for v in values)
            attributes[key] = values[0] if same else found
    return attributes

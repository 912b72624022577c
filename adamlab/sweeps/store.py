"""Store: a sweep's results in a Zarr group that xarray reads, safe to kill and resume."""

from __future__ import annotations

import errno
import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import jax
import numpy as np

from adamlab.sweeps.appearing import appearing
from adamlab.sweeps.axes import Axes
from adamlab.sweeps.identity import PROGRAM
from adamlab.sweeps.layout import FORMAT, lay_out
from adamlab.sweeps.outputs import DONE, not_computed, own_dims, same_coordinates, signature
from adamlab.sweeps.plan import Plan
from adamlab.sweeps.refusals import COPY_AGAIN, DamagedError, OtherFormatError, OtherSweepError

if TYPE_CHECKING:
    import xarray as xr
    import zarr

_MEMORY = "memory"


class Store:
    """One array per output over the grid's axes, and one flag per block, set after its data.

    A block is one Zarr chunk of every array, written whole by one writer.
    """

    def __init__(self, group: zarr.Group, where: str) -> None:
        """Read the plan of the sweep in `group`."""
        self._group = group
        self.where = where
        attributes: dict[str, Any] = dict(group.attrs)
        axes = {name: self._coordinates(name) for name in attributes["axes"]}
        self.plan = Plan(axes, tuple(attributes["block"]), attributes["lanes"])
        self.settings: Mapping[str, Any] = attributes["settings"]
        self._outputs: Mapping[str, Any] = attributes["outputs"]

    @property
    def on_disk(self) -> bool:
        """Whether it outlives this process."""
        return self.where != _MEMORY

    @classmethod
    def create(
        cls,
        path: Path | None,
        plan: Plan,
        outputs: Mapping[str, jax.ShapeDtypeStruct],
        settings: Mapping[str, Any],
        attributes: Mapping[str, Any],
        dims: Mapping[str, Mapping[str, Any]],
    ) -> Store:
        """A new store at `path`, or in memory where that is None; it appears there all at once.

        Raises:
            FileExistsError: another process was first.
            OSError: it cannot be written.
        """
        import zarr

        if path is None:
            group = zarr.create_group(zarr.storage.MemoryStore())
            lay_out(group, plan, outputs, settings, attributes, dims)
            return cls(group, _MEMORY)
        with appearing(path) as draft:
            lay_out(zarr.create_group(draft), plan, outputs, settings, attributes, dims)
        return cls(zarr.open_group(path, mode="r+"), str(path))

    @classmethod
    def open(cls, path: Path, *, mode: Literal["r", "r+"] = "r") -> Store:
        """The store at `path`.

        Raises:
            FileNotFoundError: there is nothing at `path`.
            DamagedError: a part of it is gone, or cannot be read.
            OtherFormatError: it is in the format of another version.
            ValueError: what is there is not a sweep of this library.
        """
        import zarr

        if not path.exists():
            raise FileNotFoundError(errno.ENOENT, "there is no sweep", str(path))
        try:
            group = zarr.open_group(path, mode=mode)
            found = group.attrs.get("adamlab_store")
        except json.JSONDecodeError as error:
            raise DamagedError(path, f"zarr.json cannot be read ({error}); {COPY_AGAIN}") from error
        except (ValueError, OSError):
            found = None
        if found is None:
            raise ValueError(f"store={str(path)!r}: is not an adamlab sweep")
        if found != FORMAT:
            raise OtherFormatError(path, found, FORMAT)
        try:
            store = cls(group, str(path))
            store._array(DONE)
            for name in store._outputs:
                for dim in store._array(name).metadata.dimension_names:
                    store._array(dim)
        except KeyError as error:  # an array or an attribute
            raise DamagedError(path, f"{error} is gone; {COPY_AGAIN}") from error
        except json.JSONDecodeError as error:
            raise DamagedError(path, f"zarr.json cannot be read ({error}); {COPY_AGAIN}") from error
        return store

    def check_same(
        self,
        axes: Axes,
        settings: Mapping[str, Any],
        outputs: Mapping[str, jax.ShapeDtypeStruct],
        dims: Mapping[str, Mapping[str, Any]],
    ) -> None:
        """Refuse to go on with other axes, settings, outputs or dims than it was made with.

        Raises:
            OtherSweepError: they differ; the message says how.
        """
        old, new = list(self.plan.axes), list(axes)
        if old != new:
            raise self._other("axes", old, new)
        for name, values in axes.items():
            there = self.plan.axes[name]
            if len(there) != len(values) or there.dtype != values.dtype:
                raise self._other(f"axis {name!r}", _describe(there), _describe(values))
            differ = np.flatnonzero(there != values)
            if len(differ):
                raise self._other(f"axis {name!r}", there[differ[0]], values[differ[0]])
        given = json.loads(json.dumps(settings))
        for name in {**self.settings, **given}:
            before, now = self.settings.get(name), given.get(name)
            same = before == now or json.dumps(before) == json.dumps(now)  # NaN != NaN
            if not same and name != PROGRAM:
                raise self._other(name, before, now)
        if self._outputs != signature(outputs):
            raise self._other("outputs", self._outputs, signature(outputs))
        for name, output in outputs.items():
            for dim, values in own_dims(name, output, dims).items():
                there = self._coordinates(dim)
                if not same_coordinates(there, values):
                    raise self._other(f"dimension {dim!r}", _describe(there), _describe(values))
        if given[PROGRAM] != self.settings.get(PROGRAM):  # last, since it tells least
            raise self._other(
                "program", self.settings.get(PROGRAM),
                f"{given[PROGRAM]}: what the function does, a value that it reads or the version "
                "of JAX is another",
            )  # fmt: skip

    def _other(self, what: str, old: Any, new: Any) -> OtherSweepError:
        return OtherSweepError(self.where, f"{what} {old}", new)

    def _array(self, name: str) -> Any:
        return self._group[name]

    def missing(self) -> list[tuple[int, ...]]:
        """The places of the blocks that are not done, or of which a file is gone."""
        done = self._done()
        return [place for place in self.plan.blocks() if not done[place]]

    def _done(self) -> np.ndarray:
        """For each block whether it is done and all there: a partial copy lacks files."""
        flags = self._array(DONE)
        try:
            done = np.asarray(flags[...])
        except (ValueError, RuntimeError):  # a flag that cannot be read is not set
            done = np.zeros(self.plan.blocks_shape, bool)
            for place in self.plan.blocks():
                with suppress(ValueError, RuntimeError):
                    done[place] = flags[place]
        if self.on_disk:
            places = [tuple(place) for place in np.argwhere(done)]
            for array in map(self._array, self._outputs):
                for place in places:
                    done[place] &= self._file(array, place).exists()
        return done

    def _file(self, array: Any, place: tuple[int, ...]) -> Path:
        """Where an output's block is on disk."""
        rest = (0,) * (array.ndim - len(place))
        return Path(self.where) / array.basename / array.metadata.encode_chunk_key((*place, *rest))

    def write(self, place: tuple[int, ...], values: Mapping[str, np.ndarray]) -> None:
        """Put the block at `place` in the store, then mark it done.

        Raises:
            OSError: the disk is full, or cannot be written; blocks already done are safe.
        """
        import zarr

        region = self.plan.region(place)
        try:
            # What is not there is then damage, and not a block of nothing but NaN.
            with zarr.config.set({"array.write_empty_chunks": True}):
                for name in self._outputs:
                    self._array(name)[region] = values[name]
            self._array(DONE)[place] = True
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise OSError(
                    error.errno, "the disk is full; make room and resume", self.where
                ) from error
            raise

    def dataset(self) -> xr.Dataset:
        """Everything as a dataset in memory.

        `done` tells computed points from missing ones, which are NaN (-1 or False in arrays of
        whole numbers or booleans); NaN in a done point is a result.
        """
        import xarray as xr

        done = self._done()
        for axis, (length, size) in enumerate(zip(self.plan.block, self.plan.shape, strict=True)):
            done = np.repeat(done, length, axis=axis).take(range(size), axis=axis)
        variables = {}
        for name, array in sorted(self._group.arrays()):
            if name == DONE:
                continue
            values = self._read(name) if name in self._outputs else self._coordinates(name)
            metadata: Any = array.metadata
            dims = tuple(metadata.dimension_names)
            if name in self._outputs:
                there = done.reshape(done.shape + (1,) * (values.ndim - done.ndim))
                values = np.where(there, values, not_computed(values.dtype))
            variables[name] = (dims, values, dict(array.attrs))
        variables["done"] = (tuple(self.plan.axes), done, {})
        coordinates = [name for name, (dims, *_) in variables.items() if dims == (name,)]
        attributes = {**self.settings, **dict(self._group.attrs)}
        for internal in ("settings", "axes", "block", "outputs", "adamlab_store"):
            attributes.pop(internal, None)
        return xr.Dataset(variables, attrs=attributes).set_coords(coordinates)

    def _coordinates(self, name: str) -> np.ndarray:
        """All of an axis or a dimension.

        Raises:
            DamagedError: a file of it is gone, or cannot be read.
        """
        array = self._array(name)
        if self.on_disk and array.nchunks_initialized < array.nchunks:
            raise DamagedError(self.where, f"a file of {name!r} is gone; {COPY_AGAIN}")
        try:
            values = np.asarray(array[...])
            return np.array(values.tolist()) if values.dtype.kind == "T" else values
        except (ValueError, RuntimeError) as error:
            why = f"{name!r} cannot be read ({error}); {COPY_AGAIN}"
            raise DamagedError(self.where, why) from error

    def _read(self, name: str) -> np.ndarray:
        """All of an output.

        Raises:
            DamagedError: a file of it cannot be read; the message says which.
        """
        array = self._array(name)
        try:
            return np.asarray(array[...])
        except (ValueError, RuntimeError) as error:
            damaged = (place for place in self.plan.blocks() if not self._readable(name, place))
            raise DamagedError(
                self.where,
                f"{self._file(array, next(damaged))} cannot be read ({error}); delete it, and "
                "resuming computes its block again",
            ) from error

    def _readable(self, name: str, place: tuple[int, ...]) -> bool:
        try:
            self._array(name)[self.plan.region(place)]
        except (ValueError, RuntimeError):
            return False
        return True


def _describe(values: np.ndarray) -> str:
    return f"{len(values)} {values.dtype} values from {values[0]} to {values[-1]}"

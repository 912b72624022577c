"""sweep: a pure function over named axes, block by block, into a labelled dataset."""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax

from adamlab._checks import check_count, check_flags
from adamlab.sweeps.arguments import check_arguments, name_of
from adamlab.sweeps.axes import SEED, Axes, check_axes, reusable
from adamlab.sweeps.devices import IN_FLIGHT, blocks_at_once, float_dtype, use_all_cores
from adamlab.sweeps.executors import as_done, blocks_here, check_executor, pool_of
from adamlab.sweeps.footprint import suitable_lanes
from adamlab.sweeps.identity import PROGRAM
from adamlab.sweeps.outputs import check_names, check_outputs, check_size
from adamlab.sweeps.plan import Plan, cut
from adamlab.sweeps.program import Program, Work, compile_program, forget, run_block, trace
from adamlab.sweeps.provenance import provenance
from adamlab.sweeps.refusals import already_exists
from adamlab.sweeps.settings import checked_settings
from adamlab.sweeps.store import Store
from adamlab.sweeps.structure import (
    check_one_program,
    open_structures,
    over_structures,
    structural_axis,
)

if TYPE_CHECKING:
    import xarray as xr

DEFAULT_MEMORY = 2**30
"""Bytes that the blocks in flight may take on all devices together: 1 GiB."""

# A grid is cut into 16 blocks, or as few as 4 if each then holds up to 4 tiles of lanes for each
# device: devices wait for one another at a block's end, and starting one costs as much as a few
# runs. Into fewer still where devices would else have no tile of their own.
_BLOCKS, _FEWEST, _TILES = 16, 4, 4
_MOST = 2**16
# From this many points per seed on, what its key determines is computed once for all of them.
_SHARED_FROM = 64


def sweep(
    fn: Callable[..., Any],
    axes: Mapping[str, Any],
    *,
    store: str | os.PathLike[str] | None = None,
    resume: bool = False,
    executor: Executor | None = None,
    block: int | None = None,
    lanes: int | None = None,
    memory: int = DEFAULT_MEMORY,
    paired: bool = True,
    settings: Mapping[str, Any] | None = None,
    dims: Mapping[str, Mapping[str, Any]] | None = None,
    progress: bool = False,
) -> xr.Dataset:
    """Compute `fn` at every point of a grid.

    The grid is cut into blocks; one program, compiled once, is vmapped over the points of a block
    and spread over all devices. What a point gives depends on its coordinates alone, never on
    blocks or their order; its last bits depend on `lanes` too, and on whether each seed has 64
    points or more, for which its key is then used once.

    Args:
        fn: a pure function that JAX can trace, called as `fn(name=value, ...)` with one scalar
            for each axis; an axis named `seed` arrives as `key`, a random key made from it. It
            returns an array, or several by name, in a dict or a named tuple.
        axes: the values along each axis, by name. An axis of functions, such as optimizers, or a
            mapping of names to values, is structural: each value is a sweep and a program of its
            own, and the dataset has their names as a coordinate.
        store: where to save the results as Zarr; None for memory alone. Each finished block is on
            disk before the next is counted, so a sweep can be killed at any time.
        resume: go on with the sweep in `store` if there is one. Only what is missing is computed,
            in the blocks and lanes of the first call. Other axes, settings or outputs are refused,
            and so is a function that computes something else, or reads other values, than in the
            first call; another version of JAX may cause that too.
        executor: where blocks are computed: any `concurrent.futures.Executor`, such as a process
            pool or Dask's `client.get_executor()`, or any other whose `submit` returns handles with
            `done`, `result` and `cancel`, such as submitit's. None for this process. A pool of
            processes needs an `fn` that can be pickled, the start method "spawn" and JAX configured
            as it is here.
        block: the most points in a block; None for a sixteenth of the grid, within bounds.
        lanes: how many points a device computes at once, at most those of the grid and as many as
            `memory` holds; None for a number that suits the device. It may change the last bits of
            a result, so give a number where those of two grids or machines are compared, both
            with 64 points a seed or more, or neither; the one used is in the attributes.
        memory: bytes that the two blocks in flight may take on all devices together, by the
            compiled program's own analysis.
        paired: whether points that share a seed share their key, so that they can be compared
            pair by pair; otherwise every point's key comes from all its coordinates.
        settings: whatever else determines the results, as JSON values, such as the version of what
            is computed. Kept in the attributes, and compared on resuming. Names that the library
            uses there itself are refused.
        dims: for outputs that are arrays, `{output: {dimension: coordinates}}`, from the first
            dimension on; the remaining ones are numbered.
        progress: whether to show a progress bar on standard error.

    Returns:
        A dataset in memory with a variable for each output over the axes, and `done`. Its
        attributes say what determined it and where it was computed; `compiles` counts compiled
        programs, `run_seconds` is the wall time of this call's blocks, without compilation. Some
        are mappings, which NetCDF cannot hold: before `to_netcdf`, turn them into text by
        `assign_attrs({name: json.dumps(value) for name, value in dataset.attrs.items()})`.

    Raises:
        ValueError: an axis is unknown to `fn`, empty or holds bad values; names clash; `memory`
            does not hold a single point per device, or this machine does not hold the results;
            `store` holds another sweep (an `OtherSweepError`).
        FileExistsError: `store` exists and `resume` is false, or another process has just created
            it.
        TypeError: `resume`, `paired` or `progress` is not True or False.
        RuntimeError: a worker of `executor` would compute another program than this process.
        OSError: the store cannot be written; blocks already done are safe.
    """
    path = None if store is None else Path(store)
    check_executor(executor)
    check_flags(resume=resume, paired=paired, progress=progress)
    axes = reusable(axes)
    structure = structural_axis(axes)
    if structure is not None:
        name, values = structure
        numeric = {axis: points for axis, points in axes.items() if axis != name}
        if not numeric:
            raise ValueError(f"axes holds {name!r} alone: a sweep needs an axis of numbers too")
        check_arguments(fn, axes)
        one = partial(
            sweep, axes=numeric, resume=resume, executor=executor, block=block, lanes=lanes,
            memory=memory, paired=paired, settings=settings, dims=dims, progress=progress,
        )  # fmt: skip
        return over_structures(
            name, values, lambda value, own: one(partial(fn, **{name: value}), store=own), path,
            resume,
        )  # fmt: skip
    grid = check_axes(axes)
    check_arguments(fn, grid)
    for name, value in (("block", block), ("lanes", lanes), ("memory", memory)):
        if value is not None:
            check_count(name, value)
    known = {
        **checked_settings(settings or {}),
        "function": name_of(fn),
        "paired": paired,
        "dtype": float_dtype(),
    }
    work = _work(fn, grid, paired, executor)
    traced = trace(work)
    outputs, known[PROGRAM] = traced.outputs, traced.digest
    check_size(_points(grid), outputs)
    target = None
    if path is None or not path.exists():
        check_outputs(outputs)
        check_names(grid, outputs, dims or {})
        plan, program, compiles = _plan(work, grid, block, lanes, memory)
        attributes = {**provenance(), "compiles": compiles, "block_memory": program.memory}
        try:
            target = Store.create(path, plan, outputs, known, attributes, dims or {})
        except FileExistsError:  # another process was first
            if not resume:
                raise
    if target is None:
        assert path is not None
        if not resume:
            raise already_exists(path)
        check_one_program(path)
        if traced.calls_back:
            raise ValueError(
                f"resume=True: {known['function']} gets values from Python by a callback, and a "
                "store cannot tell whether they are still the same; give another store"
            )
        target = Store.open(path, mode="r+")
        target.check_same(grid, known, outputs, dims or {})
        if blocks_here(executor) and target.missing():  # its time is not that of the blocks
            compile_program(work, target.plan.block, target.plan.lanes)
    start = time.perf_counter()
    _run_missing(target, replace(work, program=known[PROGRAM]), executor, progress)
    run_seconds = time.perf_counter() - start
    return target.dataset().assign_attrs(run_seconds=run_seconds)


def open_sweep(store: str | os.PathLike[str]) -> xr.Dataset:
    """The sweep in `store`, finished or not, as a dataset in memory.

    Raises:
        FileNotFoundError: there is nothing at `store`, or no part of it has begun.
        ValueError: what is there is not a sweep.
    """
    joined = open_structures(Path(store), open_sweep)
    return Store.open(Path(store)).dataset() if joined is None else joined


def _work(fn: Callable[..., Any], axes: Axes, paired: bool, executor: Executor | None) -> Work:
    use_all_cores(blocks_here(executor))
    integers = {name: values.dtype.kind == "i" for name, values in axes.items()}
    points = _points(axes) // len(axes.get(SEED, [0]))
    shared = paired and SEED in axes and points >= _SHARED_FROM
    return Work(fn, integers, paired, shared, float_dtype())


def _plan(
    work: Work, axes: Axes, block: int | None, lanes: int | None, memory: int
) -> tuple[Plan, Program, int]:
    """A plan that fits `memory`, by compiling; more than once only where the first is too large."""
    points = _points(axes)
    side_by_side = points // len(axes[SEED]) if work.shared else points
    devices, filling = jax.local_device_count(), -(-points // _FEWEST)
    lanes = lanes or suitable_lanes(trace(work).memory, side_by_side, block)
    if lanes is not None:
        lanes = min(lanes, side_by_side)
        filling = max(min(_TILES * lanes * devices, filling), lanes * devices)
    most = block or min(max(-(-points // _BLOCKS), filling), _MOST)
    compiles = 0
    while True:
        compiles += 1
        plan = cut(axes, most, lanes, devices, SEED if work.shared else None)
        program = compile_program(work, plan.block, plan.lanes)
        if IN_FLIGHT * program.memory <= memory:
            return plan, program, compiles
        if plan.lanes == most == 1:
            raise ValueError(
                f"memory={memory}: one point on each device takes {program.memory} bytes; allow "
                f"{IN_FLIGHT} times that"
            )
        shrink = 0.9 * memory / (IN_FLIGHT * program.memory)
        lanes = lanes and max(int(lanes * shrink), 1)
        most = max(int(most * shrink), 1)


def _points(axes: Axes) -> int:
    return math.prod(len(values) for values in axes.values())


def _run_missing(target: Store, work: Work, executor: Executor | None, progress: bool) -> None:
    from tqdm import tqdm

    plan = target.plan
    missing = target.missing()
    sizes = {place: math.prod(plan.region_shape(place)) for place in missing}
    blocks = wanted = blocks_here(executor)
    if wanted and missing:
        program = compile_program(work, plan.block, plan.lanes)
        blocks = blocks_at_once(wanted, program.factorizes)
        if blocks < wanted:  # in the caller's threads they would wait for each other forever
            executor = None
    todo = sum(sizes.values())
    bar = tqdm(
        total=plan.points, initial=plan.points - todo, unit="run", disable=not progress,
        smoothing=0.1, dynamic_ncols=True,
    )  # fmt: skip
    try:
        with bar, pool_of(executor, blocks) as pool:
            places: dict[Any, tuple[int, ...]] = {}
            try:
                for place in missing:
                    handle = pool.submit(
                        run_block, work, plan.values(place), plan.block, plan.lanes
                    )
                    places[handle] = place
                for future in as_done(places):
                    place = places.pop(future)  # so as not to hold what is already written
                    target.write(place, future.result())
                    bar.update(sizes[place])
            except BaseException as error:
                running = [future for future in places if not future.cancel()]
                if executor is not None:  # only own threads are waited for
                    running = [future for future in running if future.done()]
                if running and isinstance(error, KeyboardInterrupt):
                    told = f"interrupted: {len(running)} blocks under way are kept first"
                    tqdm.write(told, sys.stderr)
                for future in as_done(running):  # what they give is kept
                    with suppress(Exception):
                        target.write(places[future], future.result())
                raise
    except BaseException as error:
        left = len(target.missing())
        safe = plan.blocks_count - left
        if target.on_disk:
            error.add_note(
                f"{safe} of {plan.blocks_count} blocks are safe in {target.where}; "
                "resume to compute the others"
            )
        raise
    finally:
        forget()

"""A sweep's function as one compiled program: lanes side by side, spread over devices."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any, NamedTuple
from uuid import uuid4

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import jaxpr_as_fun
from jax.sharding import AbstractMesh, Mesh, PartitionSpec

from adamlab.sweeps.axes import SEED
from adamlab.sweeps.footprint import bytes_at_a_point
from adamlab.sweeps.identity import calls_back, digest


@dataclass(frozen=True)
class Work:
    """What every block of a sweep has in common; it travels to the workers."""

    fn: Callable[..., Any] = field(compare=False)
    integers: Mapping[str, bool] = field(compare=False)
    """For each axis, in order, whether its values are whole numbers."""
    paired: bool = field(compare=False)
    """Whether a point's key comes from its seed alone."""
    shared: bool = field(compare=False)
    """Whether what a seed's key alone determines is computed once for all its points."""
    dtype: str = field(compare=False)
    """float32 or float64: what JAX's floats are, in the workers as well."""
    program: str | None = field(default=None, compare=False)
    """The digest of what is computed, which a worker's own trace must have; None until known."""
    token: str = field(default_factory=lambda: uuid4().hex)
    """Tells one sweep's work from another's, after pickling too."""


@dataclass(frozen=True)
class Program:
    """A compiled block."""

    call: Callable[..., Any]
    """Maps seeds (S,) and coordinates (P,) to outputs (S, P, ...)."""
    points: int
    memory: int
    """Bytes that all devices together need for the block, by the program's own analysis.

    By what one lane needs (`Traced.memory`) where the backend has no analysis.
    """
    factorizes: Callable[[], bool]
    """Whether it factorizes matrices, which not every number of blocks can do side by side."""


def run_block(
    work: Work, values: Mapping[str, np.ndarray], block: tuple[int, ...], lanes: int
) -> dict[str, np.ndarray]:
    """Compute the grid of `values`, at most `block` long: arrays over the grid by output name."""
    program = compile_program(work, block, lanes)
    with _as_planned(work):
        whole = {
            name: np.pad(v, (0, length - len(v)), mode="edge").astype(coordinate_dtype(work, name))
            for (name, v), length in zip(values.items(), block, strict=True)
        }
        seeds = whole.pop(SEED) if work.shared else np.zeros(1, np.int32)
        grids = np.meshgrid(*whole.values(), indexing="ij")
        points = {
            name: np.pad(grid.ravel(), (0, program.points - grid.size), mode="edge")
            for name, grid in zip(whole, grids, strict=True)
        }
        outputs = program.call(seeds, points)
    inner = tuple(len(v) for v in whole.values())
    place = list(work.integers).index(SEED) if work.shared else 0
    region = tuple(slice(len(v)) for v in values.values())

    def on_grid(output: jax.Array) -> np.ndarray:
        array = np.asarray(output)[:, : math.prod(inner)]
        array = array.reshape((len(seeds), *inner, *array.shape[2:]))
        return (np.moveaxis(array, 0, place) if work.shared else array[0])[region]

    return {name: on_grid(output) for name, output in outputs.items()}


@lru_cache(maxsize=4)
def compile_program(work: Work, block: tuple[int, ...], lanes: int) -> Program:
    """Compile `work` for blocks of this shape, `lanes` points at once on each device.

    Each device goes through its points `lanes` at a time, so the arithmetic of a point is the
    same machine code whatever the block and the number of devices, and so are its bits. With few
    lanes at once they also stay in a core's cache.

    Raises:
        RuntimeError: here `work` is another program than where it comes from.
    """
    traced = trace(work)
    if work.program is not None and work.program != traced.digest:
        raise RuntimeError(
            "this worker would compute another program: its JAX configuration, its version or the "
            "module differs"
        )
    lengths = dict(zip(work.integers, block, strict=True))
    seeds = lengths.pop(SEED) if work.shared else 1
    with _as_planned(work):
        at_once = lanes * jax.local_device_count()
        points = -(-math.prod(lengths.values()) // at_once) * at_once

        def for_seed(seed: jax.Array, own: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
            return jax.lax.map(partial(traced.call, seed), own, batch_size=lanes)

        mapped = jax.shard_map(
            lambda seeds, own: jax.lax.map(lambda seed: for_seed(seed, own), seeds),
            mesh=Mesh(np.array(jax.local_devices()), ("points",)),
            in_specs=(PartitionSpec(), PartitionSpec("points")),
            out_specs=PartitionSpec(None, "points"),
            check_vma=False,
        )
        lowered = jax.jit(mapped).lower(
            jax.ShapeDtypeStruct((seeds,), np.int32),
            {
                name: jax.ShapeDtypeStruct((points,), coordinate_dtype(work, name))
                for name in lengths
            },
        )
        compiled = lowered.compile()
        per_device = _memory_of(compiled) or lanes * traced.memory
        return Program(
            call=compiled,
            points=points,
            memory=per_device * jax.local_device_count(),
            factorizes=lambda: "lapack_" in str(compiled.as_text()),
        )


def _memory_of(compiled: Any) -> int:
    """Bytes for temporary values and outputs on one device; 0 where the backend does not tell."""
    try:
        analysis = compiled.memory_analysis()
        return int(analysis.temp_size_in_bytes + analysis.output_size_in_bytes)
    except (AttributeError, NotImplementedError, jax.errors.JaxRuntimeError):
        return 0


@contextmanager
def _as_planned(work: Work) -> Iterator[None]:
    """JAX as a sweep needs it, whatever holds around it: its dtype, no mesh, NaN a result."""
    with (
        jax.enable_x64(work.dtype == "float64"),
        jax.sharding.use_abstract_mesh(AbstractMesh((), ())),
        jax.disable_jit(False),
        jax.debug_nans(False),
        jax.debug_infs(False),
        jax.transfer_guard("allow"),
    ):
        yield


class Traced(NamedTuple):
    """What a sweep's function computes at one point."""

    call: Callable[[jax.Array, Mapping[str, jax.Array]], dict[str, jax.Array]]
    """`at_point`, without tracing the function again."""
    outputs: dict[str, jax.ShapeDtypeStruct]
    digest: str
    memory: int
    """Bytes of all values in the largest loop body, or outside of loops."""
    calls_back: bool
    """Whether values come from Python as it runs, so that the digest does not tell all."""


@lru_cache(maxsize=4)
def trace(work: Work) -> Traced:
    """What is computed at one point, without computing it."""
    with _as_planned(work):
        names = [name for name in work.integers if not (work.shared and name == SEED)]
        point = {name: jax.ShapeDtypeStruct((), coordinate_dtype(work, name)) for name in names}
        seed = jax.ShapeDtypeStruct((), np.int32)
        program, outputs = jax.make_jaxpr(partial(at_point, work), return_shape=True)(seed, point)

    def call(seed: jax.Array, point: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
        found = jaxpr_as_fun(program)(seed, *jax.tree.leaves(point))
        return jax.tree.unflatten(jax.tree.structure(outputs), found)

    memory = bytes_at_a_point(program)
    return Traced(call, outputs, digest(program), memory, calls_back(program))


def forget() -> None:
    """Let go of what was traced and compiled: nobody asks again, and it holds what `fn` holds."""
    trace.cache_clear()
    compile_program.cache_clear()


def _key(seed: jax.Array) -> jax.Array:
    """Threefry's, whatever JAX's default is: what others draw depends on the lanes beside."""
    return jax.random.key(seed, impl="threefry2x32")


def at_point(work: Work, seed: jax.Array, point: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
    """The function's outputs at one point, by name."""
    # The barriers keep the lanes' code apart from what surrounds it, and so the same everywhere.
    arguments = dict(jax.lax.optimization_barrier(point))
    if work.shared:
        arguments["key"] = _key(seed)
    elif SEED in arguments:
        key = _key(arguments.pop(SEED))
        for name in [] if work.paired else sorted(arguments):
            for word in _words(arguments[name]):
                key = jax.random.fold_in(key, word)
        arguments["key"] = key
    outputs = _by_name(work.fn(**arguments))
    arrays = {name: _as_array(name, output) for name, output in outputs.items()}
    fenced: dict[str, jax.Array] = jax.lax.optimization_barrier(arrays)
    return fenced


def _by_name(outputs: Any) -> Mapping[str, Any]:
    """What a function returns, by name: a mapping, a named tuple, or one array, the result."""
    if isinstance(outputs, Mapping):
        return outputs
    if (fields := getattr(outputs, "_asdict", None)) is not None:
        return dict(fields())
    if isinstance(outputs, tuple | list):  # fields of one shape would become one array
        raise TypeError(
            f"the function returned a {type(outputs).__name__} of {len(outputs)}: must return an "
            "array, or several by name, as a dict or a named tuple"
        )
    return {"result": outputs}


def _as_array(name: Any, output: Any) -> jax.Array:
    try:
        if isinstance(name, str):
            return jnp.asarray(output)
    except (TypeError, ValueError):
        pass
    raise TypeError(
        f"the function's output {name!r} is {output!r}: must be an array, and its name a string"
    )


def _words(value: jax.Array) -> list[jax.Array]:
    """The bits of a coordinate as 32-bit words."""
    words = jnp.atleast_1d(jax.lax.bitcast_convert_type(value, jnp.uint32))
    return [words[i] for i in range(words.shape[0])]


def coordinate_dtype(work: Work, name: str) -> Any:
    """The dtype in which an axis reaches the function."""
    return np.dtype(np.int32 if work.integers[name] else work.dtype)

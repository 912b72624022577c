"""A sweep's function as one compiled program: vmapped over lanes, the lanes over devices."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from uuid import uuid4

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec

from adamlab.sweep.axes import SEED

_LANES = "lanes"


@dataclass(frozen=True)
class Work:
    """What every block of a sweep has in common; it travels to the workers."""

    fn: Callable[..., Any] = field(compare=False)
    integers: Mapping[str, bool] = field(compare=False)
    """For each axis, whether its values are whole numbers."""
    paired: bool = field(compare=False)
    dtype: str = field(compare=False)
    """float32 or float64: what JAX's floats are, in the workers as well."""
    token: str = field(default_factory=lambda: uuid4().hex)
    """Tells one sweep's work from another's, after pickling too."""


@dataclass(frozen=True)
class Program:
    """A compiled block of `lanes` points."""

    call: Callable[..., Any]
    lanes: int
    outputs: Mapping[str, jax.ShapeDtypeStruct]
    """Shape and dtype of each output at one point."""
    memory: int
    """Bytes that all devices together need for the block, by the program's own analysis."""


def run_block(work: Work, coordinates: Mapping[str, np.ndarray], lanes: int) -> dict[str, Any]:
    """Compute the points at `coordinates`, at most `lanes` of them: arrays by output name."""
    points = len(next(iter(coordinates.values())))
    program = compile_program(work, lanes)
    with jax.enable_x64(work.dtype == "float64"):
        padded = {
            name: np.pad(values, (0, program.lanes - points), mode="edge").astype(
                _dtype(work, name)
            )
            for name, values in coordinates.items()
        }
        outputs = program.call(padded)
        return {name: np.asarray(value)[:points] for name, value in outputs.items()}


@lru_cache(maxsize=4)
def compile_program(work: Work, lanes: int) -> Program:
    """Compile `work` for at least `lanes` points: as many as fill all devices evenly."""
    with jax.enable_x64(work.dtype == "float64"):
        devices = jax.devices()
        lanes = -(-lanes // len(devices)) * len(devices)
        spread = PartitionSpec(_LANES)
        mesh = Mesh(np.array(devices), (_LANES,))
        mapped = jax.shard_map(
            jax.vmap(lambda values: _at_point(work, values)),
            mesh=mesh, in_specs=spread, out_specs=spread, check_vma=False,
        )  # fmt: skip
        points = {
            name: jax.ShapeDtypeStruct((lanes,), _dtype(work, name)) for name in work.integers
        }
        lowered = jax.jit(mapped).lower(points)
        compiled = lowered.compile()
        analysis = compiled.memory_analysis()
        per_device = 0
        if analysis is not None:
            per_device = analysis.temp_size_in_bytes + analysis.output_size_in_bytes
        return Program(
            call=compiled,
            lanes=lanes,
            outputs={
                name: jax.ShapeDtypeStruct(out.shape[1:], out.dtype)
                for name, out in lowered.out_info.items()
            },
            memory=per_device * len(devices),
        )


def _at_point(work: Work, values: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
    arguments = dict(values)
    if SEED in arguments:
        seed = arguments.pop(SEED)
        key = jax.random.key(seed)
        if not work.paired:
            for name in sorted(arguments):
                for word in _words(arguments[name]):
                    key = jax.random.fold_in(key, word)
        arguments["key"] = key
    outputs = work.fn(**arguments)
    if not isinstance(outputs, Mapping):
        outputs = {"result": outputs}
    return {name: _as_array(name, output) for name, output in outputs.items()}


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


def _dtype(work: Work, name: str) -> Any:
    return np.dtype(np.int32 if work.integers[name] else work.dtype)

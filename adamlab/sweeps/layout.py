"""What a store begins with: its arrays, empty, and what determines the sweep."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from adamlab.sweeps.outputs import DONE, not_computed, own_dims, signature
from adamlab.sweeps.plan import Plan

if TYPE_CHECKING:
    import zarr

FORMAT = 2


def lay_out(
    group: zarr.Group,
    plan: Plan,
    outputs: Mapping[str, jax.ShapeDtypeStruct],
    settings: Mapping[str, Any],
    attributes: Mapping[str, Any],
    dims: Mapping[str, Mapping[str, Any]],
) -> None:
    """Make the empty arrays of a sweep in `group`: its axes, its outputs, a flag for each block."""
    from zarr.codecs import Crc32cCodec, ZstdCodec

    axes = tuple(plan.axes)
    for name, values in plan.axes.items():
        _lay_out_coordinates(group, name, values)
    for name, output in outputs.items():
        own = own_dims(name, output, dims)
        for dim, values in own.items():
            if dim not in group:
                _lay_out_coordinates(group, dim, values)
        group.create_array(
            name,
            shape=plan.shape + output.shape,
            chunks=plan.block + tuple(max(n, 1) for n in output.shape),
            dtype=output.dtype,
            compressors=(ZstdCodec(), Crc32cCodec()),
            fill_value=not_computed(output.dtype),
            dimension_names=axes + tuple(own),
        )
    group.create_array(
        DONE,
        shape=plan.blocks_shape,
        chunks=(1,) * len(axes),
        dtype="bool",
        fill_value=False,
        dimension_names=tuple(f"{name}_block" for name in axes),
    )
    group.attrs.update(
        adamlab_store=FORMAT,
        axes=list(axes),
        block=list(plan.block),
        lanes=plan.lanes,
        outputs=signature(outputs),
        settings=json.loads(json.dumps(settings)),
        **attributes,
    )


def _lay_out_coordinates(group: zarr.Group, name: str, values: np.ndarray) -> None:
    """An array with the coordinates along the axis `name`, in files even where all of them are 0.

    A file that is not there is then damage.
    """
    config: Any = {"write_empty_chunks": True}
    data = np.asarray(values)
    if data.dtype.kind == "U":  # Zarr has no stable form for texts of one length
        data = data.astype(np.dtypes.StringDType())
    group.create_array(name, data=data, dimension_names=(name,), config=config)

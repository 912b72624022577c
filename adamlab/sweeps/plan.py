"""Plan: a grid cut into equal rectangular blocks, each one call of the compiled program."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from adamlab.sweeps.axes import Axes


@dataclass(frozen=True)
class Plan:
    """A grid and the block it is cut into; blocks at the far edges may stick out."""

    axes: Axes
    block: tuple[int, ...]
    """Length of a block along each axis."""
    lanes: int
    """Points that a device computes at once."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of the grid along each axis."""
        return tuple(len(values) for values in self.axes.values())

    @property
    def points(self) -> int:
        """Number of points in the grid."""
        return math.prod(self.shape)

    @property
    def blocks_shape(self) -> tuple[int, ...]:
        """Number of blocks along each axis."""
        return tuple(-(-n // b) for n, b in zip(self.shape, self.block, strict=True))

    @property
    def blocks_count(self) -> int:
        """Number of blocks."""
        return math.prod(self.blocks_shape)

    def blocks(self) -> Iterator[tuple[int, ...]]:
        """The place of every block, in order."""
        yield from np.ndindex(self.blocks_shape)

    def region(self, place: tuple[int, ...]) -> tuple[slice, ...]:
        """The part of the grid that the block at `place` covers."""
        return tuple(
            slice(i * b, min((i + 1) * b, n))
            for i, b, n in zip(place, self.block, self.shape, strict=True)
        )

    def region_shape(self, place: tuple[int, ...]) -> tuple[int, ...]:
        """Number of points along each axis of the block at `place`."""
        return tuple(part.stop - part.start for part in self.region(place))

    def values(self, place: tuple[int, ...]) -> dict[str, np.ndarray]:
        """The part of each axis that the block at `place` covers."""
        parts = zip(self.axes.items(), self.region(place), strict=True)
        return {name: values[part] for (name, values), part in parts}


def cut(axes: Axes, most: int, lanes: int | None, devices: int, outer: str | None = None) -> Plan:
    """The plan whose blocks hold at most `most` points.

    The axis `outer`, along which a block's points come one after the other, is cut first, then the
    others from the first to the last; each into pieces of nearly equal length, so that the last
    block wastes little. Lanes that are None are each device's share of the points side by side.
    """
    names = [name for name in axes if name == outer] + [name for name in axes if name != outer]
    room, block = max(most, 1), {}
    for name in reversed(names):
        length = len(axes[name])
        pieces = -(-length // min(room, length))
        block[name] = -(-length // pieces)
        room //= block[name]  # 1 after an axis that is cut
    if lanes is None:
        side_by_side = math.prod(length for name, length in block.items() if name != outer)
        lanes = -(-side_by_side // devices)
    return Plan(axes, tuple(block[name] for name in axes), lanes)

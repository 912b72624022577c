"""box_dimension: how rough a boundary in a map is, and what a smooth one would give there."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from adamlab._checks import check_count
from adamlab.analysis._slope import slope

_SMALLEST = 2
_SHARE = 8
"""By default the largest box is the image's shorter side over this."""


class BoxDimension(NamedTuple):
    """The slope of log N against log(1 / size), and what it was fitted to."""

    dimension: float
    standard_error: float
    """Of the slope, from the counts' scatter about the line. It leaves out the estimator's bias,
    for which see `null_dimension`."""
    sizes: np.ndarray
    """Sides of the boxes in pixels, ascending powers of two."""
    counts: np.ndarray
    """Mean number of boxes that hold a pixel that is set, over all positions of their grid."""


def boundary_corners(converged: Any) -> np.ndarray:
    """The corners at which four pixels meet that are not all alike.

    Source: J. Sohl-Dickstein 2024, the notebook of arXiv 2402.06184.

    Args:
        converged: shape (rows, columns), boolean.

    Returns:
        shape (rows - 1, columns - 1), boolean.

    Raises:
        ValueError: `converged` is not such an array.
    """
    kind = _image("converged", converged)
    above, below = kind[:-1], kind[1:]
    some, every = above | below, above & below
    return (some[:, :-1] | some[:, 1:]) & ~(every[:, :-1] & every[:, 1:])


def box_dimension(
    boundary: Any, *, least: int = 500, smallest: int = _SMALLEST, largest: int | None = None
) -> BoxDimension:
    """The box-counting dimension of the pixels that are set, over a range of box sizes.

    N(size) is the mean over all positions of the grid of boxes, each as likely, which removes the
    chance in how a boundary lies relative to one grid. Boxes have their middles in the image: those
    over an edge count as if the image went on as its reflection. The slope is by least squares,
    with equal weights.

    A set that fills the image has 2. The corners along a straight border (`boundary_corners`) have
    1 to 1.01, whatever its slope; a line of single pixels has 1 along the axes and less where it is
    slanted, .95 on the diagonal of 1024 x 1024. Compare with `null_dimension`.

    Source: K. Falconer, Fractal Geometry, 3rd ed. 2014, sections 2.1 and 2.4.

    Args:
        boundary: shape (rows, columns), boolean.
        least: the fewest pixels set that a slope is fitted to, >= 1.
        smallest: the smallest box, in pixels; sizes are the powers of two from it on.
        largest: the largest box; None for an eighth of the shorter side.

    Raises:
        ValueError: fewer than `least` pixels are set, fewer than three sizes are in the range,
            or `boundary` is not such an array.
        TypeError: a number is not an integer.
    """
    image = _image("boundary", boundary)
    check_count("least", least)
    set_pixels = int(image.sum())
    if set_pixels < least:
        raise ValueError(
            f"boundary={set_pixels} pixels set: must be >= {least} (least); a dimension of fewer "
            "is chance; raise the map's resolution"
        )
    sizes = _sizes("boundary", image.shape, smallest, largest)
    counts = np.array([_mean_boxes(image, int(size)) for size in sizes])
    x, y = -np.log(sizes), np.log(counts)
    dimension = slope(x, y)
    error = np.sqrt((y - dimension * x).var() / x.var() / (len(x) - 2))
    return BoxDimension(dimension, float(error), sizes, counts)


def null_dimension(
    shape: tuple[int, int],
    *,
    pixels: int | None = None,
    smallest: int = _SMALLEST,
    largest: int | None = None,
) -> BoxDimension:
    """What `box_dimension` gives for the boundary of a disc, whose dimension is 1.

    The excess over 1 is the estimator's bias at this resolution for one smooth, wide curve. Other
    smooth borders have more: one with many bends in the image, or along the image's edge (up to
    1.2). So a dimension above this is needed for roughness, but does not prove it.

    Args:
        shape: (rows, columns) of the image.
        pixels: about how many corners the disc's boundary has, as far as one fits: its radius is
            between the largest box and 0.4 of the shorter side. None for the largest.
        smallest: as for `box_dimension`.
        largest: as for `box_dimension`.

    Raises:
        ValueError, TypeError: as for `box_dimension`, and `pixels` is below 1.
    """
    if len(shape) != 2:
        raise ValueError(f"shape={shape!r}: must be (rows, columns)")
    for length in shape:
        check_count("shape", length)
    corners = tuple(length - 1 for length in shape)
    sizes = _sizes(f"shape={tuple(shape)}: a boundary", corners, smallest, largest)
    most = 0.4 * min(shape)
    radius = most
    if pixels is not None:
        check_count("pixels", pixels)
        # A circle crosses 4 diameters of rows and columns, and a corner's square at each crossing.
        radius = min(max(pixels / 8, float(sizes[-1])), most)
    row, column = np.indices(shape)
    disc = np.hypot(row - shape[0] / 2 - 0.3, column - shape[1] / 2 - 0.2) < radius
    return box_dimension(boundary_corners(disc), least=1, smallest=smallest, largest=largest)


def boundary_slopes(converged: Any) -> np.ndarray:
    """The dimension of the boundary at each size of box: where log N has which slope.

    Sizes are the powers of two from 2 on that fit the corners; the slopes are by differences to
    the neighbouring sizes. One map holds few sizes; over maps that enlarge one place more and
    more, the median of all slopes is the dimension there.

    Source: J. Sohl-Dickstein 2024, the notebook of arXiv 2402.06184.

    Args:
        converged: shape (rows, columns), boolean; at least 9 of each.

    Returns:
        shape (sizes,): the slopes, smallest boxes first; NaN where no pixels differ.

    Raises:
        ValueError: `converged` is not such an array.
    """
    corners = boundary_corners(converged)
    shorter = min(corners.shape)
    if shorter < 8:
        rows, columns = np.shape(converged)
        raise ValueError(f"converged has shape ({rows}, {columns}): must be at least 9 x 9")
    if not corners.any():
        return np.full(len(_sizes("converged", corners.shape, _SMALLEST, shorter)), np.nan)
    found = box_dimension(corners, least=1, largest=shorter)
    slopes: np.ndarray = -np.gradient(np.log(found.counts), np.log(found.sizes))
    return slopes


def _mean_boxes(image: np.ndarray, size: int) -> float:
    """The mean number of boxes with a pixel in them: the share of all places for a box that have
    one, times the number of boxes that the image holds."""
    before = size // 2
    wide = np.pad(image, ((before, size - before - 1),) * 2)
    total = np.pad(wide.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    inside = total[size:, size:] - total[:-size, size:]
    inside -= total[size:, :-size] - total[:-size, :-size]
    return float((inside > 0).mean() * image.size / size**2)


def _sizes(name: str, shape: tuple[int, ...], smallest: int, largest: int | None) -> np.ndarray:
    """The powers of two in the range; errors say that they are of `name`."""
    check_count("smallest", smallest)
    if largest is not None:
        check_count("largest", largest, high=min(shape))
    most = min(shape) // _SHARE if largest is None else largest
    sizes = 2 ** np.arange(int(min(shape)).bit_length())
    sizes = sizes[(sizes >= smallest) & (sizes <= most)]
    if len(sizes) < 3:
        usual = f" (1/{_SHARE} of the shorter side)" if largest is None else ""
        raise ValueError(
            f"{name} of {shape[0]} x {shape[1]}, smallest={smallest} and largest={most}{usual}: "
            "must have at least three powers of two from smallest to largest"
        )
    return sizes


def _image(name: str, values: Any) -> np.ndarray:
    image = np.asarray(values)
    if image.ndim != 2 or image.size == 0 or image.dtype != bool:
        raise ValueError(
            f"{name} has shape {image.shape} and dtype {image.dtype}: must be (rows, columns), bool"
        )
    return image

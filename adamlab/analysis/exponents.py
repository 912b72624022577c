"""power_law: the exponent of y ~ x**k, with its interval over seeds."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from adamlab.analysis._slope import slope
from adamlab.analysis.intervals import Interval, bootstrap


class PowerLaw(NamedTuple):
    """y = factor * x**exponent."""

    exponent: Interval
    factor: float
    """y at x = 1."""
    r_squared: float
    """Share of the variance of log y that the law explains; 1 where y is constant."""

    def __str__(self) -> str:
        """The law in a line."""
        return f"{self.factor:.3g} * x**{self.exponent} (r2 {self.r_squared:.3g})"


def power_law(x: Any, y: Any, *, level: float = 0.95, seed: int = 0) -> PowerLaw:
    """The exponent k of y ~ x**k, by least squares of the median of log y over seeds.

    The interval is the percentile bootstrap's over seeds: whole curves are resampled, and the
    median and the fit are redone. It says how certain the exponent is given the law, not whether
    the law holds: for that look at `r_squared` and at the curve. An error that all seeds share is
    not in it, such as that of best rates read off a coarse grid: refine those (`refined_argmin`).

    Args:
        x: shape (n,), positive, of at least two different values.
        y: shape (seeds, n), or (n,) for a single curve, whose interval has no width; positive.
        level: the share of resamples within the interval, in (0, 1).
        seed: of the bootstrap.

    Raises:
        ValueError: a shape is not as above, a value is not finite and positive, x is constant, or
            `level` is out of range.
        TypeError: `level` is not a number or `seed` not an integer.
    """
    at, curves = _positive("x", x), np.atleast_2d(_positive("y", y))
    if at.ndim != 1 or len(set(at.tolist())) < 2:
        raise ValueError(f"x={at.tolist()}: must be at least two different values, shape (n,)")
    if curves.ndim != 2 or curves.shape[1] != len(at):
        raise ValueError(
            f"y has shape {np.shape(y)}: must be (seeds, {len(at)}) or ({len(at)},), as x"
        )
    log_x, log_curves = np.log(at), np.log(curves)

    def exponent(samples: np.ndarray, axis: int = 0) -> float:
        return slope(log_x, np.median(samples, axis=axis))

    interval = bootstrap(log_curves, exponent, level=level, seed=seed)
    log_y = np.median(log_curves, axis=0)
    rest = log_y - interval.value * log_x
    r_squared = 1.0 if (log_y == log_y[0]).all() else float(1 - rest.var() / log_y.var())
    return PowerLaw(interval, float(np.exp(rest.mean())), r_squared)


def _positive(name: str, values: Any) -> np.ndarray:
    array = np.asarray(values, dtype=np.float64)
    bad = array[~(np.isfinite(array) & (array > 0))]
    if array.size == 0 or bad.size:
        what = f"={bad.flat[0]:g} among them" if bad.size else f" has shape {array.shape}"
        raise ValueError(f"{name}{what}: must be finite numbers > 0")
    return array

"""Analysis: numbers made of finished runs, and of a loss where a run stands, each with its error.

Nothing here trains. What takes arrays is NumPy in float64; what takes a loss is pure JAX.
"""

from adamlab.analysis.curvature import (
    adam_stability_threshold,
    preconditioned_sharpness,
    top_eigenvalue,
)
from adamlab.analysis.exponents import PowerLaw, power_law
from adamlab.analysis.intervals import Interval, bootstrap
from adamlab.analysis.optimum import refined_argmin

__all__ = [
    "Interval",
    "PowerLaw",
    "adam_stability_threshold",
    "bootstrap",
    "power_law",
    "preconditioned_sharpness",
    "refined_argmin",
    "top_eigenvalue",
]

"""Analysis: numbers made of finished runs, and of a loss where a run stands, each with its error.

Nothing here trains. What takes arrays is NumPy in float64; what takes a loss is pure JAX.
"""

from adamlab.analysis.exponents import PowerLaw, power_law
from adamlab.analysis.intervals import Interval, bootstrap
from adamlab.analysis.optimum import refined_argmin

__all__ = [
    "Interval",
    "PowerLaw",
    "bootstrap",
    "power_law",
    "refined_argmin",
]

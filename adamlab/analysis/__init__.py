"""Analysis of finished runs, and of a loss at given parameters, with error estimates.

Nothing here trains. Functions of arrays are NumPy in float64; functions of a loss are pure JAX.
"""

import typing

from adamlab.analysis.box_counting import (
    BoxDimension,
    boundary_corners,
    boundary_slopes,
    box_dimension,
    null_dimension,
)
from adamlab.analysis.curvature import (
    adam_stability_threshold,
    hessian_diagonal,
    preconditioned_sharpness,
    top_eigenvalue,
)
from adamlab.analysis.exponents import PowerLaw, power_law
from adamlab.analysis.intervals import Interval, bootstrap
from adamlab.analysis.noise import NoiseScale, gradient_noise_scale, noise_scale
from adamlab.analysis.optimum import refined_argmin
from adamlab.analysis.separability import Separability, separability

__all__ = [
    "BoxDimension",
    "Interval",
    "NoiseScale",
    "PowerLaw",
    "Separability",
    "adam_stability_threshold",
    "bootstrap",
    "boundary_corners",
    "boundary_slopes",
    "box_dimension",
    "gradient_noise_scale",
    "hessian_diagonal",
    "noise_scale",
    "null_dimension",
    "power_law",
    "preconditioned_sharpness",
    "refined_argmin",
    "separability",
    "top_eigenvalue",
]

if not typing.TYPE_CHECKING:  # or a type checker would accept any name
    from adamlab._lookup import lookup as _lookup

    __getattr__ = _lookup("adamlab.analysis", __all__)

"""The fixed parameters, gradients and Hessian diagonals that every reference is run on."""

from __future__ import annotations

import numpy as np

Params = dict[str, np.ndarray]

STEPS = 60
SAVED = (1, 2, 3, 5, 10, 20, 40, 60)
SHAPES = {"w": (4, 6), "b": (6,)}


def _start() -> Params:
    """Normal values pushed away from zero, so that no ratio with a parameter blows up."""
    rng = np.random.default_rng(0)
    draws = {name: rng.normal(size=shape) for name, shape in SHAPES.items()}
    return {name: x + np.copysign(0.1, x) for name, x in draws.items()}


def _gradients() -> Params:
    """Normal draws over four orders of magnitude, from the first element of a leaf to its last."""
    rng = np.random.default_rng(1)
    scales = {
        name: np.geomspace(1e-3, 1e1, np.prod(shape)).reshape(shape)
        for name, shape in SHAPES.items()
    }
    return {name: rng.normal(size=(STEPS, *shape)) * scales[name] for name, shape in SHAPES.items()}


def _hessian_diagonals() -> Params:
    """Mostly positive, sometimes negative, of the size of one."""
    rng = np.random.default_rng(2)
    return {name: rng.normal(0.5, 1.0, size=(STEPS, *shape)) for name, shape in SHAPES.items()}


START = _start()
GRADIENTS = _gradients()
HESSIAN_DIAGONALS = _hessian_diagonals()
LEARNING_RATES = 1e-2 * (1.0 - np.arange(STEPS) / (2 * STEPS))
"""For the few references run under a schedule: from 1e-2 linearly towards 5e-3."""


def gradient(step: int) -> Params:
    """The gradient of a step, counted from zero."""
    return {name: g[step].copy() for name, g in GRADIENTS.items()}


def hessian_diagonal(step: int) -> Params:
    """The diagonal of the Hessian of a step, counted from zero."""
    return {name: h[step].copy() for name, h in HESSIAN_DIAGONALS.items()}

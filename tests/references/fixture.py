"""The fixed parameters, gradients and Hessian diagonals that every reference is run on."""

from __future__ import annotations

import numpy as np

Params = dict[str, np.ndarray]

STEPS = 60
SAVED = (1, 2, 3, 5, 10, 20, 40, 60)
SHAPES = {"w": (4, 6), "b": (6,)}
BLOCKS_SHAPES = {"blocks": (4096,)}
FULL_RANK_SHAPES = {"square": (4, 4), "cube": (2, 3, 4), "long": (9, 3), "vector": (6,)}


def _start(shapes: dict[str, tuple[int, ...]]) -> Params:
    """Normal values pushed away from zero, so that no ratio with a parameter blows up."""
    rng = np.random.default_rng(0)
    draws = {name: rng.normal(size=shape) for name, shape in shapes.items()}
    return {name: x + np.copysign(0.1, x) for name, x in draws.items()}


def _gradients() -> Params:
    """Normal draws over four orders of magnitude, from the first element of a leaf to its last."""
    rng = np.random.default_rng(1)
    scales = {
        name: np.geomspace(1e-3, 1e1, np.prod(shape)).reshape(shape)
        for name, shape in SHAPES.items()
    }
    return {name: rng.normal(size=(STEPS, *shape)) * scales[name] for name, shape in SHAPES.items()}


def _full_rank_gradients() -> Params:
    """Normal draws whose scale is a leaf's and a step's, over six orders of magnitude.

    The products of a gradient with itself along any axis shorter than 8 are then far from singular:
    an eigenbasis of singular ones is anyone's choice, and of nearly singular ones it is known to
    few digits.
    """
    rng = np.random.default_rng(3)
    found = {}
    for (name, shape), scale in zip(FULL_RANK_SHAPES.items(), (10, 1e-3, 1, 0.1), strict=True):
        steps = 10 ** rng.uniform(-1, 1, size=(STEPS, *[1 for _ in shape]))
        found[name] = rng.normal(size=(STEPS, *shape)) * scale * steps
    return found


def _blocks_gradients() -> Params:
    """Normal draws over four orders of magnitude along a leaf, a fifth of one within a block."""
    rng = np.random.default_rng(4)
    (shape,) = BLOCKS_SHAPES.values()
    return {"blocks": rng.normal(size=(STEPS, *shape)) * np.geomspace(1e-3, 1e1, *shape)}


def _hessian_diagonals() -> Params:
    """Mostly positive, sometimes negative, of the size of one."""
    rng = np.random.default_rng(2)
    return {name: rng.normal(0.5, 1.0, size=(STEPS, *shape)) for name, shape in SHAPES.items()}


START = _start(SHAPES)
GRADIENTS = _gradients()
HESSIAN_DIAGONALS = _hessian_diagonals()
FULL_RANK_START = _start(FULL_RANK_SHAPES)
FULL_RANK_GRADIENTS = _full_rank_gradients()
"""For the references that look for eigenvectors, which turn no side longer than 8."""
BLOCKS_START = _start(BLOCKS_SHAPES)
BLOCKS_GRADIENTS = _blocks_gradients()
"""For 8-bit storage, which leaves smaller leaves alone."""
SHOWN = slice(None, None, 16)
"""The elements of that leaf that are stored."""
STARTS = {**START, **FULL_RANK_START, "blocks": BLOCKS_START["blocks"][SHOWN]}
LEARNING_RATES = 1e-2 * (1.0 - np.arange(STEPS) / (2 * STEPS))
"""For the few references run under a schedule: from 1e-2 linearly towards 5e-3."""


def gradient(step: int, gradients: Params = GRADIENTS) -> Params:
    """The gradient of a step, counted from zero."""
    return {name: g[step].copy() for name, g in gradients.items()}


def hessian_diagonal(step: int) -> Params:
    """The diagonal of the Hessian of a step, counted from zero."""
    return {name: h[step].copy() for name, h in HESSIAN_DIAGONALS.items()}

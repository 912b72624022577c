"""The slope of a line through points."""

from __future__ import annotations

import numpy as np


def slope(x: np.ndarray, y: np.ndarray) -> float:
    """The slope of the least-squares line of y against x, both of shape (n,)."""
    across = x - x.mean()
    return float(across @ (y - y.mean()) / (across @ across))

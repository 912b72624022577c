"""A sweep in a process of its own, to be killed: python killed_sweep.py STORE."""

from __future__ import annotations

import sys

import numpy as np
from sweep_functions import walk

import adamlab as al

AXES = {
    "rate": np.geomspace(1e-3, 1, 40),
    "decay": np.linspace(0.1, 0.99, 6),
    "seed": [0, 3],
}
BLOCKS = 40 * 6 * 2


def run(store: str | None) -> object:
    return al.sweep(walk, AXES, store=store, resume=True, block=1)


if __name__ == "__main__":
    run(sys.argv[1])

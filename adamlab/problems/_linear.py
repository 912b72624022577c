"""One dense layer as a plain dict, initialised like PyTorch's `Linear`."""

from __future__ import annotations

import jax

Layer = dict[str, jax.Array]


def linear(key: jax.Array, inputs: int, outputs: int) -> Layer:
    """A `kernel` (inputs, outputs) and a `bias` (outputs,), uniform in +-1 / sqrt(inputs)."""
    bound = inputs**-0.5
    drawn = jax.random.uniform(key, (inputs + 1, outputs), minval=-bound, maxval=bound)
    return {"kernel": drawn[:-1], "bias": drawn[-1]}


def apply_linear(layer: Layer, rows: jax.Array) -> jax.Array:
    """The layer's outputs (rows, outputs) for `rows` of inputs (rows, inputs)."""
    return rows @ layer["kernel"] + layer["bias"][None, :]

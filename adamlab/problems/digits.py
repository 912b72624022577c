"""digits-mlp: a small network on real images of handwritten digits."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from adamlab._checks import check_count
from adamlab.problems._problem import Problem

_TRAIN, _PROBE = 1437, 128
_CLASSES = 10


def digits_mlp(hidden: int = 32, batch_size: int = 64) -> Problem:
    """A 64-`hidden`-10 ReLU network, cross-entropy, on the 8 x 8 digits that scikit-learn ships.

    The data are 1,797 images (Alpaydin & Kaynak 1998, UCI), pixels scaled to [0, 1] times
    `feature_scale`; four fifths train, one fifth tests, split once and for all. Batches are drawn
    with replacement. The objective is the mean loss over 128 training images; a run counts as
    converged once it is at 0.1. Metrics: `test_accuracy`, in [0, 1].

    Raises:
        TypeError: `hidden` or `batch_size` is not an integer.
        ValueError: one of them is below 1.
    """
    check_count("hidden", hidden)
    check_count("batch_size", batch_size)
    return Problem(
        name="digits-mlp"
        if (hidden, batch_size) == (32, 64)
        else (f"digits-mlp(hidden={hidden}, batch_size={batch_size})"),
        init=partial(_init, hidden),
        loss=partial(_loss, hidden),
        batch=partial(_batch, batch_size),
        objective=partial(_objective, hidden),
        metrics=partial(_metrics, hidden),
        target=0.1,
        hyperparameters={"feature_scale": 1.0},
        description=f"64-{hidden}-10 ReLU network on scikit-learn's digits, batch {batch_size}",
    )


@lru_cache(maxsize=1)
def _data() -> tuple[np.ndarray, np.ndarray]:
    """Images in [0, 1] and labels, in an order fixed for good: training ones first."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))
    return digits.data[order] / 16.0, digits.target[order].astype(np.int32)


def _images(part: slice) -> tuple[jax.Array, jax.Array]:
    images, labels = _data()
    return jnp.asarray(images[part], jnp.result_type(float)), jnp.asarray(labels[part])


@lru_cache(maxsize=8)
def _network(hidden: int) -> tuple[Any, Any]:
    """How to build the network and, from its parameters, the network again."""
    from flax import nnx

    class MLP(nnx.Module):
        """Linear, ReLU, linear."""

        def __init__(self, rngs: nnx.Rngs) -> None:
            dtype = jnp.result_type(float)
            self.inner = nnx.Linear(64, hidden, param_dtype=dtype, rngs=rngs)
            self.outer = nnx.Linear(hidden, _CLASSES, param_dtype=dtype, rngs=rngs)

        def __call__(self, images: jax.Array) -> jax.Array:
            return self.outer(nnx.relu(self.inner(images)))

    def init(key: jax.Array) -> Any:
        return nnx.to_pure_dict(nnx.split(MLP(nnx.Rngs(key)), nnx.Param)[1])

    structure = nnx.split(nnx.eval_shape(lambda: MLP(nnx.Rngs(0))), nnx.Param)[0]

    def apply(params: Any, images: jax.Array) -> jax.Array:
        return nnx.merge(structure, params)(images)

    return init, apply


def _init(hidden: int, key: jax.Array, **_: Any) -> Any:
    return _network(hidden)[0](key)


def _batch(
    batch_size: int, key: jax.Array, step: jax.Array, *, feature_scale: jax.Array
) -> tuple[jax.Array, jax.Array]:
    del step
    images, labels = _images(slice(_TRAIN))
    rows = jax.random.randint(key, (batch_size,), 0, _TRAIN)
    return images[rows] * feature_scale, labels[rows]


def _loss(hidden: int, params: Any, batch: tuple[jax.Array, jax.Array], **_: Any) -> jax.Array:
    images, labels = batch
    logits = _network(hidden)[1](params, images)
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


def _objective(hidden: int, params: Any, *, feature_scale: jax.Array) -> jax.Array:
    images, labels = _images(slice(_PROBE))
    return _loss(hidden, params, (images * feature_scale, labels))


def _metrics(hidden: int, params: Any, *, feature_scale: jax.Array) -> Mapping[str, jax.Array]:
    images, labels = _images(slice(_TRAIN, None))
    guesses = _network(hidden)[1](params, images * feature_scale).argmax(axis=-1)
    return {"test_accuracy": (guesses == labels).mean(dtype=images.dtype)}

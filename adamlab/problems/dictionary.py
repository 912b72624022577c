"""dictionary-learning: an autoencoder through a dictionary, on data without structure."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from adamlab.problems._linear import Layer, apply_linear, linear
from adamlab.problems._problem import Problem, Range

_SAMPLES, _FEATURES, _CODES, _RANK = 100, 10, 8, 5

Parameters = dict[str, Any]
"""`encoder` and `decoder`, each a `kernel` and a `bias`, and `dictionary`: an array."""


class Samples(NamedTuple):
    """What a run learns from."""

    rows: jax.Array
    """Shape (samples, features)."""
    floor: jax.Array
    """The least mean square that any affine reconstruction of rank 5 leaves: by PCA."""


def dictionary_learning() -> Problem:
    """Reconstruct 100 Gaussian samples of 10 features through 8 ReLU codes and 5 dimensions.

    `codes = relu(encoder(x))`, `reconstruction = decoder(dictionary @ codes)`, where the encoder
    is 10 -> 8, the dictionary 5 x 8 (a column is an atom) and the decoder 5 -> 10. The loss is
    the mean square over all entries, plus `l1` times the sum of the absolute codes of all
    samples. Every step sees all samples, drawn from N(0, 1) once a run. Layers are initialised like
    PyTorch's `Linear`, the dictionary from N(0, 1).

    A reconstruction has rank 5, so no run can leave less than the mean square that PCA leaves: its
    `floor`. The objective is the loss minus that floor, so 0 is a lower bound of it.

    Metrics: `mse`, the mean square alone; `floor`; `largest_atom` and `smallest_atom`, lengths of
    atoms; `atom_spread`, log10 of their ratio; `dead_codes`, codes that are 0 for every sample.
    """
    return Problem(
        name="dictionary-learning",
        init=_init,
        loss=_loss,
        data=_data,
        objective=_objective,
        metrics=_metrics,
        tolerance=0.05,
        hyperparameters={"l1": 0.0},
        ranges={"l1": Range(0)},
        description="a 10-8-5-10 autoencoder with a dictionary, on 100 Gaussian samples",
    )


def _init(key: jax.Array, **_: Any) -> Parameters:
    encoder_key, dictionary_key, decoder_key = jax.random.split(key, 3)
    return {
        "encoder": linear(encoder_key, _FEATURES, _CODES),
        "dictionary": jax.random.normal(dictionary_key, (_RANK, _CODES)),
        "decoder": linear(decoder_key, _RANK, _FEATURES),
    }


def _data(key: jax.Array, **_: Any) -> Samples:
    rows = jax.random.normal(key, (_SAMPLES, _FEATURES))
    centred = rows - rows.mean(axis=0, keepdims=True)
    # In ascending order: the first are the directions that PCA drops.
    squares = jnp.matmul(centred.T, centred, precision="highest")
    variances = jnp.linalg.eigvalsh(squares / _SAMPLES)
    return Samples(rows, variances[: _FEATURES - _RANK].sum() / _FEATURES)


def _codes(encoder: Layer, rows: jax.Array) -> jax.Array:
    return jax.nn.relu(apply_linear(encoder, rows))


def _mean_square(params: Parameters, codes: jax.Array, rows: jax.Array) -> jax.Array:
    return jnp.mean((apply_linear(params["decoder"], codes @ params["dictionary"].T) - rows) ** 2)


def _loss(params: Parameters, samples: Samples, *, l1: jax.Array) -> jax.Array:
    codes = _codes(params["encoder"], samples.rows)
    return _mean_square(params, codes, samples.rows) + l1 * jnp.abs(codes).sum()


def _objective(params: Parameters, samples: Samples, *, l1: jax.Array) -> jax.Array:
    return _loss(params, samples, l1=l1) - samples.floor


def _metrics(params: Parameters, samples: Samples, **_: Any) -> dict[str, jax.Array]:
    codes = _codes(params["encoder"], samples.rows)
    atoms = jnp.linalg.norm(params["dictionary"], axis=0)
    return {
        "mse": _mean_square(params, codes, samples.rows),
        "floor": samples.floor,
        "largest_atom": atoms.max(),
        "smallest_atom": atoms.min(),
        "atom_spread": jnp.log10(atoms.max()) - jnp.log10(atoms.min()),
        "dead_codes": jnp.sum((codes == 0).all(axis=0)),
    }

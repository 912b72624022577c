"""Changes to a source's rows, to spoil them or to mend that.

They compose: `mislabelled(rescaled(wine()))` is wine in other units with wrong labels.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from adamlab._checks import check_choice, check_count
from adamlab.problems._problem import Range
from adamlab.problems._source import Data, Source, floating, shapes

_OUTLIER = 10.0


def _check_targets(source: Source, what: str, kind: Any) -> None:
    dtype = shapes(source).targets.dtype
    if not jnp.issubdtype(dtype, kind):
        raise ValueError(f"source={source.name!r}: must be {what}, not have {dtype} targets")


def few(source: Source, rows: int) -> Source:
    """Only the first `rows` train rows of `source`, few enough to overfit; all test rows.

    Raises:
        TypeError: `rows` is not an integer, or `source` not a `Source`.
        ValueError: `rows` is below 1, or more than there are.
    """
    check_count("rows", rows)
    there = len(shapes(source).inputs)
    if rows > there:
        raise ValueError(f"rows={rows}: must be <= {there}, the train rows of {source.name!r}")
    return source.then(f"{rows} rows", partial(_cut, rows))


def standardized(source: Source) -> Source:
    """Every feature of `source` shifted and scaled to mean 0 and deviation 1 over the train rows.

    A feature without variance is only shifted.
    """
    return source.then("standardized", _standardize)


def rescaled(source: Source) -> Source:
    """All features times `feature_scale`, and from first to last times 1 to `feature_ratio`."""
    above = {"feature_ratio": Range(0, open_low=True)}
    return source.then("rescaled", _rescale, above, feature_scale=1.0, feature_ratio=1.0)


def mislabelled(source: Source) -> Source:
    """Each train row gets, with probability `label_noise`, a class drawn from the others.

    Raises:
        TypeError: `source` is not a `Source`.
        ValueError: `source` is not of classes.
    """
    _check_targets(source, "of classes", jnp.integer)
    share = {"label_noise": Range(0, 1)}
    return source.then("mislabelled", partial(_mislabel, source.classes), share, label_noise=0.0)


def imbalanced(source: Source) -> Source:
    """The second half of the classes is rarer by the factor `imbalance`, among train rows.

    Rows are drawn with replacement, as many as there were; so too where it is 1, and of all rows
    63 % are among them. The test rows stay as they are.

    Raises:
        TypeError: `source` is not a `Source`.
        ValueError: `source` is not of classes.
    """
    _check_targets(source, "of classes", jnp.integer)
    above = {"imbalance": Range(0, open_low=True)}
    return source.then("imbalanced", partial(_resample, source.classes), above, imbalance=1.0)


def with_outliers(source: Source, kind: str = "targets") -> Source:
    """Each train row gets, with probability `outliers`, noise of ten standard deviations added.

    The noise is Gaussian, and the deviation that of the column.

    Args:
        source: a regression, if the targets are spoilt.
        kind: what is spoilt, "targets" or "inputs".

    Raises:
        TypeError: `source` is not a `Source`.
        ValueError: `kind` is neither, or the targets of `source` are classes.
    """
    check_choice("kind", kind, ("targets", "inputs"))
    if kind == "targets":
        _check_targets(source, "a regression", jnp.floating)
    share = {"outliers": Range(0, 1)}
    return source.then(f"outliers in {kind}", partial(_spoil, kind), share, outliers=0.0)


def _cut(rows: int, key: jax.Array, data: Data) -> Data:
    del key
    return data._replace(inputs=data.inputs[:rows], targets=data.targets[:rows])


def _standardize(key: jax.Array, data: Data) -> Data:
    del key
    # Seen from the first row: far from 0 a mean, and equal values' too, has an error of rounding.
    first = floating(data.inputs[:1])
    inputs, test_inputs = floating(data.inputs) - first, floating(data.test_inputs) - first
    mean = inputs.mean(axis=0, keepdims=True)
    # In units of a power of two: the squares of large or small numbers are no floats.
    size = jnp.abs(inputs - mean).max(axis=0, keepdims=True)
    unit = jnp.ldexp(jnp.ones_like(size), jnp.where(size > 0, jnp.frexp(size)[1] - 1, 0))
    deviation = ((inputs - mean) / unit).std(axis=0, keepdims=True) * unit
    deviation = jnp.where(deviation > 0, deviation, 1)
    return data._replace(
        inputs=(inputs - mean) / deviation, test_inputs=(test_inputs - mean) / deviation
    )


def _rescale(
    key: jax.Array, data: Data, *, feature_scale: jax.Array, feature_ratio: jax.Array
) -> Data:
    del key
    inputs, test_inputs = floating(data.inputs), floating(data.test_inputs)
    places = jnp.linspace(0.0, 1.0, inputs.shape[1], dtype=inputs.dtype)
    scale = jnp.asarray(feature_scale * feature_ratio**places, inputs.dtype)
    return data._replace(inputs=inputs * scale[None], test_inputs=test_inputs * scale[None])


def _mislabel(classes: int, key: jax.Array, data: Data, *, label_noise: jax.Array) -> Data:
    which, shift = jax.random.split(key)
    wrong = jax.random.uniform(which, data.targets.shape) < label_noise
    other = (data.targets + jax.random.randint(shift, data.targets.shape, 1, classes)) % classes
    return data._replace(targets=jnp.where(wrong, other, data.targets))


def _resample(classes: int, key: jax.Array, data: Data, *, imbalance: jax.Array) -> Data:
    rare = data.targets >= (classes + 1) // 2
    weights = jnp.where(rare, 1 / imbalance, 1.0)
    rows = jax.random.choice(key, len(weights), data.targets.shape, p=weights)
    return data._replace(inputs=data.inputs[rows], targets=data.targets[rows])


def _spoil(kind: str, key: jax.Array, data: Data, *, outliers: jax.Array) -> Data:
    which, size = jax.random.split(key)
    clean = floating(getattr(data, kind))
    spoilt = jax.random.uniform(which, (len(clean), *[1] * (clean.ndim - 1))) < outliers
    noise = _OUTLIER * clean.std(axis=0, keepdims=True) * jax.random.normal(size, clean.shape)
    return data._replace(**{kind: clean + jnp.where(spoilt, noise, 0.0)})

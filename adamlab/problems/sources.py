"""What supervised problems learn from: tables of real data, drawn data, and what spoils them.

A source is composed: `mislabelled(rescaled(wine()))` is wine in other units with wrong labels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from adamlab._checks import check_choice, check_count, check_number

_TRAIN_SHARE = 0.8
_OUTLIER = 10.0


class Data(NamedTuple):
    """Rows to learn from and rows to test on.

    Inputs have shape (rows, features); targets are int32 classes (rows,) or floats (rows, outputs).
    Integer targets are what makes a source one of classes.
    """

    inputs: Any
    targets: Any
    test_inputs: Any
    test_targets: Any


@dataclass(frozen=True)
class Source:
    """Where a run's data come from: `draw(key, **hyperparameters)` -> `Data`, once a run.

    The arrays may be NumPy's: `Source("mine", lambda key: Data(x, y, test_x, test_y), 20, 2)`.
    """

    name: str
    draw: Callable[..., Data]
    features: int
    outputs: int
    """Classes, or the width of a regression's targets."""
    hyperparameters: Mapping[str, float] = field(default_factory=dict)
    """What a sweep can vary about the data, with the defaults."""

    def then(self, name: str, change: Callable[..., Data], **hyperparameters: float) -> Source:
        """The source whose data go through `change(key, data, **hyperparameters)` as well."""
        return Source(
            f"{self.name}, {name}",
            partial(_then, self, change, tuple(hyperparameters)),
            self.features,
            self.outputs,
            {**self.hyperparameters, **hyperparameters},
        )


def _then(
    source: Source, change: Callable[..., Data], own: tuple[str, ...], key: jax.Array, **values: Any
) -> Data:
    first, second = jax.random.split(key)
    data = source.draw(first, **{name: values[name] for name in source.hyperparameters})
    return change(second, data, **{name: values[name] for name in own})


def shapes(source: Source) -> Data:
    """What `source` draws, as shapes and dtypes; JAX's backend is not started by it.

    Raises:
        TypeError: `source` is not a `Source`.
    """
    if not isinstance(source, Source):
        raise TypeError(f"source={source!r}: must be a Source, such as wine()")
    key = jax.eval_shape(jax.random.key, 0)
    found: Data = jax.eval_shape(source.draw, key, **source.hyperparameters)
    return found


def _check_targets(source: Source, what: str, kind: Any) -> None:
    dtype = shapes(source).targets.dtype
    if not jnp.issubdtype(dtype, kind):
        raise ValueError(f"source={source.name!r}: must be {what}, not have {dtype} targets")


def digits(pixels: int = 8) -> Source:
    """1,797 handwritten digits of `pixels` x `pixels`, values in [0, 1]; 1,437 of them train.

    scikit-learn's copy of Alpaydin & Kaynak 1998 (UCI), 8 x 8; any other size, such as the 28 of
    MNIST, is interpolated (cubic) from these.

    Raises:
        TypeError: `pixels` is not an integer.
        ValueError: `pixels` is below 2.
    """
    check_count("pixels", pixels, low=2)
    return Source(f"digits {pixels}x{pixels}", partial(_table, "digits", pixels), pixels**2, 10)


def wine() -> Source:
    """178 wines of 3 cultivars by 13 measurements in their own units; scikit-learn (UCI)."""
    return Source("wine", partial(_table, "wine", 0), 13, 3)


def breast_cancer() -> Source:
    """569 tumours, benign or not, by 30 measurements in their own units; scikit-learn (UCI)."""
    return Source("breast cancer", partial(_table, "breast_cancer", 0), 30, 2)


def diabetes() -> Source:
    """442 patients by 10 measurements in their own units; targets have mean 0 and deviation 1.

    scikit-learn (Efron et al. 2004), the unscaled table.
    """
    return Source("diabetes", partial(_table, "diabetes", 0), 10, 1)


def linear_data(samples: int = 100, features: int = 10, noise: float = 0.1) -> Source:
    """`samples` Gaussian inputs with targets `x @ w + noise`, `w ~ N(0, 1/features)`; 1,000 test.

    Other inputs and another `w` in each run.

    Raises:
        TypeError: `samples` or `features` is not an integer, `noise` not a number.
        ValueError: one of them is below 1, or `noise` below 0.
    """
    check_count("samples", samples)
    check_count("features", features)
    check_number("noise", noise, low=0, scheduled=False)
    return Source(
        f"linear {samples}x{features}", partial(_linear, samples, features, noise), features, 1
    )


def few(source: Source, rows: int) -> Source:
    """The first `rows` train rows of `source` alone, for something to overfit; all test rows.

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
    """All features times `feature_scale`; from the first to the last times 1 to `feature_ratio`."""
    return source.then("rescaled", _rescale, feature_scale=1.0, feature_ratio=1.0)


def mislabelled(source: Source) -> Source:
    """The share `label_noise` of the train rows has a class drawn at random from the others.

    Raises:
        TypeError: `source` is not a `Source`.
        ValueError: `source` is not of classes.
    """
    _check_targets(source, "of classes", jnp.integer)
    return source.then("mislabelled", partial(_mislabel, source.outputs), label_noise=0.0)


def imbalanced(source: Source) -> Source:
    """The second half of the classes is rarer than the first by `imbalance`, among train rows.

    Rows are drawn with replacement, as many as there were; the test rows stay as they are.

    Raises:
        TypeError: `source` is not a `Source`.
        ValueError: `source` is not of classes.
    """
    _check_targets(source, "of classes", jnp.integer)
    return source.then("imbalanced", partial(_resample, source.outputs), imbalance=1.0)


def with_outliers(source: Source, kind: str = "targets") -> Source:
    """The share `outliers` of the train rows has Gaussian noise of ten deviations added.

    Args:
        source: a regression, where it is the targets that are spoilt.
        kind: what is spoilt, "targets" or "inputs".

    Raises:
        TypeError: `source` is not a `Source`.
        ValueError: `kind` is neither, or the targets of `source` are classes.
    """
    check_choice("kind", kind, ("targets", "inputs"))
    if kind == "targets":
        _check_targets(source, "a regression", jnp.floating)
    return source.then(f"outliers in {kind}", partial(_spoil, kind), outliers=0.0)


@lru_cache(maxsize=8)
def _load(table: str, pixels: int) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and targets in an order fixed for good."""
    from sklearn import datasets

    options = {"scaled": False} if table == "diabetes" else {}
    found = getattr(datasets, f"load_{table}")(**options)
    order = np.random.default_rng(0).permutation(len(found.target))
    inputs, targets = found.data[order], found.target[order]
    if table == "digits":
        inputs = inputs / 16.0
        if pixels != 8:
            from scipy.ndimage import zoom

            images = inputs.reshape(-1, 8, 8)
            scale = (1, pixels / 8, pixels / 8)
            inputs = np.clip(zoom(images, scale, order=3), 0, 1).reshape(len(images), -1)
    if table == "diabetes":
        return inputs, ((targets - targets.mean()) / targets.std())[:, None]
    return inputs, targets.astype(np.int32)


def _table(table: str, pixels: int, key: jax.Array) -> Data:
    del key
    inputs, targets = _load(table, pixels)
    dtype = jnp.result_type(float)
    x = jnp.asarray(inputs, dtype)
    y = jnp.asarray(targets, dtype if targets.dtype.kind == "f" else jnp.int32)
    train = int(_TRAIN_SHARE * len(inputs))
    return Data(x[:train], y[:train], x[train:], y[train:])


def _linear(samples: int, features: int, noise: float, key: jax.Array) -> Data:
    weight_key, *keys = jax.random.split(key, 5)
    weights = jax.random.normal(weight_key, (features, 1)) / np.sqrt(features)
    rows = (samples, 1000)
    x, test_x = (jax.random.normal(k, (n, features)) for k, n in zip(keys[:2], rows, strict=True))
    y, test_y = (
        inputs @ weights + noise * jax.random.normal(k, (n, 1))
        for inputs, k, n in zip((x, test_x), keys[2:], rows, strict=True)
    )
    return Data(x, y, test_x, test_y)


def _cut(rows: int, key: jax.Array, data: Data) -> Data:
    del key
    return data._replace(inputs=data.inputs[:rows], targets=data.targets[:rows])


def _standardize(key: jax.Array, data: Data) -> Data:
    del key
    mean = data.inputs.mean(axis=0, keepdims=True)
    deviation = data.inputs.std(axis=0, keepdims=True)
    deviation = jnp.where(deviation > 0, deviation, 1)
    return data._replace(
        inputs=(data.inputs - mean) / deviation,
        test_inputs=(data.test_inputs - mean) / deviation,
    )


def _rescale(
    key: jax.Array, data: Data, *, feature_scale: jax.Array, feature_ratio: jax.Array
) -> Data:
    del key
    places = jnp.linspace(0.0, 1.0, data.inputs.shape[1], dtype=data.inputs.dtype)
    scale = jnp.asarray(feature_scale * feature_ratio**places, data.inputs.dtype)
    return data._replace(
        inputs=data.inputs * scale[None], test_inputs=data.test_inputs * scale[None]
    )


def _mislabel(classes: int, key: jax.Array, data: Data, *, label_noise: jax.Array) -> Data:
    which, shift = jax.random.split(key)
    wrong = jax.random.uniform(which, data.targets.shape) < label_noise
    other = (data.targets + jax.random.randint(shift, data.targets.shape, 1, classes)) % classes
    return data._replace(targets=jnp.where(wrong, other, data.targets))


def _resample(classes: int, key: jax.Array, data: Data, *, imbalance: jax.Array) -> Data:
    rare = data.targets >= (classes + 1) // 2
    logits = jnp.where(rare, -jnp.log(imbalance), 0.0)
    rows = jax.random.categorical(key, logits, shape=data.targets.shape)
    return data._replace(inputs=data.inputs[rows], targets=data.targets[rows])


def _spoil(kind: str, key: jax.Array, data: Data, *, outliers: jax.Array) -> Data:
    which, size = jax.random.split(key)
    clean = getattr(data, kind)
    spoilt = jax.random.uniform(which, (len(clean), 1)) < outliers
    noise = _OUTLIER * clean.std(axis=0, keepdims=True) * jax.random.normal(size, clean.shape)
    return data._replace(**{kind: clean + jnp.where(spoilt, noise, 0.0)})

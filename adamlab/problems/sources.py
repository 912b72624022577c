"""What supervised problems learn from: tables of real data, and data drawn from a line."""

from __future__ import annotations

from functools import lru_cache, partial

import jax
import jax.numpy as jnp
import numpy as np

from adamlab._checks import check_count, check_number
from adamlab.problems._source import Data, Source

_TRAIN_SHARE = 0.8


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

    That is over train and test rows together. scikit-learn (Efron et al. 2004), the unscaled table.
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


@lru_cache(maxsize=8)
def _load(table: str, pixels: int) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and targets in a fixed random order."""
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

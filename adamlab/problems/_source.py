"""Source: where the data of a supervised problem come from, and what it must give."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from adamlab._checks import check_count
from adamlab.problems._keys import key_for
from adamlab.problems._problem import Range

_LOST = 0.1
"""The share of a column's deviation that may be lost to rounding."""
_ROUNDING = 1e-12
"""A smaller share of the mean than this is float64's own rounding, and no deviation."""


class Data(NamedTuple):
    """Rows to learn from and rows to test on.

    Inputs have shape (rows, features); targets are int32 classes (rows,) or floats (rows, outputs).
    Integer targets make a source one of classes.
    """

    inputs: Any
    targets: Any
    test_inputs: Any
    test_targets: Any


@dataclass(frozen=True)
class Source:
    """Where a run's data come from: `draw(key, **hyperparameters)` -> `Data`, once a run.

    The arrays may be NumPy's: `Source("mine", lambda key: Data(x, y, test_x, test_y), 20, 2)`. So
    values that are not finite and classes that are not there are found; in JAX's arrays only if
    `draw` does not slice or change them.
    """

    name: str
    draw: Callable[..., Data]
    features: int
    outputs: int
    """Classes, or the width of a regression's targets."""
    hyperparameters: Mapping[str, float] = field(default_factory=dict)
    """What a sweep can vary about the data, with the defaults."""
    ranges: Mapping[str, Range] = field(default_factory=dict)
    """What some of these may be."""

    def __post_init__(self) -> None:
        """Check the counts."""
        check_count("features", self.features)
        check_count("outputs", self.outputs)

    @property
    def classes(self) -> int:
        """The classes that its targets may name: a single output tells two apart."""
        return max(self.outputs, 2)

    def rows(self, key: jax.Array, **values: Any) -> Data:
        """The data of a run as JAX arrays; of `values` only the source's own are used.

        Raises:
            TypeError: what is drawn are not arrays of numbers.
            ValueError: it has other features than `features`, classes beyond `outputs`, inputs that
                are not finite, or numbers that JAX's narrower types cannot hold or tell apart.
        """
        drawn = Data(*self.draw(key, **{name: values[name] for name in self.hyperparameters}))
        for name, drawn_values in drawn._asdict().items():
            _check_numbers(self, name, drawn_values)
        return Data(*map(jnp.asarray, drawn))

    def then(
        self,
        name: str,
        change: Callable[..., Data],
        ranges: Mapping[str, Range] | None = None,
        **hyperparameters: float,
    ) -> Source:
        """This source with its data passed through `change(key, data, **hyperparameters)`.

        The data before the change are those that this source draws with the same key, and the
        change's own key is made of that and its `name`: so problems that differ by a change differ
        by nothing else, seed by seed.
        """
        again = "'" * self.name.split(", ").count(name)  # the same change twice draws anew
        return Source(
            f"{self.name}, {name}",
            partial(_then, self, change, f"{name}{again}", tuple(hyperparameters)),
            self.features,
            self.outputs,
            {**self.hyperparameters, **hyperparameters},
            {**self.ranges, **(ranges or {})},
        )


def _then(
    source: Source, change: Callable[..., Data], purpose: str, own: tuple[str, ...], key: jax.Array,
    **values: Any,
) -> Data:  # fmt: skip
    data = source.rows(key, **values)
    return change(key_for(purpose, key), data, **{name: values[name] for name in own})


def shapes(source: Source) -> Data:
    """What `source` draws, as shapes and dtypes, without starting JAX's backend.

    Raises:
        TypeError: `source` is not a `Source`, or what it draws are not arrays of numbers.
        ValueError: as for `Source.rows`, or it has more or fewer targets than inputs.
    """
    if not isinstance(source, Source):
        raise TypeError(f"source={source!r}: must be a Source, such as wine()")
    key = jax.eval_shape(jax.random.key, 0)
    found: Data = jax.eval_shape(lambda key: source.rows(key, **source.hyperparameters), key)
    for half, (inputs, targets) in {"": found[:2], "test_": found[2:]}.items():
        if 0 in inputs.shape[:1]:
            raise ValueError(
                f"source={source.name!r}: {half}inputs have shape {inputs.shape}: must have rows; "
                "where there are none to test on, give the others twice"
            )
        if inputs.shape[:1] != targets.shape[:1]:
            raise ValueError(
                f"source={source.name!r}: {half}inputs have shape {inputs.shape}, {half}targets "
                f"{targets.shape}: must have as many rows"
            )
    return found


def _check_numbers(source: Source, name: str, values: Any) -> None:
    """Refuse what is no array of numbers, and numbers that `_check_values` refuses."""
    kind = getattr(getattr(values, "dtype", None), "kind", "")
    if not isinstance(values, jax.Array) and kind not in tuple("biufV"):
        what = f"{values.dtype} values" if kind else f"a {type(values).__name__}"
        raise TypeError(f"source={source.name!r}: {name} are {what}: must be an array of numbers")
    # What is drawn with the key has no values yet.
    if not isinstance(values, jax.core.Tracer):
        _check_values(source, name, np.asarray(values))


def _check_values(source: Source, name: str, values: np.ndarray) -> None:
    """Refuse inputs that are not finite, other features, and classes that are not counted.

    Targets may have gaps, for a loss that leaves them out.
    """
    floats = jnp.issubdtype(values.dtype, jnp.floating)
    if "inputs" in name and floats and not np.isfinite(values).all():
        row = int(np.argwhere(~np.isfinite(values))[0][0])
        raise ValueError(
            f"source={source.name!r}: {name} hold {values[row][~np.isfinite(values[row])].flat[0]} "
            f"in row {row}: must be finite; fill or drop such rows first"
        )
    if "inputs" in name and values.ndim == 2 and values.shape[1] != source.features:
        raise ValueError(
            f"source={source.name!r}: {name} have {values.shape[1]} features, but features="
            f"{source.features}: must be the same"
        )
    if "targets" in name and values.dtype.kind in "iu":
        wrong = values[(values < 0) | (values >= source.classes)]
        if len(wrong):
            raise ValueError(
                f"source={source.name!r}: {name} hold the class {wrong[0]}: must be 0 to "
                f"{source.classes - 1}, as outputs={source.outputs} says; numbers to "
                "regress on must be floats"
            )
    _check_narrowed(source, name, values)


def _check_narrowed(source: Source, name: str, values: np.ndarray) -> None:
    """Refuse numbers that JAX's narrower types would wrap, or make all but equal."""
    narrow = jax.dtypes.canonicalize_dtype(values.dtype)
    if values.dtype.kind in "iu" and len(wide := values[values != values.astype(narrow)]):
        raise ValueError(
            f"source={source.name!r}: {name} hold {wide[0]}, which JAX would wrap: must be within "
            f"{narrow}; subtract the least, or make them floats"
        )
    floats = jax.dtypes.canonicalize_dtype(np.float64)
    if not values.size or values.dtype.kind not in "iuf" or np.can_cast(values.dtype, floats):
        return
    with np.errstate(over="ignore"):
        narrowed = values.astype(floats)
    if (beyond := np.isfinite(values) & ~np.isfinite(narrowed)).any():
        raise ValueError(
            f"source={source.name!r}: {name} hold {values[beyond][0]:.3g}, which {floats} cannot "
            "hold; rescale them"
        )
    if values.ndim != 2:
        return
    exact = values.astype(np.float64)
    about = exact.mean(axis=0)
    unit = np.abs(exact - about).max(axis=0)
    unit[unit == 0] = 1  # the squares of small numbers would be 0
    lost, deviation = (
        (change / unit).std(axis=0) * unit for change in (narrowed - exact, exact - about)
    )
    gone = (lost > _LOST * deviation) & (deviation > _ROUNDING * abs(about))
    if gone.any():
        column = int(gone.argmax())
        raise ValueError(
            f"source={source.name!r}: column {column} of {name} varies by {deviation[column]:.3g} "
            f"about {about[column]:.3g}, which {floats} cannot tell apart; subtract its mean, or "
            "rescale it, first"
        )


def floating(values: jax.Array) -> jax.Array:
    """Whole numbers, such as those of images, as floats; floats as they are."""
    return values if jnp.issubdtype(values.dtype, jnp.inexact) else values.astype(float)

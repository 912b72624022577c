"""Problem: what is trained, as a handful of pure functions."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from adamlab._checks import check_number, nearest, signature_of

FUNCTIONS = {
    "init": ("key",),
    "loss": ("params", "batch"),
    "data": ("key",),
    "batch": ("key", "step"),
    "objective": ("params",),
    "metrics": ("params",),
    "project": ("params",),
}
"""A problem's functions and what each takes by position, before the data."""
_OF_DATA = ("batch", "objective", "metrics")


class Range(NamedTuple):
    """What a hyperparameter of a problem may be."""

    low: float = -math.inf
    high: float = math.inf
    open_low: bool = False
    """Whether `low` itself is not allowed."""


@dataclass(frozen=True)
class Problem:
    """A training problem: pure functions of a key, parameters and a batch.

    Every function also gets the problem's own `hyperparameters` as keywords, so that a sweep can
    vary them. Where the problem has `data`, drawn once a run, `batch`, `objective` and `metrics`
    get them as their last positional argument. Only `init` and `loss` are needed:

        Problem("valley", init=lambda key: jnp.ones(2), loss=lambda params, batch: ...)

    Args:
        name: what it is called in maps and errors.
        init: `init(key, **hyperparameters)` -> parameters.
        loss: `loss(params, batch, **hyperparameters)` -> scalar, which is differentiated.
        data: `data(key, **hyperparameters)` -> what a run learns from, drawn once when it begins.
            None where there is nothing to draw.
        batch: `batch(key, step, [data], **hyperparameters)` -> batch; `key` is new each step,
            `step` counts from 0. None where every step sees the whole data, or needs none: its
            batch is then the data, or None.
        objective: `objective(params, [data], **hyperparameters)` -> scalar: the loss without the
            batch's noise. None where the loss itself has no such noise.
        metrics: `metrics(params, [data], **hyperparameters)` -> named values, computed once at the
            end.
        project: `project(params, **hyperparameters)` -> the nearest feasible parameters.
        optimum: the least value of the objective, or a bound below it.
        target: the objective at which a run counts as converged; None to go by `tolerance`.
        tolerance: without a `target`, the share of the initial distance to the optimum that may be
            left.
        hyperparameters: the problem's own, and their defaults.
        ranges: what some of them may be; a map refuses other values.
        description: one line: the data, the model, the source.

    Raises:
        TypeError: a field has the wrong type, or a function does not take its arguments or a
            hyperparameter.
        ValueError: `name` is empty, `optimum`, `target` or a hyperparameter is not finite or out of
            its range, or called `seed` or `key`, the target is below the optimum, or the tolerance
            outside (0, 1].
    """

    name: str
    init: Callable[..., Any]
    loss: Callable[..., Any]
    data: Callable[..., Any] | None = None
    batch: Callable[..., Any] | None = None
    objective: Callable[..., Any] | None = None
    metrics: Callable[..., Mapping[str, Any]] | None = None
    project: Callable[..., Any] | None = None
    optimum: float = 0.0
    target: float | None = None
    tolerance: float = 1e-3
    hyperparameters: Mapping[str, float] = field(default_factory=dict)
    ranges: Mapping[str, Range] = field(default_factory=dict)
    description: str = ""

    def __post_init__(self) -> None:
        """Check what the fields hold."""
        if not isinstance(self.name, str) or not self.name:
            raise ValueError(f"name={self.name!r}: must be a non-empty string")
        for part in FUNCTIONS:
            function = getattr(self, part)
            optional = part not in ("init", "loss")
            if not callable(function) and not (optional and function is None):
                raise TypeError(f"{part}={function!r:.60}: must be a function")
        if not isinstance(self.hyperparameters, Mapping):
            raise TypeError(
                f"hyperparameters={self.hyperparameters!r}: must map names to their defaults"
            )
        check_number("optimum", self.optimum, scheduled=False)
        if self.target is not None:
            check_number("target", self.target, low=self.optimum, scheduled=False)
        check_number("tolerance", self.tolerance, low=0, high=1, open_low=True, scheduled=False)
        for name, allowed in self.ranges.items():
            if not isinstance(allowed, Range):
                raise TypeError(f"ranges[{name!r}]={allowed!r}: must be a Range(low, high)")
            if name not in self.hyperparameters:
                raise ValueError(f"ranges[{name!r}]: {nearest(name, self.hyperparameters)}")
        for name, value in self.hyperparameters.items():
            if name in ("seed", "key"):
                raise ValueError(
                    f"hyperparameter {name!r}: a run's random key comes under that name; rename it"
                )
            self.check_hyperparameter(name, value)
        for part, taken in FUNCTIONS.items():
            if (function := getattr(self, part)) is not None:
                given = ("data",) if self.data is not None and part in _OF_DATA else ()
                _check_takes(part, function, (*taken, *given), self.hyperparameters)

    def check_hyperparameter(self, name: str, value: Any) -> None:
        """Refuse a value of one of the problem's own hyperparameters that is out of its range.

        Raises:
            TypeError: it is not a number.
            ValueError: it is not finite, or out of range.
        """
        check_number(name, value, scheduled=False, **self.ranges.get(name, Range())._asdict())

    def target_loss(self, initial: Any) -> Any:
        """The loss at which a run that starts at the loss `initial` counts as converged."""
        if self.target is not None:
            return self.target
        return self.optimum + self.tolerance * (initial - self.optimum)


def _check_takes(
    part: str, function: Callable[..., Any], taken: Iterable[str], names: Iterable[str]
) -> None:
    """Refuse a function that does not accept its arguments, or a hyperparameter by name."""
    signature = signature_of(function)
    if signature is None:
        return
    parameters = signature.parameters
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    for name in names:
        if name not in parameters and not takes_any:
            raise TypeError(
                f"{part}: takes no {name!r}; each of a problem's functions is given all its "
                "hyperparameters by name: add the argument, or **_ for those it does not use"
            )
    try:
        signature.bind(*taken, **dict.fromkeys(names))
    except TypeError as error:
        raise TypeError(
            f"{part}: is called as {part}({', '.join(taken)}), and the hyperparameters by name: "
            f"{error}"
        ) from None

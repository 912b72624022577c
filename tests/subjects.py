"""Every named optimizer as a subject of the laws: one line where its signature does not say it."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

import adamlab as al
from adamlab import optimizers
from adamlab.optimizers._signature import is_decay_rate, takes_schedules
from adamlab.testing import Subject

# The longest step of an average over a root mean square, by Cauchy and Schwarz over all gradients.
ADAMS_BOUND = (0.1 / 1e-3**0.5) / (1 - 0.9**2 / 0.999) ** 0.5
KEY = jax.random.key(0)


def subject(name: str, given: Mapping[str, Any] | None = None, **details: Any) -> Subject:
    """A named optimizer with all of its numbers that are not `given` as hyperparameters.

    Decay rates are given by 1 - b: float32 keeps two digits of 1 - 0.99999. What is annotated as a
    `Scalar` or a constant takes no schedule.
    """
    build, given = getattr(optimizers, name), given or {}
    hints, parameters = typing.get_type_hints(build), inspect.signature(build).parameters
    defaults = {n: p.default for n, p in parameters.items() if n not in given}
    rates = [n for n in defaults if defaults[n] and is_decay_rate(hints[n])]
    numbers = {n: v for n, v in defaults.items() if isinstance(v, float) and n not in rates}
    numbers |= {n: max(value, 1e-8) for n, value in numbers.items() if n.startswith("eps")}
    fixed = {"learning_rate": 1e-3, **({"weight_decay": 1e-2} if "weight_decay" in numbers else {})}
    hyperparameters = numbers | fixed | {n: round(1 - defaults[n], 9) for n in rates}
    details["unscheduled"] = [n for n in hyperparameters if not takes_schedules(hints[n])]

    def make(**values: Any) -> Any:
        def wrap(value: Any) -> Any:
            return (lambda n: al.OneMinus(value(n))) if callable(value) else al.OneMinus(value)

        return build(**given, **{n: wrap(v) if n in rates else v for n, v in values.items()})

    return Subject(make, hyperparameters, **details)


def _matrices(params: Any) -> Any:
    return jax.tree.map(lambda p: p.ndim > 1, params)


def _diagonal(grads: Any, params: Any) -> dict[str, Any]:
    del params
    return {"hessian_diag": jax.tree.map(jnp.abs, grads)}


DETAILS: dict[str, dict[str, Any]] = {
    "rmsprop": {"bound": 0.1**-0.5},
    **{
        name: {"bound": ADAMS_BOUND}
        for name in (
            "adam",
            "adam_l2",
            "adamw",
            "adamw_cautious_decay",
            "amsgrad",
            "amsgrad_torch",
            "grams",
        )
    },
    "adam_atan2": {"bound": 1.27 * 1.5708},
    "signum": {"bound": 1.0},
    "adahessian": {"extra_args": _diagonal},
    "sophia": {"extra_args": _diagonal, "bound": 1.0},
    "adamax": {"bound": 1.0},
    "lion": {"bound": 1.0},
    "adamw_independent": {"given": {"peak": 1e-3, "weight_decay": 0.0}, "bound": ADAMS_BOUND},
    "adamc": {
        "given": {"peak": 1e-3, "weight_decay": 0.0, "normalized": _matrices},
        "bound": ADAMS_BOUND,
    },
    "adamw_stochastic_rounding": {"given": {"key": KEY, "weight_decay": 0.0}},
    "adamw_8bit": {"given": {"min_size": 1, "block": 3}},
    "adafactor": {"given": {"min_dim_size": 1}},
    "lookahead_adam": {"given": {"sync_period": 2}},
    "ranger": {"given": {"sync_period": 2}},
    "soap": {"given": {"precondition_frequency": 1}},
    "adashift": {"given": {"keep_num": 1}},
}

SUBJECTS = {name: subject(name, **DETAILS.get(name, {})) for name in optimizers.names()} | {
    "sgd(momentum)": Subject(
        al.sgd, {"learning_rate": 0.1, "momentum": 0.9}, unscheduled=["momentum"]
    ),
}

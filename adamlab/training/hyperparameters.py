"""Hyperparameters by name: which are the optimizer's and which the problem's."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any

import optax

from adamlab import stages
from adamlab._lookup import underlying, what_instead
from adamlab.problems import Problem
from adamlab.stages import OneMinus
from adamlab.stages._about import about

OptimizerFactory = Callable[..., optax.GradientTransformation]
"""A function of hyperparameters that builds an optimizer, such as `adamlab.adam`."""

_COMPLEMENT = "1-"

_NO_NUMBER = re.compile(r"OneMinus('|\(value=| which|$)")
"""How Python, NumPy and JAX say that a OneMinus is not a number, by its type or its value."""


def plain_name(axis: str) -> str:
    """The hyperparameter that an axis varies: b2 for `b2` and for `1-b2`."""
    return axis.removeprefix(_COMPLEMENT)


def split_hyperparameters(
    problem: Problem, optimizer: OptimizerFactory, hyperparameters: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The optimizer's share and the problem's, with the problem's defaults filled in.

    Raises:
        ValueError: a name is unknown (with the nearest that is known), belongs to both, is given
            twice (as `b2` and `1-b2`), or one that the optimizer needs is missing.
    """
    builder = name_of_optimizer(optimizer)
    parameters = inspect.signature(optimizer).parameters
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    named = {
        name: p
        for name, p in parameters.items()
        if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
    }
    for name in problem.hyperparameters:
        if name in named:
            raise ValueError(
                f"hyperparameter {name!r} belongs both to the optimizer {builder} and to the "
                f"problem {problem.name}: rename one of them"
            )
    for_optimizer: dict[str, Any] = {}
    for_problem: dict[str, Any] = dict(problem.hyperparameters)
    for name, value in hyperparameters.items():
        plain = plain_name(name)
        if name in problem.hyperparameters:
            for_problem[name] = value
        elif plain in named or takes_any:
            if plain in for_optimizer:
                raise ValueError(
                    f"hyperparameter {plain!r} is given twice, as {plain} and 1-{plain}"
                )
            for_optimizer[plain] = value if name == plain else _complement(optimizer, value)
        else:
            hint = what_instead(name, [*named, *problem.hyperparameters])
            raise ValueError(
                f"hyperparameter {name!r}: neither the optimizer {builder} nor the problem "
                f"{problem.name} has it; {hint}"
            )
    missing = [n for n, p in named.items() if p.default is p.empty and n not in for_optimizer]
    if missing:
        raise ValueError(
            f"hyperparameter {missing[0]!r}: the optimizer {builder} needs it; "
            "give it as an axis or as a fixed value"
        )
    return for_optimizer, for_problem


def build(
    problem: Problem, optimizer: OptimizerFactory, hyperparameters: Mapping[str, Any]
) -> tuple[optax.GradientTransformationExtraArgs, dict[str, Any]]:
    """The optimizer at these hyperparameters, and the problem's share of them.

    Raises:
        ValueError: as for `split_hyperparameters`, the optimizer does not take a hyperparameter by
            its complement, as `1-b2` gives it, its stages make no update but a direction, or one of
            the problem's own is out of range.
        TypeError: what `optimizer` returns is not a gradient transformation, or one of the
            problem's own hyperparameters is not a number.
        Exception: whatever else `optimizer` raises.
    """
    values, for_problem = split_hyperparameters(problem, optimizer, hyperparameters)
    for its_own, value in for_problem.items():
        problem.check_hyperparameter(its_own, value)
    name = name_of_optimizer(optimizer)
    complements = [n for n, value in values.items() if isinstance(value, OneMinus)]
    guard = functools.partial(_naming_complements, name, complements)
    tx = guard(optimizer)(**values)
    if not all(callable(getattr(tx, part, None)) for part in ("init", "update")):
        raise TypeError(
            f"optimizer={name}: returned {tx!r:.60}: must return a gradient transformation"
        )
    if _climbs(tx):
        raise ValueError(
            f"optimizer={name}: makes a direction and no update, so that training would climb the "
            "loss; chain scale_by_learning_rate after it"
        )
    extended = _with_extra_args(tx)
    guarded = optax.GradientTransformationExtraArgs(guard(extended.init), guard(extended.update))
    return guarded, for_problem


def _climbs(tx: optax.GradientTransformation) -> bool:
    """Whether all of `tx` are the library's own stages, and none of them flips the sign."""
    parts = list(about(tx).walk())
    own = all(part.name in stages.__all__ and not part.foreign for part in parts)
    return own and not any(part.side == "descent" for part in parts)


def _with_extra_args(tx: Any) -> optax.GradientTransformationExtraArgs:
    """`tx`, to be called with extra arguments, which Optax passes to its own class alone.

    `optax.MultiSteps` and others take them and hand them on.
    """
    takes = any(p.kind is p.VAR_KEYWORD for p in inspect.signature(tx.update).parameters.values())
    if takes:
        return optax.GradientTransformationExtraArgs(tx.init, tx.update)
    return optax.with_extra_args_support(tx)


def _naming_complements(
    optimizer: str, given: list[str], function: Callable[..., Any]
) -> Callable[..., Any]:
    """`function`, with errors that say so where a OneMinus is not accepted as a number."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except (AttributeError, TypeError, ValueError) as error:
            if not given or not _NO_NUMBER.search(str(error)):
                raise
            which = given[0] if len(given) == 1 else f"one of {', '.join(given)}"
            raise ValueError(
                f"hyperparameter '1-{given[0]}': the optimizer {optimizer} does not take {which} "
                f"by the complement, an adamlab.OneMinus; give {which}"
            ) from error

    return call


def _complement(optimizer: OptimizerFactory, value: Any) -> Any:
    """The b2 to pass where `1-b2` is `value`: a plain number for Optax, else a `OneMinus`."""
    if callable(value):  # a schedule
        return lambda steps_done: _complement(optimizer, value(steps_done))
    module = str(getattr(underlying(optimizer), "__module__", ""))
    return 1 - value if module.split(".")[0] == "optax" else OneMinus(value)


def name_of_optimizer(optimizer: OptimizerFactory) -> str:
    """The name of the function behind `optimizer`, bound arguments aside."""
    inner = underlying(optimizer)
    return str(getattr(inner, "__name__", type(inner).__name__))

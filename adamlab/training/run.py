"""One training run as a pure function: (problem, optimizer, key, hyperparameters) -> Trace."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from adamlab._checks import check_count, nearest
from adamlab.problems import Problem
from adamlab.stages import OneMinus

OptimizerFactory = Callable[..., optax.GradientTransformation]
"""A function of hyperparameters that builds an optimizer, such as `adamlab.adam`."""

_COMPLEMENT = "1-"
_LEAST = 8


class Trace(NamedTuple):
    """What a run reports. Losses are the problem's objective where it has one.

    The late part of a run is its last quarter; the earlier part is the quarter before.
    """

    initial_loss: jax.Array
    target_loss: jax.Array
    """The loss at which the run counts as converged."""
    best_loss: jax.Array
    """The least loss observed; inf where none was finite."""
    earlier_loss: jax.Array
    """Mean over the earlier part."""
    late_loss: jax.Array
    """Mean over the late part."""
    late_spread: jax.Array
    """Standard deviation over the late part."""
    average_loss: jax.Array
    """The loss of the mean of the late parameters: far below `late_loss` where a run goes round a
    better point, even if it does so at a constant loss."""
    final_loss: jax.Array
    """The loss of the parameters that the run ends with."""
    converged_step: jax.Array
    """int32: steps done when the loss was first seen at the target; -1 for never."""
    nonfinite_step: jax.Array
    """int32: steps done when the loss was first seen to be not finite; -1 for never."""
    metrics: Mapping[str, Any]
    """The problem's metrics of the parameters that the run ends with."""
    curve: jax.Array | None
    """The losses at the checkpoints, shape (checkpoints,); None where not asked for."""


class _Average(NamedTuple):
    """A streaming mean and squared deviation, by Welford's update."""

    count: Any
    mean: jax.Array
    square: jax.Array
    """Sum of squared distances from the mean."""


class _Statistics(NamedTuple):
    """What a run carries along to report a Trace: scalars, and one copy of the parameters."""

    best: jax.Array
    last: jax.Array
    earlier: _Average
    late: _Average
    late_params: Any
    """Mean of the parameters over the late part."""
    converged_step: jax.Array
    nonfinite_step: jax.Array


def train(
    problem: Problem,
    optimizer: OptimizerFactory,
    key: jax.Array,
    hyperparameters: Mapping[str, Any],
    *,
    steps: int,
    checkpoints: int = 32,
    curve: bool = False,
) -> Trace:
    """Train `problem` with the optimizer that `optimizer` builds from its hyperparameters.

    A pure function of `key` and `hyperparameters`: jit it, vmap it, shard it. A problem's
    objective is observed at `checkpoints` points spread evenly over the run; where it has none,
    the loss itself is observed at every step. The statistics take the memory of a few scalars.

    Args:
        problem: what to train.
        optimizer: a function such as `adamlab.adam`.
        key: the random key that the initial parameters and all batches come from.
        hyperparameters: values by name, for the optimizer and the problem together; `1-b2` gives
            b2 by its complement, which keeps its digits in float32.
        steps: number of updates, >= 8.
        checkpoints: number of observations of the objective, >= 8; at most `steps` are made.
        curve: whether to return the losses at the checkpoints.

    Raises:
        ValueError: a hyperparameter is unknown, ambiguous, missing or out of range, or `steps`
            or `checkpoints` is below 8.
        TypeError: `steps` or `checkpoints` is not an integer.
    """
    for_optimizer, for_problem = split_hyperparameters(problem, optimizer, hyperparameters)
    for_problem = {name: jnp.asarray(value, float) for name, value in for_problem.items()}
    tx = optax.with_extra_args_support(optimizer(**for_optimizer))
    at_checkpoints = problem.objective is not None
    bounds = checkpoint_steps(steps, checkpoints) if at_checkpoints or curve else np.array([steps])
    init_key, data_key = jax.random.split(key)

    def loss_at(params: Any, step: jax.Array) -> jax.Array:
        if problem.batch is None:
            return problem.loss(params, None, **for_problem)
        batch = problem.batch(jax.random.fold_in(data_key, step), step, **for_problem)
        return problem.loss(params, batch, **for_problem)

    def observe(params: Any, step: jax.Array) -> jax.Array:
        if problem.objective is None:
            return loss_at(params, step)
        return problem.objective(params, **for_problem)

    def one_step(step: jax.Array, carry: Any) -> Any:
        params, state, stats = carry
        loss, grads = jax.value_and_grad(loss_at)(params, step)
        if not at_checkpoints:
            stats = _record(stats, loss, params, step, steps, target)
        updates, state = tx.update(grads, state, params, value=loss)
        params = optax.apply_updates(params, updates)
        if problem.project is not None:
            params = problem.project(params, **for_problem)
        return params, state, stats

    def to_checkpoint(carry: Any, span: tuple[jax.Array, jax.Array]) -> tuple[Any, Any]:
        params, state, stats = jax.lax.fori_loop(*span, one_step, carry)
        if not (at_checkpoints or curve):
            return (params, state, stats), None
        loss = observe(params, span[1])
        if at_checkpoints:
            stats = _record(stats, loss, params, span[1], steps, target)
        return (params, state, stats), loss if curve else None

    params = jax.tree.map(jnp.asarray, problem.init(init_key, **for_problem))
    initial = observe(params, jnp.zeros([], jnp.int32))
    target = jnp.asarray(problem.target_loss(initial), initial.dtype)
    ends = jnp.asarray(bounds, jnp.int32)
    starts = jnp.concatenate([jnp.zeros(1, jnp.int32), ends[:-1]])
    (params, _, stats), losses = jax.lax.scan(
        to_checkpoint, (params, tx.init(params), _empty_statistics(initial, params)), (starts, ends)
    )
    if not at_checkpoints:
        stats = _record(stats, observe(params, ends[-1]), params, ends[-1], steps, target)
    return Trace(
        initial_loss=initial,
        target_loss=target,
        best_loss=stats.best,
        earlier_loss=stats.earlier.mean,
        late_loss=stats.late.mean,
        late_spread=jnp.sqrt(stats.late.square / stats.late.count),
        average_loss=observe(stats.late_params, ends[-1]),
        final_loss=stats.last,
        converged_step=stats.converged_step,
        nonfinite_step=stats.nonfinite_step,
        metrics={} if problem.metrics is None else problem.metrics(params, **for_problem),
        curve=losses,
    )


def checkpoint_steps(steps: int, checkpoints: int) -> np.ndarray:
    """The steps done at each checkpoint, evenly spread and ending at `steps`.

    Both parities occur, so that an oscillation of period two does not look like rest.

    Raises:
        ValueError: `steps` or `checkpoints` is below 8.
        TypeError: one of them is not an integer.
    """
    check_count("steps", steps, low=_LEAST, high=2**31 - 2)
    check_count("checkpoints", checkpoints, low=_LEAST)
    count = min(checkpoints, steps)
    ends = np.arange(1, count + 1) * steps // count
    if len(np.unique(ends % 2)) == 1:
        ends[-2::-2] -= 1
    return ends


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
    for_optimizer: dict[str, Any] = {}
    for_problem: dict[str, Any] = dict(problem.hyperparameters)
    for name, value in hyperparameters.items():
        plain = name.removeprefix(_COMPLEMENT)
        if name in problem.hyperparameters:
            if name in named:
                raise ValueError(
                    f"hyperparameter {name!r} belongs both to the optimizer {builder} and to the "
                    f"problem {problem.name}: rename one of them"
                )
            for_problem[name] = value
        elif plain in named or takes_any:
            if plain in for_optimizer:
                raise ValueError(
                    f"hyperparameter {plain!r} is given twice, as {plain} and 1-{plain}"
                )
            for_optimizer[plain] = value if name == plain else OneMinus(value)
        else:
            hint = nearest(name, [*named, *problem.hyperparameters])
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


def name_of_optimizer(optimizer: OptimizerFactory) -> str:
    """The name of the function behind `optimizer`, bound arguments aside."""
    inner = getattr(optimizer, "func", optimizer)
    return str(getattr(inner, "__name__", type(inner).__name__))


def _empty_statistics(initial: jax.Array, params: Any) -> _Statistics:
    zero, never = jnp.zeros_like(initial), jnp.full([], -1, jnp.int32)
    empty = _Average(zero, zero, zero)
    best = jnp.where(jnp.isfinite(initial), initial, jnp.inf)
    nowhere = optax.tree.zeros_like(params)
    return _Statistics(best, initial, empty, empty, nowhere, never, never)


def _record(
    stats: _Statistics,
    loss: jax.Array,
    params: Any,
    step: jax.Array,
    steps: int,
    target: jax.Array,
) -> _Statistics:
    """Add the loss and the parameters seen after `step` steps."""
    late_from, earlier_from = steps - steps // 4, steps - 2 * (steps // 4)
    late = _add(stats.late, loss, step > late_from)
    weight = jnp.where(step > late_from, 1 / jnp.maximum(late.count, 1), 0)
    converges = (stats.converged_step < 0) & (loss <= target)
    breaks = (stats.nonfinite_step < 0) & ~jnp.isfinite(loss)
    return _Statistics(
        best=jnp.where(loss < stats.best, loss, stats.best),
        last=loss,
        earlier=_add(stats.earlier, loss, (step > earlier_from) & (step <= late_from)),
        late=late,
        late_params=jax.tree.map(
            lambda mean, p: mean + weight.astype(p.dtype) * (p - mean), stats.late_params, params
        ),
        converged_step=jnp.where(converges, step, stats.converged_step),
        nonfinite_step=jnp.where(breaks, step, stats.nonfinite_step),
    )


def _add(average: _Average, x: jax.Array, counted: jax.Array) -> _Average:
    """`average` with `x`, where `counted`."""
    count = average.count + 1
    mean = average.mean + (x - average.mean) / count
    square = average.square + (x - average.mean) * (x - mean)
    new = _Average(count, mean, square)
    return jax.tree.map(lambda n, old: jnp.where(counted, n, old), new, average)

"""One training run as a pure function: (problem, optimizer, key, hyperparameters) -> Trace."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from adamlab._checks import check_count, check_flags, check_function
from adamlab.analysis import hessian_diagonal
from adamlab.problems import Problem
from adamlab.stages import MissingArgumentError
from adamlab.stages.numerics import widen
from adamlab.training.hyperparameters import OptimizerFactory, build
from adamlab.training.statistics import empty_statistics, late_from, record

Probe = Callable[..., Mapping[str, Any]]
"""What is observed during a run: `probe(params, state, [data])` -> arrays by name."""

_LEAST = 8
_CYCLES, _MOST_ALIKE, _DRAWS = (2, 3, 5, 7), 0.75, 200
# Keep the keys of a run's data and curvature apart from those of its initial parameters and
# batches.
_DATA, _CURVATURE = 2, 3


class Trace(NamedTuple):
    """What a run reports. Losses are the problem's objective where it has one, in float32 or wider.

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
    late_rise: jax.Array
    """The greatest rise above the least loss before it, over the earlier and the late part: 0 where
    the loss only fell."""
    average_loss: jax.Array
    """The loss of the mean of the late parameters: far below `late_loss` where a run circles a
    better point, even at a constant loss."""
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
    probed: Mapping[str, jax.Array]
    """What the probe saw, by name, each with a first dimension of the checkpoints."""


def train(
    problem: Problem,
    optimizer: OptimizerFactory,
    key: jax.Array,
    hyperparameters: Mapping[str, Any],
    *,
    steps: int,
    checkpoints: int = 32,
    curve: bool = False,
    probe: Probe | None = None,
) -> Trace:
    """Train `problem` with the optimizer that `optimizer` builds from its hyperparameters.

    A pure function of `key` and `hyperparameters`: jit it, vmap it, shard it. An optimizer that
    needs `hessian_diag` is given an estimate from each batch (`hessian_diagonal`), at every step
    whether it reads it or not. A problem's objective is observed at `checkpoints` points spread
    evenly over the run; where it has none, the loss itself is observed at every step. The
    statistics take the memory of one copy of the parameters and a few scalars. By complex
    parameters, the optimizer gets the conjugate of JAX's gradient, along which the loss ascends.

    Args:
        problem: what to train.
        optimizer: a function such as `adamlab.adam`.
        key: the random key that the initial parameters, all batches and such estimates come from.
        hyperparameters: values by name, for the optimizer and the problem together; `1-b2` gives
            b2 by its complement, which keeps its digits in float32.
        steps: number of updates, >= 8.
        checkpoints: number of observations of the objective, >= 8; at most `steps` are made.
        curve: whether to return the losses at the checkpoints.
        probe: called as `probe(params, state)` with the parameters and the optimizer's state at
            each checkpoint; returns arrays by name. A problem with data hands them on:
            `probe(params, state, data)`.

    Raises:
        ValueError: a hyperparameter is unknown, ambiguous, missing or out of range, or `steps`
            or `checkpoints` is below 8.
        TypeError: `steps` or `checkpoints` is not an integer, `curve` is not True or False, the
            loss or the objective is not a real scalar, `init` gives no arrays, `probe` or the
            metrics give something other than arrays by name, or what `optimizer` returns is not a
            gradient transformation.
    """
    tx, values = build(problem, optimizer, hyperparameters)
    for_problem = {name: jnp.asarray(value, float) for name, value in values.items()}
    check_flags(curve=curve)
    at_checkpoints = problem.objective is not None
    looks = at_checkpoints or curve or probe is not None
    marks = checkpoint_steps(steps, checkpoints)
    bounds = marks if looks else np.array([steps])
    if probe is not None:
        given = ("data",) if problem.data is not None else ()
        check_function("probe", probe, "params", "state", *given)
    init_key, batch_key = jax.random.split(key)
    data: tuple[Any, ...] = ()
    if problem.data is not None:
        data = (problem.data(jax.random.fold_in(key, _DATA), **for_problem),)

    def loss_at(params: Any, step: jax.Array) -> jax.Array:
        if problem.batch is None:
            return problem.loss(params, *(data or (None,)), **for_problem)
        batch = problem.batch(jax.random.fold_in(batch_key, step), step, *data, **for_problem)
        return problem.loss(params, batch, **for_problem)

    objective: Any = problem.objective

    def observe(params: Any, step: jax.Array) -> jax.Array:
        if objective is None:
            return widen(jnp.asarray(loss_at(params, step)))
        return widen(jnp.asarray(objective(params, *data, **for_problem)))

    def update(grads: Any, state: Any, params: Any, loss: jax.Array, step: jax.Array) -> Any:
        try:
            return tx.update(grads, state, params, value=loss)
        except MissingArgumentError as missing:  # whatever the stage that needs it is wrapped in
            if missing.name != "hessian_diag":
                raise
        own_key = jax.random.fold_in(jax.random.fold_in(key, _CURVATURE), step)
        curvature = hessian_diagonal(lambda p: loss_at(p, step), params, key=own_key)
        return tx.update(grads, state, params, value=loss, hessian_diag=curvature)

    def one_step(step: jax.Array, carry: Any) -> Any:
        params, state, stats = carry
        loss, slopes = jax.value_and_grad(loss_at)(params, step)
        # JAX's gradient by a complex parameter is the conjugate of the direction of ascent.
        grads = jax.tree.map(jnp.conj, slopes)
        if not at_checkpoints:
            stats = record(stats, widen(loss), params, step, steps, target)
        updates, state = update(grads, state, params, loss, step)
        params = optax.apply_updates(params, updates)
        if problem.project is not None:
            params = problem.project(params, **for_problem)
        return params, state, stats

    def to_checkpoint(carry: Any, span: tuple[jax.Array, jax.Array]) -> tuple[Any, Any]:
        params, state, stats = jax.lax.fori_loop(*span, one_step, carry)
        seen = {} if probe is None else _by_name("probe", probe(params, state, *data))
        if not (at_checkpoints or curve):
            return (params, state, stats), (None, seen)
        loss = observe(params, span[1])
        if at_checkpoints:
            stats = record(stats, loss, params, span[1], steps, target)
        return (params, state, stats), (loss if curve else None, seen)

    params = jax.tree.map(jnp.asarray, problem.init(init_key, **for_problem))
    if not jax.tree.leaves(params):
        raise TypeError(f"problem={problem.name!r}: init gave {params!r}: must give arrays")
    first = jnp.zeros([], jnp.int32)
    _check_scalar(problem, "loss", jax.eval_shape(loss_at, params, first))
    if objective is not None:
        found = jax.eval_shape(lambda: objective(params, *data, **for_problem))
        _check_scalar(problem, "objective", found)
    initial = observe(params, first)
    target = jnp.asarray(problem.target_loss(initial), initial.dtype)
    ends = jnp.asarray(bounds, jnp.int32)
    starts = jnp.concatenate([jnp.zeros(1, jnp.int32), ends[:-1]])
    stats = empty_statistics(initial, params, target)
    (params, _, stats), (losses, probed) = jax.lax.scan(
        to_checkpoint, (params, tx.init(params), stats), (starts, ends)
    )
    if not at_checkpoints:
        stats = record(stats, observe(params, ends[-1]), params, ends[-1], steps, target)
    metrics: dict[str, jax.Array] = {}
    if problem.metrics is not None:
        metrics = _by_name("metrics", problem.metrics(params, *data, **for_problem))
    middle = jax.tree.map(lambda mean, p: mean.astype(p.dtype), stats.late_params, params)
    return Trace(
        initial_loss=initial,
        target_loss=target,
        best_loss=stats.best,
        earlier_loss=stats.earlier.mean,
        late_loss=stats.late.mean,
        late_spread=stats.late.distance / jnp.sqrt(stats.late.count),
        late_rise=stats.late_rise,
        average_loss=observe(middle, ends[-1]),
        final_loss=stats.last,
        converged_step=stats.converged_step,
        nonfinite_step=stats.nonfinite_step,
        metrics=metrics,
        curve=losses,
        probed=probed,
    )


def _check_scalar(problem: Problem, what: str, value: Any) -> None:
    """Refuse a loss or an objective that is not a real scalar."""
    dtype, shape = getattr(value, "dtype", None), getattr(value, "shape", None)
    if shape != () or dtype is None or not jnp.issubdtype(dtype, jnp.floating):
        found = f"a {type(value).__name__}" if shape is None else f"{dtype}{list(shape)}"
        raise TypeError(f"problem={problem.name!r}: its {what} is {found}: must be a real scalar")


def _by_name(what: str, given: Any) -> dict[str, jax.Array]:
    """What a probe or the metrics give, refused unless it is arrays by name."""
    if not isinstance(given, Mapping):
        raise TypeError(f"{what} gave a {type(given).__name__}: must give a dict of arrays")
    for name, value in given.items():
        if isinstance(value, list | tuple | dict) or value is None:
            raise TypeError(
                f"{what} gave a {type(value).__name__} for {name!r}: must give an array for each "
                "name, such as jnp.stack(...)"
            )
    return {name: widen(jnp.asarray(value)) for name, value in given.items()}


def checkpoint_steps(steps: int, checkpoints: int) -> np.ndarray:
    """The steps done at each checkpoint, evenly spread and ending at `steps`.

    Where even marks would mostly see one place of a cycle of 2, 3, 5 or 7 steps, in the earlier or
    the late part of the run, they are moved by up to 7 steps: a cycle is then mistaken neither for
    rest nor for progress. From 54 steps on no place has more than 3/4 of a part's marks, but for
    cycles of 7 with 8 checkpoints; from 12 steps on that is so for cycles of 2.

    Raises:
        ValueError: `steps` or `checkpoints` is below 8.
        TypeError: one of them is not an integer.
    """
    check_count("steps", steps, low=_LEAST, high=2**31 - 2)
    check_count("checkpoints", checkpoints, low=_LEAST)
    count = min(checkpoints, steps)
    late = late_from(steps)

    def alike(ends: np.ndarray) -> list[float]:
        """By how much a part's marks are too often at one place, of each cycle."""
        parts = ends[(ends > 2 * late - steps) & (ends <= late)], ends[ends > late]
        shares = [max(np.bincount(part % n).max() / len(part) for part in parts) for n in _CYCLES]
        return [max(float(share) - _MOST_ALIKE, 0) for share in shares]

    ends = np.arange(1, count + 1) * steps // count
    # Rounded up: in a short run the last two marks then have a choice.
    last = -(-np.arange(count + 1) * steps // count)
    before = np.maximum(last[:-1], last[1:] - _CYCLES[-1])
    rng = np.random.default_rng(0)
    for _ in range(_DRAWS):
        if not any(alike(ends)):
            break
        drawn = rng.integers(before, last[1:]) + 1
        drawn[-1] = steps
        ends = min(ends, drawn, key=alike)  # short cycles come first
    return ends

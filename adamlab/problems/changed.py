"""Problems made of other problems: with noise, other starts, other coordinates, a penalty.

They compose: `noisy(scattered(rosenbrock()))` is Rosenbrock's valley with both hyperparameters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from adamlab.problems._keys import key_for
from adamlab.problems._problem import FUNCTIONS, Problem, Range
from adamlab.problems._source import floating
from adamlab.problems.network import matrices


def scattered(problem: Problem) -> Problem:
    """`problem` with Gaussian noise on its initial parameters, another for each seed.

    Its standard deviation is the hyperparameter `scatter`, 0 by default. Without it, problems that
    begin at one point, such as `rosenbrock()`, run alike with all seeds.

    Raises:
        ValueError: `problem` has a hyperparameter `scatter` already.
    """
    return _extended(problem, "scattered", {"scatter": 0.0}, init=partial(_scattered, problem))


def noisy(problem: Problem) -> Problem:
    """`problem` with Gaussian noise on every element of every gradient, new each step.

    Its standard deviation is the hyperparameter `noise`, 0 by default. The objective stays without
    it; where a problem without batches has none, that is its loss.

    Raises:
        ValueError: `problem` has batches and no objective, or a hyperparameter `noise` already.
    """
    if problem.batch is None:  # every step sees all there is
        whole = problem.objective or partial(_loss_of_all, problem)
        problem = replace(problem, batch=_all, objective=whole)
    if problem.objective is None:
        raise ValueError(f"problem={problem.name!r}: needs an objective, which has no noise")
    return _extended(
        problem, "noisy", {"noise": 0.0},
        loss=partial(_with_noise, problem), batch=partial(_noise_key, problem),
    )  # fmt: skip


def rotated(problem: Problem, axes: Any) -> Problem:
    """`problem` in other coordinates: the parameters `x` stand for its own `axes @ x`.

    Adam treats each coordinate by itself, so it sees another problem; gradient descent does not.

    Args:
        problem: one whose parameters are a vector of n.
        axes: an orthogonal matrix, (n, n), whose rows are the directions of the problem's own
            coordinates.

    Raises:
        ValueError: `axes` is not an orthogonal matrix; at its first step, if the parameters are not
            a vector of n.
    """
    turn = np.asarray(axes)
    turn = turn.astype(float) if np.issubdtype(turn.dtype, np.integer) else turn
    if turn.ndim != 2 or not np.issubdtype(turn.dtype, np.floating):
        raise ValueError(f"axes={axes!r:.80}: must be a real matrix, of shape (n, n)")
    exact, rounding = turn.astype(np.float64), 10 * len(turn) * float(np.finfo(turn.dtype).eps)
    off = np.abs(exact @ exact.T - np.eye(len(turn)))
    if turn.shape[0] != turn.shape[1] or not (off <= max(rounding, 1e-8)).all():
        raise ValueError(f"axes={axes!r:.80}: must be orthogonal, so that axes @ axes.T is 1")
    changed: dict[str, Any] = {
        part: partial(_at_turned, turn, function)
        for part, (first, *_) in FUNCTIONS.items()
        if first == "params" and (function := getattr(problem, part)) is not None
    }
    if problem.project is not None:
        changed["project"] = partial(_turned_back, turn, changed["project"])
    name = f"{problem.name}, rotated"
    return replace(problem, name=name, init=partial(_turned_start, turn, problem), **changed)


def with_input_noise(problem: Problem) -> Problem:
    """`problem`, a supervised one, with Gaussian noise on the inputs of every batch, new each step.

    Its standard deviation is the hyperparameter `input_noise`. The objective stays without noise.

    Raises:
        ValueError: `problem` has no batches, or a hyperparameter `input_noise` already; at its
            first step, if a batch is not a pair of inputs and targets.
    """
    if problem.batch is None:
        raise ValueError(f"problem={problem.name!r}: has no batches to add noise to")
    own = {"input_noise": 0.0}
    return _extended(problem, "input noise", own, batch=partial(_with_input_noise, problem))


def penalized(problem: Problem) -> Problem:
    """`problem` with `l1 * sum |w| + l2 * sum w**2` over the matrices in its loss.

    The objective stays as it was, without the penalty.

    Raises:
        ValueError: `problem` has no objective, or a hyperparameter `l1` or `l2` already; at its
            first step, if there are no matrices.
    """
    if problem.objective is None:
        raise ValueError(
            f"problem={problem.name!r}: needs an objective, which stays free of the penalty"
        )
    return _extended(
        problem, "penalized", {"l1": 0.0, "l2": 0.0}, loss=partial(_penalized, problem)
    )


def _extended(problem: Problem, name: str, own: Mapping[str, float], **changed: Any) -> Problem:
    """`problem` with hyperparameters >= 0 that only the `changed` functions know."""
    taken = sorted(own.keys() & problem.hyperparameters.keys())
    if taken:
        raise ValueError(f"problem={problem.name!r}: has a hyperparameter {taken[0]!r} already")
    others = {part: getattr(problem, part) for part in FUNCTIONS if part not in changed}
    kept: dict[str, Any] = {
        part: None if function is None else partial(_without, frozenset(own), function)
        for part, function in others.items()
    }
    return replace(
        problem, name=f"{problem.name}, {name}", **kept, **changed,
        hyperparameters={**problem.hyperparameters, **own},
        ranges={**problem.ranges, **dict.fromkeys(own, Range(0))},
    )  # fmt: skip


def _without(own: frozenset[str], function: Callable[..., Any], *args: Any, **values: Any) -> Any:
    return function(*args, **{name: v for name, v in values.items() if name not in own})


def _scattered(problem: Problem, key: jax.Array, *, scatter: Any, **rest: Any) -> Any:
    start = jax.tree.map(jnp.asarray, problem.init(key, **rest))
    moves = optax.tree.random_like(key_for("scatter", key), start, jax.random.normal)
    return jax.tree.map(lambda p, m: p + jnp.asarray(scatter, m.dtype) * m, start, moves)


def _noise_key(
    problem: Problem, key: jax.Array, step: jax.Array, *data: Any, noise: Any, **rest: Any
) -> dict[str, Any]:
    del noise
    assert problem.batch is not None
    return {"batch": problem.batch(key, step, *data, **rest), "key": key_for("noise", key)}


def _with_noise(problem: Problem, params: Any, batch: Any, *, noise: Any, **rest: Any) -> Any:
    loss = problem.loss(params, batch["batch"], **rest)
    slopes = optax.tree.random_like(batch["key"], params, jax.random.normal)
    tilt = jax.tree.map(lambda s, p: jnp.sum(s * p).astype(loss.dtype), slopes, params)
    return loss + jnp.asarray(noise, loss.dtype) * optax.tree.sum(tilt)


def _all(key: Any, step: Any, data: Any = None, **_: Any) -> Any:
    """The batch of a problem without batches: its data, or None."""
    del key, step
    return data


def _loss_of_all(problem: Problem, params: Any, data: Any = None, **values: Any) -> Any:
    return problem.loss(params, data, **values)


def _turned_start(turn: np.ndarray, problem: Problem, key: jax.Array, **values: Any) -> jax.Array:
    start = problem.init(key, **values)
    if jnp.shape(start) != turn.shape[:1]:
        shapes = jax.tree.map(jnp.shape, start)
        raise ValueError(
            f"problem={problem.name!r}: its parameters have the shape {shapes}, and axes "
            f"{turn.shape}: must be a vector of {len(turn)}"
        )
    return _turned(turn.T, start)


def _turned(turn: np.ndarray, params: jax.Array) -> jax.Array:
    """`turn @ params`, not rounded as accelerators do by default."""
    return jnp.matmul(jnp.asarray(turn, params.dtype), params, precision="highest")


def _at_turned(
    turn: np.ndarray, function: Callable[..., Any], params: jax.Array, *args: Any, **values: Any
) -> Any:
    return function(_turned(turn, params), *args, **values)


def _turned_back(
    turn: np.ndarray, function: Callable[..., Any], params: jax.Array, **values: Any
) -> jax.Array:
    return _turned(turn.T, function(params, **values))


def _with_input_noise(
    problem: Problem, key: jax.Array, step: jax.Array, *data: Any, input_noise: Any, **rest: Any
) -> tuple[jax.Array, jax.Array]:
    assert problem.batch is not None
    batch = problem.batch(key, step, *data, **rest)
    if not isinstance(batch, tuple | list) or len(batch) != 2:
        raise ValueError(f"problem={problem.name!r}: a batch must be a pair of inputs and targets")
    inputs, targets = floating(batch[0]), batch[1]
    noise = jax.random.normal(key_for("input noise", key), inputs.shape, inputs.dtype)
    return inputs + jnp.asarray(input_noise, inputs.dtype) * noise, targets


def _penalized(problem: Problem, params: Any, batch: Any, *, l1: Any, l2: Any, **rest: Any) -> Any:
    kept = matrices(params)
    if not kept:
        raise ValueError(f"problem={problem.name!r}: has no matrices to penalize")
    size = sum(jnp.abs(p).sum() for p in kept)
    square = sum(jnp.square(p).sum() for p in kept)
    return problem.loss(params, batch, **rest) + l1 * size + l2 * square

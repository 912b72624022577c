"""Laws about zeros, the ends of a dtype's range, and the end of counting."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from adamlab.testing._compare import as_numpy, finite, same
from adamlab.testing._law import Broken, NotApplicable, law
from adamlab.testing._subject import Subject, apply
from adamlab.testing._trees import example_gradients, example_params

_DTYPES = (jnp.float32, jnp.bfloat16, jnp.float16)


@law
def rest(subject: Subject) -> None:
    """Zero gradients from the start move nothing, with hyperparameters that begin with
    `weight_decay` at zero.
    """
    params = example_params()
    zeros = jax.tree.map(jnp.zeros_like, params)
    run = subject.run(subject.without("weight_decay"), params, [zeros] * 2)
    with subject.judged_without("weight_decay"):
        same("for zero gradients, updates", run.updates, [zeros] * 2)


@law
def zero_gradient(subject: Subject) -> None:
    """A zero gradient, first or after others, gives finite updates and no NaN in the state, in
    float32, bfloat16 and float16.
    """
    for dtype in _DTYPES:
        params = {"w": example_params(dtype)["w"]}
        zeros = jax.tree.map(jnp.zeros_like, params)
        gradients = [zeros, *example_gradients(1, params), zeros]
        run = subject.run(subject.tx, params, gradients)
        name = jnp.dtype(dtype).name
        finite(f"in {name}, updates", run.updates)
        for path, leaf in jax.tree_util.tree_leaves_with_path(run.state):
            value = as_numpy(leaf)
            if np.issubdtype(value.dtype, np.inexact) and np.isnan(value).any():
                raise Broken(f"in {name}, the state holds NaN at {jax.tree_util.keystr(path)}")


@law
def debug_nans(subject: Subject) -> None:
    """Ten steps, the first with a zero gradient, raise nothing under `jax_debug_nans`: no NaN
    arises in between either.
    """
    params = {"w": example_params()["w"]}
    zeros = jax.tree.map(jnp.zeros_like, params)
    with jax.debug_nans(True):
        subject.run(subject.tx, params, [zeros, *example_gradients(9, params)])


@law
def meta_gradient(subject: Subject) -> None:
    """The gradient of a loss after five steps, the first with a zero gradient and the last from a
    step count of 10**6, is finite: with respect to the initial parameters and to every
    hyperparameter.
    """

    def loss(start: Any, hyperparameters: Any) -> jax.Array:
        tx = subject.build(**hyperparameters) if hyperparameters else subject.tx
        state, params = tx.init(start), start
        for t, share in enumerate((0.0, 1.0, 1.0, 1.0, 1.0)):
            # In float32, 1 - b**t is 1 by then.
            state = _with_count(state, 10**6) if t == 4 else state
            grads = jax.tree.map(lambda p, share=share: share * p, params)
            updates, state = subject.step(tx, grads, state, params)
            params = apply(params, updates)
        return jnp.sum(params["b"] ** 2)

    values = {name: jnp.float32(value) for name, value in subject.hyperparameters.items()}
    # On the vector, whose operations other laws have compiled.
    slopes = jax.grad(loss, argnums=(0, 1))({"b": example_params()["b"]}, values)
    finite("the slope by the initial parameters", slopes[0])
    finite("the slope by the hyperparameter", slopes[1])


@law
def count_saturates(subject: Subject) -> None:
    """Step counts (integer leaves of the state with `count` in their names) go up by one in the
    fourth update and stay at 2**31 - 1 once there, with finite updates.
    """
    top = jnp.iinfo(jnp.int32).max
    tx, params, grads = subject.tx, example_params(), example_gradients(1)[0]
    before = _counts(subject.plain.state)
    if not before:
        raise NotApplicable("the state holds no count")
    _, state = subject.step(tx, grads, subject.plain.state, params)
    for name, count in _counts(state).items():
        if count != before[name] + 1:
            raise Broken(f"state{name} went from {before[name]} to {count} in a step")
    state = _with_count(tx.init(params), top)
    updates, state = subject.step(tx, grads, state, params)
    for name, count in _counts(state).items():
        if count != top:
            raise Broken(f"state{name} went from {top} to {count}")
    finite("at the last count, updates", updates)


def _counts(state: Any) -> dict[str, int]:
    """The counts in a state by their places."""
    leaves = jax.tree_util.tree_leaves_with_path(state)
    return {jax.tree_util.keystr(path): int(leaf) for path, leaf in leaves if _is_count(path, leaf)}


def _is_count(path: Any, leaf: Any) -> bool:
    integer = jnp.issubdtype(jnp.result_type(leaf), jnp.integer)
    return integer and "count" in jax.tree_util.keystr(path[-1:])


def _with_count(state: Any, count: int) -> Any:
    """The state as if it had been through `count` steps."""

    def leaf(path: Any, old: Any) -> Any:
        return jnp.full_like(old, count) if _is_count(path, old) else old

    return jax.tree_util.tree_map_with_path(leaf, state)

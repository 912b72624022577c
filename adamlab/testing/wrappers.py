"""Laws about Optax's wrappers: a wrapped transformation acts as it does alone."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax

from adamlab.testing._compare import FUSED, same
from adamlab.testing._law import law
from adamlab.testing._subject import Subject
from adamlab.testing._trees import example_gradients, example_matrix, example_params


@law
def masked(subject: Subject) -> None:
    """Within `optax.masked`, the leaves that the mask selects are updated as if they were alone and
    the others keep their gradients. Within 16 ulp of each leaf's largest element.
    """
    tx = optax.masked(subject.tx, {"w": True, "b": False}, mask_compatible_extra_args=True)
    run = subject.run(tx, example_params(), example_gradients(2))
    expected = [
        {"w": u["w"], "b": g["b"]}
        for u, g in zip(subject.alone.updates, example_gradients(2), strict=True)
    ]
    same("masked, updates", run.updates, expected, FUSED)


@law
def partition(subject: Subject) -> None:
    """Within `optax.partition`, the labelled leaves are updated as if they were alone. Within 16
    ulp of each leaf's largest element.
    """
    tx = optax.partition(
        {"mine": subject.tx, "other": optax.set_to_zero()},
        {"w": "mine", "b": "other"},
        mask_compatible_extra_args=True,
    )
    run = subject.run(tx, example_params(), example_gradients(2))
    expected = [
        {"w": u["w"], "b": jnp.zeros_like(example_params()["b"])} for u in subject.alone.updates
    ]
    same("partitioned, updates", run.updates, expected, FUSED)


@law
def multi_steps(subject: Subject) -> None:
    """Within `optax.MultiSteps` over pairs of equal gradients, every other update is that of the
    gradient alone, and those between are zero. Within 16 ulp of each leaf's largest element.
    """
    params, gradients = example_matrix()
    twice = [g for g in gradients for _ in range(2)]
    with jax.numpy_dtype_promotion("standard"):  # Optax's own arithmetic counts on it
        tx = optax.MultiSteps(subject.tx, 2).gradient_transformation()
        # Traced for the types of its branches, run without jit so that it compiles nothing.
        jax.eval_shape(lambda p, g: subject.run(tx, p, [g]).updates, params, twice[0])
        with jax.disable_jit():
            got = subject.run(tx, params, twice).updates
    zeros = jax.tree.map(jnp.zeros_like, params)
    first, second = subject.alone.updates
    same("accumulated, updates", got, [zeros, first, zeros, second], FUSED)

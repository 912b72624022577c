"""Laws about unusual trees, and trees that do not fit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from adamlab.testing._compare import FUSED, finite, same, same_form
from adamlab.testing._law import Broken, law
from adamlab.testing._subject import Subject
from adamlab.testing._trees import example_gradients, example_params


@law
def empty_tree(subject: Subject) -> None:
    """A tree without leaves is updated to itself."""
    run = subject.run(subject.tx, {}, [{}, {}])
    same("updates", run.updates, [{}, {}])


@law
def scalar_leaves(subject: Subject) -> None:
    """Scalar parameters get finite scalar updates."""
    params = {"s": jnp.asarray(0.5)}
    run = subject.run(subject.tx, params, example_gradients(2, params))
    same_form("updates", run.updates[-1], params)
    finite("updates", run.updates)


@law
def zero_size_leaves(subject: Subject) -> None:
    """A leaf without elements changes nothing for the others. Within 16 ulp of each leaf's largest
    element.
    """
    _beside(subject, jnp.zeros((0, 3)))


@law
def none_leaves(subject: Subject) -> None:
    """None among the parameters and gradients stays None and changes nothing for the others.
    Within 16 ulp of each leaf's largest element.
    """
    _beside(subject, None)


@law
def foreign_tree(subject: Subject) -> None:
    """Gradients with a leaf missing, a leaf too many or another name than the parameters' raise a
    ValueError or a TypeError.
    """
    _refused(
        subject,
        {
            "without the leaf ['b']": lambda g: {"w": g["w"]},
            "with a further leaf ['x']": lambda g: {**g, "x": g["b"]},
            "with ['b'] called ['c']": lambda g: {"w": g["w"], "c": g["b"]},
        },
    )


@law
def foreign_shape(subject: Subject) -> None:
    """Gradients of another shape than the parameters', even one that broadcasts, raise a ValueError
    or a TypeError.
    """
    _refused(
        subject,
        {
            "a scalar for shape (4, 3)": lambda g: {**g, "w": jnp.asarray(1.0)},
            "shape (1, 3) for (4, 3)": lambda g: {**g, "w": g["w"][:1]},
        },
    )


def _beside(subject: Subject, odd_leaf: Any) -> None:
    run = subject.run(
        subject.tx,
        {**example_params(), "odd": odd_leaf},
        [{**g, "odd": odd_leaf} for g in example_gradients(2)],
    )
    expected = [{**u, "odd": odd_leaf} for u in subject.plain.updates[:2]]
    same("beside it, updates", run.updates, expected, FUSED)


def _refused(subject: Subject, changes: dict[str, Callable[[Any], Any]]) -> None:
    params, (grads,) = example_params(), example_gradients(1)
    state = subject.tx.init(params)
    for name, change in changes.items():
        # Ranks may be promoted here: that is when a wrong shape could pass unseen.
        with jax.numpy_rank_promotion("allow"):
            try:
                jax.eval_shape(lambda g: subject.step(subject.tx, g, state, params), change(grads))
            except (ValueError, TypeError):
                continue
        raise Broken(f"gradients {name} were accepted without an error")

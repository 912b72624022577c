"""Laws about what an update may depend on: order, place, scale and sign."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from adamlab.testing._compare import FUSED, ROUNDED, as_numpy, same
from adamlab.testing._draw import for_courses
from adamlab.testing._law import Broken, NotApplicable, law
from adamlab.testing._subject import Subject
from adamlab.testing._trees import example_gradients, example_params


@law
def leaf_order(subject: Subject) -> None:
    """Leaves may be renamed, reordered and nested, and the updates go with them. Within 16 ulp of
    each leaf's largest element: a sum over the tree may run in another order.
    """

    def reshape(tree: Any) -> Any:
        return {"z": [tree["b"]], "a": ({"q": tree["w"]},)}

    run = subject.run(
        subject.tx, reshape(example_params()), [reshape(g) for g in example_gradients(2)]
    )
    expected = [reshape(u) for u in subject.plain.updates[:2]]
    same("renamed, reordered and nested, updates", run.updates, expected, FUSED)


@law
def elementwise(subject: Subject) -> None:
    """Permuting the elements of a leaf permutes its updates, and splitting a leaf in two splits
    them. Within 2 ulp of each leaf's largest element.
    """
    order = np.random.default_rng(0).permutation(12)

    def permute(tree: Any) -> Any:
        return {**tree, "w": tree["w"].reshape(-1)[order].reshape(4, 3)}

    def split(tree: Any) -> Any:
        return {"w": tree["w"], "b": (tree["b"][:2], tree["b"][2:])}

    for name, change in (("permuted", permute), ("split", split)):
        run = subject.run(
            subject.tx, change(example_params()), [change(g) for g in example_gradients(2)]
        )
        expected = [change(u) for u in subject.plain.updates[:2]]
        same(f"{name}, updates", run.updates, expected, ROUNDED)


@law
def local(subject: Subject) -> None:
    """An element's updates depend on its own gradients and no other's: the rest keep their bits
    when one changes, in the second of three steps.
    """
    row, column = 2, 1  # where the third gradient is small: an average then has the other sign
    first, second, third = example_gradients(3)
    changed = {**second, "w": second["w"].at[row, column].mul(-64)}
    run = subject.run(subject.tx, example_params(), [first, changed, third])
    for t, (got, expected) in enumerate(
        zip(run.updates, subject.plain.updates, strict=True), start=1
    ):
        unlike = jax.tree.map(lambda a, b: as_numpy(a) != as_numpy(b), got, expected)
        unlike["w"][row, column] = False
        for name, leaf in unlike.items():
            if leaf.any():
                place = [int(i) for i in np.argwhere(leaf)[0]]
                raise Broken(
                    f"another gradient at ['w'][{row}, {column}] in step 2 changed the update of "
                    f"['{name}']{place} in step {t}"
                )


@law
def scale_invariant(subject: Subject) -> None:
    """Without eps, gradients times 2**-8 or 2**8 give the same updates. Within 2 ulp of each leaf's
    largest element. The hyperparameters whose names begin with `eps` are set to zero. Further
    gradients are drawn by Hypothesis where it is installed.
    """
    tx = subject.without("eps")

    def hold(params: Any, gradients: list[Any]) -> None:
        expected = subject.run(tx, params, gradients).updates
        for power in (-8, 8):
            scaled = [jax.tree.map(lambda g, f=2.0**power: f * g, g) for g in gradients]
            got = subject.run(tx, params, scaled).updates
            with subject.judged_without("eps"):
                same(f"for gradients times 2**{power}, updates", got, expected, ROUNDED)

    hold(example_params(), example_gradients(3))
    for_courses(partial(hold, example_params()["w"]), jnp.float32, 2.0**-12, 2.0**12)


@law
def odd(subject: Subject) -> None:
    """Gradients and parameters of the other sign give updates of the other sign, bit for bit.
    Further gradients, of any magnitude, are drawn by Hypothesis where it is installed.
    """

    def flip(tree: Any) -> Any:
        return jax.tree.map(jnp.negative, tree)

    def hold(params: Any, gradients: list[Any], expected: Any = None) -> None:
        expected = expected or subject.run(subject.tx, params, gradients).updates
        run = subject.run(subject.tx, flip(params), flip(gradients))
        same("for the other sign, minus updates", flip(run.updates), expected)

    hold(example_params(), example_gradients(3), subject.plain.updates)
    info = jnp.finfo(jnp.float32)
    ends = float(info.smallest_subnormal), float(info.max)
    for_courses(partial(hold, example_params()["w"]), jnp.float32, *ends)


@law
def descends(subject: Subject) -> None:
    """The first update that moves anything goes against its gradient: their inner product over all
    leaves is negative. For subjects with a `learning_rate` among their hyperparameters; those that
    begin with `weight_decay` are set to zero.
    """
    if "learning_rate" not in subject.hyperparameters:
        raise NotApplicable("no learning_rate among its hyperparameters: it may be a direction")
    params, gradients = example_params(), example_gradients(3)
    decays = any(name.startswith("weight_decay") for name in subject.hyperparameters)
    run = subject.run(subject.without("weight_decay"), params, gradients) if decays else None
    for step, updates in enumerate((run or subject.plain).updates):
        moved, slopes = (
            [as_numpy(x).ravel() for x in jax.tree.leaves(tree)]
            for tree in (updates, gradients[step])
        )
        if any(u.any() for u in moved):
            inner = sum(np.vdot(u, g).real for u, g in zip(moved, slopes, strict=True))
            if inner >= 0:
                raise Broken(f"update {step + 1} does not: the inner product is {inner:.3g}")
            return


@law
def bounded(subject: Subject) -> None:
    """No element takes a step longer than the subject's `bound` times its learning rate, over
    20,000 steps whose gradients stay, alternate, spike, grow or fall. To one part in 10**4.
    """
    if subject.bound is None:
        raise NotApplicable("the subject gives no bound")
    unit = subject.hyperparameters.get("learning_rate", subject.unit)
    if unit is None:
        raise NotApplicable(
            "a bound is in units of the learning rate: give a factory and its learning_rate as a "
            "hyperparameter, or that rate as unit=, 1.0 where there is none"
        )
    longest = subject.bound * unit
    courses = _courses(20_000)
    # One course an element, all in one run.
    gradients = jnp.asarray(np.stack(list(courses.values()), axis=1), jnp.float32)
    updates = jax.jit(lambda p, g: subject.scan(subject.tx, p, g))(
        jnp.zeros(len(courses)), gradients
    )
    for name, length in zip(courses, np.abs(np.asarray(updates)).max(axis=0), strict=True):
        if not length <= longest * (1 + 1e-4):
            raise Broken(f"with gradients {name}, a step is {length:.6g} long, over {longest:.6g}")


def _courses(steps: int) -> dict[str, np.ndarray]:
    """Gradients by step; spikes and growth come last, once the averages have forgotten the rest."""
    t = np.arange(steps)
    left = steps - 1 - t

    def growing(rate: float) -> np.ndarray:
        course = rate ** -left.astype(float)
        return np.where(course > 1e-9, course, 0.0)

    # The worst for Adam grows by b2 / b1.
    rates = (1.01, 1.02, 1.05, 1.11, 1.3, 2.0)
    return {
        "constant": np.ones(steps),
        "alternating": (-1.0) ** t,
        "a spike after zeros": np.where(left == 0, 1.0, 0.0),
        "a spike after 1e-3": np.where(left == 0, 1.0, 1e-3),
        "falling by 2": 2.0 ** -np.minimum(t, 60.0),
        **{f"growing by {rate:g}": growing(rate) for rate in rates},
    }

"""Laws about hyperparameters: a number, a traced number and a schedule are equivalent."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from adamlab.testing._compare import FUSED, ROUNDED, as_numpy, same
from adamlab.testing._law import Broken, NotApplicable, law
from adamlab.testing._subject import Subject, stack
from adamlab.testing._trees import example_matrix


@law
def traced_hyperparameters(subject: Subject) -> None:
    """Traced hyperparameters give the same updates as constants. Within 2 ulp of each leaf's
    largest element in float32.
    """
    params, gradients = example_matrix()

    @jax.jit
    def run(values: Any) -> Any:
        return subject.scan(subject.build(**values), params, stack(gradients))

    same("traced, updates", run(_values(subject)), subject.compiled, ROUNDED)


@law
def vmapped_hyperparameters(subject: Subject) -> None:
    """Hyperparameters that vary over the lanes of a vmap give, in each lane, the same updates as
    constants. Within 2 ulp of each leaf's largest element in float32.
    """
    values = _values(subject)
    other = jax.tree.map(lambda v: v / 2, values)
    lanes = jax.vmap(_loop(subject))(stack([other, values]))
    lane = jax.tree.map(lambda u: u[1], lanes)
    same("vmapped, updates", lane, subject.alone.updates, ROUNDED)


@law
def scheduled(subject: Subject) -> None:
    """Constant schedules give the same updates as constants; those that change after the first step
    leave the first update unchanged, and one for the `learning_rate` changes the second. Within 2
    ulp of each leaf's largest element in float32.
    """
    values = _values(subject)
    schedules = {
        name: (lambda count, value=value: jnp.where(count < 0, 0, value))
        for name, value in values.items()
        if name not in subject.unscheduled
    }
    if not schedules:
        raise NotApplicable("no hyperparameter of the subject takes a schedule")
    run = _loop(subject)
    expected = subject.alone.updates
    try:
        found = run(schedules)
    except Exception as error:
        name = _takes_no_schedule(subject, schedules)
        raise Broken(
            f"a schedule for {name} raised {type(error).__name__}: {error}; if it takes no "
            f"schedule, pass unscheduled=[{name!r}]"
        ) from error
    same("scheduled, updates", found, expected, ROUNDED)
    jax.eval_shape(lambda: run(schedules))  # the count traced as well
    late = {
        name: (lambda count, value=values[name]: jnp.where(count > 0, value / 2, value))
        for name in schedules
    }
    first = run(late)[0]
    same("with other hyperparameters after step 1, update 1", first, expected[0], ROUNDED)
    if "learning_rate" in schedules:
        rate = values["learning_rate"]
        changed = run({"learning_rate": late["learning_rate"]})
        what = "with another learning_rate after step 1, update"
        # Some do not move yet, whatever the rate.
        if not _differ(changed[1], expected[1]) and _differ(
            run({"learning_rate": rate / 2})[1], expected[1]
        ):
            raise Broken(f"{what} 2 is that of the old one")


@law
def steered(subject: Subject) -> None:
    """Halving the `learning_rate` changes the updates, unless they are all zero."""
    rate = _values(subject).get("learning_rate")
    if rate is None:
        raise NotApplicable("no learning_rate among its hyperparameters")
    updates = subject.alone.updates
    if not any(as_numpy(u).any() for u in jax.tree.leaves(updates)):
        raise NotApplicable(f"{len(updates)} updates move nothing")
    if not _differ(_loop(subject)({"learning_rate": rate / 2}), updates):
        raise Broken(f"the updates for {rate / 2:g} are those for {rate:g}")


@law
def injected(subject: Subject) -> None:
    """`optax.inject_hyperparams` gives the same updates as constants, and neither a step nor
    another learning rate in its state makes a jitted update compile again. Within 16 ulp of each
    leaf's largest element.
    """
    values = _values(subject)
    make = _with_named_arguments(subject, list(values))
    tx = optax.inject_hyperparams(make)(**subject.hyperparameters)
    params, gradients = example_matrix()
    run = subject.run(tx, params, gradients)
    same("injected, updates", run.updates, subject.alone.updates, FUSED)

    def update(grads: Any, state: Any, params: Any) -> Any:
        traces.append(None)
        return subject.step(tx, grads, state, params)

    traces: list[None] = []
    traced = jax.jit(update)
    name = "learning_rate" if "learning_rate" in values else next(iter(values))
    fresh = tx.init(params)
    changed = run.state._replace(hyperparams={**run.state.hyperparams, name: values[name] / 2})
    for state in (fresh, run.state, changed):
        traced.eval_shape(gradients[0], state, params)
    if len(traces) > 1:
        raise Broken(f"the update was traced {len(traces)} times for three steps of two {name}s")


def _differ(one: Any, other: Any) -> bool:
    """Whether updates differ by more than rounding."""
    try:
        same("updates", one, other, FUSED)
    except Broken:
        return True
    return False


def _takes_no_schedule(subject: Subject, schedules: Mapping[str, Any]) -> str:
    """The first of the hyperparameters whose schedule alone raises; else all of them."""
    for name, schedule in schedules.items():
        try:
            jax.eval_shape(lambda one=name, by=schedule: _loop(subject)({one: by}))
        except Exception:
            return name
    return ", ".join(schedules)


def _values(subject: Subject) -> dict[str, jax.Array]:
    if not subject.hyperparameters:
        raise NotApplicable("the subject has no hyperparameters: give a factory and its constants")
    return {name: jnp.float32(value) for name, value in subject.hyperparameters.items()}


def _loop(subject: Subject) -> Any:
    """A function from hyperparameters to the updates of `Subject.alone`."""
    params, gradients = example_matrix()
    return lambda changed: subject.run(subject.build(**changed), params, gradients).updates


def _with_named_arguments(subject: Subject, names: list[str]) -> Any:
    """`subject.make` with a signature that Optax can read, whatever its own looks like."""

    def make(**values: Any) -> optax.GradientTransformation:
        return subject.build(**values)

    kind = inspect.Parameter.KEYWORD_ONLY
    make.__signature__ = inspect.Signature([inspect.Parameter(n, kind) for n in names])  # type: ignore[attr-defined]
    return make

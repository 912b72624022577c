"""Supervised problems: a source of data, a model and a loss make a `Problem`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax

from adamlab._checks import check_count
from adamlab.problems._problem import Problem
from adamlab.problems._source import Data, Source, shapes
from adamlab.problems.network import Model, weight_norm, with_gain
from adamlab.stages.numerics import widen

Loss = Callable[[jax.Array, jax.Array], jax.Array]
"""`loss(outputs, targets)` -> scalar, the mean over rows."""


def cross_entropy(outputs: jax.Array, targets: jax.Array) -> jax.Array:
    """Mean over rows of the negative log-probability of the class, from logits."""
    loss: jax.Array = optax.softmax_cross_entropy_with_integer_labels(outputs, targets).mean()
    return loss


def squared_error(outputs: jax.Array, targets: jax.Array) -> jax.Array:
    """Mean over rows and outputs of the squared difference.

    Raises:
        ValueError: the two differ in shape.
    """
    _check_one_shape(outputs, targets)
    return jnp.mean((outputs - targets) ** 2)


def huber(outputs: jax.Array, targets: jax.Array) -> jax.Array:
    """Mean of Huber's loss: half the square up to a difference of 1, then linear (Huber 1964).

    Raises:
        ValueError: the two differ in shape.
    """
    _check_one_shape(outputs, targets)
    loss: jax.Array = optax.huber_loss(outputs, targets).mean()
    return loss


def _check_one_shape(outputs: jax.Array, targets: jax.Array) -> None:
    """Refuse (n, 1) against (n,), which would broadcast to (n, n)."""
    if jnp.shape(outputs) != jnp.shape(targets):
        raise ValueError(
            f"outputs has shape {jnp.shape(outputs)} and targets {jnp.shape(targets)}: must be the "
            "same"
        )


def supervised(
    source: Source,
    model: Model,
    loss: Loss,
    *,
    batch_size: int | None = None,
    observed: int | None = None,
    optimum: float = 0.0,
    target: float | None = None,
    name: str | None = None,
) -> Problem:
    """The problem to fit `model` to the data of `source` by `loss`.

    Hyperparameters: the source's own, and `gain`, a factor on the initial matrices. The objective
    is the mean loss over the train rows. Metrics: `test_loss`, `weight_norm`, and for classes
    `train_accuracy` and `test_accuracy`, in [0, 1], where the outputs are a logit for each class,
    or a single one, which is above 0 for class 1.

    Args:
        source: where the data come from, such as `digits()`.
        model: such as `network((64, 32, 10))`.
        loss: such as `cross_entropy`.
        batch_size: rows a step, drawn with replacement; None for all rows.
        observed: how many of the train rows the objective takes; None for all.
        optimum: the least value of the objective, or a bound below it.
        target: the objective at which a run counts as converged.
        name: of the problem; None for the source's and the loss's.

    Raises:
        TypeError: `batch_size` or `observed` is not an integer, or `source`, `model` or `loss` is
            not what it must be.
        ValueError: one of the numbers is below 1, `model` does not take the inputs of `source`,
            `loss` does not take the outputs with the targets, or it is `cross_entropy` and there
            are not as many outputs as classes.
    """
    for argument, value in (("batch_size", batch_size), ("observed", observed)):
        if value is not None:
            check_count(argument, value)
    _check_fit(source, model, loss)
    loss_name = getattr(loss, "__name__", "loss")
    return Problem(
        name=name or f"{source.name}, {loss_name}, batch {batch_size or 'all'}",
        data=source.rows,
        init=partial(_init, model),
        loss=partial(_loss, model, loss),
        batch=partial(_batch, batch_size),
        objective=partial(_objective, model, loss, observed),
        metrics=partial(_metrics, model, loss, source.outputs),
        optimum=optimum,
        target=target,
        hyperparameters={"gain": 1.0, **source.hyperparameters},
        ranges=source.ranges,
        description=f"{source.name} by {loss_name}, batches of {batch_size or 'all'} rows",
    )


def _check_fit(source: Source, model: Model, loss: Loss) -> None:
    """Refuse a model or a loss that cannot go with the source, by shapes alone."""
    data = shapes(source)
    if not isinstance(model, Model):
        raise TypeError(f"model={model!r}: must be a Model, such as network((64, 10))")
    if not callable(loss):
        raise TypeError(f"loss={loss!r}: must be a function, such as cross_entropy")
    key = jax.eval_shape(jax.random.key, 0)
    params = jax.eval_shape(model.init, key)
    _check_no_collections(params)
    with _blaming(f"model does not take the inputs of source={source.name!r}"):
        outputs = jax.eval_shape(model.apply, params, data.inputs)
    # Too few logits give NaN and no error. A user's loss may well want another number of outputs.
    if loss is cross_entropy and outputs.shape[-1:] != (source.outputs,):
        raise ValueError(
            f"model makes outputs of shape {outputs.shape} from source={source.name!r}: must end "
            f"in {source.outputs}, its classes"
        )
    with _blaming(f"loss does not take the model's outputs for source={source.name!r}"):
        jax.eval_shape(loss, outputs, data.targets)
    with _blaming(f"the test rows of source={source.name!r} are not like its train rows"):
        jax.eval_shape(
            lambda p, x, y: loss(model.apply(p, x), y),
            params, data.test_inputs, data.test_targets,
        )  # fmt: skip


def _check_no_collections(variables: Any) -> None:
    """Refuse what a Flax module keeps beside its parameters, which would be trained as well."""
    if isinstance(variables, Mapping) and "params" in variables and len(variables) > 1:
        others = ", ".join(repr(name) for name in variables if name != "params")
        raise ValueError(
            f"model: its init gives {others} beside 'params', which would be trained like "
            "parameters; a Model has none but those: use a layer without running statistics "
            "(network(..., batch_norm=True) takes the batch's own), or leave them out of init"
        )


@contextmanager
def _blaming(what: str) -> Iterator[None]:
    try:
        yield
    except (TypeError, ValueError) as error:
        raise ValueError(f"{what}: {error}") from error


def _init(model: Model, key: jax.Array, *, gain: jax.Array, **_: Any) -> Any:
    return with_gain(model.init(key), gain)


def _batch(
    batch_size: int | None, key: jax.Array, step: jax.Array, data: Data, **_: Any
) -> tuple[jax.Array, jax.Array]:
    del step
    if batch_size is None:
        return data.inputs, data.targets
    rows = jax.random.randint(key, (batch_size,), 0, len(data.inputs))
    return data.inputs[rows], data.targets[rows]


def _loss(
    model: Model, loss: Loss, params: Any, batch: tuple[jax.Array, jax.Array], **_: Any
) -> jax.Array:
    inputs, targets = batch
    return loss(model.apply(params, inputs), targets)


def _objective(
    model: Model, loss: Loss, observed: int | None, params: Any, data: Data, **_: Any
) -> jax.Array:
    outputs = widen(model.apply(params, data.inputs[:observed]))  # bfloat16 hides small changes
    return loss(outputs, data.targets[:observed])


def _metrics(
    model: Model, loss: Loss, classes: int, params: Any, data: Data, **_: Any
) -> Mapping[str, jax.Array]:
    outputs = widen(model.apply(params, data.test_inputs))
    found = {"test_loss": loss(outputs, data.test_targets), "weight_norm": weight_norm(params)}
    if not jnp.issubdtype(data.targets.dtype, jnp.integer):
        return found
    train_outputs = model.apply(params, data.inputs)
    for part, logits, truth in (
        ("train", train_outputs, data.targets),
        ("test", outputs, data.test_targets),
    ):
        right = _right(logits, truth, classes)
        if right is not None:
            found[f"{part}_accuracy"] = right.mean()
    return found


def _right(outputs: jax.Array, targets: jax.Array, classes: int) -> jax.Array | None:
    """For each row 1 where the largest logit is its class's; None where outputs are no logits."""
    single = classes <= 2
    if single and outputs.shape in (targets.shape, (*targets.shape, 1)):
        guess = (outputs > 0).reshape(targets.shape).astype(targets.dtype)
    elif outputs.shape == (*targets.shape, classes):
        guess = outputs.argmax(axis=-1).astype(targets.dtype)
    else:
        return None
    return (guess == targets).astype(float)

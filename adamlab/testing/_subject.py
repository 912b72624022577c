"""What the laws test: a transformation, how to build it, and what it needs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from adamlab._checks import check_number, nearest
from adamlab.stages import parts_of
from adamlab.testing._law import Broken
from adamlab.testing._trees import EXAMPLE_DTYPES, example_gradients, example_matrix, example_params


class Run(NamedTuple):
    """Some steps of a transformation."""

    updates: list[Any]
    """One tree a step."""
    state: Any
    """After the last step."""
    params: Any
    """After the last step."""


class Forms(NamedTuple):
    """One step as trees of `jax.ShapeDtypeStruct`."""

    params: Any
    grads: Any
    state: Any
    updates: Any
    after: Any
    """The state after the step."""


@dataclass(frozen=True, eq=False)
class Subject:
    """A gradient transformation as the laws see it.

    A law that asks for something the subject does not give (hyperparameters, a bound) does not
    apply to it.

    Raises:
        ValueError: a hyperparameter is not finite, `bound` is negative, or `unit` is not above 0.
        TypeError: one of them is not a number, or is a schedule.
    """

    make: Callable[..., optax.GradientTransformation]
    """Builds the transformation from the hyperparameters, given by name. Each may arrive as a
    Python float, a traced float32 scalar or a schedule."""
    hyperparameters: Mapping[str, float] = field(default_factory=dict)
    """The constants it is built with. `learning_rate` and those that begin with `eps` or
    `weight_decay` are known by name: some laws set the latter two to zero."""
    unscheduled: Collection[str] = ()
    """Hyperparameters that take no schedule."""
    extra_args: Callable[[Any, Any], Mapping[str, Any]] | None = None
    """Maps gradients and parameters to the further arguments of `update` (`value`, `hessian_diag`);
    must be traceable."""
    bound: float | None = None
    """The longest step an element can take, in units of the learning rate."""
    unit: float | None = None
    """That learning rate where `hyperparameters` has none; 1.0 for a transformation without one."""

    def __post_init__(self) -> None:
        for name, value in self.hyperparameters.items():
            check_number(f"hyperparameters[{name!r}]", value, scheduled=False)
        if self.bound is not None:
            check_number("bound", self.bound, low=0, scheduled=False)
        if self.unit is not None:
            check_number("unit", self.unit, low=0, open_low=True, scheduled=False)

    @cached_property
    def tx(self) -> optax.GradientTransformationExtraArgs:
        """The transformation with its own hyperparameters.

        Raises:
            TypeError: `make` raises, or gives something else.
        """
        try:
            return self.build()
        except Exception as error:
            raise TypeError(
                f"hyperparameters={dict(self.hyperparameters)}: no transformation can be made from "
                f"them: {type(error).__name__}: {error}"
            ) from error

    @cached_property
    def plain(self) -> Run:
        """Three steps on the example trees, op by op: what most laws compare with."""
        return self.run(self.tx, example_params(), example_gradients(3))

    @cached_property
    def alone(self) -> Run:
        """Two steps on the matrix alone, op by op: for laws that must compile."""
        return self.run(self.tx, *example_matrix())

    @cached_property
    def compiled(self) -> Any:
        """The updates of `alone` in one compiled scan, with a leading axis of steps."""
        params, gradients = example_matrix()
        return jax.jit(lambda p, g: self.scan(self.tx, p, g))(params, stack(gradients))

    @cached_property
    def forms(self) -> dict[str, Forms]:
        """`trace` for each kind of example tree, with gradients like it."""
        return {name: self.trace(name) for name in EXAMPLE_DTYPES}

    def trace(self, dtype: str, gradients: str | None = None) -> Forms:
        """A step on the example tree of that dtype, or of mixed ones, without running it.

        Args:
            dtype: of the parameters.
            gradients: the gradients' dtype; None for the parameters' own.
        """

        def step(params: Any, grads: Any) -> Forms:
            state = self.tx.init(params)
            return Forms(params, grads, state, *self.step(self.tx, grads, state, params))

        with jax.enable_x64(True) if dtype == "float64" else nullcontext():
            return jax.eval_shape(step, example_params(dtype), example_params(gradients or dtype))

    def build(self, **changed: Any) -> optax.GradientTransformationExtraArgs:
        """The transformation with some hyperparameters changed."""
        tx = self.make(**{**self.hyperparameters, **changed})
        if not isinstance(tx, optax.GradientTransformation):
            raise TypeError(f"make gave {tx!r}, not an optax.GradientTransformation")
        return optax.with_extra_args_support(tx)

    def without(self, *beginnings: str) -> optax.GradientTransformationExtraArgs:
        """The transformation with every hyperparameter whose name begins so set to zero."""
        zeroed = {name: 0.0 for name in self.hyperparameters if name.startswith(beginnings)}
        return self.build(**zeroed) if zeroed else self.tx

    @contextmanager
    def judged_without(self, beginning: str) -> Iterator[None]:
        """Add a hint to a verdict where `without(beginning)` had nothing to set to zero."""
        try:
            yield
        except Broken as broken:
            if any(name.startswith(beginning) for name in self.hyperparameters):
                raise
            raise Broken(
                f"{broken} (if it has {beginning}, give that among the hyperparameters: this law "
                "sets it to zero)"
            ) from None

    def step(self, tx: Any, grads: Any, state: Any, params: Any) -> tuple[Any, Any]:
        """`tx.update` with the extra arguments that the subject asks for."""
        extra = {} if self.extra_args is None else self.extra_args(grads, params)
        return tx.update(grads, state, params, **extra)

    def run(
        self,
        tx: Any,
        params: Any,
        gradients: Sequence[Any],
        *,
        step: Any = None,
        state: Any = None,
        moving: bool = True,
    ) -> Run:
        """As many steps as there are `gradients`.

        Args:
            tx: the transformation.
            params: where to start.
            gradients: one tree a step.
            step: stands in for `self.step` with `tx` given, such as a jitted one.
            state: where to start; None for a fresh one.
            moving: whether the updates are applied to the parameters.
        """
        state, out = tx.init(params) if state is None else state, []
        for grads in gradients:
            updates, state = (
                self.step(tx, grads, state, params) if step is None else step(grads, state, params)
            )
            out.append(updates)
            if moving:
                params = apply(params, updates)
        return Run(out, state, params)

    def scan(self, tx: Any, params: Any, gradients: Any) -> Any:
        """The updates of `run` in one `lax.scan`; both trees have a leading axis of steps."""

        def body(carry: Any, grads: Any) -> tuple[Any, Any]:
            params, state = carry
            updates, state = self.step(tx, grads, state, params)
            return (apply(params, updates), state), updates

        return jax.lax.scan(body, (params, tx.init(params)), gradients)[1]


def as_subject(subject: Any, details: Mapping[str, Any]) -> Subject:
    """`subject` as a `Subject`: it may be one, a transformation, or a factory of one."""
    if isinstance(subject, Subject):
        if details:
            raise TypeError(f"give {', '.join(details)} to the Subject itself")
        return subject
    known = [f.name for f in fields(Subject) if f.name != "make"]
    for name in details:
        if name not in known:
            raise TypeError(f"unknown detail {name!r}: {nearest(name, known)}")
    if isinstance(subject, optax.GradientTransformation):
        if details.get("hyperparameters"):
            raise TypeError(
                "hyperparameters need a factory, a function from them to the transformation, but "
                "got the transformation itself"
            )
        if "moments" in (getattr(subject, "takes", None), getattr(subject, "gives", None)):
            raise TypeError(
                f"{parts_of(subject)[0]} takes or gives moments: the laws are of whole optimizers; "
                "give them a chain that it is a stage of"
            )
        return Subject(lambda: subject, **details)
    if callable(subject):
        return Subject(subject, **details)
    raise TypeError(
        f"{subject!r} is neither a gradient transformation, nor a function that makes one, nor a "
        "Subject"
    )


def apply(params: Any, updates: Any) -> Any:
    """`optax.apply_updates`, but without promotion; other laws judge the updates' dtypes."""
    return jax.tree.map(lambda p, u: p + u.astype(p.dtype), params, updates)


def stack(trees: Sequence[Any]) -> Any:
    """Trees of one form as one tree with a leading axis."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)

"""The types of stage, by what they take and give and by their side of the learning rate."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Literal, NamedTuple, Self, TypedDict, Unpack, get_args

import jax.numpy as jnp
import optax

from adamlab._checks import nearest
from adamlab.stages._about import About, Mark, MissingArgumentError, Part, Side, parts_of, tell
from adamlab.stages._forms import holds, pair_of
from adamlab.stages._moments import (
    FIELD_HINTS,
    Moments,
    check_change,
    require_fields,
    require_moments,
)
from adamlab.stages.numerics import at_step, cast_like, promoting

Kind = Literal["gradient", "moments", "direction"]


class CountState(NamedTuple):
    """State of a stage that counts its steps and keeps nothing else."""

    count: Any


class Told(TypedDict, total=False):
    """What a stage may be told about itself when it is built: see `Stage.from_update`."""

    needs: tuple[str, ...]
    extra_args: tuple[str, ...]
    lagging: tuple[str, ...]
    label: str
    marks: tuple[Mark, ...]
    raw: tuple[str, ...]
    decays: Mapping[str, Any]


class Stage(optax.GradientTransformationExtraArgs):
    """An Optax gradient transformation that knows what it takes and what it gives.

    A stage is used wherever Optax takes a transformation; `chain` reads its two kinds.
    """

    takes: ClassVar[Kind]
    gives: ClassVar[Kind]
    side: ClassVar[Side | None] = None

    def __repr__(self) -> str:
        """Its kind, and the stages that it is chained from."""
        return f"{type(self).__name__}({' · '.join(parts_of(self))})"

    @classmethod
    def from_update(
        cls,
        name: str,
        init: Callable[[Any], Any],
        update: Callable[..., tuple[Any, Any]],
        *,
        needs: tuple[str, ...] = (),
        extra_args: tuple[str, ...] = (),
        lagging: tuple[str, ...] = (),
        label: str = "",
        marks: tuple[Mark, ...] = (),
        raw: tuple[str, ...] = (),
        decays: Mapping[str, Any] = MappingProxyType({}),
        sized: bool = True,
    ) -> Self:
        """A stage called `name` from its two pure functions. Its state keeps its dtypes.

        Args:
            name: what the stage is called in errors.
            init: from the parameters to the state; in a chain a stage that takes moments, and is
                `sized`, sees a `Moments` of shapes instead.
            update: `update(value, state, *, params, **extra_args)` returns the new value and state;
                it must accept further keywords, which are meant for other stages.
            needs: the fields of `Moments` that must not be None, or "params".
            extra_args: keyword arguments that `update` requires: trees like the parameters, such as
                "hessian_diag", or "value", the loss; `update` raises `MissingArgumentError` where
                one is missing. "moments" and "gradient" are those that the direction was made from;
                a chain passes them to all later stages.
            lagging: the fields of the state whose old values it hands on: a chain makes XLA write
                them after the states of later stages, for which it would otherwise keep a copy.
            label: what the stage was built with, for `parts_of`.
            marks: what others must know of it: "mixes" where it adds to `mu` what bias correction
                does not apply to; "by leaf" where it looks at whole leaves; for others see `Mark`.
            raw: the extra arguments that it compares the gradient with and that need not be given:
                a chain refuses them where an earlier stage has changed the gradient.
            decays: the decay rates of "mu" and "nu" that it tracks them with, or takes for granted.
            sized: whether `init` looks at what it is given: finding out shapes takes a chain time.

        Raises:
            TypeError: the class is `Stage` itself.
            ValueError: `needs` or `marks` holds an unknown name, or `init` finds one in `lagging`.
        """
        if not isinstance(name, str):
            raise TypeError(f"name={name!r}: must be a string, which comes first")
        _check_needs(cls, name, needs)
        if unknown := [mark for mark in marks if mark not in get_args(Mark)]:
            raise ValueError(f"{name}: marks={marks!r}: {nearest(unknown[0], get_args(Mark))}")

        def checked_init(params: Any) -> Any:
            if isinstance(params, Moments):
                require_fields(name, params, needs)
            with promoting():
                state = init(params)
            if holds(state, Moments):
                raise TypeError(
                    f"{name}: its state holds the Moments that init is given in a chain; make it "
                    "of stages.gradient_like(params), a tree like the parameters"
                )
            fields = getattr(state, "_fields", ())
            if not set(lagging) <= set(fields):
                raise ValueError(f"lagging={lagging}: must be of {name}'s state's fields, {fields}")
            return state

        def checked(updates: Any, state: Any, params: Any = None, **given: Any) -> tuple[Any, Any]:
            if cls.takes == "moments":
                require_fields(name, require_moments(name, updates), needs)
                if cls.gives == "direction" and "rate" not in needs and updates.rate is not None:
                    raise ValueError(
                        f"{name} would ignore the rates; use apply_rate() after to_rate()"
                    )
            if params is None and "params" in needs:
                raise ValueError(
                    f"params=None: {name} needs the parameters; pass them to "
                    "update(updates, state, params)"
                )
            for missing in [extra for extra in extra_args if given.get(extra) is None]:
                raise MissingArgumentError(name, missing)
            with promoting():
                both = update(updates, state, params=params, **given)
                value, new = pair_of(both, f"{name}'s update")
                try:
                    new = cast_like(new, state)
                except (TypeError, ValueError) as error:
                    why = "; are the gradients like the parameters that init was given?"
                    raise TypeError(f"{name}: its state changes its form: {error}{why}") from error
            if isinstance(value, Moments) != (cls.gives == "moments"):
                raise TypeError(
                    f"{name} is a {cls.__name__} and gave a {type(value).__name__}: "
                    f"it must give {_GIVEN[cls.gives]}"
                )
            if isinstance(value, Moments) and isinstance(updates, Moments):
                check_change(name, updates, value)
            return value, new

        checked.__qualname__ = name
        tell(checked, About((Part(
            name, label, cls.side, marks, extra_args, raw, tuple(decays.items())
        ),), lagging, sized))  # fmt: skip
        return cls(checked_init, checked)

    @classmethod
    def from_function(
        cls,
        name: str,
        function: Callable[..., Any],
        *values: Any,
        **told: Unpack[Told],
    ) -> Self:
        """A stage called `name` from a pure function of what flows through it.

        `function` is given the parameters too where it `needs` "params", then the `extra_args`,
        then the step's `values`, of numbers or schedules. Without a schedule there is no state.
        """
        params = ("params",) if "params" in told.get("needs", ()) else ()
        read = (*params, *told.get("extra_args", ()))
        is_scheduled = any(callable(value) for value in values)

        def init(params: Any) -> Any:
            del params
            return CountState(jnp.zeros([], jnp.int32)) if is_scheduled else optax.EmptyState()

        def update(flowing: Any, state: Any, /, **given: Any) -> tuple[Any, Any]:
            steps: Any = state.count if is_scheduled else None
            now = (at_step(value, steps) for value in values)
            new = function(flowing, *(given[name] for name in read), *now)
            return new, CountState(optax.safe_increment(steps)) if is_scheduled else state

        return cls.from_update(name, init, update, sized=False, **told)

    @classmethod
    def from_optax(
        cls,
        name: str,
        transform: optax.GradientTransformation,
        **told: Unpack[Told],
    ) -> Self:
        """The same transformation as a stage called `name` that keeps the updates' dtypes."""
        extended = optax.with_extra_args_support(transform)

        def update(updates: Any, old: Any, params: Any, **extra_args: Any) -> tuple[Any, Any]:
            new, state = extended.update(updates, old, params, **extra_args)
            return cast_like(new, updates), state

        return cls.from_update(name, extended.init, update, **told)


class GradientToGradient(Stage):
    """Acts on the raw gradient: clipping, noise, coupled L2."""

    takes, gives = "gradient", "gradient"


class GradientToMoments(Stage):
    """Folds the gradient into running averages."""

    takes, gives = "gradient", "moments"


class GradientToDirection(Stage):
    """A whole optimizer, or all of one that comes before the learning rate."""

    takes, gives = "gradient", "direction"


class MomentsToMoments(Stage):
    """Changes the averages: bias correction, AMSGrad's maximum.

    In a chain its `init` sees a `Moments` of shapes if it is `sized`, else the parameters.
    """

    takes, gives = "moments", "moments"


class MomentsToDirection(Stage):
    """Turns the averages into a direction of the parameters' shape."""

    takes, gives = "moments", "direction"


class DirectionToDirection(Stage):
    """Acts on the direction, before the learning rate or after it: clipping, momentum."""

    takes, gives = "direction", "direction"


class DirectionBeforeRate(DirectionToDirection):
    """Changes the direction before the learning rate multiplies it: decay, a trust ratio."""

    side = "before"


class DirectionTimesRate(DirectionToDirection):
    """Multiplies the direction by the learning rate, which makes it the update."""

    side: ClassVar[Side | None] = "at"


class Descent(DirectionTimesRate):
    """Multiplies the direction by minus the learning rate."""

    side = "descent"


class DirectionAfterRate(DirectionToDirection):
    """Acts on the update as it is applied: rounding, slow weights, decay with a rate of its own."""

    side = "after"


_GIVEN: dict[Kind, str] = {
    "gradient": "a gradient, a tree like the parameters",
    "moments": "Moments, such as those it was given",
    "direction": "a direction, a tree like the parameters",
}


def _check_needs(cls: type[Stage], name: str, needs: tuple[str, ...]) -> None:
    if not hasattr(cls, "takes"):
        raise TypeError(
            f"{name}: a {cls.__name__} does not say what it takes and gives; build it with a class "
            "that does, such as MomentsToMoments"
        )
    known = (*FIELD_HINTS, "params") if cls.takes == "moments" else ("params",)
    for need in needs:
        if need not in known:
            raise ValueError(f"{name}: needs={need!r}: must be among {', '.join(known)}")

"""chain: stages in order, with their kinds checked when the chain is built."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax

from adamlab.stages._about import (
    GIVEN,
    About,
    MissingArgumentError,
    about,
    extra_args_of,
    name_of,
    parts_of,
    tell,
)
from adamlab.stages._forms import (
    check_same_form,
    is_like,
    like_gradients,
    refuse_foreign,
    refuse_integers,
)
from adamlab.stages._kinds import (
    DirectionToDirection,
    GradientToDirection,
    GradientToGradient,
    Kind,
    Stage,
)
from adamlab.stages._moments import Moments, UnfitMomentsError
from adamlab.stages._order import check_order
from adamlab.stages.numerics import after

_WHOLE: dict[tuple[Kind, Kind], type[Stage]] = {
    (whole.takes, whole.gives): whole
    for whole in (GradientToGradient, GradientToDirection, DirectionToDirection)
}

_UNTOLD = (
    "update was given no parameters: update(updates, state, params) says where gradients are not "
    "like them; state must be what this chain's init has returned"
)

_OTHER_STATE = "the state is not what init returns for these parameters"

_PHRASE: dict[Kind | None, str] = {
    "gradient": "a gradient",
    "moments": "moments",
    "direction": "a direction",
}


def chain(*stages: optax.GradientTransformation) -> optax.GradientTransformationExtraArgs:
    """Apply `stages` in order, as `optax.chain` does, after checking that each fits the next.

    A stage takes a gradient, moments or a direction and gives one of them. A gradient may stand in
    for a direction (that is gradient descent), and stays one where a stage only reshapes it, such
    as `trace` or `clip_by_block_rms`. Optax's own transforms declare no kinds: they fit
    anywhere except between `track_moments` and `precondition`, where they would act on the averages
    and the step count alike. The chain is itself a stage.

    A stage whose state has the shapes of moments sees in `init` what the stage before it hands on,
    so that a block-wise second moment keeps its blocks. Stages after `precondition` get the moments
    that it saw, and the gradient that those were made from, as the extra arguments `moments` and
    `gradient`: this chain's gradient, whatever a chain within it may make of it.

    Each stage's side of the learning rate is checked too, but only for adamlab's stages: Optax's
    transforms, and stages inside `optax.masked`, are accepted anywhere; inside it a stage gets no
    `moments` either. `add_decayed_weights` and `add_independent_decay` take a mask of their own.

    Raises:
        TypeError: one of `stages` is not a gradient transformation.
        ValueError: there are no stages, two neighbours do not fit, the chain starts or ends in
            moments, or the order of stages would compute something else than their names say: a
            stage on the wrong side of the learning rate, two rates that would make it an ascent, a
            bias correction after something else was mixed into `mu`, rates that are made twice, the
            root of a second moment that is not made of squares.
    """
    takes, gives = _check_kinds(stages)
    check_order(stages)
    extended = [optax.with_extra_args_support(stage) for stage in stages]
    last = max((place for place, stage in enumerate(stages) if _is_sized(stage)), default=0)

    def init(params: optax.Params) -> tuple[Any, ...]:
        if params is None:
            raise ValueError("params=None: init needs the parameters, a tree of arrays")
        params = jax.tree.map(jnp.asarray, params)
        refuse_integers("parameter", params)
        states, value = [], params
        for place, stage in enumerate(extended):
            state = stage.init(value)
            states.append(state)
            if place < last and isinstance(stage, Stage) and stage.gives == "moments":
                # A scalar stands in for the loss, the parameters for trees like them.
                extra = {
                    name: jnp.zeros([]) if name == "value" else params
                    for name in extra_args_of(stage)
                }
                shapes, _ = jax.eval_shape(partial(stage.update, **extra), value, state, params)
                value = shapes._replace(grad=params)
            else:
                value = params
        return tuple(states)

    def update(
        updates: optax.Updates, state: Any, params: optax.Params | None = None, **extra_args: Any
    ) -> tuple[optax.Updates, Any]:
        if not isinstance(state, tuple) or len(state) != len(extended):
            found = f"a tuple of {len(state)}" if isinstance(state, tuple) else repr(state)
            raise ValueError(
                f"the state is {found}: it must be what this chain's init returned, one state for "
                f"each of its {len(extended)} stages"
            )
        if params is not None:
            check_same_form(updates, params)
        # NumPy's float64 becomes float32 where JAX has no float64.
        updates, params = (jax.tree.map(jnp.asarray, tree) for tree in (updates, params))
        refuse_integers("gradient", updates)
        for name in trees:
            if extra_args.get(name) is not None:
                extra_args[name] = like_gradients(name, extra_args[name], updates)
        grads, states = updates, []
        # Of the direction; where this chain is given one, what the chain around it says.
        origin: dict[str, Any] = {} if "gradient" in extra_args else {"gradient": updates}
        for stage, old in zip(extended, state, strict=True):
            if isinstance(updates, Moments):
                origin["moments"] = updates
            elif isinstance(stage, Stage) and stage.takes == "gradient":
                origin["gradient"] = updates
            if updates is not grads:
                _refuse_raw(stage, extra_args)
            of_direction = isinstance(stage, Stage) and stage.takes == "direction"
            given = {**extra_args, **origin} if of_direction else extra_args
            try:
                updates, new = stage.update(updates, old, params, **given)
            except (MissingArgumentError, UnfitMomentsError):
                raise
            except (AttributeError, TypeError, ValueError) as error:
                if params is None:
                    if _UNTOLD not in getattr(error, "__notes__", ()):
                        error.add_note(_UNTOLD)
                elif found := _other_state(init, state, params):
                    raise ValueError(found) from error
                raise
            if isinstance(stage, Stage) and stage.gives == "gradient":
                origin["gradient"] = updates
            states.append(new)
        refuse_foreign(grads, updates, params)
        return updates, tuple(_lagging_last(extended, states, grads))

    needed = dict.fromkeys(arg for stage in stages for arg in extra_args_of(stage))
    trees = [arg for arg in needed if arg != "value"]
    tell(update, About(tuple(part for stage in stages for part in about(stage).parts)))
    if takes is None or gives is None:
        return optax.GradientTransformationExtraArgs(init, update)
    return _WHOLE[takes, gives](init, update)


def _other_state(init: Any, state: Any, params: Any) -> str:
    """The first place where the state's form is not what these parameters require, if any."""
    asked, found = (
        {jax.tree_util.keystr(path): jnp.shape(x) for path, x in jax.tree.leaves_with_path(tree)}
        for tree in (jax.eval_shape(init, params), state)
    )
    for path in dict.fromkeys([*asked, *found]):
        if asked.get(path) != found.get(path):
            there, right = (f"shape {x[path]}" if path in x else "nothing" for x in (found, asked))
            return f"{_OTHER_STATE}: at {path} it has {there}, where init gives {right}"
    return ""


def _lagging_last(
    stages: list[optax.GradientTransformationExtraArgs], states: list[Any], like: Any
) -> list[Any]:
    """The new states, with each `lagging` field written after the states of later stages."""
    near = partial(is_like, params=like)
    for place, stage in enumerate(stages):
        lagging = about(stage).lagging
        behind = jax.tree.leaves(states[place + 1 :], is_leaf=near) if lagging else []
        read = [part for part in behind if near(part)]
        for field in lagging:
            if near(kept := getattr(states[place], field)):
                late = jax.tree.map(after, kept, *read)
                states[place] = states[place]._replace(**{field: late})
    return states


def _refuse_raw(stage: optax.GradientTransformation, extra_args: dict[str, Any]) -> None:
    """Refuse a gradient as it comes beside one that earlier stages have changed."""
    for part in about(stage).walk():
        for name in part.raw:
            if extra_args.get(name) is not None:
                raise ValueError(
                    f"{name}: {part.name} would compare it with a gradient that earlier stages "
                    f"have changed; put those after {part.name}, or leave {name} out"
                )


def _is_sized(stage: optax.GradientTransformation) -> bool:
    """Whether its state takes its shapes from moments, which are then to be found out."""
    return isinstance(stage, Stage) and stage.takes == "moments" and about(stage).sized


def _is_of_trees(stage: Stage) -> bool:
    """Whether a stage for directions may act on a gradient as well, which it stays: momentum."""
    parts = about(stage).walk()
    return isinstance(stage, DirectionToDirection) and not any(
        part.side or set(part.extra_args) & set(GIVEN) for part in parts
    )


def _check_kinds(
    stages: tuple[optax.GradientTransformation, ...],
) -> tuple[Kind | None, Kind | None]:
    """What the chain takes and gives; None for both where no stage declares its kinds."""
    if not stages:
        raise ValueError("chain() got no stages: it needs at least one")
    takes: Kind | None = None
    flowing: Kind | None = None
    of_trees = False  # whether a stage has acted on whatever tree it was given
    for place, stage in enumerate(stages, start=1):
        _check_stage(place, stage)
        here = f"stage {place} of the chain, {name_of(stage)},"
        if not isinstance(stage, Stage):
            if flowing == "moments":
                raise ValueError(
                    f"{here} knows nothing of moments and would act on mu, nu and the count alike; "
                    f"put it before track_moments or after precondition"
                )
            continue
        if _is_of_trees(stage) and flowing != "moments":
            of_trees = True
            continue
        if flowing is None and stage.takes == "moments":
            raise ValueError(
                f"{here} takes moments, but the chain is fed with gradients; "
                "put track_moments() before it"
            )
        fits = flowing in (None, stage.takes) or (flowing, stage.takes) == ("gradient", "direction")
        if not fits:
            before = stages[place - 2]
            hint = "; put it first" if stage.takes == "gradient" else ""
            raise ValueError(
                f"{here} takes {_PHRASE[stage.takes]}, but {_ending(before)} gives "
                f"{_PHRASE[flowing]}{hint}"
            )
        takes, flowing = takes or stage.takes, stage.gives
    if flowing == "moments":
        raise ValueError(
            f"the chain ends in moments, after {name_of(stages[-1])}; "
            "put precondition() after it to make them a direction"
        )
    return ("direction", "direction") if of_trees and takes is None else (takes, flowing)


def _ending(stage: optax.GradientTransformation) -> str:
    """The name of a stage; of a chain, that of its last one too."""
    parts = parts_of(stage)
    return f"the chain that ends in {parts[-1]}" if len(parts) > 1 else name_of(stage)


def _check_stage(place: int, stage: Any) -> None:
    """Refuse what is no gradient transformation."""
    if isinstance(stage, optax.GradientTransformation):
        return
    name = getattr(stage, "__name__", repr(stage))
    hint = f"; call it: {name}(...)" if callable(stage) else ""
    if hasattr(stage, "gradient_transformation"):
        hint = "; give the chain its .gradient_transformation()"
    if isinstance(stage, list | tuple):
        name, hint = f"a {type(stage).__name__}", "; unpack it: chain(*stages)"
    raise TypeError(f"stage {place} of the chain, {name}, is not a stage{hint}")

"""What a transformation says of itself to the chain that it stands in."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import optax

Side = Literal["before", "at", "descent", "after"]
"""A direction stage's side of the learning rate; `descent` is a rate that flips the sign."""
Mark = Literal[
    "corrects", "mixes", "tracks mu",
    "makes rates", "scales rates", "replaces rates",
    "tracks nu", "no squares", "other decay", "takes root", "takes variance",
    "by leaf",
]  # fmt: skip
"""What a stage does to the moments that it matters to others to know.

It corrects the bias of mu, mixes in what no mass corrects, or averages it anew; it makes rates,
puts the learning rate into them, or may replace them; it gathers nu, not from squares or not with
the decay rate of mu, and takes the root of nu, or its difference from mu squared. It looks at whole
leaves, at their norm, mean or shape.
"""


class About(NamedTuple):
    """What a stage tells the chain about itself, as the attribute `about` of its `update`."""

    parts: tuple[str, ...]
    """The names of the stages that it is made of, in order."""
    extra_args: tuple[str, ...] = ()
    lagging: tuple[str, ...] = ()
    sides: tuple[tuple[str, Side], ...] = ()
    """The parts that have a side of the learning rate, in order, each with its side."""
    marks: tuple[Mark, ...] = ()
    by_leaf: tuple[str, ...] = ()
    """The parts that look at whole leaves."""
    raw: tuple[tuple[str, str], ...] = ()
    """The parts that compare the gradient with an extra argument that need not be given, each with
    its name."""


def tell(update: Any, own: About) -> None:
    """Let `update` tell `own` about the transformation that it belongs to."""
    update.about = own


def name_of(transform: optax.GradientTransformation) -> str:
    """The name of the function that built `transform`."""
    return str(getattr(transform.update, "__qualname__", transform.update)).split(".")[0]


def about(transform: optax.GradientTransformation) -> About:
    """What `transform` tells about itself; for another library's transform, only its name."""
    own: About | None = getattr(transform.update, "about", None)
    return About((name_of(transform),)) if own is None else own


def label_of(part: Any, usual: str) -> str:
    """The label of a stage built with `part`; empty where that is the usual one, or None."""
    return "" if part is None or part.name == usual else str(part.name)


def parts_of(transform: optax.GradientTransformation) -> tuple[str, ...]:
    """The names of the stages that `transform` is chained from, in order."""
    return about(transform).parts


def extra_args_of(transform: optax.GradientTransformation) -> tuple[str, ...]:
    """The extra arguments that `transform` declares as required."""
    return about(transform).extra_args

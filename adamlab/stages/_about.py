"""What a transformation says of itself to the chain that it stands in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Literal, NamedTuple

import optax

Side = Literal["before", "at", "descent", "after"]
"""A direction stage's side of the learning rate; `descent` is a rate that flips the sign."""
Mark = Literal[
    "tracks mu", "drops mu", "corrects", "mixes", "feeds", "feeds nu",
    "tracks nu", "no squares", "mean square", "signed nu", "other input",
    "takes root", "takes variance", "reads corrected",
    "makes rates", "scales rates", "replaces rates", "limits rates", "needs scaled rates",
    "estimates rate", "weighs by rate",
    "sets parameters", "rounds parameters", "reads parameters",
    "agrees", "by leaf", "stored",
]  # fmt: skip
"""What a stage does that it matters to others to know.

- To mu: it averages the gradient into it, drops it, corrects its bias, or mixes in what no mass
  corrects; it feeds mu and nu, or nu, with a gradient that it changes.
- To nu: it gathers it, not from squares, as a mean of squares, with negative values too, or
  from another input than the gradient; it takes nu's root, or its difference from mu squared, or
  reads corrected moments beside a direction.
- To the rates: it makes them, puts the learning rate into them, may replace them, or limits them,
  as final steps alone; it estimates the learning rate, or weighs a step by it.
- To the parameters: it decides where they go, rounds them, or reads where they went.
- It keeps what agrees with the gradient in sign; looks at whole leaves, at their norm, mean or
  shape; or is no stage, but how the state of one is stored.
"""


GIVEN = ("moments", "gradient")
"""The extra arguments that a chain gives: those that the direction was made from."""


class MissingArgumentError(ValueError):
    """A stage's `update` was called without an extra argument that it needs."""

    def __init__(self, stage: str, name: str):
        """`stage` and `name`: what needs it, and what it is called."""
        what, how = name, f"pass it to update(updates, state, params, {name}=...)"
        if name in GIVEN:
            what = f"the {name} that its direction was made from"
            how = "put it after precondition() in the same adamlab.chain"
        super().__init__(f"{stage} needs {what}; {how}")
        self.stage, self.name = stage, name

    def __reduce__(self) -> tuple[Any, ...]:
        """For pickle, which would rebuild it from its message: it may come from another process."""
        return type(self), (self.stage, self.name)


class Part(NamedTuple):
    """One stage, or what wraps others, as the chain that it stands in knows it."""

    name: str
    label: str = ""
    """What it was built with."""
    side: Side | None = None
    """Its side of the learning rate, where it has one."""
    marks: tuple[Mark, ...] = ()
    extra_args: tuple[str, ...] = ()
    """The extra arguments that its `update` requires."""
    raw: tuple[str, ...] = ()
    """Those that it compares the gradient with and that need not be given."""
    decays: tuple[tuple[str, Any], ...] = ()
    """The decay rates of "mu" and "nu": those that a tracker has, or that others must share."""
    within: tuple[Part, ...] = ()
    """What it is wrapped around."""
    foreign: bool = False
    """Whether it is another library's, of which only the name is known."""

    @property
    def title(self) -> str:
        """Its name, with what it was built with."""
        return f"{self.name}({self.label})" if self.label else self.name


class About(NamedTuple):
    """What a transformation tells of itself, as the attribute `about` of its `update`."""

    parts: tuple[Part, ...]
    """The stages that it is chained from, in order."""
    lagging: tuple[str, ...] = ()
    """The fields of its state whose old values it hands on."""
    sized: bool = True
    """Whether its state depends on the shapes of what flows into it."""

    def walk(self) -> Iterator[Part]:
        """Every part, each before those within it."""
        return _walk(self.parts)


def _walk(parts: Iterable[Part]) -> Iterator[Part]:
    for part in parts:
        yield part
        yield from _walk(part.within)


def tell(update: Any, own: About) -> None:
    """Let `update` tell `own` about the transformation that it belongs to."""
    update.about = own


def name_of(transform: optax.GradientTransformation) -> str:
    """The name of the function that built `transform`."""
    return str(getattr(transform.update, "__qualname__", transform.update)).split(".")[0]


def about(transform: optax.GradientTransformation) -> About:
    """What `transform` tells about itself; for another library's transform, only its name."""
    own: About | None = getattr(transform.update, "about", None)
    return About((Part(name_of(transform), foreign=True),)) if own is None else own


def label_of(part: Any, usual: str) -> str:
    """The label of a stage built with `part`; empty where that is the usual one, or None."""
    return "" if part is None or part.name == usual else str(part.name)


def parts_of(transform: optax.GradientTransformation) -> tuple[str, ...]:
    """The names of the stages that `transform` is chained from, in order."""
    return tuple(part.title for part in about(transform).parts)


def extra_args_of(transform: optax.GradientTransformation) -> tuple[str, ...]:
    """The extra arguments that `transform` requires, but for those that a chain gives itself."""
    needed = (arg for part in about(transform).walk() for arg in part.extra_args)
    return tuple(dict.fromkeys(arg for arg in needed if arg not in GIVEN))

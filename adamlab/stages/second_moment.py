"""Second moments: what is averaged into `nu`, and how."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from adamlab._checks import Scalar, check_flags, check_number
from adamlab.stages._about import Mark
from adamlab.stages._decay_rate import DecayRate, OneMinus, check_decay, decay_at
from adamlab.stages.numerics import largest_tame, lerp, real, real_dtype, scalar, squared_magnitude


class Seen(NamedTuple):
    """What a second moment sees of one leaf at one step; each in float32 or wider."""

    grad: jax.Array
    """As it came, perhaps infinite: use `numerics.tame`, or an average of it stays so."""
    mu: jax.Array | None
    """The first moment, this step's gradient included; None where none is tracked."""
    previous_mu: jax.Array | None


class SecondMoment(NamedTuple):
    """How `nu` is gathered: what `track_moments` and `track_nu` take in place of a plain b2.

    `fold(state, seen, weight)` returns a leaf's new state and its `nu`, of the leaf's shape or with
    1 on some axes; `weight` is 1 - b2, a NumPy number where b2 is a Python number. Where the state
    is an array it is `nu` itself.
    """

    name: str
    rate: DecayRate | None
    """b2; None where nothing decays and there is no bias to correct."""
    init: Callable[[jax.Array], Any]
    """From a parameter leaf to its state, which is then kept in float32 or wider."""
    fold: Callable[[Any, Seen, Any], tuple[Any, jax.Array]]
    biased: bool = True
    """Whether it is too small by the weight that it has not gathered yet."""
    previous: bool = False
    """Whether `nu` is handed on as it was before this step."""
    first: Scalar | None = None
    """With `previous`, the `nu` of the first step; None to take no step then."""
    previous_mu: bool = False
    """Whether it reads the previous step's first moment."""
    marks: tuple[Mark, ...] = ()
    """What others must know of it: "no squares", "mean square", "signed nu" or "by leaf"."""


def second_moment_of(b2: DecayRate | SecondMoment) -> SecondMoment:
    """`b2` itself if it is a second moment, else the mean of squares with this decay rate.

    Raises:
        TypeError: it is an optimizer.
    """
    if isinstance(b2, optax.GradientTransformation):
        raise TypeError(
            "b2 is a whole optimizer: must be a number in [0, 1) or a second moment of "
            "adamlab.stages, such as yogi(0.999)"
        )
    return b2 if isinstance(b2, SecondMoment) else squares(b2)


def squares(b2: DecayRate, initial: Scalar = 0.0) -> SecondMoment:
    """`nu += (1 - b2) (g² - nu)` (Kingma & Ba 2015, algorithm 1, line 6).

    Raises:
        ValueError: b2 is outside [0, 1) or `initial` is negative.
    """
    check_decay("b2", b2)
    check_number("initial", initial, low=0, scheduled=False)

    def fold(nu: jax.Array, seen: Seen, weight: jax.Array) -> tuple[jax.Array, jax.Array]:
        new = lerp(nu, square(seen.grad), weight)
        return new, new

    return SecondMoment("squares", b2, start_at(initial), fold, marks=("mean square",))


def deviations(b2: DecayRate, eps: Scalar = 1e-16, *, from_previous: bool = False) -> SecondMoment:
    """The mean squared deviation from the first moment: `nu += (1 - b2) ((g - mu)² - nu) + eps`.

    Zhuang et al. 2020 (AdaBelief), algorithm 2: eps accumulates in the average. `from_previous`
    takes the previous step's first moment (Zhuang et al. 2021, ACProp). Needs a first moment.

    Raises:
        ValueError: b2 is outside [0, 1), or `eps` is negative or not finite.
        TypeError: `from_previous` is not True or False.
    """
    check_decay("b2", b2)
    check_number("eps", eps, low=0, scheduled=False)
    check_flags(from_previous=from_previous)

    def fold(nu: jax.Array, seen: Seen, weight: jax.Array) -> tuple[jax.Array, jax.Array]:
        center = seen.previous_mu if from_previous else seen.mu
        if center is None:
            where = "; of the step before track_moments alone has it" if from_previous else ""
            raise ValueError(f"deviations() needs the first moment; give track_moments a b1{where}")
        # eps inside the average: as the last operation it would make XLA compute nu twice over.
        source = square(seen.grad - center) + scalar(eps, nu.dtype) / weight
        new = lerp(nu, source, weight)
        return new, new

    return SecondMoment("deviations", b2, start_at(0.0), fold, previous_mu=from_previous)


def yogi(b2: DecayRate, initial: Scalar = 1e-6, *, decayed: bool = False) -> SecondMoment:
    """Move `nu` towards g² in steps proportional to g²: `nu -= (1 - b2) sign(nu - g²) g²`.

    Zaheer et al. 2018, algorithm 2. With `decayed`, the step starts from `b2 nu` (Ano, Kegreisz
    2025), and ends at 0 where it would end below, as it can for b2 < 1/2.

    Raises:
        ValueError: b2 is outside [0, 1) or `initial` is negative.
        TypeError: `decayed` is not True or False.
    """
    check_decay("b2", b2)
    check_number("initial", initial, low=0, scheduled=False)
    check_flags(decayed=decayed)
    # XLA would copy nu even for a cut-off that never takes effect.
    may_end_below = decayed and not (isinstance(b2, float) and b2 >= 0.5)

    def fold(nu: jax.Array, seen: Seen, weight: jax.Array) -> tuple[jax.Array, jax.Array]:
        new_square = square(seen.grad)
        kept = (1 - weight) * nu if decayed else nu
        new = kept - weight * jnp.sign(nu - new_square) * new_square
        return (jnp.maximum(new, 0),) * 2 if may_end_below else (new, new)

    return SecondMoment("yogi", b2, start_at(initial), fold)


def largest(b2: DecayRate, eps: Scalar = 0.0) -> SecondMoment:
    """The decayed maximum of magnitudes, not squared: `nu = max(b2 nu, |g| + eps)`.

    Kingma & Ba 2015, algorithm 2 (Adamax); it has no bias.

    Raises:
        ValueError: b2 is outside [0, 1), or `eps` is negative or not finite.
    """
    check_decay("b2", b2)
    check_number("eps", eps, low=0, scheduled=False)

    def fold(nu: jax.Array, seen: Seen, weight: jax.Array) -> tuple[jax.Array, jax.Array]:
        size = jnp.minimum(jnp.abs(seen.grad), largest_tame(seen.grad))
        new = jnp.maximum((1 - weight) * nu, size + scalar(eps, nu.dtype))
        return new, new

    return SecondMoment("largest", b2, start_at(0.0), fold, biased=False, marks=("no squares",))


def sums(initial: Scalar = 0.0) -> SecondMoment:
    """The sum of all squares: `nu += g²` (Duchi et al. 2011, AdaGrad).

    Raises:
        ValueError: `initial` is negative.
    """
    check_number("initial", initial, low=0, scheduled=False)

    def fold(nu: jax.Array, seen: Seen, weight: jax.Array) -> tuple[jax.Array, jax.Array]:
        del weight
        new = nu + square(seen.grad)
        return new, new

    return SecondMoment("sums", None, start_at(initial), fold)


def previous(second_moment: DecayRate | SecondMoment, first: Scalar | None = None) -> SecondMoment:
    """The second moment as it was before this step, so that g and nu are independent.

    ADOPT (Taniguchi et al. 2024), ACProp and AvaGrad divide by it. On the first step there is none:
    `first` stands in for it; with None there is no step.

    Raises:
        ValueError: the second moment's state is not an array that is `nu` itself, or `first` is
            negative or not finite.
        TypeError: `first` is a schedule.
    """
    inner = second_moment_of(second_moment)
    if not keeps_nu(inner):
        raise ValueError(
            f"previous(): {inner.name} keeps parts of nu, none to look back to; use squares(), "
            "yogi(), deviations() or another that has an element for each of the gradient's"
        )
    if first is not None:
        check_number("first", first, low=0, scheduled=False)

    def fold(nu: jax.Array, seen: Seen, weight: jax.Array) -> tuple[jax.Array, jax.Array]:
        new, _ = inner.fold(nu, seen, weight)
        return new, nu

    marks = tuple(mark for mark in inner.marks if mark != "mean square")
    return inner._replace(
        name=f"previous {inner.name}", fold=fold, previous=True, first=first, marks=marks
    )


def keeps_nu(second_moment: SecondMoment) -> bool:
    """Whether its state is an array, which is then `nu` itself."""
    example = jax.ShapeDtypeStruct((4096, 4096), np.float32)  # small ones may be kept whole
    return isinstance(jax.eval_shape(second_moment.init, example), jax.ShapeDtypeStruct)


def from_first(rate: DecayRate) -> DecayRate:
    """A schedule of `rate` that makes an average start at its first value, not at zero.

    Such an average has gathered all its weight from its first step on, so it has no bias.
    """
    check_decay("rate", rate)

    def schedule(steps_done: jax.Array) -> OneMinus:
        complement = decay_at(rate, steps_done).complement
        return OneMinus(jnp.where(steps_done == 0, 1.0, complement))

    return schedule


def means(b2: DecayRate) -> SecondMoment:
    """The mean of the input, not of its square: for a `nu` fed with curvature, as in Sophia.

    Raises:
        ValueError: b2 is outside [0, 1).
    """
    check_decay("b2", b2)

    def fold(nu: jax.Array, seen: Seen, weight: jax.Array) -> tuple[jax.Array, jax.Array]:
        new = lerp(nu, real(seen.grad), weight)
        return new, new

    return SecondMoment("means", b2, start_at(0.0), fold, marks=("no squares", "signed nu"))


def square(x: jax.Array) -> jax.Array:
    """The squared magnitude of each element, at most that of `tame(x)`."""
    return at_most_tame(squared_magnitude(x))


def at_most_tame(squares: jax.Array) -> jax.Array:
    """Squares, or a reduction of them, cut off at the square of `largest_tame`."""
    return jnp.minimum(squares, largest_tame(squares) ** 2)


def start_at(value: Scalar) -> Callable[[jax.Array], jax.Array]:
    """The `init` of a second moment whose state is one array like the leaf."""

    def init(p: jax.Array) -> jax.Array:
        return jnp.full_like(real(p), value, dtype=real_dtype(p))

    return init

"""What the order of stages must keep to, beyond what each takes and gives.

A stage says by its `marks` what it does to the moments, and by its sides where it stands by the
learning rate; each check reads these alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import optax

from adamlab.stages._about import Part, about
from adamlab.stages._decay_rate import complement_of

_RULES = (
    # What holds, the mark that it refuses, and why: {0} stands after {1}.
    ("mu", "tracks mu",
     "{0} finds the first moment tracked already, and its average would be lost; put drop_mu() "
     "before {0}, or leave the first moment out of {1}"),
    ("nu", "tracks nu",
     "{0} finds the second moment tracked already, and its average would be lost; leave it out of "
     "{1}"),
    ("nu of the gradient", "feeds nu",
     "{0} stands after {1}, whose nu would not see how it changes the gradient; give {1} b2=None "
     "and put track_nu() after {0}"),
    ("nu not of squares", "takes root",
     "{0} takes the root of the second moment, but that of {1} is not made of squares; use "
     "unrooted(), as in precondition(unrooted())"),
    ("scales rates", "corrects",
     "{0} stands after {1}, whose rates correct the bias; leave it out"),
    ("mixture", "scales rates",
     "{0} stands after {1}, which mixes into the averages what bias correction does not apply to; "
     "put correct_bias() before {1} and leave out {0}"),
    ("mixture", "corrects",
     "{0} stands after {1}, which mixes into the averages what bias correction does not apply to; "
     "put it before {1}"),
    ("scales rates", "mixes",
     "{0} mixes into the averages what the rates of {1} will correct; put correct_bias() before it "
     "and leave out {1}"),
    ("makes rates", "makes rates",
     "{0} would replace the rates of {1}; leave out one of them"),
    ("scales rates", "replaces rates",
     "{0} stands after {1}, whose learning rate it would replace; put it before {1}"),
    ("limits rates", "scales rates",
     "{0} stands after {1}, whose limit it would move; put it before {1}"),
    ("estimates rate", "weighs by rate",
     "{0} weighs each step by its learning rate, which {1} estimates; use one of them"),
    ("estimates rate", "before",
     "{0} stands after {1}, whose direction holds the learning rate already; {1} takes a "
     "weight_decay of its own, and nothing else of the kind"),
    ("scales rates", "before",
     "{0} stands after {1}, whose direction holds the learning rate already; add_independent_decay "
     "decays after scale_by_learning_rate"),
    ("scales rates", "reads corrected",
     "{0} needs corrected moments, and those of {1} are corrected in its rates alone; use "
     "correct_bias() and precondition() in place of the rates"),
    ("descent", "agrees",
     "{0} stands after the learning rate, which flips the signs that it compares; put it before "
     "scale_by_learning_rate"),
)  # fmt: skip


def check_order(stages: Sequence[optax.GradientTransformation]) -> None:
    """Refuse orders of stages that would compute something else than their names say.

    Raises:
        ValueError: the message says which two stages, and why.
    """
    parts = [part for stage in stages for part in about(stage).walk() if not part.foreign]
    _check_sides(parts)
    _check_last(parts)
    holds: dict[str, Part] = {}
    for part in parts:
        marks = {*part.marks, *([part.side] if part.side else ())}
        for fact, mark, why in _RULES:
            if mark in marks and fact in holds:
                raise ValueError(why.format(part.title, holds[fact].title))
        if "needs scaled rates" in marks and "scales rates" not in holds:
            raise ValueError(
                f"{part.name} bounds the final steps, but the learning rate is not in the rates "
                "yet; put scale_rate(learning_rate) before it"
            )
        _note(part, marks, holds)
    if "fed" in holds and "mu" in holds:
        raise ValueError(
            f"{holds['fed'].name} changes the gradient, which no stage after it averages; put "
            "track_mu() or track_nu() after it"
        )
    _check_decays(parts)


def _note(part: Part, marks: set[Any], holds: dict[str, Part]) -> None:
    """Change what `holds` by what a stage does."""
    of_gradient = "tracks nu" in marks and "other input" not in marks
    if marks & {"drops mu", "tracks mu"}:
        for fact in ("mu", "mixture", "corrected"):
            holds.pop(fact, None)
    if "tracks mu" in marks:
        holds["mu"] = part
    if marks & {"tracks mu", "mixes"} or of_gradient:
        holds.pop("fed", None)
    if "tracks nu" in marks:
        holds["nu"] = part
    if of_gradient:
        holds["nu of the gradient"] = part
    if "no squares" in marks:
        holds["nu not of squares"] = part
    if "corrects" in marks and "scales rates" not in marks:
        holds["corrected"] = part
    if "mixes" in marks and "corrected" not in holds:
        holds.setdefault("mixture", part)
    if "feeds" in marks:
        holds["fed"] = part
    if "descent" in marks and holds.pop("descent", None) is None:
        holds["descent"] = part
    for mark in ("makes rates", "scales rates", "limits rates", "estimates rate"):
        if mark in marks:
            holds[mark] = part


def _check_sides(parts: Sequence[Part]) -> None:
    """Refuse stages on the wrong side of the learning rate, where there is one.

    With several rates, a stage must be on the right side of the one that flips the sign, or of any
    where none does.
    """
    sides = [(part.name, part.side) for part in parts if part.side]
    rates = [place for place, (_, side) in enumerate(sides) if side in ("at", "descent")]
    if not rates:
        return
    flips = [place for place, (_, side) in enumerate(sides) if side == "descent"]
    if flips and len(flips) % 2 == 0:
        raise ValueError(
            f"{len(flips)} learning rates each flip the sign, so the chain would ascend; give all "
            "but one of them flip_sign=False"
        )
    for place, (name, side) in enumerate(sides):
        descending = sum(flip < place for flip in flips) % 2 == 1
        if side == "before" and (place > rates[-1] or descending):
            raise ValueError(
                f"{name} stands after the learning rate, which must multiply its output; put it "
                "before scale_by_learning_rate"
            )
        if side == "after" and (place < rates[0] or (flips and not descending)):
            raise ValueError(
                f"{name} stands before the learning rate, but acts on the update as it is applied; "
                "put it after scale_by_learning_rate"
            )


_LAST = {
    "sets parameters": (1, "decides where the parameters go"),
    "rounds parameters": (2, "rounds the new parameters"),
    "reads parameters": (3, "looks at the new parameters"),
}


def _check_last(parts: Sequence[Part]) -> None:
    """Refuse to change an update after a stage that has acted on the parameters it would give."""
    reached, last, does = 0, "", ""
    for part in parts:
        rank, what = next((_LAST[mark] for mark in part.marks if mark in _LAST), (0, ""))
        several = rank == reached == _LAST["reads parameters"][0]
        if rank <= reached and reached and not several and "stored" not in part.marks:
            instead = "use one of them" if part.name == last else f"put it before {last}"
            raise ValueError(f"{part.name} stands after {last}, which {does}; {instead}")
        if rank:
            reached, last, does = rank, part.name, what


def _check_decays(parts: Sequence[Part]) -> None:
    """Refuse a decay rate that is stated twice, differently, and a variance of unlike averages."""
    known: dict[str, tuple[str, Any]] = {}
    tracked: set[str] = set()
    plain: set[str] = set()  # those that are averages of the gradient or of its square
    for part in parts:
        name, marks, decays = part.name, part.marks, dict(part.decays)
        if "takes variance" in marks and tracked == {"mu", "nu"}:
            if plain != tracked or not _alike(known["mu"][1], known["nu"][1]):
                raise ValueError(
                    f"{name} subtracts the squared mu from nu, which is a variance only for an "
                    "average of the gradient and one of its square that decay at the same rate, as "
                    "in track_moments(0.9, 0.9)"
                )
            plain.discard("nu")
        if "mixes" in marks:
            plain.discard("mu")
        for field in ("mu", "nu"):
            if f"tracks {field}" in marks:
                tracked.add(field)
                known.pop(field, None)
                plain.discard(field)
                if field in decays:
                    known[field] = (name, decays[field])
                if field in decays and (field == "mu" or "mean square" in marks):
                    plain.add(field)
            elif field in known and field in decays and not _alike(decays[field], known[field][1]):
                raise ValueError(
                    f"{name} takes {field} to decay by {decays[field]}, but {known[field][0]} was "
                    f"given {known[field][1]}: they must be the same"
                )


def _alike(one: Any, other: Any) -> bool:
    """Whether two decay rates may be the same: they are unless two constants show otherwise."""
    if one is None or other is None:
        return one is other
    if callable(one) or callable(other):
        return True
    weights: list[Any] = [complement_of("b", rate) for rate in (one, other)]
    # An array may be traced.
    return not all(isinstance(w, float) for w in weights) or math.isclose(
        *weights, rel_tol=1e-6, abs_tol=1e-7
    )

"""What the order of stages must keep to, beyond what each takes and gives.

A stage says by its `marks` what it does to the moments, and by its sides where it stands by the
learning rate; each check reads these alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import optax

from adamlab.stages._about import Part, about, is_told, name_of
from adamlab.stages._decay_rate import complement_of


def check_order(stages: Sequence[optax.GradientTransformation]) -> None:
    """Refuse orders of stages that would compute something else than their names say.

    Raises:
        ValueError: a stage stands on the wrong side of the learning rate, or after one that must
            go last; an even number of rates would turn the descent into an ascent; a bias
            correction stands after a stage that mixes something else into `mu`; a learning rate in
            the rates would be replaced, or is not in them yet where they are bounded; the root is
            taken of a second moment that is not made of squares, or a variance of moments that
            decay at different rates; a decay rate is stated twice, differently; or nothing averages
            the gradient that a stage has changed.
    """
    _check_sides(stages)
    _check_signs(stages)
    _check_held(stages)
    _check_last(stages)
    _check_bias(stages)
    _check_rates(stages)
    _check_second(stages)
    _check_decays(stages)
    _check_feeds(stages)


def _all_parts(stages: Sequence[optax.GradientTransformation]) -> Iterator[Part]:
    """Every part of the stages that tell of theirs: another library's do not."""
    return (part for stage in stages if is_told(stage) for part in about(stage).walk())


def _check_sides(stages: Sequence[optax.GradientTransformation]) -> None:
    """Refuse stages on the wrong side of the learning rate, where there is one.

    With several rates, a stage must be on the right side of the one that flips the sign, or of any
    where none does.
    """
    sides = [(part.name, part.side) for part in _all_parts(stages) if part.side]
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


def _check_signs(stages: Sequence[optax.GradientTransformation]) -> None:
    """Refuse to compare an update with the gradient, which it goes against."""
    descending = False
    for part in _all_parts(stages):
        if part.side == "descent":
            descending = not descending
        if "agrees" in part.marks and descending:
            raise ValueError(
                f"{part.name} stands after the learning rate, which flips the signs that it "
                "compares; put it before scale_by_learning_rate"
            )


def _check_held(stages: Sequence[optax.GradientTransformation]) -> None:
    """Refuse what the learning rate must multiply where the direction holds that rate already."""
    holder = hint = estimator = ""
    for part in _all_parts(stages):
        if "weighs by rate" in part.marks and estimator:
            raise ValueError(
                f"{part.name} weighs each step by its learning rate, which {estimator} estimates; "
                "use one of them"
            )
        if "reads corrected" in part.marks and holder and not estimator:
            raise ValueError(
                f"{part.name} needs corrected moments, and those of {holder} are corrected in its "
                "rates alone; use correct_bias() and precondition() in place of the rates"
            )
        if "scales rates" in part.marks:
            holder, hint = part.name, "add_independent_decay decays after scale_by_learning_rate"
        elif "estimates rate" in part.marks:
            holder = estimator = part.name
            hint = f"{part.name} takes a weight_decay of its own, and nothing else of the kind"
        elif holder and part.side == "before":
            raise ValueError(
                f"{part.name} stands after {holder}, whose direction holds the learning rate "
                f"already; {hint}"
            )


_LAST = {
    "sets parameters": (1, "decides where the parameters go"),
    "rounds parameters": (2, "rounds the new parameters"),
    "reads parameters": (3, "looks at the new parameters"),
}


def _check_last(stages: Sequence[optax.GradientTransformation]) -> None:
    """Refuse to change an update after a stage that has acted on the parameters it would give."""
    reached, last, does = 0, "", ""
    for part in _all_parts(stages):
        rank, what = next((_LAST[mark] for mark in part.marks if mark in _LAST), (0, ""))
        several = rank == reached == _LAST["reads parameters"][0]
        if rank <= reached and reached and not several and "stored" not in part.marks:
            instead = "use one of them" if part.name == last else f"put it before {last}"
            raise ValueError(f"{part.name} stands after {last}, which {does}; {instead}")
        if rank:
            reached, last, does = rank, part.name, what


def _check_bias(stages: Sequence[optax.GradientTransformation]) -> None:
    """Refuse to correct `mu` after something was mixed into it, unless it was corrected before.

    `mu_mass` is the mass of the average alone.
    """
    mixture, corrected, scaler = "", False, ""
    for stage in stages:
        marks = about(stage).marks
        if "corrects" in marks:
            if scaler:
                raise ValueError(
                    f"{name_of(stage)} stands after {scaler}, whose rates correct the bias; leave "
                    "it out"
                )
            if mixture:
                where = f"put it before {mixture}"
                if "scales rates" in marks:
                    where = f"put correct_bias() before {mixture} and leave out {name_of(stage)}"
                raise ValueError(
                    f"{name_of(stage)} stands after {mixture}, which mixes into mu what bias "
                    f"correction does not apply to; {where}"
                )
            if "scales rates" in marks:
                scaler = name_of(stage)  # its correction waits until the rates multiply mu
            else:
                corrected = True
        elif "tracks mu" in marks:
            mixture, corrected = "", False
        elif "mixes" in marks and scaler:
            raise ValueError(
                f"{name_of(stage)} mixes into mu what the rates of {scaler} will correct; put "
                f"correct_bias() before it and leave out {scaler}"
            )
        elif "mixes" in marks and not corrected:
            mixture = mixture or name_of(stage)


def _check_rates(stages: Sequence[optax.GradientTransformation]) -> None:
    """Refuse to make rates twice, to replace those that hold the learning rate, to limit others."""
    maker, scaler, limiter = "", "", ""
    for stage in stages:
        name, marks = name_of(stage), about(stage).marks
        if "makes rates" in marks:
            if maker:
                raise ValueError(
                    f"{name} would replace the rates of {maker}; leave out one of them"
                )
            maker = name
        if "replaces rates" in marks and scaler:
            raise ValueError(
                f"{name} stands after {scaler}, whose learning rate it would replace; put it "
                f"before {scaler}"
            )
        if "needs scaled rates" in marks and not scaler:
            raise ValueError(
                f"{name} bounds the final steps, but the learning rate is not in the rates yet; "
                "put scale_rate(learning_rate) before it"
            )
        if "scales rates" in marks:
            if limiter:
                raise ValueError(
                    f"{name} stands after {limiter}, whose limit it would move; put it before "
                    f"{limiter}"
                )
            scaler = name
        if "limits rates" in marks:
            limiter = name


def _check_second(stages: Sequence[optax.GradientTransformation]) -> None:
    """Refuse a root of what is not made of squares."""
    tracker = ""
    for stage in stages:
        name, marks = about(stage).parts[0].title, about(stage).marks
        if "tracks nu" in marks:
            tracker = name if "no squares" in marks else ""
        if "takes root" in marks and tracker:
            raise ValueError(
                f"{name} takes the root of the second moment, but that of {tracker} is not "
                "made of squares; use unrooted(), as in precondition(unrooted())"
            )


def _check_decays(stages: Sequence[optax.GradientTransformation]) -> None:
    """Refuse a decay rate that is stated twice, differently, and a variance of unlike averages."""
    known: dict[str, tuple[str, Any]] = {}
    tracked: set[str] = set()
    plain: set[str] = set()  # those that are averages of the gradient or of its square
    for stage in stages:
        name, marks, decays = name_of(stage), about(stage).marks, about(stage).decays
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
                if field in decays and (field == "mu" or "no mean square" not in marks):
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


def _check_feeds(stages: Sequence[optax.GradientTransformation]) -> None:
    """Refuse to change the gradient after what should average it, or where nothing does."""
    changer, tracker, averaged = "", "", False
    for stage in stages:
        name, marks = name_of(stage), about(stage).marks
        tracks_mu = "tracks mu" in marks
        tracks_nu = "tracks nu" in marks and "other input" not in marks
        if tracks_mu or tracks_nu or "mixes" in marks:
            changer = ""
        averaged = (averaged or tracks_mu) and "drops mu" not in marks
        tracker = name if tracks_nu else tracker
        if "feeds nu" in marks and tracker:
            raise ValueError(
                f"{name} stands after {tracker}, whose nu would not see how it changes the "
                f"gradient; give {tracker} b2=None and put track_nu() after {name}"
            )
        if "feeds" in marks:
            changer = name
    if changer and averaged:
        raise ValueError(
            f"{changer} changes the gradient, which no stage after it averages; put track_mu() or "
            "track_nu() after it"
        )

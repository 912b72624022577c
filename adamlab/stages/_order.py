"""What the order of stages must keep to, beyond what each takes and gives.

A stage says by its `marks` what it does to the moments, and by its sides where it stands by the
learning rate; each check reads these alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import optax

from adamlab.stages._about import about, name_of


def check_order(stages: Sequence[optax.GradientTransformation]) -> None:
    """Refuse orders of stages that would compute something else than their names say.

    Raises:
        ValueError: a stage stands on the wrong side of the learning rate, an even number of rates
            would turn the descent into an ascent, a bias correction stands after a stage that mixes
            something else into `mu`, a learning rate in the rates would be replaced, the root is
            taken of a second moment that is not made of squares, or a variance of moments that
            decay at different rates.
    """
    _check_sides(stages)
    _check_bias(stages)
    _check_rates(stages)
    _check_second(stages)


def _check_sides(stages: Sequence[optax.GradientTransformation]) -> None:
    """Refuse stages on the wrong side of the learning rate, where there is one.

    With several rates, a stage must be on the right side of the one that flips the sign, or of any
    where none does.
    """
    parts = (part for stage in stages for part in about(stage).walk())
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


def _check_bias(stages: Sequence[optax.GradientTransformation]) -> None:
    """Refuse to correct `mu` after something was mixed into it, unless it was corrected before.

    `mu_mass` is the mass of the average alone.
    """
    mixture, corrected, scaler = "", False, ""
    for stage in stages:
        marks = about(stage).marks
        if "corrects" in marks:
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
    """Refuse to make rates twice, and to replace rates that hold the learning rate already."""
    maker, scaler = "", ""
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
        if "scales rates" in marks:
            scaler = name


def _check_second(stages: Sequence[optax.GradientTransformation]) -> None:
    """Refuse a root of what is not made of squares, and a variance of unlike averages."""
    tracker, other = "", False
    for stage in stages:
        name, marks = about(stage).parts[0].title, about(stage).marks
        if "tracks nu" in marks:
            tracker = name if "no squares" in marks else ""
            other = "other decay" in marks
        if "tracks mu" in marks:
            other = False
        if "takes variance" in marks and (other or tracker):
            raise ValueError(
                f"{name} subtracts the squared mu from nu, which is a variance only for an "
                "average of squares that decays at the same rate, as in track_moments(0.9, 0.9)"
            )
        if "takes root" in marks and tracker:
            raise ValueError(
                f"{name} takes the root of the second moment, but that of {tracker} is not "
                "made of squares; use unrooted(), as in precondition(unrooted())"
            )

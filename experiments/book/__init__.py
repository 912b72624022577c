"""The laboratory book: what every experiment has in common."""

from typing import TYPE_CHECKING

from experiments.book.arranging import (
    at_best,
    at_end,
    at_rates,
    best_for_others,
    best_rate,
    decades,
    each,
    side_by_side,
    steps_to_target,
)
from experiments.book.drawing import STYLES, draw_heat, draw_lines, panels
from experiments.book.judging import (
    Kind,
    Numbers,
    Verdict,
    agreed,
    answered,
    by_sign,
    opposite,
    over_seeds,
    overall,
    share,
    within,
)
from experiments.book.laboratory import FIRST_SEED, SEEDS, Claim, Experiment, Lab, run
from experiments.book.subjects import FEW_IMAGES, few_digits, uncorrected_adam

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Figure

__all__ = [
    "FEW_IMAGES",
    "FIRST_SEED",
    "SEEDS",
    "STYLES",
    "Claim",
    "Experiment",
    "Kind",
    "Lab",
    "Numbers",
    "Verdict",
    "agreed",
    "answered",
    "at_best",
    "at_end",
    "at_rates",
    "best_for_others",
    "best_rate",
    "by_sign",
    "decades",
    "draw_heat",
    "draw_lines",
    "each",
    "few_digits",
    "opposite",
    "over_seeds",
    "overall",
    "panels",
    "run",
    "share",
    "side_by_side",
    "steps_to_target",
    "uncorrected_adam",
    "within",
]

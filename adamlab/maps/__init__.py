"""Convergence maps: trainings over a grid, the outcome of each, and what the map shows."""

from adamlab.maps.band import Band, border, converged_band, majority, typical_loss
from adamlab.maps.convergence import convergence_map
from adamlab.maps.outcomes import Criteria, Outcome, classify, with_outcomes
from adamlab.maps.summary import Summary, summarize

__all__ = [
    "Band",
    "Criteria",
    "Outcome",
    "Summary",
    "border",
    "classify",
    "converged_band",
    "convergence_map",
    "majority",
    "summarize",
    "typical_loss",
    "with_outcomes",
]

"""Convergence maps: trainings over a grid, the outcome of each, and what the map shows."""

import typing

from adamlab.maps._arguments import OPTIMIZER
from adamlab.maps.band import (
    Band,
    border,
    converged_band,
    is_numeric,
    longest_band,
    typical_loss,
    typical_outcome,
)
from adamlab.maps.convergence import convergence_map
from adamlab.maps.outcomes import Criteria, Outcome, classify, outcome_of, with_outcomes
from adamlab.maps.summary import Summary, summarize

__all__ = [
    "OPTIMIZER",
    "Band",
    "Criteria",
    "Outcome",
    "Summary",
    "border",
    "classify",
    "converged_band",
    "convergence_map",
    "is_numeric",
    "longest_band",
    "outcome_of",
    "summarize",
    "typical_loss",
    "typical_outcome",
    "with_outcomes",
]

if not typing.TYPE_CHECKING:  # or a type checker would accept any name
    from adamlab._lookup import lookup as _lookup

    __getattr__ = _lookup("adamlab.maps", __all__)

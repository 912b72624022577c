"""The stages that optimizers are chained from, one file per kind of door."""

from adamlab.stages._chain import chain
from adamlab.stages._decay import DecayRate, OneMinus
from adamlab.stages._kinds import (
    DirectionToDirection,
    GradientToDirection,
    GradientToGradient,
    GradientToMoments,
    Moments,
    MomentsToDirection,
    MomentsToMoments,
    Stage,
)
from adamlab.stages.correction import amsgrad_max, center_nu, correct_bias
from adamlab.stages.direction import precondition, precondition_epsilon_hat
from adamlab.stages.gradient import (
    adaptive_grad_clip,
    add_l2,
    add_noise,
    centralize,
    clip,
    clip_by_global_norm,
)
from adamlab.stages.moments import track_moments
from adamlab.stages.update import (
    add_decayed_weights,
    add_independent_decay,
    scale_by_learning_rate,
    trace,
)

__all__ = [
    "DecayRate",
    "DirectionToDirection",
    "GradientToDirection",
    "GradientToGradient",
    "GradientToMoments",
    "Moments",
    "MomentsToDirection",
    "MomentsToMoments",
    "OneMinus",
    "Stage",
    "adaptive_grad_clip",
    "add_decayed_weights",
    "add_independent_decay",
    "add_l2",
    "add_noise",
    "amsgrad_max",
    "center_nu",
    "centralize",
    "chain",
    "clip",
    "clip_by_global_norm",
    "correct_bias",
    "precondition",
    "precondition_epsilon_hat",
    "scale_by_learning_rate",
    "trace",
    "track_moments",
]

"""The stages that optimizers are chained from, grouped by what they take and give."""

import typing

from adamlab._checks import Scalar, ScalarOrSchedule
from adamlab.stages._about import MissingArgumentError, extra_args_of, parts_of
from adamlab.stages._catalogue import vocabulary
from adamlab.stages._chain import chain
from adamlab.stages._decay_rate import (
    ConstantDecay,
    DecayRate,
    OneMinus,
    complement_of,
    decay_at,
    plain_decay,
)
from adamlab.stages._forms import gradient_like, zeros_like_field
from adamlab.stages._kinds import (
    DirectionAfterRate,
    DirectionBeforeRate,
    DirectionTimesRate,
    DirectionToDirection,
    GradientToDirection,
    GradientToGradient,
    GradientToMoments,
    MomentsToDirection,
    MomentsToMoments,
    Stage,
)
from adamlab.stages._moments import Moments
from adamlab.stages.averaging import average_parameters, lookahead, schedule_free
from adamlab.stages.basis import in_basis
from adamlab.stages.correction import amsgrad_max, center_nu, correct_bias, cross_correct
from adamlab.stages.curvature import track_curvature
from adamlab.stages.denominator import (
    Denominator,
    cube_root,
    epsilon_hat,
    gradient_eps,
    root,
    root_or_eps,
    root_power,
    unrooted,
)
from adamlab.stages.direction import precondition, precondition_atan2, sign, take_mu
from adamlab.stages.direction_momentum import ema, extrapolate, trace
from adamlab.stages.distance import scale_by_dadapt, scale_by_prodigy
from adamlab.stages.dual_averaging import anchor_to_start, track_weighted_sums
from adamlab.stages.eight_bit import EightBit
from adamlab.stages.gradient import (
    adaptive_grad_clip,
    add_l2,
    add_noise,
    centralize,
    clip_by_global_norm,
)
from adamlab.stages.gradient_difference import add_difference, add_gradient_difference, friction
from adamlab.stages.grouped import group_small_leaves
from adamlab.stages.learning_rate import scale_by_learning_rate
from adamlab.stages.moments import track_moments, track_mu, track_mu_by_variance, track_nu
from adamlab.stages.momentum import (
    change_mu,
    drop_mu,
    lengthen_short_gradients,
    mix_gradient,
    mix_slow_average,
    mix_square,
    nesterov,
    positive_negative_momentum,
)
from adamlab.stages.rate import (
    apply_rate,
    bound_rate,
    limit_rate,
    normalize_rate,
    rectify_rate,
    scale_rate,
    to_rate,
    to_variance_rate,
)
from adamlab.stages.reduced_second_moment import (
    all_axes,
    block_squares,
    factored,
    last_two,
    per_axis,
    per_row,
    two_longest,
)
from adamlab.stages.rounding import compensate_rounding, round_stochastically
from adamlab.stages.scaling import (
    cautious_mask,
    clip,
    clip_by_block_rms,
    project_radially,
    scale_by_confidence,
    scale_by_gradient_rms,
    scale_by_param_block_rms,
    scale_by_trust_ratio,
)
from adamlab.stages.second_moment import (
    SecondMoment,
    Seen,
    deviations,
    from_first,
    largest,
    means,
    previous,
    squares,
    sums,
    yogi,
)
from adamlab.stages.storage import store_state
from adamlab.stages.weight_decay import (
    Mask,
    add_cautious_decay,
    add_decayed_weights,
    add_independent_decay,
    add_preconditioned_decay,
    add_stable_decay,
    decay_after_step,
)
from adamlab.stages.window import track_window

__all__ = [
    "ConstantDecay",
    "DecayRate",
    "Denominator",
    "DirectionAfterRate",
    "DirectionBeforeRate",
    "DirectionTimesRate",
    "DirectionToDirection",
    "EightBit",
    "GradientToDirection",
    "GradientToGradient",
    "GradientToMoments",
    "Mask",
    "MissingArgumentError",
    "Moments",
    "MomentsToDirection",
    "MomentsToMoments",
    "OneMinus",
    "Scalar",
    "ScalarOrSchedule",
    "SecondMoment",
    "Seen",
    "Stage",
    "adaptive_grad_clip",
    "add_cautious_decay",
    "add_decayed_weights",
    "add_difference",
    "add_gradient_difference",
    "add_independent_decay",
    "add_l2",
    "add_noise",
    "add_preconditioned_decay",
    "add_stable_decay",
    "all_axes",
    "amsgrad_max",
    "anchor_to_start",
    "apply_rate",
    "average_parameters",
    "block_squares",
    "bound_rate",
    "cautious_mask",
    "center_nu",
    "centralize",
    "chain",
    "change_mu",
    "clip",
    "clip_by_block_rms",
    "clip_by_global_norm",
    "compensate_rounding",
    "complement_of",
    "correct_bias",
    "cross_correct",
    "cube_root",
    "decay_after_step",
    "decay_at",
    "deviations",
    "drop_mu",
    "ema",
    "epsilon_hat",
    "extra_args_of",
    "extrapolate",
    "factored",
    "friction",
    "from_first",
    "gradient_eps",
    "gradient_like",
    "group_small_leaves",
    "in_basis",
    "largest",
    "last_two",
    "lengthen_short_gradients",
    "limit_rate",
    "lookahead",
    "means",
    "mix_gradient",
    "mix_slow_average",
    "mix_square",
    "nesterov",
    "normalize_rate",
    "parts_of",
    "per_axis",
    "per_row",
    "plain_decay",
    "positive_negative_momentum",
    "precondition",
    "precondition_atan2",
    "previous",
    "project_radially",
    "rectify_rate",
    "root",
    "root_or_eps",
    "root_power",
    "round_stochastically",
    "scale_by_confidence",
    "scale_by_dadapt",
    "scale_by_gradient_rms",
    "scale_by_learning_rate",
    "scale_by_param_block_rms",
    "scale_by_prodigy",
    "scale_by_trust_ratio",
    "scale_rate",
    "schedule_free",
    "sign",
    "squares",
    "store_state",
    "sums",
    "take_mu",
    "to_rate",
    "to_variance_rate",
    "trace",
    "track_curvature",
    "track_moments",
    "track_mu",
    "track_mu_by_variance",
    "track_nu",
    "track_weighted_sums",
    "track_window",
    "two_longest",
    "unrooted",
    "vocabulary",
    "yogi",
    "zeros_like_field",
]

if not typing.TYPE_CHECKING:  # or a type checker would accept any name
    from adamlab._lookup import lookup as _lookup

    __getattr__ = _lookup("adamlab.stages", __all__, beside={"adamlab.optimizers": "it is"})

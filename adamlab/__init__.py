"""adamlab: why does Adam fail to converge here?

Compose optimizers from small pure stages (`chain`), run thousands of trainings at once
(`sweep`, `convergence_map`) and see where they converge (`plot_map`).
"""

import typing

from adamlab.maps import (
    Criteria,
    Outcome,
    border,
    classify,
    converged_band,
    convergence_map,
    summarize,
    typical_outcome,
    with_outcomes,
)
from adamlab.optimizers import (
    adam,
    adam_l2,
    adamw,
    amsgrad,
    amsgrad_torch,
    rmsprop,
    scale_by_adam,
    scale_by_amsgrad,
    sgd,
)
from adamlab.plot import plot_map, save
from adamlab.problems import Problem, digits_mlp, quadratic, reddi, reddi_stochastic, rosenbrock
from adamlab.stages import (
    Moments,
    OneMinus,
    Stage,
    adaptive_grad_clip,
    add_decayed_weights,
    add_independent_decay,
    add_l2,
    add_noise,
    amsgrad_max,
    center_nu,
    centralize,
    chain,
    clip,
    clip_by_global_norm,
    correct_bias,
    epsilon_hat,
    precondition,
    scale_by_learning_rate,
    trace,
    track_moments,
)
from adamlab.sweeps import open_sweep, parse_axes, provenance, sweep
from adamlab.training import Trace, train

__all__ = [
    "Criteria",
    "Moments",
    "OneMinus",
    "Outcome",
    "Problem",
    "Stage",
    "Trace",
    "adam",
    "adam_l2",
    "adamw",
    "adaptive_grad_clip",
    "add_decayed_weights",
    "add_independent_decay",
    "add_l2",
    "add_noise",
    "amsgrad",
    "amsgrad_max",
    "amsgrad_torch",
    "border",
    "center_nu",
    "centralize",
    "chain",
    "classify",
    "clip",
    "clip_by_global_norm",
    "converged_band",
    "convergence_map",
    "correct_bias",
    "digits_mlp",
    "epsilon_hat",
    "open_sweep",
    "parse_axes",
    "plot_map",
    "precondition",
    "provenance",
    "quadratic",
    "reddi",
    "reddi_stochastic",
    "rmsprop",
    "rosenbrock",
    "save",
    "scale_by_adam",
    "scale_by_amsgrad",
    "scale_by_learning_rate",
    "sgd",
    "summarize",
    "sweep",
    "trace",
    "track_moments",
    "train",
    "typical_outcome",
    "with_outcomes",
]

if not typing.TYPE_CHECKING:  # or a type checker would accept any name
    from adamlab._lookup import lookup as _lookup

    __getattr__ = _lookup(
        "adamlab",
        __all__,
        rooms=("optimizers", "stages", "problems", "analysis", "training", "compat", "testing"),
    )

"""Named optimizers: each is one expression over stages, with the field's usual argument names.

`learning_rate` may be a number, a traced scalar or a schedule of the number of steps done; so may
`eps`, `eps_root` and `weight_decay` of Adam and its closest relatives. `b1` and `b2` may also be
`OneMinus`. A concrete value out of range raises a ValueError that names it, and an unknown argument
a TypeError that names the nearest one.
"""

import typing

from adamlab.optimizers._catalogue import example, names, stages_of, used_in
from adamlab.optimizers._finish import Optimizer
from adamlab.optimizers.adam import (
    adam,
    adam_epsilon_hat,
    adam_l2,
    adamd,
    adamw,
    amsgrad,
    amsgrad_torch,
    scale_by_adam,
    scale_by_amsgrad,
)
from adamlab.optimizers.agreement import (
    adan,
    adanorm,
    adashift,
    ano,
    cautious_adamw,
    diffgrad,
    grams,
    mars,
)
from adamlab.optimizers.blocks import adafactor, adam_mini, adamp, came, lamb, novograd, sm3, soap
from adamlab.optimizers.decayed import adamc, adams, adamw_cautious_decay, adamw_independent
from adamlab.optimizers.descent import adagrad, lion, madgrad, rmsprop, sgd, signum
from adamlab.optimizers.distance import dadapt_adam, prodigy
from adamlab.optimizers.injected import inject_hyperparams
from adamlab.optimizers.momentum import (
    adai,
    adapnm,
    ademamix,
    exadam,
    nadam,
    nadam_scheduled,
    optimistic_adam,
    qhadam,
    simplified_ademamix,
)
from adamlab.optimizers.rates import adabound, adamod, amsbound, avagrad, fadam, msvag, padam, radam
from adamlab.optimizers.second import (
    acprop,
    adabelief,
    adahessian,
    adam_atan2,
    adamax,
    adopt,
    laprop,
    sophia,
    stable_adamw,
    yogi,
)
from adamlab.optimizers.wrapped import (
    adamw_8bit,
    adamw_kahan,
    adamw_stochastic_rounding,
    lookahead_adam,
    ranger,
    schedule_free_adamw,
)

__all__ = [
    "Optimizer",
    "acprop",
    "adabelief",
    "adabound",
    "adafactor",
    "adagrad",
    "adahessian",
    "adai",
    "adam",
    "adam_atan2",
    "adam_epsilon_hat",
    "adam_l2",
    "adam_mini",
    "adamax",
    "adamc",
    "adamd",
    "adamod",
    "adamp",
    "adams",
    "adamw",
    "adamw_8bit",
    "adamw_cautious_decay",
    "adamw_independent",
    "adamw_kahan",
    "adamw_stochastic_rounding",
    "adan",
    "adanorm",
    "adapnm",
    "adashift",
    "ademamix",
    "adopt",
    "amsbound",
    "amsgrad",
    "amsgrad_torch",
    "ano",
    "avagrad",
    "came",
    "cautious_adamw",
    "dadapt_adam",
    "diffgrad",
    "exadam",
    "example",
    "fadam",
    "grams",
    "inject_hyperparams",
    "lamb",
    "laprop",
    "lion",
    "lookahead_adam",
    "madgrad",
    "mars",
    "msvag",
    "nadam",
    "nadam_scheduled",
    "names",
    "novograd",
    "optimistic_adam",
    "padam",
    "prodigy",
    "qhadam",
    "radam",
    "ranger",
    "rmsprop",
    "scale_by_adam",
    "scale_by_amsgrad",
    "schedule_free_adamw",
    "sgd",
    "signum",
    "simplified_ademamix",
    "sm3",
    "soap",
    "sophia",
    "stable_adamw",
    "stages_of",
    "used_in",
    "yogi",
]

if not typing.TYPE_CHECKING:  # or a type checker would accept any name
    from adamlab._lookup import lookup as _lookup

    __getattr__ = _lookup("adamlab.optimizers", __all__)

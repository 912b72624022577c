"""One training run as a pure function of a problem, an optimizer, a key and hyperparameters."""

from adamlab.training.hyperparameters import (
    OptimizerFactory,
    build,
    name_of_optimizer,
    plain_name,
    split_hyperparameters,
)
from adamlab.training.run import Probe, Trace, checkpoint_steps, train

__all__ = [
    "OptimizerFactory",
    "Probe",
    "Trace",
    "build",
    "checkpoint_steps",
    "name_of_optimizer",
    "plain_name",
    "split_hyperparameters",
    "train",
]

"""digits-mlp: a small network on real images of handwritten digits."""

from __future__ import annotations

from dataclasses import replace

from adamlab._checks import check_count
from adamlab.problems._problem import Problem
from adamlab.problems.network import network
from adamlab.problems.sources import digits
from adamlab.problems.spoilt import rescaled
from adamlab.problems.supervised import cross_entropy, supervised

_OBSERVED = 128


def digits_mlp(hidden: int = 32, batch_size: int = 64) -> Problem:
    """A 64-`hidden`-10 ReLU network, cross-entropy, on the 8 x 8 digits that scikit-learn ships.

    Pixels lie in [0, 1] times `feature_scale`; batches are drawn with replacement. The objective
    is the mean loss over 128 train images; a run counts as converged once it is at 0.1. Metrics:
    as for `supervised`.

    Raises:
        TypeError: `hidden` or `batch_size` is not an integer.
        ValueError: one of them is below 1.
    """
    check_count("hidden", hidden)
    check_count("batch_size", batch_size)
    usual = (hidden, batch_size) == (32, 64)
    problem = supervised(
        rescaled(digits()), network((64, hidden, 10)), cross_entropy,
        batch_size=batch_size, observed=_OBSERVED, target=0.1,
        name="digits-mlp" if usual else f"digits-mlp(hidden={hidden}, batch_size={batch_size})",
    )  # fmt: skip
    about = f"64-{hidden}-10 ReLU network on scikit-learn's digits, batch {batch_size}"
    return replace(problem, description=about)

"""Outcomes: what became of a run, as a code with a definition in numbers."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any

import numpy as np

from adamlab._checks import check_number

if TYPE_CHECKING:
    import xarray as xr


_ROUNDING = float(np.finfo(np.float32).eps)


class Outcome(IntEnum):
    """The outcome of a run: the first of these definitions that holds.

    Excess is a loss minus the problem's optimum; late and earlier are a run's last quarter and the
    quarter before it; `Criteria` holds the thresholds.
    """

    NON_FINITE = 5
    """A loss was NaN or infinite at some point."""
    CONVERGED = 0
    """The mean late loss is at or below the target."""
    DIVERGED = 4
    """The mean late excess is at least `rise` times the initial one; for a run that starts at the
    optimum, times the rounding error of a float32 of its size."""
    SLOW = 1
    """Below the start and still falling: from the earlier part to the late one the mean excess fell
    by at least the share `fall`, and by more than `clarity` times the late standard deviation or
    than any rise in these two parts."""
    OSCILLATING = 3
    """The late loss has a standard deviation of at least `spread` times its mean excess, and the
    late or the earlier part a rise of as much; or the mean of the late parameters has a lower loss
    by at least `gain` times that excess: the run circles a better point."""
    STALLED = 2
    """None of these: the loss rests above its target, or falls and is still above its start."""


@dataclass(frozen=True)
class Criteria:
    """The numbers in the definitions of the outcomes.

    Raises:
        ValueError: one of them is out of range.
    """

    rise: float = 1.5
    """Least growth of the excess, from the initial one, that counts as divergence; > 1."""
    fall: float = 1e-3
    """Least share of the excess lost from the earlier part to the late that is progress; (0, 1)."""
    clarity: float = 2.0
    """How many late standard deviations progress must exceed, or else any rise, so as not to be
    chance: with 32 checkpoints noise alone does so in 4 of 1,000 runs, with 8 in 240; >= 0."""
    spread: float = 0.05
    """Least late standard deviation, and least rise, as a share of the late excess, that is
    oscillation; > 0."""
    gain: float = 0.1
    """Least share of the late excess saved by averaging the parameters that is oscillation; > 0."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        check_number("rise", self.rise, low=1, open_low=True, scheduled=False)
        check_number(
            "fall", self.fall, low=0, high=1, open_low=True, open_high=True, scheduled=False
        )
        check_number("clarity", self.clarity, low=0, scheduled=False)
        check_number("spread", self.spread, low=0, open_low=True, scheduled=False)
        check_number("gain", self.gain, low=0, open_low=True, scheduled=False)


def classify(
    losses: Mapping[str, Any] | xr.Dataset,
    *,
    optimum: float = 0.0,
    criteria: Criteria | None = None,
) -> np.ndarray:
    """The outcome of every run, as int8 codes of `Outcome`.

    Args:
        losses: arrays of one shape under the names of `adamlab.training.Trace`: initial_loss,
            target_loss, earlier_loss, late_loss, late_spread, late_rise, average_loss,
            nonfinite_step.
        optimum: the least value that the loss can have.
        criteria: the thresholds; None for the defaults.
    """
    rule = criteria or Criteria()
    initial, target, earlier, late, average = (
        np.asarray(losses[f"{name}_loss"], dtype=np.float64)
        for name in ("initial", "target", "earlier", "late", "average")
    )
    spread, risen = (
        np.asarray(losses[f"late_{name}"], dtype=np.float64) for name in ("spread", "rise")
    )
    broken = (np.asarray(losses["nonfinite_step"]) >= 0) | ~np.isfinite(late)
    with np.errstate(invalid="ignore", over="ignore"):
        excess, before = late - optimum, earlier - optimum
        fallen, begun = before - excess, initial - optimum
        scale = max(1.0, abs(optimum))
        conditions = {
            Outcome.NON_FINITE: broken,
            Outcome.CONVERGED: late <= target,
            Outcome.DIVERGED: excess >= rule.rise * np.where(begun > 0, begun, _ROUNDING * scale),
            Outcome.SLOW: (excess < begun)
            & (fallen >= rule.fall * before)
            & ((fallen > rule.clarity * spread) | (fallen > risen)),
            Outcome.OSCILLATING: (np.minimum(spread, risen) >= rule.spread * excess)
            | (late - average >= rule.gain * excess),
        }
    codes = np.select(list(conditions.values()), list(conditions), Outcome.STALLED)
    return codes.astype(np.int8)


def check_criteria(criteria: Any) -> None:
    """Refuse anything but a `Criteria` or None."""
    if not isinstance(criteria, Criteria | None):
        raise TypeError(f"criteria={criteria!r}: must be an adamlab.Criteria")


def outcome_of(dataset: xr.Dataset) -> xr.DataArray:
    """The variable `outcome` of a convergence map.

    Raises:
        ValueError: `dataset` has none.
    """
    if "outcome" not in dataset:
        raise ValueError(
            "dataset has no 'outcome': it must come from convergence_map, or from open_sweep and "
            "then with_outcomes"
        )
    return dataset["outcome"]


def with_outcomes(dataset: xr.Dataset, criteria: Criteria | None = None) -> xr.Dataset:
    """`dataset` with the variable `outcome`: a code of `Outcome`, or -1 where nothing was computed.

    Args:
        dataset: the runs, from `convergence_map` or `open_sweep`.
        criteria: the numbers to go by; None for those that `dataset` carries from an earlier call,
            else the defaults. A store keeps none.

    Raises:
        ValueError: `dataset` holds no training runs.

    Warns:
        UserWarning: a loss lies below the problem's optimum.
    """
    needed = ("initial_loss", "late_loss", "late_rise", "done")
    lacking = [name for name in needed if name not in dataset]
    if lacking:
        raise ValueError(f"dataset has no {lacking[0]!r}: it must come from convergence_map")
    if criteria is None:
        criteria = Criteria(**dataset.attrs.get("criteria", {}))
    optimum = dataset.attrs.get("optimum", 0.0)
    _warn_below(dataset, optimum)
    codes = classify(dataset, optimum=optimum, criteria=criteria)
    codes = np.where(dataset["done"].transpose(*dataset["late_loss"].dims), codes, -1)
    used = asdict(criteria)
    meanings = {outcome.name.lower(): int(outcome) for outcome in sorted(Outcome)}
    outcome = (dataset["late_loss"].dims, codes.astype(np.int8), meanings)
    return dataset.assign(outcome=outcome).assign_attrs(criteria=used)


def _warn_below(dataset: xr.Dataset, optimum: float) -> None:
    """Warn where losses are below the optimum by more than rounding: outcomes depend on it."""
    least = min(
        float(dataset[name].where(np.isfinite(dataset[name])).min())
        for name in ("initial_loss", "late_loss")
    )
    if least < optimum - 1e-4 * max(1.0, abs(optimum)):
        warnings.warn(
            f"a loss of {least:.3g} lies below the problem's optimum={optimum:g}, so that outcomes "
            "are wrong; give Problem(optimum=...) the least value, or a bound below it",
            stacklevel=3,
        )

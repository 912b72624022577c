"""From numbers to a verdict: intervals over seeds, kinds, and the overall kind."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from adamlab.analysis import Interval, bootstrap

if TYPE_CHECKING:
    import xarray as xr

Kind = Literal["supported", "refuted", "depends", "undecided"]
Numbers = dict[str, float | Interval]
ANSWERS: dict[Kind, str] = {
    "supported": "Yes", "refuted": "No", "depends": "Sometimes", "undecided": "Undecided",
}  # fmt: skip


@dataclass(frozen=True)
class Verdict:
    """What the numbers say about a claim."""

    cases: Mapping[str, Kind]
    """The kind of each case that was judged, by what it is."""
    numbers: Mapping[str, float | Interval] = field(default_factory=dict)
    """The figures behind it, by what they are."""
    remark: str = ""
    """What is to be said besides, in whole sentences."""
    ruling: Kind | None = None
    """The kind of the whole where one case decides; None for what the cases say together."""

    @property
    def kind(self) -> Kind:
        """The kind of the whole."""
        return self.ruling or overall(self.cases.values())


def over_seeds(array: xr.DataArray, statistic: Callable[..., Any] = np.median) -> Interval:
    """The interval of a statistic, by default the median, over the axis `seed` of `array`."""
    return bootstrap(array.transpose("seed", ...).values, statistic)


def share(array: xr.DataArray) -> Interval:
    """The share of seeds that `array`, 0 or 1 for each, counts, with its exact 95 % interval.

    That has a width where all seeds agree, as the bootstrap's has not: 0 of 8 may be 37 %.

    Source: C. Clopper and E. Pearson 1934, Biometrika 26:404.

    Raises:
        ValueError: `array` has other axes than `seed`, no seeds, or other values.
    """
    from scipy.stats import binomtest

    values = array.values
    if array.dims != ("seed",) or not values.size or not np.isin(values, (0, 1)).all():
        raise ValueError(f"array={array!r:.200}: must be 0 or 1 for each seed, shape (seeds,)")
    ends = binomtest(int(values.sum()), values.size).proportion_ci(0.95, "exact")
    return Interval(float(values.mean()), float(ends.low), float(ends.high))


def by_sign(interval: Interval, above: float = 0.0) -> Kind:
    """Supported if the whole interval lies above `above`, refuted if below, else undecided."""
    if interval.low > above:
        return "supported"
    return "refuted" if interval.high < above else "undecided"


def within(interval: Interval, low: float, high: float) -> Kind:
    """Supported where the whole interval lies from `low` to `high`, refuted where none of it."""
    if low <= interval.low and interval.high <= high:
        return "supported"
    return "refuted" if interval.high < low or interval.low > high else "undecided"


def opposite(kind: Kind) -> Kind:
    """Refuted for supported and the other way round."""
    swapped: dict[Kind, Kind] = {"supported": "refuted", "refuted": "supported"}
    return swapped.get(kind, kind)


def overall(kinds: Iterable[Kind]) -> Kind:
    """The kind of a claim that was judged in several settings.

    Supported or refuted where all are; "depends" where one is supported and another refuted,
    whatever the rest; else "undecided".
    """
    found = set(kinds)
    if len(found) == 1:
        return found.pop()
    return "depends" if found >= {"supported", "refuted"} or "depends" in found else "undecided"


def answered(cases: Mapping[str, Kind]) -> dict[str, list[str]]:
    """The cases of each answer given: "Yes", "No", "Sometimes" and "Undecided"."""
    named = {word: [n for n, one in cases.items() if one == kind] for kind, word in ANSWERS.items()}
    return {word: names for word, names in named.items() if names}


def agreed(first: Verdict, check: Verdict) -> Verdict:
    """A run's verdict after its check: a case on which the two disagree is undecided."""
    undecided: dict[str, Kind] = dict.fromkeys([*first.cases, *check.cases], "undecided")
    alike = {name: kind for name, kind in first.cases.items() if check.cases.get(name) == kind}
    ruling = first.ruling if first.ruling == check.ruling else "undecided"
    return replace(first, cases=undecided | alike, ruling=ruling)

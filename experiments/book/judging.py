"""From numbers to a verdict: intervals over seeds, kinds, and what they say together."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from adamlab.analysis import Interval, bootstrap

if TYPE_CHECKING:
    import xarray as xr

Kind = Literal["supported", "refuted", "depends", "undecided"]
WORDS: dict[Kind, str] = {
    "supported": "Yes", "refuted": "No", "depends": "In part", "undecided": "Open",
}  # fmt: skip
ANSWERS = re.compile(
    rf"(?<=[?.] )(?P<word>{'|'.join(WORDS.values())}): (?P<cases>.+?)(?=\. [A-Z]|\.$)"
)
"""The answers of one kind in a sentence that `answers` has written."""


@dataclass(frozen=True)
class Verdict:
    """What the numbers say about a claim."""

    kind: Kind
    sentence: str
    """The result in a sentence or two; for "depends" it says on what."""
    numbers: Mapping[str, float | Interval] = field(default_factory=dict)
    """The figures behind it, by what they are."""


def over_seeds(array: xr.DataArray, statistic: Callable[..., Any] = np.median) -> Interval:
    """The interval of a statistic, a median unless told, over the axis `seed` of `array`."""
    return bootstrap(array.transpose("seed", ...).values, statistic)


def by_sign(interval: Interval, above: float = 0.0) -> Kind:
    """Supported where the whole interval lies above `above`, refuted where below, else open."""
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


def answers(kinds: Mapping[str, Kind]) -> str:
    """Where a claim holds, in words: "Yes: a; b. No: c"."""
    named = {w: [name for name, one in kinds.items() if one == kind] for kind, w in WORDS.items()}
    return ". ".join(f"{word}: {'; '.join(names)}" for word, names in named.items() if names)


def answered(sentence: str) -> tuple[dict[str, Kind], tuple[int, int]]:
    """The kinds that `answers` has put into a sentence, by what they are of, and where it stands.

    No kinds, and the sentence's end, where there are no such answers in it.
    """
    found = list(ANSWERS.finditer(sentence))
    kind_of = {word: kind for kind, word in WORDS.items()}
    kinds = {case: kind_of[one["word"]] for one in found for case in one["cases"].split("; ")}
    return kinds, (found[0].start(), found[-1].end()) if found else (len(sentence),) * 2


def together(kinds: Mapping[str, Kind], question: str) -> tuple[Kind, str]:
    """The overall kind of a claim that was judged in several settings, and its answers in words."""
    return overall(kinds.values()), f"{question} {answers(kinds)}."

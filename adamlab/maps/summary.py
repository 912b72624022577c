"""A map in a few lines: the share of each outcome, the best point, the converged band."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from adamlab.maps._arguments import OPTIMIZER
from adamlab.maps.band import converged_band, is_numeric, ordered, typical_loss, typical_outcome
from adamlab.maps.outcomes import Outcome, outcome_of

if TYPE_CHECKING:
    import xarray as xr


@dataclass(frozen=True)
class Summary:
    """What a map shows, in numbers; `str` gives a short text."""

    runs: int
    missing: int
    shares: dict[Outcome, float]
    """Share of the computed runs, for each outcome."""
    best: dict[str, float | str] | None
    """Coordinates of the point with the least late loss, the median over its seeds."""
    best_loss: float
    bands: dict[str, tuple[float, float, float]]
    """By axis: low end, high end and width in decades of the band of median width, among the lines
    along the axis on which anything converged."""
    ends: dict[str, tuple[float, float]]
    """By axis, the map's own ends: a band that reaches one may go on beyond it."""
    unknown: dict[str, tuple[bool, bool]]
    """By axis, whether what is beyond the band's low and its high end is not computed yet."""
    by_optimizer: dict[str, Summary]
    """The summary of each optimizer, where the map has several."""

    def __str__(self) -> str:
        """The summary as text."""
        lines = [
            f"{self.runs} runs" + (f", {self.missing} of them missing" if self.missing else "")
        ]
        if not self.by_optimizer:
            for outcome, share in self.shares.items():
                if share:
                    lines.append(f"  {outcome.name.lower().replace('_', '-'):<12}{share:7.1%}")
        if self.best is not None:
            place = ", ".join(f"{name} = {_short(value)}" for name, value in self.best.items())
            lines.append(f"best: late loss {self.best_loss:.3g}" + f" at {place}" * bool(place))
        # A border over several optimizers would say nothing.
        lines += [] if self.by_optimizer else self._borders()
        for name, own in self.by_optimizer.items():
            lines += [f"{name}:", *(f"  {line}" for line in str(own).splitlines())]
        return "\n".join(lines)

    def _borders(self) -> list[str]:
        """A line on the converged band along each axis, or one on why there is none."""
        if not self.shares[Outcome.CONVERGED]:
            return ["border: nothing converged"]
        if not self.bands:
            return ["border: no axis of numbers along which most seeds of a point converge"]
        lines = []
        for axis, (low, high, decades) in self.bands.items():
            notes = [
                " (the map's end)" if end == edge else " (not computed beyond)" * unknown
                for end, edge, unknown in zip(
                    (low, high), self.ends[axis], self.unknown[axis], strict=True
                )
            ]
            least = "at least " * any(notes)
            width = "" if np.isnan(decades) else f", {least}{decades:.2f} decades"
            where = f"from {low:.3g}{notes[0]} to {high:.3g}{notes[1]}{width}"
            if low == high:
                where = f"at {low:.3g}{notes[0] or notes[1]} alone"
            lines.append(f"border: converges for {axis} {where} (median band)")
        return lines


def _short(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.3g}"


def summarize(dataset: xr.Dataset) -> Summary:
    """The summary of a convergence map.

    Raises:
        ValueError: `dataset` has no outcomes.
    """
    outcome = outcome_of(dataset).values
    done = outcome >= 0
    shares = {o: float((outcome[done] == o).mean()) if done.any() else 0.0 for o in sorted(Outcome)}
    typical = typical_loss(dataset)
    finite = np.isfinite(typical.values)
    best, best_loss = None, float("nan")
    if finite.any():
        place = np.unravel_index(np.where(finite, typical.values, np.inf).argmin(), typical.shape)
        best = {
            str(dim): dataset[dim].values[i].item()
            for dim, i in zip(typical.dims, place, strict=True)
        }
        best_loss = float(typical.values[place])
    bands: dict[str, tuple[float, float, float]] = {}
    unknown: dict[str, tuple[bool, bool]] = {}
    for dim in typical.dims:
        if not is_numeric(dataset[dim]):
            continue
        low, high, decades = (part.values.ravel() for part in converged_band(dataset, str(dim)))
        widths = np.where(np.isfinite(decades), decades, high - low)
        there = np.argsort(np.where(np.isfinite(low), widths, np.inf))[: np.isfinite(low).sum()]
        if there.size:
            middle = there[(there.size - 1) // 2]
            bands[str(dim)] = (float(low[middle]), float(high[middle]), float(decades[middle]))
            line = ordered(typical_outcome(dataset)).transpose(..., dim)
            codes = np.pad(line.values.reshape(-1, line.sizes[dim])[middle], 1)
            ends = np.searchsorted(line[dim].values, (low[middle], high[middle]))
            unknown[str(dim)] = (bool(codes[ends[0]] < 0), bool(codes[ends[1] + 2] < 0))
    return Summary(
        runs=outcome.size,
        missing=int((~done).sum()),
        shares=shares,
        best=best,
        best_loss=best_loss,
        bands=bands,
        unknown=unknown,
        ends={a: (float(dataset[a].min()), float(dataset[a].max())) for a in bands},
        by_optimizer={
            str(name): summarize(dataset.sel({OPTIMIZER: name}, drop=True))
            for name in (dataset[OPTIMIZER].values if OPTIMIZER in dataset.dims else [])
        },
    )

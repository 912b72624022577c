"""The parts of an experiment, how it is run, and how its sweeps are kept.

An experiment is one question in a file of its own. Its `CLAIM` says beforehand, in `criterion`,
which statistic and which threshold decide; `measure` gathers the numbers, `judge` applies the
criterion to them and `draw` shows them. Every verdict is checked: `measure` and `judge` run once
more under the changed settings of `check`, and what the two disagree about is "undecided".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from shutil import rmtree
from types import ModuleType
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

import adamlab
from adamlab.sweeps import OtherFormatError, OtherSweepError, use_all_cores
from experiments.book.judging import Verdict, agreed

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

Settings = Mapping[str, Any]
SEEDS, FIRST_SEED, FLOAT64 = "seeds", "first_seed", "float64"


@dataclass(frozen=True)
class Claim:
    """A statement about Adam, what decides it, and with which settings."""

    says: str
    """The claim, with its source where it is a paper's."""
    criterion: str
    """Which statistic and which threshold decide, fixed before the full run."""
    asks: str
    """The question that each case of the verdict answers."""
    settings: Settings
    """Sizes of the full run: `seeds`, and what else `measure` reads."""
    quick: Settings
    """What a quick run changes in `settings`."""
    check: Settings
    """What the check of the verdict changes: `first_seed`, `float64`, a resolution."""
    caption: str
    """How the figure is read."""
    extras: Callable[[xr.Dataset, Path], None] | None = None
    """Writes further pictures of a run: `extras(dataset, stem)` makes `stem`-name.gif or .png."""

    def settings_of(self, quick: bool) -> dict[str, Any]:
        """The settings of a full or a quick run."""
        return {**self.settings, **(self.quick if quick else {})}


@dataclass(frozen=True)
class Experiment:
    """A claim, and how it is measured, judged and drawn."""

    id: str
    question: str
    claim: Claim
    measure: Callable[[Lab], xr.Dataset]
    judge: Callable[[xr.Dataset], Verdict]
    draw: Callable[[xr.Dataset], Figure]

    @classmethod
    def of(cls, module: ModuleType) -> Experiment:
        """That of a file: its docstring is "id: question?", the rest has the names of the fields.

        Raises:
            ValueError: there is no `CLAIM` in the file.
        """
        claim = getattr(module, "CLAIM", None)
        if not isinstance(claim, Claim):
            raise ValueError(f"{module.__file__}: must define CLAIM, a Claim")
        name, _, question = " ".join((module.__doc__ or "").split()).partition(": ")
        question = question[:1].upper() + question[1:]
        return cls(name, question, claim, module.measure, module.judge, module.draw)


@dataclass(frozen=True)
class Lab:
    """What `measure` is given: the settings, and sweeps that are kept and resumed."""

    settings: Settings
    folder: Path
    progress: bool = False

    def __getitem__(self, name: str) -> Any:
        """The setting `name`."""
        return self.settings[name]

    @property
    def seeds(self) -> np.ndarray:
        """The seeds of this run: `settings["seeds"]` of them, from `first_seed` on."""
        return np.arange(self[SEEDS]) + self.settings.get(FIRST_SEED, 0)

    def map(
        self, name: str, problem: adamlab.Problem, optimizer: Any, axes: Mapping[str, Any],
        **options: Any,
    ) -> xr.Dataset:  # fmt: skip
        """`adamlab.convergence_map` over `axes` and this run's seeds, kept under `name`."""
        axes = {**axes, "seed": self.seeds}
        return self._kept(
            name, partial(adamlab.convergence_map, problem, optimizer, axes, **options)
        )

    def sweep(
        self, name: str, fn: Callable[..., Any], axes: Mapping[str, Any], **options: Any
    ) -> xr.Dataset:
        """`adamlab.sweep` of `fn` over `axes`, kept under `name`."""
        return self._kept(name, partial(adamlab.sweep, fn, axes, **options))

    def _kept(self, name: str, compute: Callable[..., xr.Dataset]) -> xr.Dataset:
        store = self.folder / f"{re.sub(r'[^A-Za-z0-9.]+', '-', name)}.zarr"
        options = {"store": store, "resume": True, "progress": self.progress}
        try:
            return compute(**options)
        except (OtherSweepError, OtherFormatError):
            rmtree(store)  # it answers another question, or in words of another version
        return compute(**options)


def run(
    experiment: Experiment, folder: Path, *, quick: bool = False, progress: bool = False
) -> tuple[xr.Dataset, Verdict, dict[str, Verdict]]:
    """Measure and judge `experiment`, with its check; sweeps are kept in `folder`.

    A quick run has no check: it shows that everything works, not what is true.

    Returns:
        The dataset, the verdict after the check, and the verdicts of the run and of the check.
    """
    use_all_cores()  # before a `measure` that begins with arrays starts JAX
    claim = experiment.claim

    def part(name: str, changes: Settings) -> tuple[xr.Dataset, Verdict]:
        settings = {**claim.settings_of(quick), **changes}
        with jax.enable_x64(bool(settings.get(FLOAT64, False))):
            measured = experiment.measure(Lab(settings, folder / name, progress))
        return measured, experiment.judge(measured)

    dataset, first = part("run", {})
    if quick:
        return dataset, first, {"run": first}
    _, second = part("check", claim.check)
    return dataset, agreed(first, second), {"run": first, "check": second}

"""What every experiment has in common: its parts, its settings, and how it is run and kept.

An experiment is one question in a file of its own. It says beforehand, in `criterion`, which
statistic and which threshold decide; `measure` gathers the numbers, `judge` applies the criterion
to them and `draw` shows them. Every verdict is checked: `measure` and `judge` run once more under
the changed settings of `check`, and where the two disagree the verdict is "undecided".
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from shutil import rmtree
from typing import TYPE_CHECKING, Any, Literal

import jax
import numpy as np
import optax

import adamlab
from adamlab.analysis import Interval, bootstrap
from adamlab.plot import cell_edges
from adamlab.sweeps import OtherSweepError

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

Kind = Literal["supported", "refuted", "depends", "undecided"]
Settings = Mapping[str, Any]
SEEDS, FIRST_SEED, FLOAT64 = "seeds", "first_seed", "float64"


@dataclass(frozen=True)
class Verdict:
    """What the numbers say about a claim."""

    kind: Kind
    sentence: str
    """The result in a sentence or two; for "depends" it says on what."""
    numbers: Mapping[str, float | Interval] = field(default_factory=dict)
    """The figures behind it, by what they are."""


@dataclass(frozen=True)
class Experiment:
    """One claim, what decides it, and how it is measured, judged and drawn."""

    id: str
    question: str
    claim: str
    """The statement, with its source where it is a paper's."""
    criterion: str
    """Which statistic and which threshold decide, fixed before the full run."""
    measure: Callable[[Lab], xr.Dataset]
    judge: Callable[[xr.Dataset], Verdict]
    draw: Callable[[xr.Dataset], Figure]
    settings: Settings
    """Sizes of the full run: `seeds`, and what else `measure` reads."""
    quick: Settings
    """What a quick run changes in `settings`."""
    check: Settings
    """What the check of the verdict changes: `first_seed`, `float64`, a resolution."""
    symptom: str
    """What a reader whose training fails like this sees."""
    remedy: str
    """What moves the border, as code; and in a comment where it does not."""
    extras: Callable[[xr.Dataset, Path], None] | None = None
    """Writes further pictures of a run: `extras(dataset, stem)` makes `stem`-name.gif or .png."""


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
        store = self.folder / f"{name}.zarr"
        options = {"store": store, "resume": True, "progress": self.progress}
        try:
            return compute(**options)
        except OtherSweepError:
            rmtree(store)  # it answers another question
        return compute(**options)


def run(
    experiment: Experiment, folder: Path, *, quick: bool = False, progress: bool = False
) -> tuple[xr.Dataset, Verdict, dict[str, Verdict]]:
    """Measure and judge `experiment`, with its check; sweeps are kept in `folder`.

    A quick run has no check: it shows that everything works, not what is true.

    Returns:
        The dataset, the verdict after the check, and the verdicts of the run and of the check.
    """
    found: dict[str, Verdict] = {}
    dataset = None
    parts: dict[str, Settings] = {"run": {}} if quick else {"run": {}, "check": experiment.check}
    for part, changes in parts.items():
        settings = {**settings_of(experiment, quick), **changes}
        with jax.enable_x64(bool(settings.get(FLOAT64, False))):
            measured = experiment.measure(Lab(settings, folder / part, progress))
        dataset = measured if dataset is None else dataset
        found[part] = experiment.judge(measured)
    assert dataset is not None
    return dataset, _agreed(experiment, found), found


def settings_of(experiment: Experiment, quick: bool) -> dict[str, Any]:
    """The settings of a full or a quick run."""
    return {**experiment.settings, **(experiment.quick if quick else {})}


def _agreed(experiment: Experiment, found: Mapping[str, Verdict]) -> Verdict:
    first, second = found["run"], found.get("check", found["run"])
    if first.kind == second.kind:
        return first
    sentence = (
        f"The run says {first.kind} ({first.sentence}), its check ({json.dumps(experiment.check)}) "
        f"says {second.kind} ({second.sentence})"
    )
    return replace(first, kind="undecided", sentence=sentence)


def uncorrected_adam(
    learning_rate: Any, b1: Any = 0.9, b2: Any = 0.999, eps: Any = 1e-8
) -> optax.GradientTransformation:
    """Adam with the averages as they are, from zero on: no correction of their bias."""
    return adamlab.chain(
        adamlab.track_moments(b1, b2),
        adamlab.precondition(eps),
        adamlab.scale_by_learning_rate(learning_rate),
    )


def side_by_side(dim: str, parts: Mapping[str, xr.Dataset]) -> xr.Dataset:
    """Datasets of one form joined along a new axis `dim` of names."""
    import xarray as xr

    names = xr.DataArray(list(parts), dims=dim, name=dim)
    return xr.concat(
        list(parts.values()), names, data_vars="all", coords="minimal", compat="override",
        combine_attrs="override",
    )  # fmt: skip


def decades(losses: xr.DataArray) -> xr.DataArray:
    """The logarithm to base 10 of positive losses; infinite where a run broke."""
    whole = losses.where(np.isfinite(losses), np.inf)
    return whole.copy(data=np.log10(whole.values))


def over_seeds(array: xr.DataArray, statistic: Callable[..., Any] = np.median) -> Interval:
    """The interval of a statistic, a median unless told, over the axis `seed` of `array`."""
    return bootstrap(array.transpose("seed", ...).values, statistic)


def by_sign(interval: Interval, above: float = 0.0) -> Kind:
    """Supported where the whole interval lies above `above`, refuted where below, else open."""
    if interval.low > above:
        return "supported"
    return "refuted" if interval.high < above else "undecided"


def together(kinds: Mapping[str, Kind], question: str) -> tuple[Kind, str]:
    """The kind of a claim that was judged in several settings, and where it holds in words.

    Supported or refuted where all settings agree, "undecided" where one is open, else "depends".
    """
    found = set(kinds.values())
    mixed: Kind = "undecided" if "undecided" in found else "depends"
    kind = found.pop() if len(found) == 1 else mixed
    words: dict[Kind, str] = {
        "supported": "yes", "refuted": "no", "depends": "in part", "undecided": "open",
    }  # fmt: skip
    answers = {
        word: [name for name, one in kinds.items() if one == each] for each, word in words.items()
    }
    said = "; ".join(f"{word}: {', '.join(names)}" for word, names in answers.items() if names)
    return kind, f"{question} {said[0].upper()}{said[1:]}."


def panels(columns: int = 1, rows: int = 1) -> tuple[Figure, list[Any]]:
    """A figure of `columns` x `rows` panels in the book's size, and its axes in a flat list."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.6 * columns, 3.6 * rows), layout="constrained")
    return figure, list(figure.subplots(rows, columns, squeeze=False).ravel())


def draw_lines(ax: Any, array: xr.DataArray, along: str, *, log: str = "x", **style: Any) -> None:
    """The median over seeds along an axis, with a band from the least to the greatest seed."""
    array = array.where(np.isfinite(array))
    middle = array.median("seed") if "seed" in array.dims else array
    (line,) = ax.plot(array[along], middle, **style)
    if "seed" in array.dims:
        low, high = array.min("seed"), array.max("seed")
        ax.fill_between(array[along], low, high, color=line.get_color(), alpha=0.15, linewidth=0)
    ax.set_xlabel(along)
    for axis in log:
        getattr(ax, f"set_{axis}scale")("log")


def draw_heat(
    ax: Any, array: xr.DataArray, x: str, y: str, *, log: str = "xy", **style: Any
) -> None:
    """A two-dimensional array as colours, with its bar; `style` goes to pcolormesh."""
    columns, rows = (cell_edges(array[name].values)[0] for name in (x, y))
    mesh = ax.pcolormesh(columns, rows, array.transpose(y, x), rasterized=True, **style)
    ax.set_xlabel(x)
    ax.set_ylabel(y)
    for axis in log:
        getattr(ax, f"set_{axis}scale")("log")
    ax.figure.colorbar(mesh, ax=ax, label=str(array.name or ""))

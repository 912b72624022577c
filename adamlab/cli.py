"""The command `adamlab`: draw a map, list what there is, draw a stored map again."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from adamlab._checks import check_number, nearest
from adamlab._own_code import place_in_own_code

if TYPE_CHECKING:
    from concurrent.futures import Executor

    import xarray as xr

_DEFAULT_AXES = ("learning_rate=1e-5:1:64:log", "1-b2=1e-4:1:64:log", "1-decay=1e-4:1:64:log")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="adamlab")
def main() -> None:
    """Map where Adam converges and where it fails, to find out why."""


@main.command("map")
@click.argument("axes", nargs=-1, metavar="[NAME=VALUES]...")
@click.option("--problem", default="digits-mlp", show_default=True,
              help="Problem to train: a name, or MODULE:NAME for your own.")  # fmt: skip
@click.option("--optimizer", default="adam", show_default=True,
              help="Optimizer; several, such as adam,amsgrad,mine:own, form an axis.")  # fmt: skip
@click.option("--seeds", default=1, show_default=True, help="Runs per point, one for each seed.")
@click.option("--steps", default=400, show_default=True, help="Updates per run.")
@click.option("--curve", is_flag=True, help="Keep each run's losses at 32 checkpoints.")
@click.option(
    "--memory", default=1.0, show_default=True, help="GiB allowed for blocks being computed."
)
@click.option("--output", metavar="STEM", help="Write STEM.zarr, STEM.png and STEM.svg.  "
              "[default: PROBLEM-OPTIMIZER in the folder out/]")  # fmt: skip
@click.option("--resume", is_flag=True, help="Continue the sweep in STEM.zarr if there is one.")
@click.option("--dask", metavar="ADDRESS", help="Compute on the Dask cluster at this address.")
def map_command(
    axes: tuple[str, ...], problem: str, optimizer: str, seeds: int, steps: int, curve: bool,
    memory: float, output: str | None, resume: bool, dask: str | None,
) -> None:  # fmt: skip
    """Train at every point of a grid and draw the outcome of each run.

    NAME=VALUES is an axis: learning_rate=1e-5:1:64:log (64 values, log-spaced), b1=0:0.9:10 (10
    values, evenly spaced) or b1=0,0.5,0.9 (a list). A single value, eps=1e-6 or nesterov=True, is
    fixed. A name is a hyperparameter of the optimizer or the problem; 1-b2 sweeps b2 by its
    complement. Default axes: learning_rate=1e-5:1:64:log 1-b2=1e-4:1:64:log, as far as the
    optimizer accepts them.
    """
    with _readable_errors():
        from adamlab.maps import convergence_map
        from adamlab.sweeps import SEED, parse_axes

        check_number("memory", memory, low=0, open_low=True)
        chosen = [name.strip() for name in optimizer.split(",") if name.strip()] or [optimizer]
        twice = [name for name in chosen if chosen.count(name) > 1]
        if twice:
            raise ValueError(f"--optimizer {optimizer}: {twice[0]} is given twice")
        builds = {name: _optimizer(name) for name in chosen}
        what = _problem(problem)
        grid, fixed = parse_axes(axes)
        if not set(grid) - {SEED}:
            grid = _default_axes(what, list(builds.values()), fixed) | grid
        stem = _stem(output or "out/", f"{problem}-{','.join(chosen)}".replace(":", "."))
        store = stem.with_name(stem.name + ".zarr")
        numbers = [name for name in grid if name != SEED]
        if len(numbers) > 2:
            click.echo(
                f"{len(numbers)} axes, {', '.join(numbers)}: a dataset without a picture, which "
                "holds two", err=True,
            )  # fmt: skip
        with _executor(dask) as executor:
            dataset = convergence_map(
                what, builds if len(builds) > 1 else builds[chosen[0]], grid,
                fixed=fixed, seeds=seeds, steps=steps, curve=curve,
                store=store, resume=resume, executor=executor,
                memory=int(min(memory, 2**20) * 2**30), progress=True,
            )  # fmt: skip
        _report(dataset, store, stem, output)


@main.command("list")
@click.argument("what", type=click.Choice(["optimizers", "problems", "stages"]), required=False)
def list_command(what: str | None) -> None:
    """List optimizers, problems and stages with their hyperparameters."""
    if what in (None, "optimizers"):
        _list_optimizers()
    if what in (None, "problems"):
        _list_problems()
    if what in (None, "stages"):
        _list_stages()


def _list_optimizers() -> None:
    from adamlab import optimizers

    click.echo("optimizers (stages that Adam does not have are marked *)")
    plain = optimizers.stages_of("adam")
    for name in optimizers.names():
        build = getattr(optimizers, name)
        stages = [s if s in plain else f"*{s}" for s in optimizers.stages_of(name)]
        _list_entry(name, _first_line(build), " · ".join(stages), _arguments(build))


def _list_problems() -> None:
    from adamlab.problems import PROBLEMS

    click.echo("problems")
    for name, make in PROBLEMS.items():
        problem = make()
        own = ", ".join(f"{n}={v:g}" for n, v in problem.hyperparameters.items())
        _list_entry(name, problem.description, own or "no hyperparameters")


def _list_stages() -> None:
    from adamlab import optimizers, stages

    users = optimizers.used_in()
    for door, names in stages.vocabulary().items():
        click.echo(f"stages: {door}")
        for name in names:
            build = getattr(stages, name)
            where = [_where(users[name])] if name in users else []
            _list_entry(name, _first_line(build), _arguments(build), *where)


def _where(optimizers: list[str]) -> str:
    shown = optimizers if len(optimizers) <= 6 else [f"{len(optimizers)} optimizers"]
    return f"in {', '.join(shown)}"


def _list_entry(name: str, *lines: str) -> None:
    for line in lines:
        click.echo(f"  {name:<28}{line}")
        name = ""


def _first_line(build: Callable[..., Any]) -> str:
    return (inspect.getdoc(build) or "").splitlines()[0]


def _arguments(build: Callable[..., Any]) -> str:
    return ", ".join(inspect.signature(build).parameters) or "no arguments"


@main.command("plot")
@click.argument("store", type=click.Path(path_type=Path))
@click.option("--output", metavar="STEM", help="Where STEM.png and STEM.svg go.  [default: beside "
              "STORE]")  # fmt: skip
def plot_command(store: Path, output: str | None) -> None:
    """Draw the map in STORE, finished or not, and print its summary."""
    with _readable_errors():
        from adamlab.maps import with_outcomes
        from adamlab.sweeps import open_sweep

        beside = Path(str(store).removesuffix(".zarr"))
        stem = _stem(output, beside.name) if output else beside
        _report(with_outcomes(open_sweep(store)), store, stem, output)


def _default_axes(
    problem: Any, builds: list[Callable[..., Any]], fixed: Mapping[str, Any]
) -> dict[str, Any]:
    """The default axes that every optimizer has, up to the last value that all of them take."""
    from adamlab.sweeps import parse_axes
    from adamlab.training import build, plain_name

    free = set.intersection(*(set(inspect.signature(each).parameters) for each in builds))
    free -= {plain_name(name) for name in fixed}
    every, _ = parse_axes(_DEFAULT_AXES)
    axes = {name: v for name, v in every.items() if plain_name(name) in free}
    first = {**fixed, **{name: v[0] for name, v in axes.items()}}

    def taken(name: str, value: Any) -> bool:
        try:
            for each in builds:
                build(problem, each, {**first, name: value})
        except (TypeError, ValueError):
            return False
        return True

    return {name: v if taken(name, v[-1]) else v[:-1] for name, v in axes.items()}


def _stem(text: str, name: str) -> Path:
    """The path of the output files, without their endings; in a folder they are called `name`."""
    from adamlab.plot import FORMATS

    path = Path(text)
    if text.endswith(("/", os.sep)) or (path.is_dir() and path.suffix != ".zarr"):
        return path / name
    return path.with_suffix("") if path.suffix.lstrip(".") in ("zarr", *FORMATS) else path


def _report(dataset: xr.Dataset, store: Path, stem: Path, output: str | None) -> None:
    """Print the summary and draw the picture, as PNG, as SVG and as `output` ends."""
    from adamlab.maps import summarize
    from adamlab.plot import FORMATS, plot_map, save, why_no_picture

    click.echo(str(summarize(dataset)))
    click.echo(f"dataset: {store}")
    if why := why_no_picture(dataset):
        click.echo(f"no picture: {why}")
        return
    asked = Path(output or "").suffix.lstrip(".")
    endings = dict.fromkeys(["png", "svg", *[asked] * (asked in FORMATS)])
    pictures = [stem.with_name(f"{stem.name}.{ending}") for ending in endings]
    save(plot_map(dataset), pictures)
    click.echo(f"picture: {pictures[0]} and .{', .'.join(list(endings)[1:])}")


def _optimizer(name: str) -> Callable[..., Any]:
    from adamlab import optimizers

    known = optimizers.names()
    if ":" in name:
        own: Callable[..., Any] = _imported("--optimizer", name)
        return own
    if name not in known:
        raise ValueError(f"--optimizer {name}: unknown; {nearest(name, known)}")
    build: Callable[..., Any] = getattr(optimizers, name)
    return build


def _problem(name: str) -> Any:
    from adamlab.problems import PROBLEMS, Problem

    if ":" in name:
        own = _imported("--problem", name)
        made = own() if callable(own) else own
        if not isinstance(made, Problem):
            raise ValueError(f"--problem {name}: is {made!r:.60}, not an adamlab.Problem")
        return made
    if name not in PROBLEMS:
        raise ValueError(f"--problem {name}: unknown; {nearest(name, PROBLEMS)}")
    return PROBLEMS[name]()


def _imported(option: str, place: str) -> Any:
    """The object `module:name`; the module is looked for in the current folder too."""
    module, _, name = place.partition(":")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"{option} {place}: {error}") from error


@contextmanager
def _executor(address: str | None) -> Iterator[Executor | None]:
    """Dask's executor at `address`, or None for this process."""
    if address is None:
        yield None
        return
    try:
        from distributed import Client
    except ImportError:
        raise ValueError(
            "--dask needs the extra 'dask', which is not installed: pip install 'adamlab[dask]'"
        ) from None
    with Client(address, timeout=10) as client:
        yield client.get_executor()


@contextmanager
def _readable_errors() -> Iterator[None]:
    """Errors of the user's input or machine in a line, the place in own code, what is safe."""
    try:
        yield
    except KeyboardInterrupt as error:
        _say("interrupted", error)
        sys.exit(130)
    except BrokenPipeError:  # whoever read the output has seen enough
        raise
    except (ValueError, TypeError, OSError, MemoryError, RuntimeError) as error:
        _say(f"error: {error}", error)
        sys.exit(1)


def _say(text: str, error: BaseException) -> None:
    notes = getattr(error, "__notes__", ())
    place = place_in_own_code(error)
    own = [f"in {place}"] if place else []
    for line in (text, *own, *(note for note in notes if "JAX has removed" not in note)):
        click.echo(line, err=True)

"""python -m experiments: run experiments and benchmarks, write the page and the README's tables."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys

import click

BENCHMARKS = ("step", "variants", "formulations", "sweep", "memory", "compiles", "start")

_FAST_COMPILE = "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false"


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Experiments and benchmarks of adamlab; run them from the top of the checkout."""


@main.command()
@click.argument("name", type=click.Choice([*BENCHMARKS, "all"]))
def bench(name: str) -> None:
    """Run a benchmark, print its table and keep its figures as JSON.

    step: one Adam step against Optax's and fused PyTorch's. variants: every variant's step against
    Adam's and Optax's. formulations: bytes and time of several ways to write Adam's step. sweep:
    runs per second against loops and a plain vmap. memory: a million runs in one process. compiles:
    programs compiled per map. start: what comes before the first step, beside Optax's.
    """
    if name == "all":
        for each in BENCHMARKS:  # a process each: what one has started does not help the next
            subprocess.run([sys.executable, "-m", "experiments", "bench", each], check=True)
        return
    importlib.import_module(f"experiments.benchmarks.{name}").main()


@main.command()
@click.option("--check", is_flag=True, help="Only say whether the README is up to date.")
def readme(check: bool) -> None:
    """Write the measured figures from the result files into the README."""
    from experiments.readme import write

    current = write(check=check)
    click.echo("README.md is up to date" if current else "README.md " + "was written" * (not check))
    if check and not current:
        raise click.ClickException("README.md does not match the result files; run: make readme")


@main.command("which-adam")
@click.option("--check", is_flag=True, help="Only say whether the page is up to date.")
def which_adam(check: bool) -> None:
    """Measure how far apart the libraries' forms of each optimizer are, and write the page."""
    from experiments import which_adam

    sys.exit(which_adam.main(check))


@main.command("list")
def list_command() -> None:
    """List the experiments: id, question, claim, verdict, and how long the full run took."""
    from experiments import records

    for name, experiment in records.experiments().items():
        record = records.load(experiment)
        if record is None:
            state = "not run yet"
        else:
            stale = "" if records.is_current(experiment, record) else ", from an earlier version"
            state = f"{record['verdict']['kind']}, took {record['seconds']:.0f} s{stale}"
        said = experiment.claim.says
        click.echo(f"{name}  {experiment.question}\n     {said}\n     [{state}]")


@main.command("run")
@click.argument("ids", nargs=-1, required=True, metavar="ID...|all")
@click.option("--quick", is_flag=True, help="A small version without the check, under 20 s each.")
@click.option("--again", is_flag=True, help="Compute everything again.")
def run_command(ids: tuple[str, ...], quick: bool, again: bool) -> None:
    """Run experiments, by id or all of them, and keep the dataset, figure and verdict of each.

    An interrupted run is continued. An experiment that has a result already only shows it, unless
    its file or its settings have changed. Full runs write to experiments/results, quick ones to
    out/experiments/quick; the datasets are kept under out/experiments.
    """
    from experiments import records, wording

    if quick:  # compiling takes longer than so short a run
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {_FAST_COMPILE}"
    known = records.experiments()
    ids = tuple("all" if name.lower() == "all" else name.upper() for name in ids)
    for name in ids:
        if name not in (*known, "all"):
            raise click.BadParameter(f"{name}: unknown; known: {', '.join(known)}, all")
    for name in known if "all" in ids else ids:
        experiment = known[name]
        record = records.load(experiment, quick)
        if again:
            shutil.rmtree(records.folder_of(experiment, quick), ignore_errors=True)
        how = "quick, without a check" if quick else ""
        stale = not records.is_current(experiment, record, quick)
        if again or stale or records.is_unfinished(experiment, quick):
            click.echo(f"{name}  {experiment.question}", err=True)
            try:
                record = records.run_and_keep(experiment, quick=quick, progress=True)
            except KeyboardInterrupt:
                without = " without --again" if again else ""
                click.echo(f"{name} interrupted: run it{without} and it goes on", err=True)
                sys.exit(130)
        else:
            how = f"kept, of {(record or {})['date'][:10]}; --again computes it anew"
        assert record is not None
        verdict = record["verdict"]
        took = "; ".join(filter(None, (f"{record['seconds']:.0f} s", how)))
        click.echo(f"{name}  {verdict['kind']}: {wording.in_full(experiment, verdict)}  ({took})")
        for label, number in verdict["numbers"].items():
            click.echo(f"     {label}: {records.shown(number)}")
        click.echo(f"     figure: {records.kept_in(quick) / name}.png")


@main.command("report")
def report_command() -> None:
    """Write the laboratory book as one HTML page, from the stored results."""
    from experiments import report

    click.echo(f"report: {report.write()}")


if __name__ == "__main__":
    main()

"""python -m experiments: run a benchmark, measure the libraries, put figures into the README."""

from __future__ import annotations

import importlib
import subprocess
import sys

import click

BENCHMARKS = ("step", "variants", "formulations", "sweep", "memory", "compiles")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Experiments and benchmarks of adamlab; run them from the checkout's top."""


@main.command()
@click.argument("name", type=click.Choice([*BENCHMARKS, "all"]))
def bench(name: str) -> None:
    """Run a benchmark, print its table and keep its figures as JSON.

    step: one Adam step beside Optax's and fused PyTorch's. variants: every variant's step beside
    Adam's and Optax's. formulations: bytes and time of ways to write it. sweep: runs per second
    beside loops
    and a plain vmap. memory: a million runs in one process. compiles: programs per map.
    """
    if name == "all":
        for each in BENCHMARKS:  # a process each: what one has started does not help the next
            subprocess.run([sys.executable, "-m", "experiments", "bench", each], check=True)
        return
    importlib.import_module(f"experiments.benchmarks.{name}").main()


@main.command()
@click.option("--check", is_flag=True, help="Only say whether the README is up to date.")
def readme(check: bool) -> None:
    """Write the figures of the result files into the README."""
    from experiments.readme import write

    current = write(check=check)
    click.echo("README.md is up to date" if current else "README.md " + "was written" * (not check))
    if check and not current:
        raise click.ClickException("README.md is not what the result files say: make readme")


@main.command("which-adam")
@click.option("--check", is_flag=True, help="Only say whether the page is up to date.")
def which_adam(check: bool) -> None:
    """Measure how far the libraries' forms of an optimizer are apart and write the page."""
    from experiments import which_adam

    sys.exit(which_adam.main(check))


if __name__ == "__main__":
    main()

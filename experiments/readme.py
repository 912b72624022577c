"""The README's measured figures, written from the result files between its markers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "experiments" / "benchmarks" / "results"
BEGIN, END = "<!-- figures: written by `make readme` -->", "<!-- end of figures -->"


def write(*, check: bool = False) -> bool:
    """Put the figures into the README; whether it held them already.

    Raises:
        ValueError: the README lacks the markers.
    """
    path = ROOT / "README.md"
    text = path.read_text()
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise ValueError(f"README.md must hold {BEGIN!r} and {END!r} once each")
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    new = f"{before}{BEGIN}\n\n{figures()}\n\n{END}{after}"
    if new != text and not check:
        path.write_text(new)
    return new == text


def figures() -> str:
    """The figures as Markdown."""
    return "\n\n".join([_sweep(), _step(), _memory(), _machine()])


def _load(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text())
    return content


def _sweep() -> str:
    found = _load("sweep")["figures"]
    lines = [
        "1,024 trainings of a 64-32-10 network on the digits, batch 64, 200 steps:",
        "",
        "| way | runs per second | adamlab is faster by |",
        "|--|--:|--:|",
    ]
    for name, speed in found["runs_per_second"].items():
        faster = found["times_faster"].get(name)
        lines.append(f"| {name} | {speed:.0f} | {'' if faster is None else f'{faster:.1f}x'} |")
    lines += [
        "",
        f"That is {found['gflops']:.0f} GFLOP/s, {found['share_of_matrix_product']:.0%} of what a "
        "2048 x 2048 float32 matrix product reaches in the same run.",
    ]
    return "\n".join(lines)


def _step() -> str:
    found = _load("step")["figures"]
    lines = [
        "One Adam step on 10 million float32 parameters (time of adamlab's over the other's, the "
        "median of pairs):",
        "",
        "| leaves | beside Optax | beside fused PyTorch | bytes accessed, adamlab / Optax |",
        "|--:|--:|--:|--:|",
    ]
    for leaves, row in found.items():
        torch = row["ratio"].get("torch fused")
        sizes = row["bytes"]
        lines.append(
            f"| {leaves} | {row['ratio']['optax']:.3f} | "
            f"{'not installed' if torch is None else f'{torch:.2f}'} | "
            f"{sizes['adamlab']['accessed']:,} / {sizes['optax']['accessed']:,} |"
        )
    return "\n".join(lines)


def _memory() -> str:
    memory, compiles = _load("memory")["figures"], _load("compiles")["figures"]
    programs = sorted({row["compiles"] for row in compiles.values()})
    points = ", ".join(f"{int(n):,}" for n in compiles)
    return (
        f"{memory['runs']:,} Adam runs of {memory['steps']} steps on Rosenbrock's valley take "
        f"{memory['peak_rss_bytes'] / 1e9:.2f} GB at the peak, the process included, at "
        f"{memory['runs_per_second']:,.0f} runs per second. Maps of {points} points compile "
        f"{' or '.join(map(str, programs))} program each."
    )


def _machine() -> str:
    about = _load("sweep")
    versions = about["versions"]
    return (
        f"Measured on {about['date'][:10]} on {about['machine']}, {about['device']} devices, "
        f"JAX {versions['jax']}, Optax {versions['optax']}, PyTorch {about['torch'] or 'absent'}, "
        f"with `python -m experiments bench all`; no GPU was at hand. The figures and the "
        "commands behind them are in `experiments/benchmarks/results/`."
    )

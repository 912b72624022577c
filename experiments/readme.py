"""The README's measured figures, written from the result files between its markers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from experiments.benchmarks.variants import COLUMNS, cells
from experiments.report import verdict_table

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "experiments" / "benchmarks" / "results"
VARIANTS = ROOT / "experiments" / "benchmarks" / "variants.md"


def write(*, check: bool = False) -> bool:
    """Write the measured blocks into the README, and the variants' table next to the benchmarks.

    Returns:
        Whether both were up to date already.

    Raises:
        ValueError: the README lacks a block's markers.
    """
    path = ROOT / "README.md"
    text = new = path.read_text()
    for name, content in (("figures", figures), ("verdicts", verdict_table)):
        begin, end = f"<!-- {name}: written by `make readme` -->", f"<!-- end of {name} -->"
        if text.count(begin) != 1 or text.count(end) != 1:
            raise ValueError(f"README.md must hold {begin!r} and {end!r} once each")
        before, rest = new.split(begin)
        new = f"{before}{begin}\n\n{content()}\n\n{end}{rest.split(end)[1]}"
    pages = {path: new, VARIANTS: variants_page()}
    current = all(page.exists() and page.read_text() == now for page, now in pages.items())
    if not check:
        for page, now in pages.items():
            page.write_text(now)
    return current


def variants_page() -> str:
    """Every variant's step beside Adam's and Optax's, as a page in Markdown."""
    about = _load("variants")
    lines = [
        "# The variants' steps",
        "",
        "Time of a jitted step over Adam's, and over Optax's version with the ratio's 95 % "
        "interval. Bytes per parameter: those that the step accesses by XLA's count (and Optax's "
        "step), those of its temporary buffers, and those of the state.",
        "",
        f"| {' | '.join(COLUMNS)} |",
        "|--" + "|--:" * (len(COLUMNS) - 1) + "|",
        *(f"| {' | '.join(row)} |" for row in cells(about["figures"]["variants"])),
    ]
    return "\n".join([
        *lines, "",
        f"Measured on {about['date'][:10]} on {about['machine']}, JAX {about['versions']['jax']}, "
        f"Optax {about['versions']['optax']}, with `{about['command']}`; written by `make readme`.",
        "",
    ])  # fmt: skip


def figures() -> str:
    """The figures as Markdown."""
    parts = _sweep, _step, _formulations, _variants, _start, _memory, _machine
    return "\n\n".join(part() for part in parts)


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
        "One Adam step on 10 million float32 parameters (adamlab's time over the other's, median "
        "over placements of the arrays):",
        "",
        "| leaves | time / Optax | time / fused PyTorch | bytes accessed, adamlab / Optax |",
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


def _formulations() -> str:
    found = _load("formulations")["figures"]
    plain, flagged = (next(iter(found[label].values())) for label in ("as it is", "with the flag"))
    lines = [
        "XLA's CPU backend makes one pass over each leaf per moment and one for the parameters: "
        f"{plain['adamlab.adam']['bytes']:.0f} bytes per parameter, where a single pass would move "
        "28. Ways to write the same step in JAX, on 10 leaves of 1000 x 1000, with XLA's default "
        f"flags and with `XLA_FLAGS={found['flag']}`:",
        "",
        "| form | bytes | time / torch fused | bytes, flag | time / torch fused, flag |",
        "|--|--:|--:|--:|--:|",
    ]
    for name, row in plain.items():
        cells = []
        for one in (row, flagged[name]):
            torch = one["over_torch"]
            # XLA counts a loop's body once.
            cells.append("not counted" if "loop" in name else f"{one['bytes']:.0f}")
            cells.append("not installed" if torch is None else f"{torch:.2f}")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    small = list(found["as it is"].values())[1]
    groups = {name: row for name, row in small.items() if "leaves" in name}
    best = min(groups.values(), key=lambda row: row["over_optax"])
    lines += [
        "",
        "With 300 leaves of 1,000 elements, each leaf's call costs more than its arithmetic: "
        f"`group_small_leaves(adam(...))` takes "
        f"{groups['small leaves in groups of 16']['over_optax']:.2f} of the time that Optax's Adam "
        f"takes, one flat buffer {groups['all leaves in one']['over_optax']:.2f} "
        f"(the best of the groups: {best['over_optax']:.2f}).",
    ]
    return "\n".join(lines)


def _variants() -> str:
    figures = _load("variants")["figures"]
    found, control = figures["variants"], figures["control"]
    shared = {name: row for name, row in found.items() if "times_optax" in row}
    ratios = sorted(row["times_optax"] for row in shared.values())
    slower = [name for name, row in shared.items() if row["times_optax"] > 1.02]
    surely = [name for name in slower if shared[name]["times_optax_from"] > 1.02]
    more = [name for name, row in shared.items() if row["bytes"] > row["optax_bytes"] + 1]
    belief, adopt = found["adabelief"], found["adopt"]
    return (
        f"For the {len(shared)} variants that Optax also has ([all variants]"
        f"({VARIANTS.relative_to(ROOT)})), a step takes {ratios[0]:.2f} to "
        f"{ratios[-1]:.2f} times as long as Optax's (median {ratios[len(ratios) // 2]:.2f}). Above "
        f"1.02: {', '.join(slower) or 'none'} (with the whole 95 % interval above it: "
        f"{', '.join(surely) or 'none'}); accessing more bytes: {', '.join(more) or 'none'}. "
        f"Optax's Adam timed against itself {len(control)} times gives {min(control):.2f} to "
        f"{max(control):.2f}. Where the bytes are equal, adamlab's extra work is limiting the "
        "gradient's magnitude, so that averages recover after an infinite one. AdaBelief takes "
        f"{belief['times_adam']:.2f} times as long as Adam ({belief['times_optax']:.2f} of Optax's "
        f"AdaBelief), ADOPT {adopt['times_adam']:.2f} ({adopt['times_optax']:.2f} of Optax's): XLA "
        "copies a buffer that may still be read when it is overwritten in place; adamlab makes the "
        "order of reading and writing explicit. State per parameter: "
        f"{found['adam']['state']:.2f} bytes for Adam, "
        f"{found['adamw_8bit']['state']:.2f} in 8 bits, {found['adam_mini']['state']:.2f} for "
        f"Adam-mini, {found['adafactor']['state']:.2f} for Adafactor."
    )


def _start() -> str:
    found = _load("start")["figures"]
    parts = "; ".join(
        f"{part} takes {row['seconds']['adamlab']:.1f} s ({row['ratio']:.1f} times as long as "
        "Optax's)"
        for part, row in found["parts"].items()
    )
    return f"Before the first step of AdamW on {found['leaves']} leaves, {parts}."


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
    machines: dict[str, list[str]] = {}
    for path in sorted(RESULTS.glob("*.json")):
        found = _load(path.stem)
        machines.setdefault(f"{found['machine']}, on {found['date'][:10]}", []).append(path.stem)
    where = "; ".join(f"{place} ({', '.join(names)})" for place, names in machines.items())
    return (
        f"Measured on {where}; {about['device']} devices, JAX {versions['jax']}, "
        f"Optax {versions['optax']}, PyTorch {about['torch'] or 'absent'}, with `python -m "
        "experiments bench all`; no GPU was available. The figures and the commands behind them "
        "are in `experiments/benchmarks/results/`."
    )

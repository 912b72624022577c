"""What the benchmarks share: side-by-side timing, the machine, the result files."""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import adamlab as al

RESULTS = Path(__file__).parent / "results"


def seconds(call: Callable[[], Any]) -> float:
    """The wall time of one call, or what the call says that it took."""
    start = time.perf_counter()
    told = call()
    return told if isinstance(told, float) else time.perf_counter() - start


def in_turn(calls: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each call in each round; the order turns, so that drift favours nobody."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    names = list(calls)
    for turn in range(rounds):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            times[name].append(seconds(calls[name]))
    return times


def paired_ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median over rounds of ours / theirs."""
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


def torch_version() -> str | None:
    """PyTorch's version; None where it is not installed."""
    try:
        return version("torch")
    except ModuleNotFoundError:
        return None


def keep(name: str, command: str, figures: Mapping[str, Any]) -> None:
    """Write a benchmark's figures, with the command and the machine, to its result file."""
    about = al.provenance()
    RESULTS.mkdir(exist_ok=True)
    content = {
        "benchmark": name,
        "command": command,
        "machine": f"{_processor()}, {os.cpu_count()} cores",
        "torch": torch_version(),
        **about,
        "figures": figures,
    }
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(content, indent=2) + "\n")
    print(f"kept in {path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path}")


def table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print rows under a header, in columns."""
    lines = [[str(cell) for cell in row] for row in [header, *rows]]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    for line in lines:
        print("  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip())


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()

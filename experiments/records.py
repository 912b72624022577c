"""What is kept of an experiment: verdict and figure, and whether they are still current."""

from __future__ import annotations

import ast
import hashlib
import importlib
import inspect
import json
import math
import pkgutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from adamlab import provenance, save
from adamlab.analysis import Interval
from experiments import book, claims
from experiments.book import Experiment, Verdict, run

if TYPE_CHECKING:
    import xarray as xr

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "experiments" / "results"
OUT = ROOT / "out" / "experiments"
_UNFINISHED = "unfinished"
_KEPT = {"verdict", "parts", "settings", "check", "command", "seconds", "fingerprint"}
_SAID = {"kind", "cases", "remark", "ruling", "numbers"}
_ONLY_READ = {"says", "asks", "caption"}


def experiments() -> dict[str, Experiment]:
    """Every experiment by its id, in order."""
    found: dict[str, Experiment] = {}
    for module in pkgutil.iter_modules(claims.__path__):
        experiment = Experiment.of(importlib.import_module(f"{claims.__name__}.{module.name}"))
        if experiment.id in found:
            raise ValueError(f"experiment {experiment.id!r} is there twice")
        found[experiment.id] = experiment
    return dict(sorted(found.items()))


def source_of(experiment: Experiment) -> Path:
    """The file that the experiment is written in."""
    return Path(inspect.getfile(experiment.measure))


def folder_of(experiment: Experiment, quick: bool) -> Path:
    """Where the sweeps of a run are kept."""
    return OUT / ("quick" if quick else "full") / experiment.id


def kept_in(quick: bool) -> Path:
    """Where verdicts and figures are kept: those of full runs beside the code."""
    return OUT / "quick" if quick else RESULTS


def fingerprint(experiment: Experiment, quick: bool) -> str:
    """A hash of the experiment's code, criterion and settings, and of what it uses of the book.

    It does not change with what changes no number: comments, layout and docstrings, annotations,
    where and in what order is imported, and what is only read: the claim in words, the question of
    its cases and the caption. That of a full run does not change with the settings of a quick one.
    """
    only_read = _ONLY_READ if quick else _ONLY_READ | {"quick"}
    whole = _Bare(only_read).visit(ast.parse(source_of(experiment).read_text()))
    text = "".join(map(_text, [whole, *_shared(whole)]))
    text += json.dumps(experiment.claim.settings_of(quick))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _shared(tree: ast.AST) -> list[ast.stmt]:
    """What `tree` and a run use of the book, and what that uses there in turn, ordered by name.

    Except for the form that an experiment is written in. At last what is imported for all this.
    """
    defined: dict[str, ast.stmt] = {}
    bare = _Bare(set())
    for path in Path(book.__file__).parent.glob("*.py"):
        for statement in bare.visit(ast.parse(path.read_text())).body:
            if isinstance(statement, ast.FunctionDef | ast.ClassDef):
                defined[statement.name] = statement
            elif isinstance(statement, ast.Assign):
                names = (node for node in ast.walk(statement) if isinstance(node, ast.Name))
                defined |= {n.id: statement for n in names if isinstance(n.ctx, ast.Store)}
    del defined["Claim"], defined["Experiment"]
    ahead = ["Lab", "run"] + [
        node.attr for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and getattr(node.value, "id", None) == "book"
    ]  # fmt: skip
    used: dict[str, ast.stmt] = {}
    while ahead:
        name = ahead.pop()
        if name in defined and name not in used:
            used[name] = defined[name]
            ahead += [n.id for n in ast.walk(used[name]) if isinstance(n, ast.Name)]
    found = [used[name] for name in sorted(used)]
    said = {n.id for part in found for n in ast.walk(part) if isinstance(n, ast.Name)}
    imported = sorted(pair for pair in bare.imported if pair[0] in said)
    return [*found, ast.Expr(ast.Constant(repr(imported)))]


class _Bare(ast.NodeTransformer):
    """Takes off what changes no number."""

    def __init__(self, only_read: set[str]) -> None:
        self.only_read, self.imported = only_read, set[tuple[str, str]]()

    def visit_Module(self, node: ast.Module) -> Any:
        self.generic_visit(node)
        used = {name.id for name in ast.walk(node) if isinstance(name, ast.Name)}
        imported = sorted(pair for pair in self.imported if pair[0] in used)
        node.body.insert(0, ast.Expr(ast.Constant(repr(imported))))
        return node

    def visit_Expr(self, node: ast.Expr) -> Any:
        return None if isinstance(node.value, ast.Constant) else self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> Any:
        self.generic_visit(node)
        return ast.Assign([node.target], node.value) if node.value else None

    def visit_arg(self, node: ast.arg) -> Any:
        node.annotation = None
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> Any:
        node.returns = None
        return self.generic_visit(node)

    def visit_If(self, node: ast.If) -> Any:
        typing = isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        return None if typing else self.generic_visit(node)

    def visit_Import(self, node: ast.Import) -> Any:
        self.imported |= {(n.asname or n.name.split(".")[0], n.name) for n in node.names}

    def visit_ImportFrom(self, node: ast.ImportFrom) -> Any:
        self.imported |= {(n.asname or n.name, f"{node.module}.{n.name}") for n in node.names}

    def visit_Call(self, node: ast.Call) -> Any:
        node.keywords = [word for word in node.keywords if word.arg not in self.only_read]
        return self.generic_visit(node)


def _text(node: Any) -> str:
    """As `ast.dump`, in the same words in every version of Python."""
    if isinstance(node, list):
        return f"[{', '.join(map(_text, node))}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = (f"{k}={_text(v)}" for k, v in ast.iter_fields(node) if v is not None and v != [])
    return f"{type(node).__name__}({', '.join(fields)})"


def load(experiment: Experiment, quick: bool = False) -> dict[str, Any] | None:
    """The record of the last run; None if there is none that can be read."""
    path = kept_in(quick) / f"{experiment.id}.json"
    try:
        record = json.loads(path.read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    whole = isinstance(record, dict) and record.keys() >= _KEPT
    return record if whole and record["verdict"].keys() >= _SAID else None


def is_current(experiment: Experiment, record: dict[str, Any] | None, quick: bool = False) -> bool:
    """Whether the record belongs to the experiment as it is now."""
    figure = kept_in(quick) / f"{experiment.id}.png"
    return (
        record is not None
        and record["fingerprint"] == fingerprint(experiment, quick)
        and figure.exists()
    )


def is_unfinished(experiment: Experiment, quick: bool = False) -> bool:
    """Whether a run was started and not finished."""
    return (folder_of(experiment, quick) / _UNFINISHED).exists()


def run_and_keep(
    experiment: Experiment, *, quick: bool = False, progress: bool = False
) -> dict[str, Any]:
    """Run `experiment`, or continue it, draw it, and write its record, which is returned."""
    folder = folder_of(experiment, quick)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _UNFINISHED).touch()
    start = time.perf_counter()
    try:
        dataset, verdict, parts = run(experiment, folder, quick=quick, progress=progress)
    finally:
        seconds = _spent(folder, time.perf_counter() - start)
    command = f"python -m experiments run {experiment.id}" + " --quick" * quick
    record = {
        "id": experiment.id,
        "verdict": _plain(verdict),
        "parts": {name: _plain(part) for name, part in parts.items()},
        "settings": experiment.claim.settings_of(quick),
        "check": dict(experiment.claim.check),
        "command": command,
        "seconds": round(seconds, 1),
        "fingerprint": fingerprint(experiment, quick),
        **provenance(),
    }
    kept = kept_in(quick)
    picture = kept / f"{experiment.id}.png"
    save(experiment.draw(dataset), [picture])
    keep_few_colours(picture)
    if experiment.claim.extras is not None:
        experiment.claim.extras(dataset, kept / experiment.id)
    _keep_dataset(dataset, folder / "dataset.nc")
    text = json.dumps(record, indent=1, allow_nan=False) + "\n"
    draft = kept / f".{experiment.id}.json"  # so that the record appears all at once
    draft.write_text(text)
    draft.replace(kept / f"{experiment.id}.json")
    (folder / _UNFINISHED).unlink()
    return record


def _spent(folder: Path, seconds: float) -> float:
    """The seconds spent on the sweeps in `folder`, these and those of earlier, interrupted runs."""
    note = folder / "seconds.txt"
    total = seconds + (float(note.read_text()) if note.exists() else 0.0)
    note.write_text(f"{total:.1f}\n")
    return total


def keep_few_colours(picture: Path) -> None:
    """Reduce a PNG to the 256 colours nearest to its own: a third of the bytes."""
    with Image.open(picture) as image:
        few = image.convert("RGB").quantize(method=Image.Quantize.MAXCOVERAGE)
    few.save(picture, optimize=True)


def _keep_dataset(dataset: xr.Dataset, path: Path) -> None:
    """Save as NetCDF, which has no booleans and no nested attributes."""
    attributes = {name: str(value) for name, value in dataset.attrs.items()}
    truths = {n: v.astype("int8") for n, v in dataset.variables.items() if v.dtype == bool}
    plain = dataset.assign(truths).assign_attrs(attributes)
    for variable in plain.variables.values():
        variable.encoding = {}
    plain.to_netcdf(path, engine="scipy")


def _plain(verdict: Verdict) -> dict[str, Any]:
    """A verdict as JSON values; an interval becomes its three numbers by name.

    JSON has no infinity: a number that is not finite becomes its name, which `float` reads.
    """

    def plain(value: float) -> float | str:
        return float(value) if math.isfinite(value) else str(float(value))

    numbers = {
        name: {part: plain(end) for part, end in value._asdict().items()}
        if isinstance(value, Interval)
        else plain(value)
        for name, value in verdict.numbers.items()
    }
    return {
        "kind": verdict.kind, "cases": dict(verdict.cases), "remark": verdict.remark,
        "ruling": verdict.ruling, "numbers": numbers,
    }  # fmt: skip


def shown(number: float | str | dict[str, float | str]) -> str:
    """A number of a record as text."""
    if isinstance(number, dict):
        return str(Interval(**{part: float(end) for part, end in number.items()}))
    return f"{float(number):.4g}"

"""The house: which room may import which, what importing costs, what is public."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import adamlab
import adamlab.analysis

ROOT = Path(adamlab.__file__).parent
CHECKOUT = ROOT.parent

# Each room may import those before it, and itself.
ROOMS = [
    "_checks", "_lookup", "stages", "analysis", "optimizers", "compat", "testing", "problems",
    "training", "sweeps", "maps", "_cells", "plot", "_own_code", "cli", "__main__",
]  # fmt: skip
FILES = sorted(ROOT.rglob("*.py"))


def _room(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def _imported_rooms(path: Path) -> set[str]:
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            modules = [node.module or ""]
            if node.module == "adamlab":
                modules = [f"adamlab.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        else:
            continue
        rooms |= {m.split(".")[1] for m in modules if m.startswith("adamlab.")}
    return rooms


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_run_one_way(path):
    room = _room(path)
    if room == "__init__":
        return
    assert room in ROOMS, f"{room} has no place in the order of rooms"
    for other in _imported_rooms(path):
        assert ROOMS.index(other) <= ROOMS.index(room), f"{path} imports {other} uphill"


def test_the_order_is_really_checked(tmp_path):
    upward = tmp_path / "x.py"
    upward.write_text("from adamlab import plot\nimport adamlab.cli\nfrom adamlab.maps import C\n")
    assert _imported_rooms(upward) == {"plot", "cli", "maps"}


def test_importing_adamlab_is_light():
    code = "import sys, adamlab; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    heavy = {"matplotlib", "sklearn", "xarray", "zarr", "pandas", "flax", "dask", "tqdm", "click"}
    assert not heavy & set(loaded)


def test_importing_adamlab_leaves_jax_unstarted():
    code = (
        "import adamlab, jax; adamlab.digits_mlp(); adamlab.adam(1e-3);"
        "adamlab.analysis, adamlab.compat, adamlab.testing;"
        "jax.config.update('jax_num_cpu_devices', 3); assert jax.device_count() == 3"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_building_an_optimizer_leaves_jax_unstarted():
    """But for the one that asks for a random key, which starts it."""
    code = (
        "import jax; from adamlab import optimizers;"
        "[optimizers.example(name) for name in optimizers.names() if 'stochastic' not in name];"
        "jax.config.update('jax_num_cpu_devices', 3); assert jax.device_count() == 3"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_sweep_uses_every_core_or_says_how():
    code = (
        "import os, sys, warnings, jax, adamlab\n"
        "late = sys.argv[1] == 'late'\n"
        "if late: jax.devices()\n"
        "with warnings.catch_warnings(record=True) as caught:\n"
        "    warnings.simplefilter('always')\n"
        "    out = adamlab.sweep(lambda a: a, {'a': [1.0]})\n"
        "cores = len(os.sched_getaffinity(0))\n"
        "assert jax.device_count() == (1 if late else max(cores, 2))\n"
        "hints = [str(w.message) for w in caught if 'jax_num_cpu_devices' in str(w.message)]\n"
        "assert len(hints) == (1 if late and cores > 1 else 0), hints\n"
    )
    for when in ("early", "late"):
        subprocess.run([sys.executable, "-c", code, when], check=True)


DOORS = [adamlab, adamlab.stages, adamlab.optimizers, adamlab.analysis]


@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.__name__)
def test_every_public_name_is_documented(door):
    for name in door.__all__:
        thing = getattr(door, name)
        if callable(thing):
            assert inspect.getdoc(thing), name


@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.__name__)
def test_all_is_what_is_exported(door):
    tree = ast.parse(Path(door.__file__).read_text())
    imported = {
        alias.asname or alias.name
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert imported == set(door.__all__)
    assert list(door.__all__) == sorted(door.__all__)


def test_files_are_one_concept_long():
    for path in FILES:
        assert len(path.read_text().splitlines()) <= 300, path


def test_the_wheel_holds_adamlab_alone(tmp_path):
    if not (CHECKOUT / "pyproject.toml").exists():
        pytest.skip("not a checkout")
    setuptools = pytest.importorskip("setuptools")
    import tomllib

    settings = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["tool"]["setuptools"]
    found = setuptools.find_packages(str(CHECKOUT), include=settings["packages"]["find"]["include"])
    assert {name.split(".")[0] for name in found} == {"adamlab"}
    assert {f"adamlab.{p.parent.name}" for p in ROOT.glob("*/__init__.py")} | {"adamlab"} == set(
        found
    )
    assert (ROOT / "py.typed").exists()


def test_the_top_level_holds_the_agreed_things():
    listed = subprocess.run(
        ["git", "-C", CHECKOUT, "ls-files"], capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    top = {line.split("/")[0] for line in listed.stdout.splitlines()}
    assert top <= {
        "pyproject.toml", "adamlab", "experiments", "tests", "README.md", "LICENSE", "Makefile",
        ".ci", ".gitignore",
    }  # fmt: skip


def test_a_map_uses_every_core_whatever_its_optimizer_makes():
    code = (
        "import os, jax, jax.numpy as jnp, adamlab\n"
        "make = lambda rate: adamlab.adam(jnp.where(rate > 1, 1, rate))\n"
        "adamlab.convergence_map(adamlab.quadratic(), make, {'rate': [0.1]}, steps=8)\n"
        "assert jax.device_count() == max(len(os.sched_getaffinity(0)), 2)\n"
    )
    subprocess.run([sys.executable, "-W", "error::UserWarning", "-c", code], check=True)


def test_a_map_compiles_one_program():
    code = (
        "import jax, adamlab\n"
        "events = []\n"
        "note = lambda event, *_, **__: events.append(event)\n"
        "jax.monitoring.register_event_duration_secs_listener(note)\n"
        "rates = {'learning_rate': [0.1, 0.2]}\n"
        "adamlab.convergence_map(adamlab.quadratic(), adamlab.adam, rates, steps=8)\n"
        "assert events.count('/jax/core/compile/backend_compile_duration') == 1, events\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

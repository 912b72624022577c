"""The command line, used as a person would, mistakes included."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys
import types
from pathlib import Path
from unittest.mock import Mock

import pytest
from click.testing import CliRunner

from adamlab.cli import main
from adamlab.sweeps import open_sweep

AXES = ["learning_rate=1e-3:1:5:log", "condition=1:100:3:log"]
QUICK = [*AXES, "--problem", "quadratic", "--optimizer", "sgd", "--steps", "40"]


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def invoke(*words):
        return CliRunner().invoke(main, list(words))

    return invoke


@pytest.fixture
def asked(run, monkeypatch):
    """Called like `run map`: what the command asks of `convergence_map`, which trains nothing."""

    def ask(*words):
        found = {}

        def note(problem, optimizer, axes, **options):
            found.update(options, problem=problem.name, axes=axes)
            raise KeyboardInterrupt

        monkeypatch.setattr("adamlab.maps.convergence_map", note)
        assert run("map", *words).exit_code == 130
        return found

    return ask


def test_help_names_the_commands(run):
    text = run("--help").output
    for command in ("map", "list", "plot"):
        assert command in text
    assert "learning_rate=1e-5:1:64:log" in run("map", "--help").output
    assert "0.1.0" in run("--version").output


def test_a_map_leaves_a_picture_and_a_dataset(run, tmp_path):
    result = run("map", *QUICK, "--output", "deep/first")
    assert result.exit_code == 0, result.output
    assert "15 runs" in result.output
    assert "converged" in result.output
    assert "border: converges for learning_rate" in result.output
    assert "run/s" in result.stderr
    assert {p.name for p in (tmp_path / "deep").iterdir()} == {
        "first.zarr", "first.png", "first.svg",
    }  # fmt: skip


def test_a_second_run_needs_resume_and_then_is_done(run):
    stored = [*QUICK, "--output", "own.zarr"]
    assert run("map", *stored).exit_code == 0
    again = run("map", *stored)
    assert again.exit_code == 1
    assert "exists: go on with it (resume=True, --resume)" in again.stderr
    assert run("map", *stored, "--resume").exit_code == 0
    other = run("map", *stored, "--resume", "start=2")
    assert other.exit_code == 1
    assert "was made with fixed" in other.stderr
    assert "Traceback" not in other.output + other.stderr


def test_plot_draws_a_stored_map_again(run, tmp_path):
    run("map", *QUICK, "--output", "first")
    (tmp_path / "first.png").unlink()
    result = run("plot", "first.zarr")
    assert result.exit_code == 0, result.output
    assert "15 runs" in result.output
    assert (tmp_path / "first.png").exists()
    other = run("plot", "first.zarr", "--output", "lr.1e-3")
    assert other.exit_code == 0
    assert "dataset: first.zarr" in other.output
    assert (tmp_path / "lr.1e-3.svg").exists()
    assert run("plot", "first.zarr", "--output", "pictures/").exit_code == 0
    assert (tmp_path / "pictures" / "first.png").exists()


def test_the_package_is_the_command(tmp_path):
    command = [sys.executable, "-m", "adamlab", "--version"]
    assert "adamlab" in subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_list_names_everything(run):
    from adamlab import optimizers, stages
    from adamlab.problems import PROBLEMS

    text = run("list").output
    for name in [*optimizers.names(), *PROBLEMS, "weight_decay", "feature_scale=1"]:
        assert name in text
    vocabulary = run("list", "stages").output
    assert vocabulary in text
    unlisted = {
        "parts_of",
        "vocabulary",
        "all_axes",
        "last_two",
        "per_row",
        "two_longest",
        "from_first",
        "complement_of",
        "decay_at",
        "plain_decay",
        "extra_args_of",
        "gradient_like",
        "zeros_like_field",
    }
    for name in set(stages.__all__) - unlisted:
        assert (f"  {name} " in vocabulary) == inspect.isfunction(getattr(stages, name)), name
    assert not any(f"  {name} " in vocabulary for name in unlisted)
    assert "in diffgrad\n" in vocabulary
    assert "in adahessian, sophia\n" in vocabulary
    assert " optimizers\n" in vocabulary
    optimizers_alone = run("list", "optimizers").output
    assert "rosenbrock" not in optimizers_alone
    _, stages_of_amsgrad = optimizers_alone.split("\n  amsgrad ")[1].splitlines()[:2]
    assert "*amsgrad_max" in stages_of_amsgrad
    assert "*correct_bias" not in stages_of_amsgrad
    assert "amsgrad" not in run("list", "problems").output


def test_ones_own_optimizer_and_problem_are_named_by_their_module(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(
        "import adamlab\n"
        "def trusting(learning_rate): return adamlab.adam(learning_rate, b1=0.5)\n"
        "def bowl(): return adamlab.quadratic()\n"
        "steep = adamlab.rosenbrock()\n"
    )
    axes = ["learning_rate=1e-3,1e-2", "--steps", "8"]
    for problem in ("mine:bowl", "mine:steep"):
        found = run("map", "--problem", problem, "--optimizer", "adam,mine:trusting", *axes)
        assert found.exit_code == 0, found.output
        assert "mine:trusting:" in found.output
        assert (tmp_path / f"out/{problem.replace(':', '.')}-adam,mine.trusting.png").exists()
    for place in ("mine:trustin", "nowhere:trusting", ":x"):
        wrong = run("map", "--optimizer", place, *axes)
        assert wrong.exit_code != 0
        assert f"--optimizer {place}: " in wrong.stderr


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ("def helper(x):\n    return x @ x.sum()\n\ndef loss(p, b): return helper(p)", "4, helper"),
        ("def loss(p, b): return p.sum(axis=7)", "3, loss"),
        ("import nowhere_at_all\n", "3, <module>"),
    ],
)
def test_where_ones_own_code_fails_is_told(run, tmp_path, monkeypatch, body, place):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "failing", raising=False)
    (tmp_path / "failing.py").write_text(
        "import adamlab\nimport jax.numpy as jnp\n" + body + "\n"
        "def task(): return adamlab.Problem('task', lambda key: jnp.ones(3), loss)\n"
    )
    importlib.invalidate_caches()
    result = run("map", "--problem", "failing:task", "--steps", "8", "learning_rate=0.1,0.2")
    assert result.exit_code == 1
    assert f"in failing.py:{place}" in result.stderr.splitlines()


@pytest.mark.parametrize(
    ("optimizer", "lengths"),
    [
        ("rmsprop", {"learning_rate": 64, "1-decay": 64}),
        ("adam", {"learning_rate": 64, "1-b2": 64}),
        ("sgd", {"learning_rate": 64}),
        # The last value is b2 = 0, of which Lion makes nothing.
        ("lion", {"learning_rate": 64, "1-b2": 63}),
        ("adam,lion", {"learning_rate": 64, "1-b2": 63}),
        ("adam,sgd", {"learning_rate": 64}),
    ],
)
def test_the_default_axes_follow_the_optimizer(asked, optimizer, lengths):
    axes = asked("--problem", "reddi", "--optimizer", optimizer)["axes"]
    assert {name: len(values) for name, values in axes.items()} == lengths
    assert (axes["learning_rate"][[0, -1]] == [1e-5, 1]).all()


def test_a_fixed_complement_and_a_seed_leave_the_default_axes(asked):
    found = asked("--problem", "reddi", "1-b2=0.01", "seed=3,5")
    lengths = {name: len(values) for name, values in found["axes"].items()}
    assert lengths == {"learning_rate": 64, "seed": 2}
    assert found["fixed"] == {"1-b2": 0.01}


def test_options_reach_the_map(asked, monkeypatch):
    class Client:
        def __init__(self, address, timeout):
            self.address = address

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def get_executor(self):
            return f"that of {self.address}"

    monkeypatch.setitem(sys.modules, "distributed", types.SimpleNamespace(Client=Client))
    assert asked("--memory", "1e300")["memory"] == 2**50
    words = ["--seeds", "3", "--steps", "9", "--curve", "--memory", "0.5", "--dask", "tcp://x"]
    for given, expected in (
        ([], ("digits-mlp", 1, 400, False, 2**30, None)),
        (words, ("digits-mlp", 3, 9, True, 2**29, "that of tcp://x")),
    ):
        found = asked(*given)
        names = ("problem", "seeds", "steps", "curve", "memory", "executor")
        assert tuple(found[name] for name in names) == expected


def test_a_flag_is_a_fixed_value(run):
    result = run("map", *QUICK, "momentum=0.9", "nesterov=True")
    assert result.exit_code == 0, result.stderr
    assert open_sweep("out/quadratic-sgd.zarr").attrs["fixed"]["nesterov"] is True


def test_three_axes_make_a_dataset_without_a_picture(run, tmp_path):
    result = run("map", *QUICK, "start=1,2", "--output", "cube")
    assert result.exit_code == 0, result.stderr
    assert "no picture: it holds two axes, the map has 3: learning_rate, condition" in result.output
    assert (tmp_path / "cube.zarr").exists()


def test_names_alone_make_a_dataset_without_a_picture(run, tmp_path):
    words = ["--problem", "quadratic", "--optimizer", "sgd,adam", "--steps", "8"]
    result = run("map", *words, "learning_rate=0.1", "--output", "names")
    assert result.exit_code == 0, result.stderr
    message = "no picture: it needs an axis of numbers, the map has one of names alone: optimizer; "
    assert message + "sweep a hyperparameter beside it, such as learning_rate" in result.output
    assert (tmp_path / "names.zarr").exists()


MISTAKES = {
    "problem": (
        ["--problem", "digit-mlp"], "--problem digit-mlp: unknown; did you mean 'digits-mlp'"),
    "optimizer": (
        ["--optimizer", "amsgard"], "--optimizer amsgard: unknown; did you mean 'amsgrad'"),
    "capitals": (["--optimizer", "ADAMW"], "--optimizer ADAMW: unknown; did you mean 'adamw'"),
    "short optimizer": (["--optimizer", "adma"], "--optimizer adma: unknown; did you mean 'adam'"),
    "axis": (
        ["lr=1e-3:1:4:log"], "hyperparameter 'lr': neither the optimizer adam nor the problem"),
    "range": (["learning_rate=-1:1:4"], "learning_rate=-1: must be a finite number >= 0"),
    "form": (["learning_rate=1e-3:1"], "must be name=low:high:count"),
    "twice": (["b1=0.9", "b1=0.8"], "axis 'b1' is given more than once"),
    "steps": (["--steps", "2"], "steps=2: must be a whole number >= 8"),
    "memory": (["--memory", "0"], "memory=0: must be a finite number > 0"),
    "no optimizer": (["--optimizer", ","], "--optimizer ,: unknown"),
    "infinite memory": (["--memory", "inf"], "memory=inf: must be a finite number > 0"),
    "huge axis": (["learning_rate=1e-3:1:1000000000000:log"], "error: Unable to allocate"),
    "huge steps": (["--steps", "99999999999"], "steps=99999999999: must be"),
    "seed": (["seed=0.5"], "is not a whole number, as a seed must be"),
    "two of one": (["--optimizer", "adam,adam"], "--optimizer adam,adam: adam is given twice"),
    "no problem": (["--problem", "math:pi"], "--problem math:pi: is 3.14159"),
    "store": (["--output", "no/such\0name"], "error"),
    "period": (
        ["--optimizer", "lookahead_adam", "sync_period=0"], "sync_period=0: must be a whole"),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_line(run, name):
    words, message = MISTAKES[name]
    result = run("map", *words)
    assert result.exit_code == 1
    assert message in result.stderr
    assert result.stderr.count("\n") <= 2
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("output", "written"),
    [("maps/", "maps/quadratic-sgd"), (".", "quadratic-sgd"), ("own.png", "own"), ("a.b", "a.b")],
)
def test_an_output_may_be_a_folder_or_a_picture(run, output, written):
    result = run("map", *QUICK, "--output", output)
    assert result.exit_code == 0, result.stderr
    for ending in ("zarr", "png", "svg"):
        assert Path(f"{written}.{ending}").exists()


def test_a_pdf_is_drawn_where_it_is_asked_for(run):
    assert run("map", *QUICK, "--output", "own.pdf").exit_code == 0
    assert Path("own.pdf").exists()
    assert run("plot", "own.zarr", "--output", "other.pdf").exit_code == 0
    assert Path("other.pdf").exists()


def test_whoever_stops_reading_is_told_nothing(run, monkeypatch):
    monkeypatch.setattr("adamlab.maps.convergence_map", Mock(side_effect=BrokenPipeError))
    result = run("map", *QUICK)
    assert (result.exit_code, result.stderr) == (1, "")


def test_blanks_between_optimizers_are_left_out(run):
    assert run("map", *QUICK[2:], "--optimizer", "adam, sgd", "learning_rate=0.1").exit_code == 0


def test_a_store_of_any_name_is_drawn_beside_itself(run):
    assert run("map", *QUICK, "--output", "first").exit_code == 0
    Path("first.zarr").rename("own.store")
    assert run("plot", "own.store").exit_code == 0
    assert Path("own.store.png").exists()
    assert not list(Path("own.store").glob("*.png"))


def test_too_many_axes_for_a_picture_are_said_before_the_work(run):
    axes = ["learning_rate=0.1,0.2", "condition=1,2", "start=1,2"]
    result = run("map", *axes, *QUICK[2:])
    assert result.stderr.startswith("3 axes, learning_rate, condition, start: a dataset without a")
    assert result.exit_code == 0


def test_plot_of_nothing_is_one_line(run):
    result = run("plot", "none.zarr")
    assert result.exit_code == 1
    assert "there is no sweep" in result.stderr


def test_a_missing_extra_says_what_to_install(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    result = run("map", *QUICK, "--dask", "tcp://127.0.0.1:1")
    assert result.exit_code == 1
    assert "pip install 'adamlab[dask]'" in result.stderr


def test_an_interrupt_says_what_is_safe(run, monkeypatch):
    from adamlab.sweeps.store import Store

    real, left = Store.write, [2]

    def interrupted(self, place, values):
        if left[0] == 0:
            raise KeyboardInterrupt
        left[0] -= 1
        real(self, place, values)

    many = ["learning_rate=1e-3:1:40:log", "condition=1:100:10:log", *QUICK[2:]]
    with monkeypatch.context() as patch:
        patch.setattr(Store, "write", interrupted)
        result = run("map", *many)
    assert result.exit_code == 130
    assert "2 of 4 blocks are safe in out/quadratic-sgd.zarr; resume" in result.stderr
    assert run("plot", "out/quadratic-sgd.zarr").output.startswith("400 runs, 200 of them missing")
    assert run("map", *many, "--resume").exit_code == 0

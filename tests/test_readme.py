"""The README's code runs as printed, its commands exist, its figures are the measured ones."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import jax
import pytest

CHECKOUT = Path(__file__).parents[1]
README = CHECKOUT / "README.md"
if not README.exists():
    pytest.skip("not a checkout", allow_module_level=True)
TEXT = README.read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)


@pytest.mark.parametrize("code", BLOCKS, ids=range(len(BLOCKS)))
def test_code_runs_as_printed(code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with jax.numpy_dtype_promotion("standard"):
        exec(compile(code, "README.md", "exec"), {"__name__": "readme"})


def test_there_is_code():
    assert len(BLOCKS) == 7


def test_the_named_files_exist():
    for path in re.findall(r"`((?:adamlab|experiments)/[\w/.-]*)`", TEXT):
        assert (CHECKOUT / path).exists(), path
    for path in re.findall(r"!\[.*?\]\((.*?)\)", TEXT):
        assert (CHECKOUT / path).exists(), path


def test_the_make_targets_exist():
    makefile = (CHECKOUT / "Makefile").read_text()
    for target in re.findall(r"^make (\w+)", TEXT, flags=re.MULTILINE):
        assert f"\n{target}:" in makefile


def test_the_figures_are_those_of_the_result_files(monkeypatch):
    monkeypatch.syspath_prepend(str(CHECKOUT))
    for name in [n for n in sys.modules if n.split(".")[0] == "experiments"]:
        monkeypatch.delitem(sys.modules, name)
    from experiments.readme import write

    assert write(check=True), "run: make readme"


def test_the_page_of_disagreements_is_that_of_its_figures(monkeypatch):
    monkeypatch.syspath_prepend(str(CHECKOUT))
    for name in [n for n in sys.modules if n.split(".")[0] == "experiments"]:
        monkeypatch.delitem(sys.modules, name)
    from experiments import which_adam

    assert which_adam.main(check=True) == 0


def test_the_numbers_of_variants_stages_and_laws_are_right():
    from adamlab import optimizers
    from adamlab.stages import vocabulary
    from adamlab.testing import LAWS

    assert f"holds {len(optimizers.names())} named variants" in TEXT
    assert f"There are {len(LAWS)} laws" in TEXT
    doors = vocabulary().items()
    stages = [n for door, names in doors for n in names if "->" in door]
    used_in = optimizers.used_in()
    users = [len(used_in.get(stage, [])) for stage in stages]
    shared, single = (sum(n > 1 for n in users), users.count(1))
    said = f"Of {len(stages)} stages {shared} serve two or more variants, {single} are one paper's"
    assert said in " ".join(TEXT.split())

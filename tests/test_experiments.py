"""The laboratory book: every experiment runs, judges and draws; verdicts are checked and kept."""

from __future__ import annotations

import ast
import dataclasses
import html
import json
import os
import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from click.testing import CliRunner
from PIL import Image

pytest.importorskip("experiments", reason="the experiments lie in the checkout alone")

from adamlab import save
from adamlab.analysis import Interval
from experiments import __main__ as command_line
from experiments import book, records, report, wording
from experiments.book import (
    Claim,
    Experiment,
    Lab,
    Verdict,
    agreed,
    by_sign,
    over_seeds,
    panels,
    run,
)
from experiments.revisions import EARLIER, REVISED
from experiments.symptoms import SYMPTOMS, remedy_of

BOOK = records.experiments()
CHECKOUT = Path(__file__).parents[1]
KINDS = {"supported", "refuted", "depends", "undecided"}
GROUPS = 4
every_experiment = pytest.mark.parametrize("name", BOOK)


@pytest.mark.slow
@pytest.mark.parametrize("group", range(GROUPS))
def test_every_experiment_really_runs(group):
    names = list(BOOK)[group::GROUPS]
    command = [sys.executable, "-m", "experiments", "run", *names, "--quick", "--again"]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    for name in names:
        record = records.load(BOOK[name], quick=True)
        assert record["verdict"]["kind"] in KINDS, name
        assert record["verdict"]["cases"], f"{name}: the criterion was not applied"
        assert records.is_current(BOOK[name], record, quick=True)
        kept = records.folder_of(BOOK[name], quick=True)
        assert xr.open_dataset(kept / "dataset.nc", engine="scipy").sizes, name
        assert (records.kept_in(quick=True) / f"{name}.png").stat().st_size > 5_000, name


def _docstring_lines(node):
    written = isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef)
    if written and ast.get_docstring(node) is not None:
        return range(node.body[0].lineno, node.body[0].end_lineno + 1)
    return ()


@every_experiment
def test_an_experiment_is_one_short_question(name):
    experiment, path = BOOK[name], records.source_of(BOOK[name])
    assert path.name.startswith(f"{name.lower()}_")
    lines = path.read_text().splitlines()
    assert len(lines) <= 160
    said = {n for node in ast.walk(ast.parse(path.read_text())) for n in _docstring_lines(node)}
    code = [n for n, line in enumerate(lines, start=1) if line.strip() and n not in said]
    assert len(code) <= 120, "lines but for blank ones and docstrings"
    assert experiment.question.endswith("?")
    assert experiment.claim.asks.endswith("?")
    for part in ("says", "criterion", "caption"):
        assert len(getattr(experiment.claim, part)) > 15, part
    assert "upported" in experiment.claim.criterion
    names = {n.id for n in ast.walk(ast.parse(remedy_of(name))) if isinstance(n, ast.Name)}
    known: dict[str, object] = {}
    exec(report.IMPORTS, known)
    own = {word.strip(",") for word in report.OWN.split()}
    assert names <= own | {*known} | {"step"}, "a reader could not run the remedy"
    assert set(experiment.claim.quick) <= set(experiment.claim.settings)
    assert experiment.claim.check, "no verdict without a check"


@every_experiment
def test_experiments_enter_by_public_doors(name):
    tree = ast.parse(records.source_of(BOOK[name]).read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            parts = (node.module or "").split(".")
            assert parts[0] != "adamlab" or len(parts) <= 2, node.module
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.Attribute):
            names = [node.attr]
        else:
            continue
        private = [n for n in names if n.startswith("_") and not n.startswith("__")]
        assert not [n for n in private if n not in ("_replace", "_asdict")], private


@every_experiment
def test_random_experiments_have_eight_seeds_and_others_check_otherwise(name):
    experiment = BOOK[name]
    if "first_seed" in experiment.claim.check:
        assert experiment.claim.settings["seeds"] >= 8
        assert experiment.claim.check["first_seed"] >= experiment.claim.settings["seeds"]
    else:
        check, settings = experiment.claim.check, experiment.claim.settings
        assert set(check) & {"float64", "draw"} or any(
            check[key] != settings.get(key) for key in check
        )


@every_experiment
def test_what_is_kept_is_of_the_experiment_as_it_is(name):
    record = records.load(BOOK[name])
    if record is None:
        pytest.skip("not run yet")
    assert records.is_current(BOOK[name], record), f"python -m experiments run {name}"
    found, check = (_as_verdict(record["parts"][part]) for part in ("run", "check"))
    assert _as_verdict(record["verdict"]) == agreed(found, check)


def _as_verdict(kept):
    verdict = Verdict(**{name: value for name, value in kept.items() if name != "kind"})
    assert kept["kind"] == verdict.kind
    return verdict


def _experiment(**changes):
    def measure(lab):
        def walk(key, offset):
            import jax

            return jax.random.normal(key) + offset

        return lab.sweep("walk", walk, {"offset": [lab["offset"], 9.0], "seed": lab.seeds})

    def judge(dataset):
        middle = over_seeds(dataset["result"].isel(offset=0))
        return Verdict({"the middle": by_sign(middle)}, {"middle": middle})

    def draw(dataset):
        figure, (ax,) = panels()
        ax.plot(dataset["result"].values)
        return figure

    claim = Claim(
        "It is.", "Supported if above 0.", "Is this above 0?",
        settings={"seeds": 8, "offset": 5.0}, quick={"seeds": 2}, check={"first_seed": 100},
        caption="A walk.",
    )  # fmt: skip
    of_claim = {name: changes.pop(name) for name in vars(claim) if name in changes}
    claim = dataclasses.replace(claim, **of_claim)
    plain = Experiment("X00", "Is it?", claim, measure, judge, draw)
    return dataclasses.replace(plain, **changes)


@pytest.fixture
def kept(monkeypatch, tmp_path):
    """Where records are kept for one test, with the sweeps in a folder out/ there."""
    monkeypatch.setattr(records, "RESULTS", tmp_path)
    monkeypatch.setattr(records, "OUT", tmp_path / "out")
    return tmp_path


def test_a_verdict_whose_check_disagrees_is_undecided(tmp_path):
    _, verdict, parts = run(_experiment(), tmp_path / "a")
    assert verdict.kind == parts["run"].kind == parts["check"].kind == "supported"
    _, verdict, parts = run(_experiment(check={"offset": -5.0}), tmp_path / "b")
    assert [parts["run"].kind, parts["check"].kind] == ["supported", "refuted"]
    assert verdict.kind == "undecided"
    assert verdict.cases == {"the middle": "undecided"}


def test_sweeps_are_kept_until_the_code_changes(tmp_path):
    def written():
        return {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*/c/*")}

    first, *_ = run(_experiment(), tmp_path, quick=True)
    before = written()
    again, *_ = run(_experiment(), tmp_path, quick=True)
    xr.testing.assert_equal(first, again)
    assert before
    assert written() == before, "computed again"

    def other(lab):
        return lab.sweep("walk", lambda offset: 2 * offset, {"offset": [1.0, 2.0]})

    changed = Lab({}, tmp_path / "run")
    np.testing.assert_array_equal(other(changed)["result"], [2.0, 4.0])


def test_a_record_counts_the_time_of_interrupted_runs_too(kept):
    first = records.run_and_keep(_experiment())
    (kept / "X00.json").unlink()
    again = records.run_and_keep(_experiment())
    assert again["seconds"] >= first["seconds"] > 0
    assert again["verdict"] == first["verdict"] == records.load(_experiment())["verdict"]


def test_an_interrupted_run_goes_on_whether_or_not_it_was_asked_for_again(kept, monkeypatch):
    monkeypatch.setattr(records, "experiments", lambda: {"X00": _experiment()})
    monkeypatch.setattr(records, "fingerprint", lambda *_: "x")
    call = partial(CliRunner().invoke, command_line.main)
    first = call(["run", "X00"])
    assert "kept, of" not in first.output
    assert f"figure: {kept / 'X00.png'}" in first.output
    assert "s; kept, of 2" in call(["run", "X00"]).output

    def interrupt(_):
        raise KeyboardInterrupt

    with monkeypatch.context() as here:
        here.setattr(records, "save", lambda *_: interrupt(None))
        stopped = call(["run", "X00", "--again"])
    assert stopped.exit_code == 130
    assert "run it without --again and it goes on" in stopped.output
    computed = {p: p.stat().st_mtime_ns for p in (kept / "out/full/X00/run").rglob("*")}
    assert computed
    gone_on = call(["run", "X00"])
    assert "kept, of" not in gone_on.output
    assert {p: p.stat().st_mtime_ns for p in computed} == computed
    assert "kept, of" in call(["run", "X00"]).output
    call(["run", "X00", "--again"])
    chunks = {p: then for p, then in computed.items() if p.is_file() and p.parent.name == "0"}
    assert chunks
    assert all(p.stat().st_mtime_ns > then for p, then in chunks.items())


def test_a_quick_run_has_no_check_and_says_that_it_was_quick(kept):
    record = records.run_and_keep(_experiment(), quick=True)
    assert set(record["parts"]) == {"run"}
    assert record["command"].endswith(" --quick")


def test_a_record_is_current_while_its_figures_are_there(kept):
    made = []
    experiment = _experiment(extras=lambda _, stem: made.append(stem))
    record = records.run_and_keep(experiment)
    assert record["check"] == {"first_seed": 100}
    assert made == [kept / "X00"]
    assert records.is_current(experiment, record)
    (kept / "X00.png").unlink()
    assert not records.is_current(experiment, record)


def test_a_record_is_plain_json_whatever_the_numbers(kept):
    numbers = {"one": np.float32(np.inf), "three": Interval(1.0, -np.inf, np.nan)}
    records.run_and_keep(_experiment(judge=lambda _: Verdict({"it": "depends"}, numbers)))

    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    text = (kept / "X00.json").read_text()
    kept = json.loads(text, parse_constant=refuse)["verdict"]["numbers"]
    assert [records.shown(number) for number in kept.values()] == ["inf", "1 [-inf, nan]"]


def test_checks_may_run_in_float64(tmp_path):
    dataset, *_ = run(_experiment(settings={"seeds": 2, "offset": 1.0, "float64": True}), tmp_path)
    assert dataset["result"].dtype == np.float64


def test_the_page_holds_every_claim_verdict_and_number():
    page = report.page()
    for name, experiment in BOOK.items():
        assert f'id="{name}"' in page
        assert f'<a href="#{name}">{name}</a> {html.escape(experiment.claim.says)}' in page
        record = records.load(experiment)
        if record is None:
            continue
        assert record["command"] in page
        for number in record["verdict"]["numbers"].values():
            assert records.shown(number) in page
    assert "http" not in re.sub(r"https?://arxiv", "", page), "self-contained"
    assert 'name="viewport"' in page


def test_the_page_says_how_a_figure_is_read_and_what_to_try_beside_it():
    page = report.page()
    for name, experiment in BOOK.items():
        section = page.split(f'<section id="{name}">')[1].split("</section>")[0]
        caption = f"<figcaption>{html.escape(experiment.claim.caption)}</figcaption>"
        remedy = f"<p><b>What to try.</b></p><pre>{html.escape(remedy_of(name))}</pre>"
        assert f'{caption}</figure><div class="whole">{remedy}</div>' in section, name


def test_every_experiment_is_under_one_symptom():
    symptoms = [symptom for group in SYMPTOMS.values() for symptom in group]
    assert sorted(s.experiment for s in symptoms if s.experiment) == sorted(BOOK)
    assert all(len(s.says) > 15 and len(s.remedy) > 5 for s in symptoms)
    page = report.page()
    for heading in SYMPTOMS:
        assert f"<h3>{heading}</h3>" in page
    table = page.split('id="symptoms"')[1].split('id="verdicts"')[0]
    for symptom in symptoms:
        assert html.escape(symptom.says) in table
    for name, experiment in BOOK.items():
        row = table.split(f'<a href="#{name}">')[1].split("</tr>")[0]
        record = records.load(experiment)
        assert f">{record['verdict']['kind'] if record else 'not run'}</span>" in row


def test_the_page_says_where_run_and_check_lie_apart(kept, monkeypatch):
    monkeypatch.setattr(records, "experiments", lambda: {"X00": found})
    found = _experiment(check={"offset": 9.5})
    records.run_and_keep(found)
    assert "lie apart for middle: 5" in report.page()
    found = _experiment()
    records.run_and_keep(found)
    assert "lie apart" not in report.page()


def test_a_damaged_record_counts_as_none(monkeypatch, tmp_path):
    monkeypatch.setattr(records, "RESULTS", tmp_path)
    for damaged in ("{", "{}", "[]"):
        (tmp_path / "C01.json").write_text(damaged)
        assert records.load(BOOK["C01"]) is None
    listed = CliRunner().invoke(command_line.main, ["list"])
    assert "[not run yet]" in listed.output


def test_what_was_changed_after_numbers_were_seen_is_said():
    page = report.page()
    assert set(REVISED) <= set(BOOK)
    for when, what in REVISED.values():
        assert f"Changed {when}: {html.escape(what)}." in page
    assert set(EARLIER) <= set(BOOK)
    for kinds in EARLIER.values():
        assert f"Earlier verdicts: {', '.join(kinds)}." in page


def test_a_changed_result_file_changes_the_page(monkeypatch, tmp_path):
    monkeypatch.setattr(records, "RESULTS", tmp_path)
    name, experiment = next(iter(BOOK.items()))
    assert f"{name}</a>" in report.page()
    assert "not run" in report.verdict_table()
    record = {
        "verdict": {
            "kind": "refuted", "cases": {"made up": "refuted"}, "remark": "In a test.",
            "ruling": None, "numbers": {"a & b": 1.25},
        },
        "parts": {}, "settings": {}, "check": {}, "command": "c", "seconds": 1.0,
        "fingerprint": "x", "versions": {}, "device": "d", "platform": "p", "date": "2026-01-01",
        "commit": "abc",
    }  # fmt: skip
    (tmp_path / f"{name}.json").write_text(json.dumps(record))
    page = report.page()
    assert "<li><b>No:</b> made up</li></ul><p>In a test.</p>" in page
    assert "a &amp; b" in page
    assert "1.25" in page
    assert "from an earlier version" in page
    said = f"**refuted**: {experiment.claim.asks} No: made up. In a test."
    assert said in report.verdict_table()
    tally = f"{len(BOOK)} claims: 1 refuted, {len(BOOK) - 1} not run."
    assert tally in page
    assert report.verdict_table().startswith(tally)
    assert not records.is_current(experiment, record)


def _part(kind, number, **cases):
    return {
        "kind": kind, "cases": cases, "remark": "", "ruling": kind,
        "numbers": {"n": {"value": number, "low": number - 1, "high": number + 1}},
    }  # fmt: skip


def test_the_page_says_on_what_run_and_check_disagree_and_when_all_was_run(kept):
    run = _part("supported", 5.0, a="supported")
    check = _part("refuted", 2.0, a="refuted", b="refuted")
    record = {
        "verdict": run | {"kind": "undecided", "ruling": None},
        "parts": {"run": run, "check": check},
        "settings": {"seeds": 8}, "check": {"first_seed": 100}, "command": "c", "seconds": 7200.0,
        "fingerprint": "x", "versions": {}, "device": "d", "platform": "p", "commit": "abc+",
    }  # fmt: skip
    for name, date in zip(BOOK, ("2026-01-02", "2026-03-04"), strict=False):
        (kept / f"{name}.json").write_text(json.dumps(record | {"date": date}))
    page = report.page()
    for said in (
        "a (run: yes, check: no); b (run: not judged, check: no); the claim as a whole "
        "(run: supported, check: refuted)",
        "lie apart for n: 5", "abc with uncommitted changes",
        "2 experiments, run from 2026-01-02 to 2026-03-04 in 4.0 hours",
        f'style="background:{report.COLORS["undecided"]}">undecided',
    ):  # fmt: skip
        assert said in page


def test_a_verdict_in_words():
    experiment = _experiment(asks="Is it so?")
    few = {"a": "supported", "b": "refuted", "c": "refuted", "d": "undecided"}
    said = "Is it so? Yes: a. No: b; c. Undecided: d. As seen."
    for words in (wording.in_full, wording.in_few):
        assert words(experiment, {"cases": few, "remark": "As seen."}) == said
    assert wording.in_full(experiment, {"cases": {}, "remark": "None could."}) == "None could."


def test_a_remark_that_the_check_does_not_share_is_not_alone():
    def told(run, check):
        parts = {"run": {"remark": run}, "check": {"remark": check}}
        return wording.with_check({"verdict": {"remark": run}, "parts": parts})["remark"]

    assert told("75 %.", "75 %.") == "75 %."
    assert told("75 %.", "50 %.") == "75 %. In the check: 50 %."
    assert told("75 %.", "") == "75 %."


def test_a_check_in_words():
    record = {"settings": {"seeds": 8, "steps": 10}, "check": {"first_seed": 1000, "steps": 20}}
    assert wording.of_check(record) == "seeds 1000 to 1007 and steps = 20"


def test_of_many_cases_the_readme_has_the_first():
    experiment = _experiment(asks="Is it so?")
    names = [f"with a rate of 0.0{i}, each at its best rate" for i in range(1, 6)]
    five: dict[str, str] = dict.fromkeys(names, "supported")
    in_few = partial(wording.in_few, experiment)
    assert in_few({"cases": five, "remark": ""}) == "Is it so? Yes, in all 5 cases."
    more = five | {"one": "refuted", "two": "refuted"}
    few = f"Is it so? Yes: {names[0]}; and 4 more. No: one; two."
    assert in_few({"cases": more, "remark": ""}) == few
    assert in_few({"cases": more, "remark": "Short."}) == f"{few} Short."
    assert in_few({"cases": more, "remark": "Long. " * 120}) == few


def test_mistakes_on_the_command_line_are_named():
    def call(*args):
        return subprocess.run(
            [sys.executable, "-m", "experiments", *args], cwd=CHECKOUT, capture_output=True,
            text=True, env={**os.environ, "COLUMNS": "200"},
        )  # fmt: skip

    wrong = call("run", "C99")
    assert wrong.returncode == 2
    assert "C99: unknown; known: C01" in wrong.stderr
    assert "Traceback" not in wrong.stderr
    listed = call("list")
    assert listed.returncode == 0
    for name, experiment in BOOK.items():
        assert name in listed.stdout
        assert experiment.question in listed.stdout


def test_a_kept_picture_has_few_colours_and_looks_the_same(tmp_path):
    figure, (ax,) = panels()
    ax.pcolormesh(np.random.default_rng(0).uniform(size=(40, 40)), cmap="coolwarm")
    ax.plot([0, 40], [0, 40], color="lime")
    path = tmp_path / "picture.png"
    save(figure, [path])
    whole, size = np.asarray(Image.open(path).convert("RGB")).astype(int), path.stat().st_size
    records.keep_few_colours(path)
    few = np.asarray(Image.open(path).convert("RGB")).astype(int)
    assert abs(few - whole).max() <= 16
    assert path.stat().st_size < size / 2


def test_all_that_is_kept_of_the_book_is_small():
    assert sum(path.stat().st_size for path in records.RESULTS.iterdir()) < 4e6


def test_a_result_is_old_when_what_it_shares_has_changed(monkeypatch, tmp_path):
    """What an experiment uses of the book counts, and what that uses there, and nothing else."""
    shared = Path(book.__file__).parent
    for path in shared.glob("*.py"):
        (tmp_path / path.name).write_text(path.read_text())
    monkeypatch.setattr(records.book, "__file__", str(tmp_path / "__init__.py"))
    before = {name: records.fingerprint(BOOK[name], False) for name in ("C15", "C24")}
    assert before == {
        name: records.load(BOOK[name])["fingerprint"] for name in ("C15", "C24")
    }  # fmt: skip

    def changed(file, old, new):
        text = (shared / file).read_text()
        assert old in text
        (tmp_path / file).write_text(text.replace(old, new))
        now = [name for name in before if records.fingerprint(BOOK[name], False) != before[name]]
        (tmp_path / file).write_text(text)
        return now

    assert changed("subjects.py", "FEW_IMAGES = 128", "FEW_IMAGES = 64") == ["C15"]
    assert changed("judging.py", "interval.low > above", "interval.low >= above") == ["C15", "C24"]
    assert changed("judging.py", '"""Refuted for', '"""Here refuted for') == []
    assert changed("judging.py", "return self.ruling or", "return None or") == ["C15", "C24"]
    both = ["C15", "C24"]
    assert changed("laboratory.py", "+ self.settings.get(", "- self.settings.get(") == both
    assert changed("laboratory.py", "agreed(first, second)", "agreed(second, first)") == both
    assert changed("laboratory.py", "class Claim:", "class Claim(Any):") == []
    assert changed("judging.py", "if check.cases.get(name) == kind}", "}") == both
    assert changed("judging.py", "import Interval, bootstrap", "import bootstrap, Interval") == []
    other = "from adamlab.maps import bootstrap\nfrom adamlab.analysis import Interval\n"
    known = "from adamlab.analysis import Interval, bootstrap\n"
    assert changed("judging.py", known, other) == both


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ('caption="', 'caption="Often: ', True),
        ("def judge(", "# as said\ndef judge(", True),
        ('    """', '    """Here: ', True),
        ("criterion=", "criterion=1 * ", False),
        ('"first_seed": ', '"first_seed": 1', False),
        ("return book.Verdict(", "return  book.Verdict(1, ", False),
        ("asks=", 'asks="Well: " + ', True),
    ],
)
def test_what_is_only_read_makes_no_result_old(old, new, same, monkeypatch, tmp_path):
    experiment = BOOK["C01"]
    source, before = (
        records.source_of(experiment).read_text(),
        records.fingerprint(experiment, False),
    )
    assert old in source
    changed = tmp_path / "changed.py"
    changed.write_text(source.replace(old, new))
    monkeypatch.setattr(records, "source_of", lambda _: changed)
    assert (records.fingerprint(experiment, False) == before) == same

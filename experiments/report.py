"""The laboratory book as one HTML page, made from the stored results; nothing is run."""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path
from typing import Any

from PIL import Image

from experiments import records
from experiments.book import Experiment, Kind, answered
from experiments.book.judging import ANSWERS
from experiments.records import shown
from experiments.revisions import EARLIER, REVISED
from experiments.symptoms import SYMPTOMS, Symptom, remedy_of
from experiments.wording import in_few, of_check, with_check

PAGE = records.ROOT / "out" / "report.html"
COLORS = {"supported": "#1b7837", "refuted": "#b2182b", "depends": "#8a6508", "undecided": "#666"}
NOT_RUN = "not run"
KINDS = {
    "supported": "supported", "refuted": "refuted", "depends": "depend on a condition",
    "undecided": "undecided", NOT_RUN: NOT_RUN,
}  # fmt: skip
PAGE_WIDTH = 1024
"""Pixels that a figure may take on a wide screen."""
IMPORTS = """import numpy as np, optax, adamlab.compat
from adamlab import *
from adamlab.problems import *"""
"""What the remedies need to have been imported."""
OWN = "problem, source, model, widths, loss, batch_size, steps_per_epoch, curvature, key and rate"
"""The names in remedies that the reader must define."""

STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, sans-serif; color: #222; max-width: 46rem; margin: 0 auto;
       padding: 0 1rem 4rem; }
h1 { line-height: 1.2; } h2 { line-height: 1.25; margin: 3rem 0 .5rem; }
h2 .id { color: #888; font-weight: 400; margin-right: .4rem; }
figure { margin: 1rem 0; } img { display: block; margin: 0 auto; width: 100%; height: auto; }
figcaption { color: #555; font-size: .88rem; max-width: 46rem; margin: .3rem auto; }
@media (min-width: 68rem) { figure { margin: 1rem -9rem; } }
table { border-collapse: collapse; width: 100%; } .wide { overflow-x: auto; }
td, th { text-align: left; vertical-align: top; padding: .25rem .5rem .25rem 0;
         border-bottom: 1px solid #ddd; }
td.number { white-space: nowrap; text-align: right; font-variant-numeric: tabular-nums; }
h3 { margin: 1.5rem 0 .3rem; font-size: 1rem; } .up { float: right; font-size: .88rem; }
pre { background: #f4f4f4; padding: .7rem; overflow-x: auto; white-space: pre-wrap; }
.verdict { color: #fff; border-radius: .3rem; padding: .1rem .5rem; font-size: .9rem;
           white-space: nowrap; }
.claim { border-left: 3px solid #bbb; padding-left: .8rem; margin: .5rem 0; }
.small { color: #555; font-size: .88rem; overflow-wrap: anywhere; }
details { margin: .6rem 0; } summary { cursor: pointer; }
@media print { h2 { break-after: avoid; } .up { display: none; }
  details::details-content { content-visibility: visible; block-size: auto; }
  figure, tr { break-inside: avoid; } figure { margin: 1rem 0; } img { min-width: 0 !important; }
  body { max-width: none; font-size: 11pt; } a { color: inherit; text-decoration: none; }
  .verdict { color: #000; background: none !important; border: 1px solid #000; }
  .whole { break-inside: avoid; } }
figure .very::before { content: "scroll sideways \\2192"; color: #555; font-size: .8rem;
  position: sticky; left: 0; }
@media print { figure .very::before { display: none; } }
@media (max-width: 48rem) { figure .wide::before { content: "scroll sideways \\2192";
  color: #555; font-size: .8rem; position: sticky; left: 0; } }
@media (max-width: 30rem) { td.number { white-space: normal; } .wide td { display: block;
  text-align: left; } .wide td:first-child { border: 0; padding-bottom: 0; } }
"""


def write(path: Path = PAGE) -> Path:
    """Write the page to `path` and return the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page(), encoding="utf-8")
    return path


def page() -> str:
    """The page as HTML."""
    known = records.experiments()
    found = {name: records.load(experiment) for name, experiment in known.items()}
    sections = "\n".join(_section(known[name], record) for name, record in found.items())
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>What is said about Adam, tested</title><style>{STYLE}</style></head><body>
<h1>What is said about Adam, tested</h1>
<p>Each claim below is tested by one experiment: a criterion in code, a measurement, a verdict, and
a check of the verdict with other seeds, resolution or precision. Hardly a verdict is that of a
first attempt: {len(REVISED)} of the {len(known)} criteria or measurements were changed after
results had been seen, most of them in reviews; each section says when and how, and what the verdict
was before. Where a run's own numbers led to the change, the check uses seeds that no run had used
before, but for P07's. A case is
undecided where an interval contains its threshold, or where run and check disagree; a claim with
both a yes and a no depends on the case. Intervals are 95 % bootstrap intervals over seeds. They are
too narrow where there are only eight seeds, where a claim was measured again with more seeds, and
for many cases taken together, since nothing corrects for their number. In the figures, lines are
medians over seeds, and shaded bands hold the middle half of the seeds unless the caption says
otherwise. The rate is the learning rate; a decade is a factor of ten; late means in the last
quarter of a run. A result is old where its experiment has changed since, not where the library has:
each names the commit that it was computed with.</p>
<p class="small">{_machine(found.values())}</p>
<h2 id="symptoms">My training fails: where do I look?</h2>
{_symptoms(known, found)}
<p>Below each figure is something to try, as code that runs after these imports; define
{OWN} yourself.</p>
<pre>{IMPORTS}</pre>
<h2 id="verdicts">Verdicts</h2>
<p>{_tally(found.values())}</p>
<div class="wide"><table><tr><th>Claim</th><th>Verdict</th></tr>{_verdicts(known, found)}</table>
</div>
{sections}
</body></html>
"""


def verdict_table() -> str:
    """The verdicts as a table in Markdown, for the README, each with its figure."""
    known = records.experiments()
    found = {name: records.load(experiment) for name, experiment in known.items()}
    lines = [_tally(found.values()), "", "| | question | verdict |", "|--|--|--|"]
    for name, experiment in known.items():
        record = found[name]
        cells = (name, experiment.question, f"**{NOT_RUN}**")
        if record is not None:
            verdict = record["verdict"]
            picture = f"[{name}](experiments/results/{name}.png)"
            said = f"**{verdict['kind']}**: {in_few(experiment, with_check(record))}"
            cells = (picture, experiment.question, said)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)


def _tally(found: Iterable[Mapping[str, Any] | None]) -> str:
    """How many claims have each verdict."""
    counts = Counter(NOT_RUN if record is None else record["verdict"]["kind"] for record in found)
    kinds = [f"{counts[kind]} {say}" for kind, say in KINDS.items() if counts[kind]]
    return f"{counts.total()} claims: {', '.join(kinds)}."


def _symptoms(known: Mapping[str, Experiment], found: Mapping[str, Any]) -> str:
    """What a reader may see, by kind, each with the experiment nearest to it."""

    def row(symptom: Symptom) -> str:
        name, says = symptom.experiment, f"<tr><td>{escape(symptom.says)}<br>"
        if name is None:
            return f"{says}Not tested here. {escape(symptom.remedy)}</td><td></td></tr>"
        asked = f'<a href="#{name}">{name}</a> {escape(known[name].question)}'
        return f"{says}{asked}</td><td>{_badge(found[name])}</td></tr>"

    parts = []
    for heading, symptoms in SYMPTOMS.items():
        rows = "".join(row(s) for s in symptoms if s.experiment is None or s.experiment in known)
        parts.append(f'<h3>{heading}</h3><div class="wide"><table>{rows}</table></div>')
    return "\n".join(parts)


def _verdicts(known: Mapping[str, Experiment], found: Mapping[str, Any]) -> str:
    return "".join(
        f'<tr><td><a href="#{name}">{name}</a> {escape(experiment.claim.says)}</td>'
        f"<td>{_badge(found[name])}</td></tr>"
        for name, experiment in known.items()
    )


def _badge(record: Mapping[str, Any] | None) -> str:
    kind = NOT_RUN if record is None else record["verdict"]["kind"]
    return f'<span class="verdict" style="background:{COLORS.get(kind, "#999")}">{kind}</span>'


def _section(experiment: Experiment, record: dict[str, Any] | None) -> str:
    head = (
        f'<section id="{experiment.id}"><a class="up" href="#symptoms">symptoms &uarr;</a>'
        f'<h2><span class="id">{experiment.id}</span>'
        f"{escape(experiment.question)}</h2>"
        f'<p class="claim">{escape(experiment.claim.says)}</p>'
    )
    criterion = f"<p><b>What decides.</b> {escape(experiment.claim.criterion)}</p>"
    if experiment.id in REVISED:
        when, what = REVISED[experiment.id]
        criterion += f'<p class="small">Changed {when}: {escape(what)}.</p>'
    if experiment.id in EARLIER:
        before = escape(", ".join(EARLIER[experiment.id]))
        criterion += f'<p class="small">Earlier verdicts: {before}.</p>'
    if remedy := remedy_of(experiment.id):
        code = f"<p><b>What to try.</b></p><pre>{escape(remedy)}</pre>"
        remedy = f'<div class="whole">{code}</div>'
    if record is None:
        return f"{head}<p>{_badge(None)}</p>{criterion}{remedy}</section>"
    verdict = record["verdict"]
    old = "" if records.is_current(experiment, record) else (
        '<p class="small">This result is from an earlier version of the experiment.</p>'
    )  # fmt: skip
    return (
        f"{head}<p>{_badge(record)} {escape(experiment.claim.asks)}</p>{_answers(record)}{old}"
        f"{_pictures(experiment)}{remedy}{_numbers(verdict['numbers'])}{criterion}{_check(record)}"
        f"{_reproduce(record)}</section>"
    )


def _answers(record: Mapping[str, Any]) -> str:
    """A line of cases for each answer, with where run and check differ, and the remark."""
    verdict, apart = record["verdict"], _apart_in(record)
    lines = "".join(
        f"<li><b>{word}:</b> {escape('; '.join(n + apart.get(n, '') for n in names))}</li>"
        for word, names in answered(verdict["cases"]).items()
    )
    remark = verdict["remark"] and f"<p>{escape(verdict['remark'])}</p>"
    return (lines and f"<ul>{lines}</ul>") + remark


def _pictures(experiment: Experiment) -> str:
    """The figure and any further pictures, with the caption."""
    others = sorted(records.RESULTS.glob(f"{experiment.id}-*"))
    paths = [records.RESULTS / f"{experiment.id}.png", *others]
    pictures = "".join(_picture(path, experiment.question) for path in paths if path.exists())
    return f"<figure>{pictures}<figcaption>{escape(experiment.claim.caption)}</figcaption></figure>"


def _picture(path: Path, question: str) -> str:
    """An image as wide as the page, scrolled where its letters would be too small to read."""
    shares = (1, 1) if path.suffix == ".gif" else (0.45, 0.65)  # pictures have a double resolution
    with Image.open(path) as image:
        least, most = (round(share * image.width) for share in shares)
    width = "wide very" if least > PAGE_WIDTH else "wide"
    return (
        f'<div class="{width}"><img style="min-width:{least}px;max-width:{most}px" '
        f'src="data:image/{path.suffix[1:]};base64,{_base64(path)}" '
        f'alt="{path.stem}: {escape(question)}" loading="lazy"></div>'
    )


def _base64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def _numbers(numbers: Mapping[str, Any]) -> str:
    rows = "".join(
        f'<tr><td>{escape(label)}</td><td class="number">{escape(shown(number))}</td></tr>'
        for label, number in numbers.items()
    )
    return f'<div class="wide"><table>{rows}</table></div>' if rows else ""


def _check(record: Mapping[str, Any]) -> str:
    run, check = (record["parts"].get(part) for part in ("run", "check"))
    if check is None:
        return ""
    return (
        f"<details><summary><b>The check</b>, with {escape(of_check(record))}, says "
        f"{check['kind']}</summary>{_otherwise(record)}"
        f"{_apart(run['numbers'], check['numbers'])}{_numbers(check['numbers'])}</details>"
    )


def _apart_in(record: Mapping[str, Any]) -> dict[str, str]:
    """The cases that run and check answer differently, each with both answers."""
    parts = record["parts"]
    if "check" not in parts:
        return {}
    ours, theirs = (parts[part]["cases"] for part in ("run", "check"))

    def word(cases: Mapping[str, Kind], name: str) -> str:
        return ANSWERS[cases[name]].lower() if name in cases else "not judged"

    return {
        name: f" (run: {word(ours, name)}, check: {word(theirs, name)})"
        for name in {**ours, **theirs} if ours.get(name) != theirs.get(name)
    }  # fmt: skip


def _otherwise(record: Mapping[str, Any]) -> str:
    """Which cases run and check answer differently, and the check's remark."""
    run, check = record["parts"]["run"], record["parts"]["check"]
    pairs = [name + how for name, how in _apart_in(record).items()]
    if run["ruling"] != check["ruling"]:
        pairs.append(f"the claim as a whole (run: {run['kind']}, check: {check['kind']})")
    said = f"It disagrees on {'; '.join(pairs)}." if pairs else "It agrees with the run."
    return f"<p>{escape(said)} {escape(check['remark'])}</p>"


def _apart(first: Mapping[str, Any], second: Mapping[str, Any]) -> str:
    """Where the intervals of run and check do not overlap, which chance does not explain."""

    def apart(a: Any, b: Any) -> bool:
        if not isinstance(a, dict) or not isinstance(b, dict) or shown(a) == shown(b):
            return False
        return float(a["low"]) > float(b["high"]) or float(b["low"]) > float(a["high"])

    names = [name for name in first if name in second and apart(first[name], second[name])]
    if not names:
        return ""
    pairs = "; ".join(f"{n}: {shown(first[n])}, check {shown(second[n])}" for n in names)
    return f"<p>The intervals of run and check lie apart for {escape(pairs)}.</p>"


def _reproduce(record: Mapping[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    commit = f"commit {record['commit']}".replace("+", " with uncommitted changes")
    return (
        f"<pre>{escape(record['command'])} --again</pre>"
        f'<p class="small">Settings {escape(json.dumps(record["settings"]))}; '
        f"{record['seconds']:.0f} s on {escape(record['device'])}, {record['date'][:10]}, "
        f"{commit}; {escape(versions)}.</p>"
    )


def _machine(found: Iterable[dict[str, Any] | None]) -> str:
    there = [record for record in found if record is not None]
    if not there:
        return "Nothing has been run yet."
    dates = sorted({record["date"][:10] for record in there})
    when = f"on {dates[0]}" if len(dates) == 1 else f"from {dates[0]} to {dates[-1]}"
    hours = sum(record["seconds"] for record in there) / 3600
    return (
        f"{len(there)} experiments, run {when} in {hours:.1f} hours "
        f"on {escape(there[0]['device'])}, {escape(there[0]['platform'])}."
    )

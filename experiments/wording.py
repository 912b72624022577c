"""A verdict in words: what was asked, which cases answer yes or no, and how it was checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from experiments.book import FIRST_SEED, SEEDS, Experiment, answered

_SHORT = 150
"""Up to so many characters, a list of cases is given in full where space is scarce."""


def in_full(experiment: Experiment, verdict: Mapping[str, Any]) -> str:
    """What a record's verdict says: the question, the cases of each answer, the remark."""
    answers = [f"{word}: {'; '.join(names)}." for word, names in answered(verdict["cases"]).items()]
    return _joined(experiment.claim.asks if answers else "", *answers, verdict["remark"])


def in_few(experiment: Experiment, verdict: Mapping[str, Any]) -> str:
    """As `in_full`, but if long, only the first case of each answer and how many more there are."""
    whole = in_full(experiment, verdict)
    answers = answered(verdict["cases"])
    if len(whole) <= _SHORT or not answers:
        return whole
    cases = len(verdict["cases"])
    if len(answers) == 1 and cases > 2:
        said = [f"{word}, in all {cases} cases." for word in answers]
    else:
        said = [f"{word}: {_first(names)}." for word, names in answers.items()]
    short = _joined(experiment.claim.asks, *said)
    with_remark = _joined(short, verdict["remark"])
    return with_remark if len(with_remark) <= 4 * _SHORT else short


def with_check(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record's verdict, its remark followed by that of the check where they differ."""
    verdict = record["verdict"]
    remark = record["parts"].get("check", verdict)["remark"]
    if not remark or remark == verdict["remark"]:
        return dict(verdict)
    return {**verdict, "remark": _joined(verdict["remark"], f"In the check: {remark}")}


def of_check(record: Mapping[str, Any]) -> str:
    """What a record's check changes: "seeds 1000 to 1007", "steps = 200"."""
    settings, words = {**record["settings"], **record["check"]}, []
    for name, value in record["check"].items():
        if name == FIRST_SEED:
            words.append(f"seeds {value} to {value + settings[SEEDS] - 1}")
        else:
            words.append(f"{name} = {value}")
    return " and ".join(words)


def _first(names: list[str]) -> str:
    return "; ".join(names) if len(names) <= 2 else f"{names[0]}; and {len(names) - 1} more"


def _joined(*sentences: str) -> str:
    return " ".join(filter(None, sentences))

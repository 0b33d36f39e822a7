"""The case book: asks the advisor each case of docs/cases/cases.yaml and writes its page.

    python -m benchmarks.build_cases [SCENARIO ...]

Without names every case is asked anew, some minutes on one core. A page holds words of cases.yaml and figures
of `recommend`, nothing else, so the same program writes the same bytes. docs/cases/README.md lists them all.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from pydantic import Field

from advisor import recommend, simulate
from advisor.datafiles import data_dir
from advisor.deployment import Choice
from advisor.errors import validated
from advisor.files import read_json, write_text
from advisor.recommendation import Recommendation
from advisor.spec.scenario import Scenario, load_scenario, scenario_from_mapping
from advisor.spec.spec import Spec
from advisor.spec.yamlfile import parse_mapping
from benchmarks import _case_page, _case_turns
from benchmarks._page import ROOT

FOLDER = ROOT / "docs" / "cases"
WORDS = FOLDER / "cases.yaml"
LINES = FOLDER / "lines.json"
DRAWS = 20
"""Draws of everything that is uncertain, of each case."""


class WhatIf(Spec):
    """A change of the scenario, to see what it does to the answer."""

    words: str
    set: dict[str, Any]


class Contrast(Spec):
    """A deployment that is not advised, to show why."""

    words: str
    choice: Choice


class Provider(Spec):
    """Tokens bought elsewhere, to be held against the deployment."""

    offer: str
    usd_per_mtok_input: float
    usd_per_mtok_output: float
    source: str


class Case(Spec):
    """A situation that people have: its words, and what is asked beside the main question."""

    scenario: str = Field(description="Name of a file in data/scenarios.")
    title: str
    situation: str
    mind: tuple[str, ...]
    what_if: tuple[WhatIf, ...] = Field(min_length=1)
    contrasts: tuple[Contrast, ...] = ()
    provider: Provider | None = None
    busy_hours: tuple[int, ...] = ()


class Book(Spec):
    """All cases."""

    cases: tuple[Case, ...]


def read_book() -> tuple[Case, ...]:
    """The cases in the order of the book.

    Raises:
        InputError: the file has a fault.
    """
    raw = parse_mapping(WORDS.read_text(encoding="utf-8"), str(WORDS))
    return validated(Book, raw, str(WORDS)).cases


def scenario_file(case: Case) -> Path:
    """The case's scenario."""
    return data_dir() / "scenarios" / f"{case.scenario}.yaml"


def changed(scenario: Scenario, change: WhatIf) -> Scenario:
    """The scenario with a change, checked as if a user had written it.

    Raises:
        InputError: the change does not fit.
    """
    raw = _merged(scenario.model_dump(mode="json", exclude_defaults=True), change.set)
    return scenario_from_mapping(raw, change.words)


def _merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Mappings are merged field by field; another kind, a list or a value takes the old one's place."""
    if "kind" in new and new["kind"] != old.get("kind"):
        return new
    both = {
        name: _merged(old[name], value)
        if isinstance(value, dict) and isinstance(old.get(name), dict)
        else value
        for name, value in new.items()
    }
    return old | both


def ask(case: Case, jobs: int | None = None) -> tuple[Recommendation, list[tuple[str, Recommendation]]]:
    """The answer to a case, and to each of its what-ifs."""
    file = scenario_file(case)
    scenario = load_scenario(file)
    answers = [(one.words, changed(scenario, one)) for one in case.what_if]
    main = recommend(scenario, folder=file.parent, jobs=jobs, sure=DRAWS)
    return main, [(words, recommend(other, folder=file.parent, jobs=jobs)) for words, other in answers]


def page_of(case: Case, jobs: int | None = None) -> tuple[str, dict[str, str]]:
    """The case's page, and its line in the index."""
    main, others = ask(case, jobs)
    words = _case_page.Words(case.scenario, case.title, case.situation, case.mind)
    extra = []
    if case.provider is not None:
        extra += _case_page.against_tokens(
            main, case.provider.offer, case.provider.usd_per_mtok_input, case.provider.usd_per_mtok_output,
            case.provider.source,
        )  # fmt: skip
    if case.busy_hours:
        extra += _case_page.idle_hours(main, case.busy_hours)
    file = scenario_file(case)
    scenario = load_scenario(file)
    contrasts = [
        (one.words, simulate(scenario, one.choice, folder=file.parent).option) for one in case.contrasts
    ]
    text = _case_page.page(words, main, others, extra, contrasts, file.read_text(encoding="utf-8"))
    answer, price = _case_turns.answer(main)
    return text, {"answer": answer, "price": price, "turn": _case_turns.line(main, others)}


def index(cases: tuple[Case, ...], lines: dict[str, dict[str, str]]) -> str:
    """docs/cases/README.md."""
    return _case_page.index([(case.scenario, case.title, lines[case.scenario]) for case in cases])


def main() -> None:
    """Ask and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenario", nargs="*")
    wanted = parser.parse_args().scenario
    cases = read_book()
    unknown = sorted(set(wanted) - {case.scenario for case in cases})
    if unknown:
        raise SystemExit(
            f"no such case: {', '.join(unknown)}; allowed: {', '.join(c.scenario for c in cases)}"
        )
    lines: dict[str, dict[str, str]] = read_json(LINES) if LINES.is_file() else {}
    for case in cases:
        if not wanted or case.scenario in wanted:
            text, lines[case.scenario] = page_of(case)
            write_text(FOLDER / f"{case.scenario}.md", text)
            sys.stdout.write(f"{case.scenario}: {lines[case.scenario]['answer']}\n")
    lines = {case.scenario: lines[case.scenario] for case in cases if case.scenario in lines}
    write_text(LINES, json.dumps(lines, indent=1, ensure_ascii=False) + "\n")
    if len(lines) == len(cases):
        write_text(FOLDER / "README.md", index(cases, lines))


if __name__ == "__main__":
    main()

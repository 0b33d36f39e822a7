"""The case book: words and scenarios fit, pages hold what the advisor says today, byte for byte."""

from __future__ import annotations

from pathlib import Path

import pytest

from advisor.errors import InputError
from advisor.recommendation import Recommendation
from advisor.spec.scenario import load_scenario
from benchmarks import _case_turns, build_cases
from benchmarks.build_cases import Case, WhatIf, changed, read_book, scenario_file

CASES = {case.scenario: case for case in read_book()}
QUICK = ("sixteen-adapters-eight-slots", "code-assistant-ngram")
EACH = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def _page(case: Case) -> str:
    return (build_cases.FOLDER / f"{case.scenario}.md").read_text(encoding="utf-8")


def test_there_are_at_least_eight_cases_each_once() -> None:
    assert len(CASES) >= 8
    assert len(CASES) == len(read_book())


@EACH
def test_a_scenario_and_its_what_ifs_are_valid(case: Case) -> None:
    scenario = load_scenario(scenario_file(case))
    for change in case.what_if:
        assert changed(scenario, change) != scenario


@EACH
def test_a_page_has_its_parts_its_command_and_its_scenario(case: Case) -> None:
    page = _page(case)
    parts = [
        f"# {case.title}\n",
        f"python -m benchmarks.build_cases {case.scenario}`",
        "## The answer",
        "## The reason",
        "## The figure that would turn it",
        "## What to mind",
        f"advisor scenario example {case.scenario} > mine.yaml\nadvisor recommend mine.yaml",
        scenario_file(case).read_text(encoding="utf-8").rstrip(),
    ]
    places = [page.index(part) for part in parts]
    assert places == sorted(places)
    for change in case.what_if:
        assert f"- If {change.words}: " in page
    for contrast in case.contrasts:
        assert f"| {contrast.words} |" in page
    scales = load_scenario(scenario_file(case)).autoscaling is not None  # the knee is of fixed fleets
    assert ("How much more load it carries was not found" if scales else "A limit breaks at") in page


def test_the_index_lists_every_case_and_no_page_is_left_over() -> None:
    index = (build_cases.FOLDER / "README.md").read_text(encoding="utf-8")
    rows = [line.split("](")[1].split(".md)")[0] for line in index.splitlines() if line.startswith("| [")]
    assert rows == list(CASES)
    assert {page.stem for page in build_cases.FOLDER.glob("*.md")} == {*CASES, "README"}


@pytest.mark.slow
@pytest.mark.parametrize("name", QUICK)
def test_the_program_writes_the_same_bytes(name: str) -> None:
    page, line = build_cases.page_of(CASES[name], jobs=1)
    assert page == _page(CASES[name])
    index = (build_cases.FOLDER / "README.md").read_text(encoding="utf-8")
    assert f"| {line['price']} | " in next(row for row in index.splitlines() if f"]({name}.md)" in row)


def test_a_change_goes_into_the_mapping_and_another_kind_takes_its_place() -> None:
    scenario = load_scenario(scenario_file(CASES["forty-customers-two-gpus"]))
    faster = changed(scenario, WhatIf(words="", set={"workload": {"arrivals": {"rate": "24 req/s"}}}))
    assert faster.workload.arrivals.rate == 24.0  # type: ignore[union-attr]
    assert faster.workload.arrivals.cv == scenario.workload.arrivals.cv  # type: ignore[union-attr]
    other = {"workload": {"arrivals": {"kind": "poisson", "rate": "1 req/s"}}}
    assert changed(scenario, WhatIf(words="", set=other)).workload.arrivals.kind == "poisson"  # type: ignore[union-attr]
    with pytest.raises(InputError, match=r"if it rained: adapters\.cuont: no such field; did you mean count"):
        changed(scenario, WhatIf(words="if it rained", set={"adapters": {"cuont": 3}}))


def test_an_unknown_case_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["build_cases", "fifty-customers"])
    with pytest.raises(SystemExit, match="no such case: fifty-customers; allowed: forty-customers-two-gpus"):
        build_cases.main()


def test_no_answer_is_said_in_words(repo_root: Path) -> None:
    chat = CASES["thousand-cold-adapters"].what_if[1]
    assert "nothing meets the objective" in _page(CASES["thousand-cold-adapters"])
    assert f"if {chat.words}: nothing meets the objective" in (build_cases.FOLDER / "README.md").read_text()
    only_what_is_read = {"recommended": None, "options": (), "turns": (), "certainty": None}
    nothing = Recommendation.model_construct(**only_what_is_read)  # type: ignore[arg-type]  # validated nowhere
    assert _case_turns.answer(nothing) == ("nothing meets the objective", "–")
    assert _case_turns.lines(nothing, []) == ["Nothing meets the objective as it is asked"]
    assert _case_turns.line(nothing, []) == "nothing meets the objective as it is asked"

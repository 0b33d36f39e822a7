from __future__ import annotations

from pathlib import Path

from advisor.spec.reference import reference
from advisor.spec.scenario import scenario_from_mapping
from advisor.spec.yamlfile import parse_mapping


def test_the_reference_page_is_fresh(repo_root: Path) -> None:
    page = (repo_root / "docs" / "reference" / "scenario.md").read_text()
    assert page == reference(), "run: python -m advisor.spec.reference > docs/reference/scenario.md"


def test_every_field_is_explained() -> None:
    unexplained = [
        line for line in reference().splitlines() if line.startswith("| `") and line.endswith("|  |")
    ]
    assert not unexplained


def test_the_shortest_scenario_of_the_page_is_valid() -> None:
    example = reference().split("```yaml\n")[1].split("```")[0]
    assert scenario_from_mapping(parse_mapping(example, "page"), "page").model == "Llama-3.1-8B"

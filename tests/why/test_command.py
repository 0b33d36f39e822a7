"""The command that the answer names simulates the option that it stands for."""

from __future__ import annotations

import shlex

import click
import pytest
from click.testing import CliRunner

import advisor
from advisor.cli.options import choice
from advisor.deployment import Choice
from advisor.recommendation import Option
from advisor.search.ranking import search
from advisor.spec.scenario import Scenario
from advisor.why.described import simulate_command
from tests.profiles import profile
from tests.questions import question, scenario

ASKED = {
    "search": {"requests": 200, "draws": 0},
    "speculation": {"drafts": [{"method": "ngram"}], "draft_lengths": [2], "by_batch": True},
}


def chosen(option: Option) -> Choice:
    """What the command line makes of the command's flags."""
    given: list[Choice] = []

    @click.command()
    @choice
    def simulate(choice: dict[str, object]) -> None:
        given.append(Choice.model_validate(choice))

    words = shlex.split(simulate_command(option).removeprefix("advisor simulate SCENARIO"))
    result = CliRunner().invoke(simulate, words, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return given[0]


@pytest.fixture(scope="module")
def options() -> list[Option]:
    return [e.option for e in search(question(**ASKED)).entries if e.option.pools]


def test_every_kind_of_option_is_simulated_as_it_is(options: list[Option]) -> None:
    asked: Scenario = scenario(**ASKED)
    assert {option.way for option in options} == {"base", "multi-lora", "merged", "hybrid"}
    assert any(option.speculation and option.speculation.by_batch for option in options)
    for option in options:
        made = advisor.simulate(asked, chosen(option), [profile()]).option
        assert made.key == option.key
        assert made.limits is not None
        assert option.limits is not None
        assert made.limits.max_loras == option.limits.max_loras
        if len(option.pools) == 1:
            assert made.replicas == option.replicas

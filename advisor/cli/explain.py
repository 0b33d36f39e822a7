"""`advisor explain`: why a deployment differs from its base."""

from __future__ import annotations

from typing import Any

import click

from advisor.cli import options, terminal


@click.command(
    epilog=options.example(
        "advisor explain mine.yaml --way multi-lora --device H100-80-SXM --replicas 1",
        "Exit codes: 0 explained; 2 input to mend; 3 it cannot run (memory, compatibility); 130 interrupted.",
    )
)
@click.argument("scenario")
@options.choice
@options.inputs
@options.face
def explain(scenario: str, as_json: bool, quiet: bool, no_color: bool, **given: Any) -> int:
    """Say why a deployment of SCENARIO is slower (or faster) than its base model, cause by cause.

    Each cause is found by simulating again with it switched off; the parts add up to the difference.
    """
    inputs = (given.pop("seed"), given.pop("profiles_folder"), given.pop("catalog_path"))
    question, profiles, folder = options.read_inputs(scenario, *inputs)
    choice = options.read_choice(given)

    from advisor.api import explain as explained

    why = explained(question, choice, profiles, folder=folder)
    if as_json:
        terminal.say(why.model_dump_json(indent=2))
    else:
        from advisor.report.plain import explanation

        terminal.say(explanation(why, terminal.style(no_color)))
    return 0

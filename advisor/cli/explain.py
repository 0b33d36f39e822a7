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
def explain(scenario: str, choice: dict[str, Any], inputs: options.Inputs, face: options.Face) -> int:
    """Say why a deployment of SCENARIO is slower (or faster) than its base model, cause by cause.

    Each cause is found by simulating again with it switched off; the parts add up to the difference.
    """
    question, profiles, folder = options.read_inputs(scenario, inputs)

    from advisor.api import explain as explained
    from advisor.report.plain import explanation

    why = explained(question, options.read_choice(choice), profiles, folder=folder)
    if face.as_json:
        terminal.say(why.model_dump_json(indent=2))
    else:
        terminal.say(explanation(why, terminal.style(face.no_color)))
    return 0

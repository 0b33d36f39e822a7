"""`advisor breakeven`: where one way begins to pay more than another."""

from __future__ import annotations

import click

from advisor.cli import options, terminal


@click.command(
    epilog=options.example(
        "advisor breakeven mine.yaml --device H100-80-SXM\nadvisor breakeven mine.yaml --draws 0 --json",
        "Exit codes: 0 done; 2 input to mend; 3 no way to serve runs on any device; 130 interrupted.",
    )
)
@click.argument("scenario")
@click.option(
    "--device",
    help="A device of the catalog that has a profile; if left out, that of the scenario's on which a "
    "multi-LoRA pool carries most for its price.",
)
@click.option(
    "--draws",
    default=12,
    show_default=True,
    type=click.IntRange(0, 10_000),
    help="Draws of the uncertain terms behind the intervals; 0: no intervals, in a quarter of the time.",
)
@options.jobs
@options.inputs
@options.face
def breakeven(
    scenario: str,
    device: str | None,
    draws: int,
    jobs: int | None,
    inputs: options.Inputs,
    face: options.Face,
) -> int:
    """Say where one way to serve SCENARIO begins to pay more than another.

    Merging against multi-LoRA over adapters and load; speculative decoding over batch size and acceptance;
    how many adapters one replica carries. Each is a curve with its crossing and a 90 % interval.
    """
    question, profiles, folder = options.read_inputs(scenario, inputs)

    from advisor.api import break_even
    from advisor.report.breakeven import break_even as as_text

    with terminal.Progress(silent=face.silent) as progress:
        answer = break_even(
            question, profiles, folder=folder, device=device, draws=draws, jobs=jobs, progress=progress
        )
    if face.as_json:
        terminal.say(answer.model_dump_json(indent=2))
    else:
        terminal.say(as_text(answer, terminal.style(face.no_color)))
    return 0

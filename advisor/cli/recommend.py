"""`advisor recommend`: the main job."""

from __future__ import annotations

from pathlib import Path

import click

from advisor.cli import options, terminal


@click.command(
    epilog=options.example(
        "advisor recommend mine.yaml --report answer.html\nadvisor recommend - --json < mine.yaml",
        "Exit codes: 0 a way to serve meets the objective; 2 input to mend; 3 none does (the answer is "
        "printed all the same, with the nearest miss); 130 interrupted.",
    )
)
@click.argument("scenario")
@click.option(
    "--report",
    "reports",
    multiple=True,
    metavar="FILE",
    help="Also write a report: .html or .md. Repeatable.",
)
@click.option(
    "--top", default=10, show_default=True, type=click.IntRange(0), help="Rows of each ranking; 0: all."
)
@options.doubt
@options.jobs
@options.inputs
@options.face
def recommend(
    scenario: str,
    reports: tuple[str, ...],
    top: int,
    jobs: int | None,
    inputs: options.Inputs,
    face: options.Face,
    doubt: tuple[int, float],
) -> int:
    """Rank every way to serve SCENARIO (a YAML file, or - for stdin), and say which to take and why."""
    from advisor.report.folder import check_report, write_report

    for report in reports:
        check_report(Path(report))
    question, profiles, folder = options.read_inputs(scenario, inputs)

    from advisor.api import recommend as answer_to
    from advisor.report.plain import answer as answer_text
    from advisor.spec.scenario import scenario_to_yaml

    with terminal.Progress(silent=face.silent) as progress:
        sure, load_spread = doubt
        answer = answer_to(
            question,
            profiles,
            folder=folder,
            jobs=jobs,
            progress=progress,
            sure=sure,
            load_spread=load_spread,
        )
    for report in reports:
        written = write_report(answer, Path(report), scenario_yaml=scenario_to_yaml(question))
        terminal.tell(f"wrote {written[0]}", face.quiet)
    if face.as_json:
        terminal.say(answer.model_dump_json(indent=2))
    else:
        terminal.say(answer_text(answer, terminal.style(face.no_color), top))
    return 0 if answer.recommended is not None else 3

"""`advisor recipe`: what to paste for the chosen way to serve."""

from __future__ import annotations

from pathlib import Path

import click

from advisor.cli import options, terminal


@click.command(
    epilog=options.example(
        "advisor recipe mine.yaml --out deploy --base-model /models/llama --adapters /models/adapters",
        "Exit codes: 0 written; 2 input to mend; 3 nothing meets the objective; 130 interrupted.",
    )
)
@click.argument("scenario")
@click.option(
    "--out", required=True, metavar="DIR", help="Folder to write; files of the same names are replaced."
)
@click.option("--answer", metavar="FILE", help="Answer of `advisor recommend --json`; computed if left out.")
@click.option("--option", "key", metavar="KEY", help="Another option than the recommended one, by its key.")
@click.option("--base-model", metavar="PATH", help="Folder or hub name of the base model.")
@click.option("--adapters", metavar="DIR", help="Folder with one PEFT folder an adapter.")
@click.option("--merged", metavar="DIR", help="Folder for merged weights.")
@click.option("--draft-model", metavar="PATH", help="Folder or hub name of the draft model.")
@options.jobs
@options.inputs
@options.face
def recipe(
    scenario: str,
    out: str,
    answer: str | None,
    key: str | None,
    jobs: int | None,
    inputs: options.Inputs,
    face: options.Face,
    **where: str | None,
) -> int:
    """Write what to paste for SCENARIO, one folder for one way to serve.

    Engine command lines, docker compose, Kubernetes, a merge script, a load test, alerts.
    """
    question, profiles, folder = options.read_inputs(scenario, inputs)

    from advisor.errors import InfeasibleError
    from advisor.recipe import Places, recipe_of, write_recipe

    if answer is not None:
        found = options.read_answer(answer)
    else:
        from advisor.api import recommend

        with terminal.Progress(silent=face.silent) as progress:
            found = recommend(question, profiles, folder=folder, jobs=jobs, progress=progress)
    if found.recommended is None and key is None:
        raise InfeasibleError(f"{found.scenario}: nothing meets the objective. Name an option with --option.")
    places = Places(**{name: value for name, value in where.items() if value is not None})
    made = recipe_of(found, question, key=key, places=places)
    written = write_recipe(made, Path(out))
    if face.as_json:
        import json

        terminal.say(
            json.dumps({"schema_version": 1, "option": made.option, "files": [str(p) for p in written]})
        )
    else:
        terminal.say(f"{made.option}: wrote {len(written)} files to {out}. Read {written[0]} first.")
    return 0

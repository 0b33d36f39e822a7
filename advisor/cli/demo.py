"""`advisor demo`: the main job on the shipped example, and a report to read."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from advisor.cli import options, terminal
from advisor.cli.scenario import DEMO, example_path

if TYPE_CHECKING:
    from advisor.recommendation import Recommendation


@click.command(epilog=options.example("advisor demo\nadvisor demo --out /some/folder"))
@click.option(
    "--out", default="advisor-demo", show_default=True, metavar="DIR", help="Folder for the report."
)
@click.option(
    "--top", default=10, show_default=True, type=click.IntRange(0), help="Rows of each ranking; 0: all."
)
@options.jobs
@options.face
def demo(out: str, top: int, jobs: int | None, face: options.Face) -> int:
    """Recommend how to serve the shipped example, explain the answer, and write a report.

    The example: a platform with 40 fine-tunes of Llama-3.1-8B under chat traffic.
    """
    from advisor.api import recommend
    from advisor.report.folder import check_report, write_folder
    from advisor.report.plain import answer as answer_text
    from advisor.spec.scenario import load_scenario

    check_report(Path(out) / "report.html")
    path = example_path(DEMO)
    scenario = load_scenario(path)
    terminal.tell(f"Recommending for {scenario.name}; this takes some seconds.", face.silent)
    with terminal.Progress(silent=face.silent) as progress:
        answer = recommend(scenario, folder=path.parent, jobs=jobs, progress=progress)
        progress(0.97, "drawing the report")
        written = write_folder(answer, Path(out), scenario_yaml=path.read_text(encoding="utf-8"))
    if face.as_json:
        terminal.say(answer.model_dump_json(indent=2))
        return 0
    style = terminal.style(face.no_color)
    terminal.say(answer_text(answer, style, top))
    terminal.say(f"\n{style.bold('This was the demo. Now yours')}\n{_next(answer, written, Path(out))}")
    return 0 if answer.recommended is not None else 3


def _program() -> str:
    """How this shell starts the program: by name if that is found, else by the path it was started with."""
    started = Path(sys.argv[0])
    return str(started) if started.name == "advisor" and shutil.which("advisor") is None else "advisor"


def _next(answer: Recommendation, written: list[Path], out: Path) -> str:
    page = next(path for path in written if path.suffix == ".html")
    mine, advisor, best = out / "scenario.yaml", _program(), answer.recommended
    device = answer.option(best).device if best is not None else answer.options[0].device
    steps = (
        ("read the report", f"{page}   (also {out / 'report.md'}, {out / 'answer.json'})"),
        ("make it yours", f"edit {mine}, then: {advisor} recommend {mine} --report mine.html"),
        ("use your own traffic", "write in it: workload: {kind: trace, path: my-requests.csv}"),
        ("try one deployment", f"{advisor} simulate {mine} --way multi-lora --device {device}"),
        ("in the browser", f"{advisor} app"),
    )  # fmt: skip
    return "\n".join(f"  {what:<21} {how}" for what, how in steps)

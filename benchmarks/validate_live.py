"""The live engine of this machine beside its prediction: `python -m benchmarks.validate_live`.

Calibrates, predicts and replays every scenario of the matrix, for the shipped tiny model and for a made-up
small one, writes benchmarks/results/live_*.json and the section of docs/validation.md. About 25 minutes on an
otherwise idle machine; `--models tiny` half of it, `--from-results` only writes the page again.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import click
import numpy as np

from advisor.errors import validated
from advisor.files import read_json
from benchmarks._page import ROOT, replace_block
from calibration.validate.report import markdown
from calibration.validate.verdict import MOST_UTILISATION
from calibration.validate.whole import Asked, Validation, validate_all

RESULTS = ROOT / "benchmarks" / "results"


@click.command(help=__doc__)
@click.option("--models", default="tiny,small", show_default=True)
@click.option("--duration", type=float, default=9.0, show_default=True, help="Seconds of a replay.")
@click.option("--replays", type=int, default=3, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), default=Path("out/live"), show_default=True)
@click.option("--from-results", is_flag=True, help="Only write the page again.")
def main(models: str, duration: float, replays: int, out: Path, *, from_results: bool) -> None:
    """Measure, and write the page."""
    found = []
    for model in models.split(","):
        file = RESULTS / f"live_{model}.json"
        if not from_results:
            folder = out / model
            validate_all(
                Asked(
                    folder, model, calibration_budget=120.0, duration=duration, replays=replays, resume=True
                ),
                lambda share, what: print(f"{share:4.0%} {what}", flush=True),
            )
            shutil.copy(folder / "report.json", file)
        found.append(validated(Validation, read_json(file), str(file)))
    replace_block(ROOT / "docs" / "validation.md", "live", "\n\n".join(map(section, found)))


def section(result: Validation) -> str:
    """Sums, then a row an option."""
    lines = [
        (
            f"**{result.model}** on {result.device}, {result.environment.get('threads', '1')} thread, "
            f"{result.created:%Y-%m-%d}. Profile against steps that no fit saw: {result.profile_residual}."
        ),
        "",
        sums(result),
        "",
        markdown(result),
        "",
        f"First choice right in {result.right_choices} of {len(result.cases)} scenarios "
        f"({result.not_told_apart} that replays cannot tell apart among them), largest regret "
        f"{result.worst_regret:.1%}: " + ("**hit**." if result.decisions_hold else "**missed**."),
    ]
    return "\n".join(lines)


def sums(result: Validation) -> str:
    """A row a figure, over options at or below 85 % utilisation."""
    cells = result.cells(below=True)
    lines = [
        f"| options at or below {MOST_UTILISATION:.0%} utilisation | cells | hold | median | largest error |",
        "|---|---:|---:|---:|---:|",
    ]
    for name in dict.fromkeys(name for _, _, name in cells):
        mine = [(holds, abs(error)) for holds, error, other in cells if other == name]
        sizes = [error for _, error in mine]
        held = sum(holds for holds, _ in mine)
        lines.append(f"| {name} | {len(mine)} | {held} | {np.median(sizes):.1%} | {max(sizes):.1%} |")
    held = sum(holds for holds, _, _ in cells)
    lines.append(f"| all | {len(cells)} | {held} ({held / max(len(cells), 1):.0%}) | | |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()

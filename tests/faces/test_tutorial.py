"""docs/tutorial/first-answer.md works as typed."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from advisor.cli.failures import run
from advisor.cli.root import root

PAGE = Path(__file__).parents[2] / "docs" / "tutorial" / "first-answer.md"
MADE_BY = {"demo", "app"}  # targets of make; the commands behind them have tests of their own


def blocks(language: str) -> list[str]:
    return re.findall(
        rf"^```{language}\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )


@pytest.fixture
def typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that the reader has saved by then."""
    (tmp_path / "mine.yaml").write_text(blocks("yaml")[0])
    (tmp_path / "requests.csv").write_text(blocks("csv")[0])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_command_runs_as_typed(typed: Path, capfd: pytest.CaptureFixture[str]) -> None:
    commands = 0
    for block in blocks("console"):
        command, _, shown = block.partition("\n")
        words = shlex.split(command.removeprefix("$ "))
        if words[0] == "make":
            assert words[1] in MADE_BY
            continue
        commands += 1
        assert words[0] == "advisor"
        assert run(root, "advisor", words[1:]) == 0, command
        out, _ = capfd.readouterr()
        assert out.strip()
        assert shown in out
    assert commands >= 5
    assert (typed / "mine.html").stat().st_size > 100_000
    assert (typed / "requests.parquet").exists()


def test_the_shown_error_is_the_real_one(typed: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = typed / "mine.yaml"
    path.write_text(path.read_text().replace("rank: 16", "rank: 0"))
    assert run(root, "advisor", ["scenario", "check", "mine.yaml"]) == 2
    assert capfd.readouterr().err == blocks("text")[0]


def test_the_trace_replaces_the_workload(typed: Path) -> None:
    """The lines to put in place of the workload make a valid scenario."""
    path = typed / "mine.yaml"
    text = re.sub(r"^(adapters|workload):\n(?:  .*\n)+", "", path.read_text(), flags=re.MULTILINE)
    path.write_text(text + blocks("text")[1])
    assert run(root, "advisor", ["scenario", "check", "mine.yaml"]) == 0


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", PAGE.read_text(encoding="utf-8")):
        assert (PAGE.parent / target).exists(), target

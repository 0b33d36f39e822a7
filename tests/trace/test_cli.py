"""`advisor trace` from the shell: text, JSON, one sentence for bad input; the examples of the docs."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from advisor.cli.root import root
from advisor.errors import InputError
from advisor.trace import load_trace

ROWS = "arrival_s,prompt_tokens,output_tokens,model\n" + "".join(
    f"{i / 4},{10 + i % 90},{1 + i % 7},m{i % 3}\n" for i in range(200)
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "requests.csv").write_text(ROWS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(command: str, stdin: str | None = None) -> Result:
    result = CliRunner().invoke(root, ["trace", *shlex.split(command)], input=stdin)
    if result.exception is not None and not isinstance(result.exception, SystemExit | InputError):
        raise result.exception
    return result


def test_describe_says_what_is_there(folder: Path) -> None:
    text = run("describe requests.csv --column adapter=model").output
    assert "200 in 50 s" in text
    assert "4 requests/s" in text
    assert re.search(r"adapters +3 \(m0 33.5%", text)
    figures = json.loads(run("describe requests.csv --json").output)
    assert figures["schema_version"] == 1
    assert figures["requests"] == 200
    assert figures["adapters"] is None
    assert json.loads(run("describe - --json", stdin=ROWS).output)["requests"] == 200


def test_convert_gives_adapters_and_writes(folder: Path) -> None:
    answer = json.loads(
        run("convert requests.csv --adapters 5 --base-share 0.5 --seed 3 --out t.parquet --json").output
    )
    assert answer["schema_version"] == 1
    assert answer["trace"]["adapters"]["count"] == 5
    assert load_trace("t.parquet").adapters[0].startswith("adapter-")
    text = run("convert requests.csv --column adapter=model --out -").output
    assert text.splitlines()[0] == "arrival_s,prompt_tokens,output_tokens,adapter"
    assert len(text.splitlines()) == 201


def test_generate_fit_and_scale_go_round(folder: Path) -> None:
    command = 'generate azure_conv_2023 --rate "6 req/s" --duration 5min --adapters 4 --seed 9'
    run(f"{command} --out one.csv")
    run(f"{command} --out two.csv")
    assert Path("one.csv").read_bytes() == Path("two.csv").read_bytes()
    run("fit one.csv --name mine --source ours --out mine.json")
    assert json.loads(Path("mine.json").read_text())["source"] == "ours"
    run("generate mine.json --duration 1min --out three.jsonl")
    assert set(load_trace("three.jsonl").adapters) <= {f"adapter-{i}" for i in range(1, 5)}
    run('scale one.csv --start 1min --duration 2min --rate "30 req/s" --repeat 2 --out four.csv.gz')
    assert load_trace("four.csv.gz").rate_rps == pytest.approx(30, rel=0.01)


def test_a_scenario_s_workload_is_generated(folder: Path) -> None:
    Path("s.yaml").write_text("workload: {kind: trace, path: requests.csv, rate_scale: 2.0}\n")
    run("generate s.yaml --adapters 2 --out out.csv")
    assert load_trace("out.csv").rate_rps == pytest.approx(8, rel=0.01)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("describe none.csv", "no such file"),
        ("describe requests.csv --column adapter", "OURS=THEIRS"),
        ("describe requests.csv --column adapter=modl", "Did you mean model?"),
        ("convert requests.csv --out x.txt", "allowed: .csv"),
        ("generate azure_conv --out x.csv", "Did you mean azure_conv_2023?"),
        ("generate azure_conv_2023 --rate 6 --out x.csv", "a rate with its unit"),
        ("generate azure_conv_2023 --rate '1e9 req/s' --out x.csv", "at most 20,000,000"),
        ("fit requests.csv --out x.csv", "ends in .json"),
        ("scale requests.csv --rate '1 req/s' --rate-scale 2 --out x.csv", "one of them"),
        ("scale requests.csv --rate-scale -2 --out x.csv", "above 0"),
        ("scale requests.csv --start 5 --out x.csv", "a duration with its unit"),
        ("scale requests.csv --start 5h --out x.csv", "nothing arrives"),
        ("scale requests.csv --repeat 0 --out x.csv", "at least 1"),
    ],
)
def test_bad_input_is_refused_and_nothing_written(folder: Path, command: str, said: str) -> None:
    result = run(command)
    assert isinstance(result.exception, InputError)
    assert said in str(result.exception)
    assert [path.name for path in folder.iterdir()] == ["requests.csv"]


def test_the_examples_of_the_reference_page_run(folder: Path, repo_root: Path) -> None:
    text = (repo_root / "docs" / "reference" / "traces.md").read_text()
    commands = [
        line for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL) for line in block.splitlines()
    ]
    assert len(commands) > 8
    (folder / "azure.csv.gz").write_bytes(
        b"TIMESTAMP,ContextTokens,GeneratedTokens\n2024-01-01 00:00:00,5,6\n"
    )
    (folder / "scenario.yaml").write_text("workload: {kind: fitted, name: azure_code_2023, duration: 1min}\n")
    for command in commands:
        assert command.startswith("$ advisor trace ")
        result = run(command.removeprefix("$ advisor trace "))
        assert result.exit_code == 0, (command, result.output, result.exception)
    program = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    assert program is not None
    exec(compile(program.group(1), "traces.md", "exec"), {})

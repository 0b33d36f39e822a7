"""A table of measured runs: columns by name or by hand, rows that cannot be used, units that cannot be."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from click.testing import CliRunner

from advisor.errors import InputError
from calibration.cli import main
from calibration.results.measured import load_runs
from calibration.results.runstable import read_runs_table

ROWS = (
    "case,lora,completed,duration,total_input_tokens,total_output_tokens,mean_ttft_ms,median_tpot_ms,max_concurrency\n"
    "a,0,100,50.0,10000,5000,120,20,4\n"
    "b,1,100,50.0,10000,5000,150,25,\n"
    "c,0,0,50.0,0,0,,,4\n"
    "d,0,100,fast,10000,5000,120,20,4\n"
)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "runs.csv"
    path.write_text(ROWS)
    return path


def test_rows_become_runs_and_the_rest_is_named(table: Path) -> None:
    found = read_runs_table(table)
    assert [run.name.split()[0] for run in found.runs] == ["a", "b"]
    first = found.runs[0]
    assert (first.prompt_tokens, first.output_tokens, first.duration_s) == (100.0, 50.0, 50.0)
    assert first.ttft.mean_s == pytest.approx(0.12)
    assert first.tpot.p50_s == pytest.approx(0.02)
    assert (first.max_concurrency, found.runs[1].max_concurrency) == (4, None)
    assert [line for line, _ in found.left_out] == [4, 5]
    assert "no answered requests" in found.left_out[0][1]
    assert "duration_s is 'fast'" in found.left_out[1][1]


def test_packed_and_filtered(table: Path, tmp_path: Path) -> None:
    packed = tmp_path / "runs.csv.gz"
    packed.write_bytes(gzip.compress(ROWS.encode()))
    assert len(read_runs_table(packed, where={"lora": "1"}).runs) == 1
    with pytest.raises(InputError, match="has no column rank"):
        read_runs_table(table, where={"rank": "8"})
    with pytest.raises(InputError, match="holds no run that can be used"):
        read_runs_table(table, where={"lora": "2"})


def test_a_bare_name_is_not_guessed(tmp_path: Path) -> None:
    path = tmp_path / "bare.csv"
    path.write_text("completed,duration_s,input_tokens,output_tokens,ttft_mean_s\n10,20,1000,500,0.1\n")
    with pytest.raises(InputError, match="mean_prompt_tokens or total_prompt_tokens"):
        read_runs_table(path)
    columns = {"total_prompt_tokens": "input_tokens", "total_output_tokens": "output_tokens"}
    assert read_runs_table(path, columns).runs[0].prompt_tokens == 100.0
    with pytest.raises(InputError, match="is no field"):
        read_runs_table(path, {"tokens": "input_tokens"})


def test_seconds_called_milliseconds_are_left_out(tmp_path: Path) -> None:
    """Four were kept in flight; by Little's law the latencies say so many only as seconds."""
    path = tmp_path / "wrong.csv"
    head = "completed,duration_s,mean_prompt_tokens,mean_output_tokens,e2e_mean_ms,max_concurrency\n"
    path.write_text(f"{head}100,50,100,50,2.0,4\n")
    with pytest.raises(InputError, match="Their unit is not the one"):
        read_runs_table(path)


def test_the_command_keeps_them_for_fit_and_compare(table: Path, tmp_path: Path) -> None:
    out = tmp_path / "runs.json"
    run = CliRunner().invoke(main, ["import", "server-runs", str(table), "--out", str(out)])
    assert run.exit_code == 0, run.output
    assert "2 runs; 2 rows left out" in run.output
    assert "line 4" in run.output
    assert len(load_runs(out).runs) == 2
    bad = CliRunner().invoke(main, ["import", "server-runs", str(table), "--column", "completed"])
    assert bad.exit_code == 2
    assert "NAME=VALUE" in bad.output


@pytest.mark.data
def test_public_runs_of_a_server_are_read(shared_data: Path) -> None:
    path = shared_data / "e2e" / "bsc_vllm_multilora_runs.csv.gz"
    columns = {"total_prompt_tokens": "input_tokens", "total_output_tokens": "output_tokens"}
    found = read_runs_table(path, columns, {"family": "digital_twin_modelling/real_results"})
    assert len(found.runs) >= 290
    assert {run.max_lora_rank for run in found.runs} == {16, 32}

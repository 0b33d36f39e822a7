"""Finding and reading operator tables, and every way in which they can be bad."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from advisor.errors import InputError
from calibration.importers.gemms import gemm_table
from calibration.importers.tables import Tables, find_tables, read_rows


@pytest.fixture
def copy(systems: Path, tmp_path: Path) -> Path:
    """A copy that a test may break."""
    return Path(shutil.copytree(systems, tmp_path / "systems"))


def _gemm(root: Path) -> Path:
    return root / "data" / "h100_sxm" / "gemm" / "vllm" / "0.24.0" / "gemm_perf.parquet"


def test_the_newest_version_is_taken_by_number_not_by_text(copy: Path) -> None:
    newer = _gemm(copy).parent.parent / "0.100.0"
    shutil.copytree(_gemm(copy).parent, newer)
    assert find_tables("h100_sxm", "vllm", folder=copy).engine_version == "0.100.0"


def test_a_table_of_an_older_version_fills_in(copy: Path) -> None:
    shutil.copytree(_gemm(copy).parent, _gemm(copy).parent.parent / "0.30.0")
    newest = find_tables("h100_sxm", "vllm", folder=copy)
    assert newest.engine_version == "0.30.0"
    assert "0.24.0" in newest.rows("all_reduce", ("latency",)).path


@pytest.mark.parametrize(
    ("system", "engine", "version", "says"),
    [
        ("h900", "vllm", None, "--system is h900; allowed: h100_sxm"),
        ("h100_sxm", "tgi", None, "--engine is tgi; allowed for h100_sxm: vllm"),
        ("h100_sxm", "vllm", "9.9", "--engine-version is 9.9; allowed for h100_sxm and vllm: 0.24.0"),
    ],
)
def test_what_is_not_there_is_said_with_what_is(
    systems: Path, system: str, engine: str, version: str | None, says: str
) -> None:
    with pytest.raises(InputError, match=says):
        find_tables(system, engine, version, folder=systems)


def test_a_missing_package_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="pip install"):
        find_tables("h100_sxm", "vllm")


def test_a_folder_without_tables_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--tables is"):
        find_tables("h100_sxm", "vllm", folder=tmp_path)


@pytest.mark.parametrize("content", [b"", b"PAR1 not really", b"\x00" * 64])
def test_a_damaged_file_is_one_sentence(copy: Path, content: bytes) -> None:
    _gemm(copy).write_bytes(content)
    with pytest.raises(InputError, match="cannot be read as parquet") as error:
        gemm_table(find_tables("h100_sxm", "vllm", folder=copy), "bfloat16")
    assert len(error.value.sentences) == 1
    assert str(copy) not in str(error.value)


def test_a_truncated_file_is_one_sentence(copy: Path) -> None:
    whole = _gemm(copy).read_bytes()
    _gemm(copy).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="cannot be read as parquet"):
        gemm_table(find_tables("h100_sxm", "vllm", folder=copy), "bfloat16")


def test_a_missing_column_is_named_with_those_that_are_there(copy: Path) -> None:
    table = pq.read_table(_gemm(copy))
    pq.write_table(table.drop_columns(["latency"]), _gemm(copy))
    with pytest.raises(InputError, match="lacks the column latency; has: gemm_dtype, m, n, k"):
        gemm_table(find_tables("h100_sxm", "vllm", folder=copy), "bfloat16")


@pytest.mark.parametrize("latency", [0.0, -1.0, float("nan"), float("inf")])
def test_a_latency_that_is_no_time_is_refused(tmp_path: Path, latency: float) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"latency": [1.0, latency]}), path)
    with pytest.raises(InputError, match="latency that is not positive"):
        read_rows(path, ("latency",))


def test_a_single_value_of_m_is_no_grid(copy: Path) -> None:
    table = pq.read_table(_gemm(copy)).to_pandas()
    pq.write_table(pa.Table.from_pandas(table[table.m == 1]), _gemm(copy))
    with pytest.raises(InputError, match="single value of m, n or k"):
        gemm_table(find_tables("h100_sxm", "vllm", folder=copy), "bfloat16")


def test_a_weight_type_without_rows_is_none(tables: Tables) -> None:
    assert gemm_table(tables, "fp8") is None


def test_rows_of_an_absent_column_are_all_kept(tables: Tables) -> None:
    rows = tables.rows("gemm", ("m", "latency"))
    assert len(rows.where(window_size=0)) == len(rows)
    assert np.all(rows.where(m=8).number("m") == 8)

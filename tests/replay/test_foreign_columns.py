"""A replay result whose columns hold another kind of value, and one with a broken page."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from advisor.errors import InputError
from advisor.replayed import load_replay

GOLDEN = Path(__file__).with_name("golden") / "replay_v1.parquet"


@pytest.mark.parametrize(
    ("column", "value", "says"),
    [
        ("arrival_s", "soon", "arrival_s holds string; allowed: seconds as floats"),
        ("output_tokens", 1.5, "output_tokens holds double; allowed: whole numbers"),
        ("status", [1], "status holds list<.*>; allowed: text"),
        ("chunk_s", ["x"], "chunk_s holds string; allowed: seconds as floats"),
        ("adapter", 99, "adapter points beyond the"),
        ("adapter", -2, "adapter points beyond the"),
    ],
)
def test_a_column_of_another_kind_is_named(tmp_path: Path, column: str, value: object, says: str) -> None:
    table = pq.read_table(GOLDEN)
    other = pa.array([value] * len(table))
    table = table.set_column(table.column_names.index(column), column, other)
    pq.write_table(table, tmp_path / "r.parquet")
    with pytest.raises(InputError, match=says):
        load_replay(tmp_path / "r.parquet")


def test_a_broken_page_leaves_no_thread_that_aborts_the_program(tmp_path: Path) -> None:
    """Arrow's thread pool, joined too late, ended one program in four with SIGABRT after the sentence."""
    content = bytearray(GOLDEN.read_bytes())
    content[200:230] = b"x" * 30
    path = tmp_path / "r.parquet"
    path.write_bytes(content)
    program = (
        "import os, sys\n"
        "from advisor.errors import InputError\n"
        "from advisor.replayed import load_replay\n"
        "import pyarrow as pa, pyarrow.parquet\n"
        "before = len(os.listdir('/proc/self/task'))\n"
        "try:\n    load_replay(sys.argv[1])\nexcept InputError:\n    pass\n"
        "print(len(os.listdir('/proc/self/task')) - before)\n"
    )
    if not Path("/proc/self/task").is_dir():
        pytest.skip("no /proc/self/task to count threads in")
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, "0"), done.stderr

"""A Parquet file is opened only if its pages claim no more than they can hold."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from advisor.errors import InputError
from advisor.parquetfile import UnreadableError, open_parquet
from advisor.replayed import load_replay
from advisor.trace.readers import load_trace

TWO_GIB = 2**31 - 2


def packed(table: pa.Table, **options: Any) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer, **options)
    return buffer.getvalue()


def zigzag(value: int) -> bytes:
    value <<= 1
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes((*out, value))


def claiming(good: bytes, field: int, value: int, *, page: str = "data") -> bytes:
    """A file of one column whose page says another number in a field of its header (1, 2 or 3)."""
    chunk = pq.ParquetFile(io.BytesIO(good)).metadata.row_group(0).column(0)
    at = chunk.data_page_offset if page == "data" else chunk.dictionary_page_offset
    for _ in range(field - 1):
        assert good[at] == 0x15  # the next field, a number
        at += 1
        while good[at] > 127:
            at += 1
        at += 1
    assert good[at] == 0x15
    end = at + 1
    while good[end] > 127:
        end += 1
    return good[: at + 1] + zigzag(value) + good[end + 1 :]


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("compression", ["none", "snappy", "gzip", "zstd"])
@pytest.mark.parametrize("rows", [0, 1, 50_000])
def test_what_arrow_writes_is_opened(compression: str, version: str, rows: int) -> None:
    table = pa.table(
        {
            "number": pa.array([float(i % 7) for i in range(rows)], pa.float64()),
            "same": pa.array([1] * rows, pa.int64()),
            "text": pa.array([f"a{i}" for i in range(rows)], pa.string()),
            "list": pa.array(
                [None if i % 3 else [1.0] * (i % 5) for i in range(rows)], pa.list_(pa.float64())
            ),
        }
    )
    content = packed(table, compression=compression, data_page_version=version, data_page_size=4096)
    assert open_parquet(content).read().equals(table)


@pytest.mark.parametrize(
    ("field", "value", "page", "said"),
    [
        (2, TWO_GIB, "data", "claims to unpack to 2,147,483,646"),
        (2, TWO_GIB, "dictionary", "claims to unpack to 2,147,483,646"),
        (3, TWO_GIB, "data", "ends outside the file"),
    ],
)
def test_a_page_that_claims_gigabytes_is_refused(field: int, value: int, page: str, said: str) -> None:
    good = packed(pa.table({"arrived_at": [1.0, 2.0, 3.0]}), compression="none")
    open_parquet(good)
    with pytest.raises(UnreadableError, match=said):
        open_parquet(claiming(good, field, value, page=page))


def test_more_values_than_anybody_needs_are_refused() -> None:
    """A run of equal levels takes a few bytes, however many there are."""
    import advisor.parquetfile as module

    lists = packed(pa.table({"chunk_s": pa.array([[0.0] * 1000] * 100)}))
    open_parquet(lists)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "MOST_VALUES", 99_999)
        with pytest.raises(UnreadableError, match="99,999 values a column"):
            open_parquet(lists)
        patch.setattr(module, "MOST_VALUES", 99)
        with pytest.raises(UnreadableError, match="claims 100 rows"):
            open_parquet(lists)


def test_a_footer_of_nothing_but_empty_structs_is_refused() -> None:
    """Each takes a byte in the file and a hundred in memory."""
    empty = bytes(9 * 2**20)
    with pytest.raises(UnreadableError, match="its footer has 9,437,184 bytes"):
        open_parquet(b"PAR1" + empty + len(empty).to_bytes(4, "little") + b"PAR1")


def test_a_footer_that_contradicts_itself_is_an_error_and_not_the_end() -> None:
    """Arrow's metadata of a column ends the process for one of these; nothing here may ask it."""
    good = packed(pa.table({"number": [1.0, 2.0, 3.0], "list": [[1.0], [], None]}))
    length = int.from_bytes(good[-8:-4], "little")
    for at in range(len(good) - 8 - length, len(good) - 8):
        for other in (0, good[at] ^ 1, 255):
            try:
                open_parquet(good[:at] + bytes((other,)) + good[at + 1 :]).read(use_threads=False)
            except (UnreadableError, pa.ArrowException, OSError, UnicodeDecodeError):
                continue


def test_each_reader_says_its_sentence(tmp_path: Path) -> None:
    file = tmp_path / "bomb.parquet"
    good = packed(pa.table({"arrival_s": [1.0, 2.0, 3.0]}), compression="none")
    file.write_bytes(claiming(good, 2, TWO_GIB))
    with pytest.raises(InputError, match="is not a Parquet file that can be read: a page of"):
        load_trace(file)
    with pytest.raises(InputError, match="is no replay result"):
        load_replay(file)

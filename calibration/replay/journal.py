"""What a replay has done so far, one JSON line a request, so that an interrupted one goes on."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

from advisor.errors import InputError
from advisor.files import write_text
from advisor.replayed import OK
from calibration.replay.rows import Row

_COUNTS = ("output_tokens", "prompt_tokens", "cached_tokens", "again")
_LISTS = ("chunk_s", "chunk_tokens")
_FIELDS = ("status", "sent_s", *_COUNTS, *_LISTS)
_SYNC_EVERY = 32


class Journal:
    """`PATH.journal` beside the result; removed when the result is written.

    A line is with the system as soon as its request has ended, so that the end of this process loses none;
    every 32 lines they are forced to disk, so that the end of the machine loses few.
    """

    def __init__(self, path: Path, fingerprint: dict[str, Any], *, resume: bool) -> None:
        """Raises InputError: it is of another replay, or there is one and `resume` was not given."""
        self.path = path
        self.trouble = ""  # why it is no longer written; what is under way goes on
        self._file: TextIO | None = None
        self._fingerprint = fingerprint
        self._written = 0
        self.rows: dict[int, Row] = {}
        if path.exists():
            if not resume:
                raise InputError(
                    f"{path}: an earlier replay was interrupted. Add --resume to go on, or delete it."
                )
            self._read()

    def __enter__(self) -> Self:
        try:
            self._file = self.path.open("a", encoding="utf-8")
        except OSError as error:
            raise InputError(f"{self.path}: cannot be written: {error.strerror or error}.") from None
        if not self._file.tell():
            self._line({"fingerprint": self._fingerprint})
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):  # a full disk was told of
                self._file.close()

    def add(self, index: int, row: Row) -> None:
        """Remember a request that has ended."""
        self._line({"i": index, **{name: _plain(getattr(row, name)) for name in _FIELDS}})

    def _line(self, record: dict[str, Any]) -> None:
        assert self._file is not None
        if self.trouble:
            return
        try:
            self._file.write(json.dumps(record) + "\n")
            self._file.flush()
            if self._written % _SYNC_EVERY == 0:
                os.fsync(self._file.fileno())
        except OSError as error:
            self.trouble = error.strerror or str(error)
        self._written += 1

    def _read(self) -> None:
        """Finished requests; failed ones are sent again. What follows a broken line is forgotten."""
        text = self.path.read_bytes().decode("utf-8", "replace")
        lines = [line for line in text.splitlines(keepends=True) if line.endswith("\n")]
        kept: list[str] = []
        for line in lines:
            try:
                self._take(json.loads(line), first=not kept)
            except (KeyError, TypeError, ValueError, OverflowError, RecursionError):
                break
            kept.append(line)
        if "".join(kept) != text:
            write_text(self.path, "".join(kept))

    def _take(self, record: dict[str, Any], *, first: bool) -> None:
        """One line (InputError: of another replay; any other error of `_read`: broken)."""
        if first:
            if record["fingerprint"] != self._fingerprint:
                raise InputError(
                    f"{self.path}: is of another replay; allowed: the same command. Delete it to start anew."
                )
        elif record["status"] == OK:
            self.rows[int(record["i"])] = _row(record)


def _row(record: dict[str, Any]) -> Row:
    """An answered request (TypeError, ValueError, OverflowError: not as it was written)."""
    row = Row(status=OK, sent_s=float(record["sent_s"]))
    row.chunk_s = [float(at) for at in record["chunk_s"]]
    row.chunk_tokens = [int(count) for count in record["chunk_tokens"]]
    for name in _COUNTS:
        setattr(row, name, int(record[name]))
    if len(row.chunk_s) != len(row.chunk_tokens) or not row.chunk_s:
        raise ValueError
    return row


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and value != value else value

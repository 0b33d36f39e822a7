"""What a replay has done so far, one JSON line a request, so that an interrupted one goes on."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

from advisor.errors import InputError
from advisor.replayed import OK
from calibration.replay.rows import Row

_FIELDS = ("sent_s", "output_tokens", "prompt_tokens", "status", "chunk_s", "chunk_tokens", "cached_tokens")
_SYNC_EVERY = 32


class Journal:
    """`PATH.journal` beside the result; removed when the result is written."""

    def __init__(self, path: Path, fingerprint: dict[str, Any], *, resume: bool) -> None:
        """Raises InputError: it is of another replay, or there is one and `resume` was not given."""
        self.path = path
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
        fresh = not self.path.exists()
        self._file = self.path.open("a", encoding="utf-8")
        if fresh:
            self._line({"fingerprint": self._fingerprint})
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    def add(self, index: int, row: Row) -> None:
        """Remember a request that has ended."""
        self._line({"i": index, **{name: _plain(getattr(row, name)) for name in _FIELDS}})

    def remove(self) -> None:
        """The result is written."""
        self.path.unlink(missing_ok=True)

    def _line(self, record: dict[str, Any]) -> None:
        assert self._file is not None
        self._file.write(json.dumps(record) + "\n")
        self._written += 1
        if self._written % _SYNC_EVERY == 1:
            self._file.flush()
            os.fsync(self._file.fileno())

    def _read(self) -> None:
        """Finished requests; failed ones are sent again, a line that was cut off is forgotten."""
        lines = self.path.read_text(encoding="utf-8").splitlines()
        records = []
        for line in lines:
            try:
                records.append(json.loads(line))
            except ValueError:
                break
        found = records[0].get("fingerprint") if records else None
        if found != self._fingerprint:
            raise InputError(
                f"{self.path}: is of another replay; allowed: the same command. Delete it to start anew."
            )
        for record in records[1:]:
            if record["status"] == OK:
                values = {name: record[name] for name in _FIELDS}
                values["sent_s"] = float("nan") if values["sent_s"] is None else values["sent_s"]
                self.rows[int(record["i"])] = Row(**values)
        whole = "".join(json.dumps(record) + "\n" for record in records)
        if whole != self.path.read_text(encoding="utf-8"):
            from advisor.files import write_text

            write_text(self.path, whole)


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and value != value else value

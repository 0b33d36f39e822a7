"""A study's rows in Parquet: parts while the sweep runs, one file in the end, found again after a kill.

`out.parquet` is the result. While a sweep runs, finished rows go to `out.parquet.parts/`, one file after
another, each whole or not there at all. Both carry the mark of what was asked; only rows of the same mark
are taken up again.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from advisor import __version__
from advisor.errors import InputError
from advisor.files import read_bytes, write_bytes
from advisor.parquetfile import UnreadableError, open_parquet
from advisor.spec.adapter import AdapterFolders
from advisor.spec.scenario import Scenario
from advisor.study.answers import Places
from advisor.study.columns import AXIS_TYPES, SCHEMA, Row, table_of
from advisor.study.grid import Study
from advisor.study.points import Point

_MARK: Final = b"lora_advisor_study"
_VERSION: Final = 1
_MOST_BYTES: Final = 4 * 2**30


def mark_of(study: Study, scenario: Scenario, places: Places) -> str:
    """A digest of everything that an answer depends on, the grid left out: so a grid may grow.

    It covers the program's version, the columns, the scenario, the choice, the profiles, and the contents
    of the files that the scenario names.
    """
    asked = {
        "version": [_VERSION, __version__, SCHEMA.names],
        "scenario": scenario.model_dump(mode="json"),
        "ask": study.ask,
        "choice": None if study.choice is None else study.choice.model_dump(mode="json"),
        "files": [_digest(file) for file in _named(scenario, places)],
    }
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


def _named(scenario: Scenario, places: Places) -> Iterable[Path]:
    """Files that an answer is read from, in a fixed order."""
    yield from places.profiles or ()
    if places.catalog is not None:
        yield from sorted(places.catalog.glob("*.*")) if places.catalog.is_dir() else (places.catalog,)
    workload = scenario.workload
    names = [getattr(workload, field, None) for field in ("path", "name", "tenants")]
    for name in (scenario.model, *names):
        file = places.folder / Path(name).expanduser() if name else None
        if file is not None and file.is_file():
            yield file
    if isinstance(scenario.adapters, AdapterFolders):
        for path in scenario.adapters.paths:
            yield places.folder / Path(path).expanduser() / "adapter_config.json"


def _digest(file: Path) -> str:
    return hashlib.sha256(read_bytes(file, max_bytes=_MOST_BYTES)).hexdigest()


@dataclass(frozen=True, slots=True)
class Store:
    """The rows of one study on disk.

    Attributes:
        out: the result's file.
        mark: of what was asked, see `mark_of`.
    """

    out: Path
    mark: str

    @property
    def parts(self) -> Path:
        """The folder of the rows of a sweep that is not finished."""
        return self.out.with_name(f"{self.out.name}.parts")

    def known(self) -> dict[Point, Row]:
        """Rows that are there already, by point.

        Raises:
            InputError: what is there is of another study, or cannot be read.
        """
        files = [self.out] if self.out.exists() else []
        files += sorted(self.parts.glob("*.parquet"))
        found: dict[Point, Row] = {}
        for file in files:
            for row in self._rows(file):
                at = tuple((axis, row[f"at_{axis}"]) for axis in AXIS_TYPES if row[f"at_{axis}"] is not None)
                found[Point(at)] = row
        return found

    def keep(self, rows: Sequence[Row]) -> None:
        """Write rows as the next part."""
        if rows:
            taken = [int(file.stem) for file in self.parts.glob("*.parquet") if file.stem.isdigit()]
            self._write(
                self.parts / f"{max(taken, default=0) + 1:06d}.parquet", [{"point": 0} | row for row in rows]
            )

    def finish(self, rows: Sequence[Row]) -> None:
        """Write the result, rows in the order given, and drop the parts."""
        self._write(self.out, [row | {"point": place} for place, row in enumerate(rows)])
        shutil.rmtree(self.parts, ignore_errors=True)

    def forget(self) -> None:
        """Drop the result and the parts."""
        self.out.unlink(missing_ok=True)
        shutil.rmtree(self.parts, ignore_errors=True)

    def _write(self, file: Path, rows: list[Row]) -> None:
        table = table_of(rows).replace_schema_metadata({_MARK: self.mark.encode()})
        buffer = io.BytesIO()
        pq.write_table(table, buffer, compression="zstd")
        write_bytes(file, buffer.getvalue())

    def _rows(self, file: Path) -> list[dict[str, Any]]:
        try:
            table = open_parquet(read_bytes(file, max_bytes=_MOST_BYTES)).read(use_threads=False)
            table.validate(full=True)
        except (pa.ArrowException, OSError, UnicodeDecodeError, UnreadableError) as error:
            said = (str(error).splitlines() or [""])[0]
            raise InputError(
                f"{file}: cannot be read as Parquet ({said}). Remove it, or choose another --out."
            ) from None
        mark = (table.schema.metadata or {}).get(_MARK)
        if mark is None:
            raise InputError(
                f"{file}: was not written by `advisor sweep`; allowed: another name. Choose another --out."
            )
        if mark != self.mark.encode():
            raise InputError(
                f"{file}: holds another study, or this one with another scenario, choice, profile, trace or "
                "version of the program. Choose another --out, or start anew with --fresh."
            )
        rows: list[dict[str, Any]] = table.to_pylist()
        return rows

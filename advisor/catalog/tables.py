"""The catalog's files, and a user's own files that add to them or replace their rows.

A user's catalog is a folder (or one file) with files of the same names and columns as `data/` here.
It is named by the environment variable LORA_ADVISOR_CATALOG, which worker processes inherit.
"""

from __future__ import annotations

import csv
import difflib
import io
import os
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Final, TypeVar

from pydantic import BaseModel, ValidationError

from advisor.errors import InputError, validated
from advisor.files import read_json, read_text
from advisor.sentences import problems_of

VARIABLE: Final = "LORA_ADVISOR_CATALOG"
SCHEMA_VERSION: Final = 1
_SHIPPED: Final = Path(__file__).parent / "data"
_MAX_BYTES: Final = 8 * 2**20

_Row = TypeVar("_Row", bound=BaseModel)


class NotInCatalogError(InputError):
    """A name or a price that the catalog lacks; the catalog's files themselves are good."""


def use_catalog(path: str | Path) -> None:
    """Take a user's catalog from now on, in this process and those it starts.

    Raises:
        InputError: no such folder or file, or a file name that the catalog does not know.
    """
    _files_of(Path(path))
    os.environ[VARIABLE] = str(Path(path).resolve())


def rows(file_name: str, row: type[_Row], key: Callable[[_Row], object]) -> tuple[_Row, ...]:
    """Return the rows of one table, the user's first; each replaces the shipped ones of the same key.

    Args:
        file_name: such as "devices.csv" or "engines.json".
        row: the contract of one row.
        key: what makes two rows the same thing.

    Raises:
        InputError: the user's file has a fault (unknown column, bad cell, newer schema version, ...).
    """
    shipped = _read(_SHIPPED / file_name, _stamp(_SHIPPED / file_name), row)
    own = _own_file(file_name)
    if own is None:
        return shipped
    added = _read(own, _stamp(own), row)
    replaced = {key(one) for one in added}
    return (*added, *(one for one in shipped if key(one) not in replaced))


def lookup_key(name: str) -> str:
    """Return a name without case, spaces, dashes, underscores: "RTX 4090" and "rtx-4090" are one thing."""
    return "".join(character for character in name.casefold() if character not in " -_")


def unknown(what: str, name: str, known: list[str]) -> NotInCatalogError:
    """Build the error for a name that a table lacks, with the nearest name it has."""
    by_key = {lookup_key(one): one for one in known}
    near = difflib.get_close_matches(lookup_key(name[:80]), by_key, 3, cutoff=0.6)
    hint = (
        f"did you mean {', '.join(by_key[key] for key in near)}?" if near else f"known: {', '.join(known)}."
    )
    return NotInCatalogError(f"{what} {name[:80]!r} is not in the catalog; {hint}")


def _own_file(file_name: str) -> Path | None:
    given = os.environ.get(VARIABLE)
    return _files_of(Path(given)).get(file_name) if given else None


def _files_of(path: Path) -> dict[str, Path]:
    """Return the catalog files that a user's path holds, by name."""
    if not path.exists():
        raise InputError(
            f"{path}: no such catalog; allowed: a folder or file named by --catalog or {VARIABLE}."
        )
    found = sorted(path.iterdir()) if path.is_dir() else [path]
    files = {file.name: file for file in found if file.suffix in (".csv", ".json") and file.name[0] != "."}
    known = sorted(file.name for file in _SHIPPED.iterdir() if file.suffix in (".csv", ".json"))
    for name in files:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f" Did you mean {near[0]}?" if near else ""
            raise InputError(f"{path}: {name} is no catalog file; allowed: {', '.join(known)}.{hint}")
    if not files:
        raise InputError(f"{path}: holds no catalog file; allowed: {', '.join(known)}.")
    return files


def _stamp(file: Path) -> int:
    """A file that was edited is read anew."""
    try:
        return file.stat().st_mtime_ns
    except OSError:
        return 0


@lru_cache(maxsize=64)
def _read(file: Path, stamp: int, row: type[_Row]) -> tuple[_Row, ...]:
    del stamp
    return _read_json(file, row) if file.suffix == ".json" else tuple(_read_csv(file, row))


def _read_json(file: Path, row: type[_Row]) -> tuple[_Row, ...]:
    """A JSON table is {"schema_version": 1, "<table>": [row, ...]}."""
    raw, source = read_json(file, schema_version=SCHEMA_VERSION, max_bytes=_MAX_BYTES), str(file)
    listed = raw.get(file.stem, raw.get("rules"))
    extra = sorted(set(raw) - {"schema_version", file.stem, "rules"})
    if raw.get("schema_version") != SCHEMA_VERSION or not isinstance(listed, list) or extra:
        name = "rules" if file.stem == "compatibility" else file.stem
        raise InputError(
            f'{source}: allowed: {{"schema_version": {SCHEMA_VERSION}, "{name}": [...]}} and nothing else.'
        )
    return tuple(validated(row, one, f"{source}: {file.stem}[{i}]") for i, one in enumerate(listed))


def _read_csv(file: Path, row: type[_Row]) -> Iterator[_Row]:
    """Every cell is text; an empty one is left out, so that the field's default holds."""
    text, source = read_text(file, max_bytes=_MAX_BYTES), str(file)
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        columns = reader.fieldnames or ()
        for column in columns:
            if column not in row.model_fields or columns.count(column) > 1:
                raise InputError(
                    f"{source}: column {column!r:.40} is not known, or there twice; allowed: {_columns(row)}."
                )
        for cells in reader:
            yield _row(row, cells, f"{source}: line {reader.line_num}", len(columns))
    except csv.Error as error:
        raise InputError(f"{source}: line {reader.line_num}: not valid CSV: {error}.") from None


def _row(row: type[_Row], cells: dict[str, str | None], source: str, columns: int) -> _Row:
    if None in cells or None in cells.values():
        raise InputError(
            f"{source}: has another number of cells than the {columns} columns. Quote cells with commas."
        )
    try:
        return row.model_validate_strings({name: cell for name, cell in cells.items() if cell})
    except ValidationError as error:
        raise InputError(problems_of(source, row, error)) from None


def _columns(row: type[BaseModel]) -> str:
    return ", ".join(row.model_fields)

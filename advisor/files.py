"""Reading and writing files: one clear sentence for every way in which a file can be bad, atomic writes."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from advisor.errors import InputError

MAX_TEXT_BYTES = 256 * 2**20


def read_bytes(path: str | Path, *, max_bytes: int = MAX_TEXT_BYTES) -> bytes:
    """Return the file's bytes.

    Raises:
        InputError: missing, a folder, unreadable, empty, or larger than `max_bytes`.
    """
    file = Path(path)
    try:
        size = file.stat().st_size
        if file.is_dir():
            raise InputError(f"{path}: is a folder; allowed: a file. Name the file inside it.")
        if size > max_bytes:
            raise InputError(
                f"{path}: holds {size:,} bytes; allowed: at most {max_bytes:,}. Cut the file down."
            )
        content = file.read_bytes()
    except FileNotFoundError:
        raise InputError(
            f"{path}: no such file. Check the path; relative paths start at the current folder."
        ) from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}.") from None
    if not content.strip():
        raise InputError(f"{path}: is empty; allowed: a file with content.")
    return content


def read_text(path: str | Path, *, max_bytes: int = MAX_TEXT_BYTES) -> str:
    """Return the file's text (UTF-8). Raises InputError as `read_bytes`, or if it is not text."""
    try:
        return read_bytes(path, max_bytes=max_bytes).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not UTF-8 text (byte {error.start}); allowed: a text file.") from None


def read_json(
    path: str | Path, *, schema_version: int | None = None, max_bytes: int = MAX_TEXT_BYTES
) -> dict[str, Any]:
    """Return the JSON object in a file, refusing one of a newer schema version.

    Raises:
        InputError: as `read_text`, not JSON, not an object, or a newer schema version.
    """
    try:
        raw = json.loads(read_text(path, max_bytes=max_bytes))
    except json.JSONDecodeError as error:
        raise InputError(
            f"{path}: line {error.lineno}, column {error.colno}: not valid JSON: {error.msg}."
        ) from None
    except RecursionError:
        raise InputError(f"{path}: is nested too deeply; allowed: a JSON object.") from None
    except ValueError:  # Python refuses to read thousands of digits
        raise InputError(f"{path}: holds a number with thousands of digits; allowed: JSON numbers.") from None
    if not isinstance(raw, dict):
        raise InputError(f"{path}: holds a JSON {type(raw).__name__}; allowed: an object.")
    if schema_version is not None:
        check_schema_version(raw, schema_version, str(path))
    return raw


def check_schema_version(raw: dict[str, Any], known: int, source: str) -> None:
    """Refuse a file written for a newer schema version, by name.

    Raises:
        InputError: the file's version is above `known`.
    """
    version = raw.get("schema_version")
    if isinstance(version, int) and not isinstance(version, bool) and version > known:
        raise InputError(
            f"{source}: schema_version is {version}; allowed: at most {known}. "
            f"The file was written by a newer version of LoRA Advisor; upgrade to read it."
        )


def check_target(path: str | Path) -> None:
    """Refuse a place that cannot be written, before the work is done whose result goes there.

    Raises:
        InputError: a folder stands there, or no file can be made in the folder.
    """
    target = Path(path)
    if target.is_dir():
        raise InputError(f"{path}: is a folder; allowed: the name of a file to write.")
    place = next((parent for parent in target.parents if parent.exists()), target.parent)
    if not place.is_dir():
        raise InputError(f"{path}: cannot be written: {place} is a file; allowed: a folder.")
    if not os.access(place, os.W_OK | os.X_OK):
        raise InputError(f"{path}: cannot be written: {place} may not be changed by you.")


def write_text(path: str | Path, text: str) -> None:
    """Write a file so that a reader sees either the old content or the new one, never a part.

    Raises:
        InputError: as `write_bytes`.
    """
    write_bytes(path, text.encode())


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write bytes atomically: a temporary file in the same folder, synced, then renamed over the old one.

    Raises:
        InputError: no such folder may be made, no right, a full disk. The old file is whole then.
    """
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}.") from None
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(target)
    except BaseException as error:
        with contextlib.suppress(OSError):
            Path(temporary).unlink()
        if isinstance(error, OSError):  # a folder of that name, a full disk
            raise InputError(f"{path}: cannot be written: {error.strerror or error}.") from None
        raise

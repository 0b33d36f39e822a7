"""Traces that visitors upload: named by their content, kept in one folder, a bounded number of bytes.

The folder is `uploads` in the operator's workspace, or in a temporary folder that goes with the program.
Nothing of the browser's file name but letters, digits and its ending gets into the file system.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import streamlit as st

from advisor.errors import InputError
from advisor.files import write_bytes
from advisor.web.question import UPLOADS, Opened, workspace

ENDINGS: Final = ("csv", "jsonl", "json", "parquet", "gz")
VARIABLE: Final = "LORA_ADVISOR_MAX_UPLOAD_MIB"
KEPT_BYTES: Final = 512 * 2**20
_MAX_MIB: Final = 64
_NAME: Final = 40


def max_bytes() -> int:
    """The largest upload, by the operator's option `--max-upload`; Streamlit itself keeps the same limit."""
    given = os.environ.get(VARIABLE, "")
    return (int(given) if given.isascii() and given.isdigit() else _MAX_MIB) * 2**20


@st.cache_resource
def _temporary() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="lora-advisor-")


def opened() -> Opened:
    """The folder that a visitor's scenario may name files of."""
    own = workspace()
    return Opened(Path(_temporary().name).resolve(), False) if own is None else Opened(own, True)


@dataclass(frozen=True, slots=True)
class Upload:
    """An uploaded trace: the path for the scenario."""

    path: str


def keep(content: bytes, name: str, folder: Path) -> Upload:
    """Store an upload and return its path inside the folder, oldest uploads dropped where there are too many.

    Args:
        content: the file.
        name: the browser's name for it.
        folder: the workspace, or the temporary folder.

    Raises:
        InputError: too large, empty, an ending that no trace has, or the folder cannot be written.
    """
    stem, _, ending = name.rpartition("/")[2].partition(".")
    ending = ending.lower()
    if ending.rpartition(".")[2] not in ENDINGS:
        raise InputError(
            f"upload: {name!r:.60} is no trace; allowed: {', '.join(ENDINGS)}. Export it as one of these."
        )
    most = max_bytes()
    if len(content) > most:
        raise InputError(
            f"upload: holds {len(content):,} bytes; allowed: at most {most:,}. Cut the trace, or use "
            "the command line."
        )
    if not content:
        raise InputError("upload: is empty; allowed: a trace with one request a row.")
    safe = re.sub(r"[^A-Za-z0-9_-]+", "-", stem)[:_NAME].strip("-") or "trace"
    digest = hashlib.sha256(content).hexdigest()[:16]
    kind = ".".join(part for part in ending.split(".")[-2:] if part in ENDINGS)
    path = f"{UPLOADS}/{safe}-{digest}.{kind}"
    if not (folder / path).exists():
        (folder / UPLOADS).mkdir(parents=True, exist_ok=True)
        write_bytes(folder / path, content)
        _drop_oldest(folder / UPLOADS, folder / path)
    return Upload(path)


def _drop_oldest(folder: Path, newest: Path) -> None:
    """Keep the newest whatever its size, and of the others as many as there is room for."""
    files = sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime_ns, reverse=True)
    room = KEPT_BYTES - newest.stat().st_size
    for path in files:
        if path != newest:
            room -= path.stat().st_size
            if room < 0:
                path.unlink(missing_ok=True)

"""Files that were measured from the page or uploaded to it: where they lie, and whose they are.

They lie in `measured` of the operator's workspace, or of the temporary folder that goes with the program.
With a workspace every visitor sees the profiles of that folder; without one, each visitor their own.
"""

from __future__ import annotations

import re
import secrets
from pathlib import Path
from typing import Any, Final

import streamlit as st

from advisor.errors import InputError
from advisor.files import read_json, write_bytes
from advisor.profile import load_profile
from advisor.web import uploads

_FOLDER: Final = "measured"
_MOST: Final = 200


def folder() -> Path:
    """Where measured files go, made where it is missing."""
    place = uploads.opened().folder / _FOLDER
    place.mkdir(parents=True, exist_ok=True)
    return place


def new_name(kind: str, ending: str) -> Path:
    """A new file or folder of our own choosing; nobody else's name comes into it.

    Raises:
        InputError: there are too many already.
    """
    place = folder()
    if sum(1 for _ in place.iterdir()) >= _MOST:
        raise InputError(f"{place.name}: holds {_MOST} files; allowed: fewer. Ask the operator to clear it.")
    return place / f"{kind}-{secrets.token_hex(4)}{ending}"


def own_profiles() -> dict[str, Path]:
    """Profiles that this visitor may see besides the shipped ones, by name."""
    mine: dict[str, Path] = st.session_state.setdefault("own profiles", {})
    if uploads.opened().all_files:
        found = {path.stem: path for path in sorted(folder().glob("*.json"))}
        return {**found, **mine}
    return {name: path for name, path in mine.items() if path.exists()}


def keep_profile(path: Path) -> None:
    """Let this visitor see a profile."""
    st.session_state.setdefault("own profiles", {})[path.stem] = path


def uploaded(upload: Any, kind: str) -> Path:
    """Store an upload under a name of its own; the text of its name, but letters and digits, is dropped.

    Raises:
        InputError: too large or empty.
    """
    content, most = upload.getvalue(), uploads.max_bytes()
    if not content or len(content) > most:
        raise InputError(f"upload: holds {len(content):,} bytes; allowed: 1 to {most:,}.")
    stem = re.sub(r"[^A-Za-z0-9_]+", "-", Path(upload.name).name.partition(".")[0])[:30].strip("-") or kind
    ending = Path(upload.name).suffix.lower()
    path = new_name(stem, ending if ending in (".json", ".parquet", ".jsonl") else ".json")
    write_bytes(path, content)
    return path


def uploaded_profile(upload: Any) -> str:
    """Store an uploaded profile once it keeps the contract, and let the visitor see it; its name here.

    Raises:
        InputError: it does not, in a sentence that does not say where it lies here.
    """
    path = uploaded(upload, "profile")
    try:
        load_profile(path)
    except InputError:
        path.unlink(missing_ok=True)
        raise
    keep_profile(path)
    return path.stem


def uploaded_json(upload: Any) -> dict[str, Any]:
    """The JSON object of an upload, which is not kept.

    Raises:
        InputError: it is none.
    """
    path = uploaded(upload, "result")
    try:
        return read_json(path)
    finally:
        path.unlink(missing_ok=True)

"""Known engines: what each version can do with adapters and drafts, and its defaults."""

from __future__ import annotations

from advisor.catalog.tables import rows, unknown
from advisor.errors import InputError
from advisor.spec.engine import EngineCapability


def engine(name: str, version: str | None = None) -> EngineCapability:
    """Return what an engine can do, of the newest known version if none is named.

    Raises:
        InputError: engine or version not known.
    """
    found = [row for row in engines() if row.name == name.strip().casefold()]
    if not found:
        raise unknown("engine", name, sorted({row.name for row in engines()}))
    if version is None:
        return max(found, key=lambda row: _order(row.version))
    for row in found:
        if row.version == version:
            return row
    known = ", ".join(row.version for row in found)
    raise InputError(
        f"engine.version {version!r:.40} of {name} is not in the catalog; known: {known}. "
        f"Leave it out for the newest, or add it in an engines.json of your own."
    )


def engines() -> tuple[EngineCapability, ...]:
    """Return every engine version of the catalog."""
    return rows("engines.json", EngineCapability, lambda row: (row.name, row.version))


def _order(version: str) -> tuple[int, ...]:
    """Compare versions by their numbers: 0.33.0 after 0.9.1."""
    digits = "".join(character if character.isdigit() else " " for character in version)
    return tuple(int(part) for part in digits.split())

"""A recipe as one file."""

from __future__ import annotations

import io
import zipfile
from typing import Final

from advisor.recipe.folder import Recipe

_DATE: Final = (1980, 1, 1, 0, 0, 0)
_SCRIPT, _TEXT = 0o100755, 0o100644


def zip_of(recipe: Recipe) -> bytes:
    """All files of a recipe as a zip archive, scripts executable. The same recipe gives the same bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in recipe.files.items():
            entry = zipfile.ZipInfo(name, _DATE)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = (_SCRIPT if name.endswith(".sh") else _TEXT) << 16
            archive.writestr(entry, text)
    return buffer.getvalue()

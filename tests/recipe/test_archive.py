from __future__ import annotations

import io
import zipfile
from pathlib import PurePosixPath

from advisor.recipe import Recipe, zip_of

RECIPE = Recipe("multi-lora/L40S/tp1/plain", {"README.md": "# ü\n", "serve.sh": "#!/bin/sh\n"})


def test_every_file_is_in_the_archive_as_it_is() -> None:
    with zipfile.ZipFile(io.BytesIO(zip_of(RECIPE))) as archive:
        assert {name: archive.read(name).decode() for name in archive.namelist()} == RECIPE.files
        modes = {PurePosixPath(i.filename).suffix: i.external_attr >> 16 & 0o777 for i in archive.infolist()}
    assert modes == {".md": 0o644, ".sh": 0o755}


def test_the_same_recipe_is_the_same_bytes() -> None:
    assert zip_of(RECIPE) == zip_of(Recipe(RECIPE.option, dict(RECIPE.files)))

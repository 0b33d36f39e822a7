from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_both_ways_to_start_the_app_have_the_same_settings() -> None:
    own, shipped = (
        (ROOT / folder / "config.toml").read_text(encoding="utf-8").splitlines()[1:]
        for folder in (".streamlit", "advisor/web/start/.streamlit")
    )
    assert own == shipped


def test_no_folder_named_pages_lies_beside_what_streamlit_starts() -> None:
    assert not (ROOT / "advisor/web/start/pages").exists()
    assert not (ROOT / "pages").exists()

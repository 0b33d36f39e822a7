"""The page with the reasons: from the base to this deployment, cause by cause."""

from __future__ import annotations

from typing import Final

from advisor.web import asking, show, state

_SECTIONS: Final = ("why", "causes")


def page() -> None:
    """The reasons of the latest answer."""
    if asking.under_way():
        return
    found = state.answered()
    if found is None:
        show.nothing_yet()
        return
    show.sections(show.sections_of(found[1]), *_SECTIONS)

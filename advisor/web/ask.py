"""Where a scenario comes from: an example, an upload, the page's address; edited by hand."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from advisor.errors import InputError
from advisor.web import address, show
from advisor.web.question import Question, read_question, workspace


def form() -> str:
    """Show the inputs and return the scenario's text."""
    examples = _examples()
    if "text" not in st.session_state:
        _from_address(examples)
    left, right = st.columns(2)
    left.selectbox("Start from an example", list(examples), key="example", on_change=_load)
    right.file_uploader("or upload a scenario", type=["yaml", "yml"], key="upload", on_change=_upload)
    st.caption(f"In the editor: {show.plain(st.session_state['origin'])}")
    with st.expander("The scenario: edit it here"):
        # A new text is a new widget: a click on its way to us would bring the old one's text with it.
        key = f"editor {st.session_state['edition']}"
        text: str = st.text_area(
            "YAML", st.session_state["text"], key=key, height=460, label_visibility="collapsed"
        )
    return text


def read(text: str) -> Question | None:
    """The question, or None after its faults were shown."""
    try:
        return read_question(text, workspace())
    except InputError as error:
        for sentence in error.sentences:
            st.error(show.plain(sentence))
    return None


def share(text: str) -> None:
    """Put the scenario into the page's address, so that a colleague sees the same."""
    name = st.session_state["example"]
    if text == _examples()[name].read_text(encoding="utf-8"):
        st.query_params.from_dict({"example": name})
    else:
        code = address.packed(text)
        st.query_params.from_dict({"s": code} if code else {})


def _examples() -> dict[str, Path]:
    from advisor.datafiles import data_dir

    return {path.stem: path for path in sorted((data_dir() / "scenarios").glob("*.yaml"))}


def _from_address(examples: dict[str, Path]) -> None:
    query = st.query_params
    name = query.get("example", "platform-40-adapters")
    st.session_state["example"] = name if name in examples else next(iter(examples))
    _load()
    if "s" in query:
        try:
            _edit(address.unpacked(query["s"]), "the scenario in the address")
        except InputError as error:
            st.error(show.plain(str(error)))


def _load() -> None:
    name = st.session_state["example"]
    _edit(_examples()[name].read_text(encoding="utf-8"), f"the example {name}")


def _upload() -> None:
    given = st.session_state["upload"]
    if given is not None:
        _edit(given.getvalue().decode("utf-8-sig", "replace"), given.name)


def _edit(text: str, origin: str) -> None:
    """Put a text into the editor."""
    st.session_state["text"], st.session_state["origin"] = text, origin
    st.session_state["edition"] = st.session_state.get("edition", 0) + 1

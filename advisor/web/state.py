"""What one visitor has: the scenario's text and the answer. In the session; the text also in the address.

The text of the scenario is the truth; forms read it and write it back. Widgets are forgotten on a page that
does not show them, so nothing here is a widget's own value.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import streamlit as st

from advisor.errors import AdvisorError, InputError
from advisor.problem import Problem
from advisor.spec.yamlfile import parse_mapping
from advisor.web import address, uploads
from advisor.web.answers import Answers, key_of
from advisor.web.cores import warm
from advisor.web.question import SOURCE, Question, read_question

if TYPE_CHECKING:
    from collections.abc import Sequence

    from advisor.recommendation import Recommendation

FIRST_EXAMPLE: Final = "platform-40-adapters"
_SCENARIO: Final = "s"
_EXAMPLE: Final = "example"


@st.cache_resource
def answers() -> Answers:
    """The latest answers of all visitors."""
    return Answers()


@st.cache_resource
def _warm() -> None:
    warm()


def examples() -> dict[str, Path]:
    """The scenarios that come with the program, by name."""
    from advisor.datafiles import data_dir

    return {path.stem: path for path in sorted((data_dir() / "scenarios").glob("*.yaml"))}


def example_name() -> str | None:
    """The example that the text is, to the letter; None: it is none of them."""
    text = scenario_text()
    return next((name for name, path in examples().items() if path.read_text(encoding="utf-8") == text), None)


def begin() -> None:
    """Take the scenario from the address at a visit's first run; keep the address true at every run."""
    _warm()
    if "text" not in st.session_state:
        _from_address()
    _to_address()


def scenario_text() -> str:
    """The scenario as YAML, as the visitor left it; it may have faults."""
    text: str = st.session_state["text"]
    return text


def origin() -> str:
    """Where the text comes from, in words."""
    words: str = st.session_state["origin"]
    return words


def edition() -> int:
    """Changes whenever the text is replaced as a whole: widgets that show it have it in their key."""
    number: int = st.session_state["edition"]
    return number


def set_scenario_text(text: str, origin: str | None = None) -> None:
    """Replace the scenario's text.

    Args:
        text: YAML.
        origin: where it comes from, in words, if it was replaced as a whole; None: it was edited.
    """
    st.session_state["text"] = text
    if origin is not None:
        st.session_state["origin"] = origin
        st.session_state["edition"] = st.session_state.get("edition", 0) + 1


def renew() -> None:
    """Make every widget take its value from the text again."""
    st.session_state["edition"] += 1


def set_failed(sentences: str) -> None:
    """Keep what went wrong in a widget's callback, one sentence a line, for the page to show."""
    st.session_state["failed once"] = tuple(sentences.splitlines())


def taken_failure() -> tuple[str, ...]:
    """What went wrong in the last callback; said once."""
    found: tuple[str, ...] = st.session_state.pop("failed once", ())
    return found


def sentences_of(error: AdvisorError) -> tuple[str, ...]:
    """An error's sentences, without where uploads lie on the server."""
    hidden = f"{uploads.opened().folder}/"
    return tuple(sentence.replace(hidden, "") for sentence in str(error).splitlines())


def question() -> Question | None:
    """The scenario as read; None where it has faults (`problems` says which)."""
    return _read()[0]


def problems() -> tuple[Problem, ...]:
    """What is wrong with the scenario's text."""
    return _read()[1]


def mapping() -> dict[str, Any]:
    """The text as plain data; empty where it is no YAML mapping."""
    return _read()[2]


def is_yaml() -> bool:
    """Whether the text is YAML at all, so that a form can show it."""
    return bool(mapping())


def answered() -> tuple[Question, Recommendation] | None:
    """The latest answer, and the question that it answers, which may be older than the text.

    After a reload it is found again by the scenario, as long as the server keeps it.
    """
    found: tuple[Question, Recommendation] | None = st.session_state.get("answered")
    if found is None and (asked := question()) is not None:
        rec = answers().find(asked)
        found = None if rec is None else (asked, rec)
    return found


def set_answered(asked: Question, rec: Recommendation) -> None:
    """Keep an answer as this visitor's latest."""
    st.session_state["answered"] = (asked, rec)


def is_current() -> bool:
    """Whether the latest answer is the one to the scenario's text as it is now."""
    found, asked = answered(), question()
    return found is not None and asked is not None and key_of(found[0]) == key_of(asked)


def remember(pages: Sequence[Any]) -> None:
    """Keep the pages of this run for links and switches, by their path."""
    st.session_state["pages"] = {page.url_path or "ask": page for page in pages}


def page_of(path: str) -> Any:
    """The page of a path, for `st.switch_page` and `st.page_link`."""
    return st.session_state["pages"][path]


def _read() -> tuple[Question | None, tuple[Problem, ...], dict[str, Any]]:
    text = scenario_text()
    known = st.session_state.get("read")
    if known is None or known[0] != text:
        asked: Question | None = None
        found: tuple[Problem, ...] = ()
        raw: dict[str, Any] = {}
        try:
            raw = parse_mapping(text, SOURCE)
            asked = read_question(text, uploads.opened())
        except InputError as error:
            found = error.problems
        known = st.session_state["read"] = (text, asked, found, raw)
    return known[1], known[2], known[3]


def _from_address() -> None:
    query, known = st.query_params, examples()
    name = query.get(_EXAMPLE, FIRST_EXAMPLE)
    name = name if name in known else next(iter(known))
    set_scenario_text(known[name].read_text(encoding="utf-8"), f"the example {name}")
    if _SCENARIO in query:
        try:
            set_scenario_text(address.unpacked(query[_SCENARIO]), "the scenario in the address")
        except InputError as error:
            set_failed(str(error))


def _to_address() -> None:
    text, name = scenario_text(), example_name()
    if name is not None:
        wanted = {_EXAMPLE: name}
    else:
        code = address.packed(text)
        wanted = {_SCENARIO: code} if code else {}
    if st.query_params.to_dict() != wanted:
        st.query_params.from_dict(wanted)

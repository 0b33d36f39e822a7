"""The web app: inputs, one call of the API, and what came back. No logic of its own.

state.py       what one visitor has: the scenario's text, the answer; kept in the session and the address
question.py    a scenario from the browser: read, checked, kept inside the operator's folder
address.py     a scenario in the page's address, so that it can be sent to a colleague
uploads.py     traces that visitors upload: named by their content, bounded
work.py        work in a thread, with progress, stopped on request or when nobody looks
watch.py       a piece of work shown while it runs, and taken into the session
asking.py      asks for an answer
fields.py      fields of the scenario as widgets, with what is wrong beside them
parts/         the parts of pages that are more than a call
child.py       `calibrate` as a process of its own
cores.py       how many processes an answer may take
answers.py     answers by scenario, computed once, a bounded number of them
show.py        sections of the report as page elements; a chart with its data
pages/         the pages
start/         what `streamlit run` starts
look.css       what the theme does not say
"""

from __future__ import annotations

from pathlib import Path

_ICON = str(Path(__file__).with_name("icon.svg"))
"""Of our own: Streamlit fetches the icons that it knows from another host."""


def main() -> None:
    """Lay out the pages and run the one that is asked for."""
    import streamlit as st

    from advisor.web import state
    from advisor.web.pages import answer, ask, calibration, inside, known, replay, whatif, why

    st.set_page_config(page_title="LoRA Advisor", page_icon=_ICON, layout="wide")
    st.html(Path(__file__).with_name("look.css"))
    state.begin()
    pages = [
        st.Page(ask.page, title="Ask", url_path="ask", default=True),
        st.Page(answer.page, title="Answer", url_path="answer"),
        st.Page(why.page, title="Why", url_path="why"),
        st.Page(whatif.page, title="What if", url_path="whatif"),
        st.Page(inside.page, title="Inside", url_path="inside"),
        st.Page(calibration.page, title="Calibration", url_path="calibration"),
        st.Page(replay.page, title="Replay", url_path="replay"),
        st.Page(known.page, title="What is known", url_path="known"),
    ]
    state.remember(pages)
    st.navigation(pages, position="top").run()

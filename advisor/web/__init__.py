"""The web app: inputs, one call of the API, and what came back. No logic of its own.

question.py    a scenario from the browser: read, checked, kept inside the operator's folder
address.py     a scenario in the page's address, so that it can be sent to a colleague
cores.py       how many processes an answer may take
answers.py     answers by scenario, computed once, a bounded number of them
show.py        sections of the report as page elements
advise.py      the page that asks and answers
known.py       the page with profiles and prices
script.py      what `streamlit run` starts
"""

from __future__ import annotations


def main() -> None:
    """Lay out the pages and run the one that is asked for."""
    import streamlit as st

    from advisor.web import advise, known

    st.set_page_config(page_title="LoRA Advisor", layout="wide")
    pages = [
        st.Page(advise.page, title="Advice", url_path="advice", default=True),
        st.Page(known.page, title="What is known", url_path="known"),
    ]
    st.navigation(pages, position="top").run()

"""What to paste: the files of a recipe, each to copy, and all of them as one."""

from __future__ import annotations

from typing import Final

import streamlit as st

from advisor.errors import AdvisorError
from advisor.recipe import recipe_of, zip_of
from advisor.recommendation import Recommendation
from advisor.tables import ranking
from advisor.web import show, state
from advisor.web.question import Question

_LANGUAGES: Final = {
    "yaml": "yaml",
    "sh": "bash",
    "py": "python",
    "conf": "nginx",
    "json": "json",
}


def show_recipe(question: Question, rec: Recommendation) -> None:
    """The recipe of an option that meets the objective; the recommended one first."""
    options = [option for option in rec.options if option.feasible and not option.is_reference]
    if not options:
        st.markdown("Nothing meets the objective, so there is nothing to deploy.")
        return
    st.subheader("What to paste", anchor="paste")
    labels = {option.key: ranking.label(option) for option in options}
    left, right = st.columns([4, 1], vertical_alignment="bottom")
    key = left.selectbox("For the option", list(labels), format_func=lambda k: labels[k], key="deploy option")
    try:
        recipe = recipe_of(rec, question.scenario, key=key)
    except AdvisorError as error:
        for sentence in state.sentences_of(error):
            st.error(show.plain(sentence))
        return
    right.download_button(
        "All files (zip)",
        lambda: zip_of(recipe),
        "recipe.zip",
        "application/zip",
        key="zip",
        on_click="ignore",
        icon=":material/folder_zip:",
        width="stretch",
    )
    for tab, (name, text) in zip(st.tabs(list(recipe.files)), recipe.files.items(), strict=True):
        with tab:
            st.code(text, _LANGUAGES.get(name.rpartition(".")[2], "text"), wrap_lines=True)
